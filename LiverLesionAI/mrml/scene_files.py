"""The files of a scene, looked at before Slicer reads them."""

from __future__ import annotations

import html
import lzma
import os
import re
import shutil
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

from LiverLesionAI.errors import MemoryShortError, StudyError, printable
from LiverLesionAI.limits import MAX_SCENE_BYTES, MAX_SCENE_FILES, MAX_TEXT_BYTES, is_bomb
from LiverLesionAI.readers.claims import check_claims

_FILE_NAME = re.compile(r'\bfileName="([^"]*)"')
_ENCRYPTED = 0x1


def unpack_scene(path: Path, folder: Path) -> Path:
    """Unpack a ``.mrb`` into a folder; return its ``.mrml``.

    Raises
    ------
    StudyError
        If the file is no archive, is damaged, encrypted or too large, or holds other than one scene.
    MemoryShortError
        If there is no room for it on the disk.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist(), folder)
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError):
        raise StudyError(f"{path} is not a Slicer scene bundle, or it is damaged; save it again.") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be unpacked ({error.strerror or error}); save it again.") from None
    scenes = sorted(folder.rglob("*.mrml"))
    if len(scenes) != 1:
        raise StudyError(f"{path} holds {len(scenes)} scenes, where a Slicer scene bundle holds one.")
    return scenes[0]


def _check_members(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise StudyError(f"{path} is encrypted; save the scene without a password.")
    twice = [name for name, count in Counter(member.filename for member in members).items() if count > 1]
    if twice:
        raise StudyError(f"{path} holds {twice[0]!r} twice; save the scene again.")
    size = sum(member.file_size for member in members)
    if size > MAX_SCENE_BYTES or len(members) > MAX_SCENE_FILES or is_bomb(path.stat().st_size, size):
        raise StudyError(
            f"{path} would unpack to {size / 2**30:.1f} GiB in {len(members)} files, more than a scene of a "
            "study has; save it with the study's volumes alone."
        )
    free = shutil.disk_usage(folder).free
    if size > free:
        raise MemoryShortError(
            f"{path} unpacks to {size / 2**30:.1f} GiB, and {folder.parent} has {free / 2**30:.1f} GiB left; "
            "make room or set TMPDIR to a larger disk."
        )


def with_plain_name(path: Path, folder: Path) -> Path:
    """Return a ``.mrml`` by a name that VTK takes: its own, or through a link in `folder` to its folder.

    Raises
    ------
    StudyError
        If the file's own name is not UTF-8.
    """
    if printable(str(path)) == str(path):
        return path
    if printable(path.name) != path.name:
        raise StudyError(f"{path} has a name that is not UTF-8; rename it.")
    link = folder / "scene"
    os.symlink(path.parent.absolute(), link)
    return link / path.name


def check_storage_files(scene: Path) -> None:
    """Hold what the image files of a ``.mrml`` claim against what they hold.

    Raises
    ------
    StudyError
        If the scene or one of its files is damaged or too large.
    MemoryShortError
        If the machine cannot hold one of them.
    """
    if scene.stat().st_size > MAX_TEXT_BYTES:
        raise StudyError(f"{scene} is larger than a scene may be ({MAX_TEXT_BYTES >> 20} MiB).")
    for name in dict.fromkeys(_FILE_NAME.findall(scene.read_text(encoding="utf-8", errors="replace"))):
        file = scene.parent / unquote(html.unescape(name))
        if _is_file(file):
            check_claims(file)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
