"""Adding a bundle from elsewhere: a folder or zip that is trusted in nothing.

Only the kinds of file that a bundle is made of are taken, by name and by content; links, paths that lead
outside, pickles and archives are refused. What passes is copied to a temporary folder, verified there and
renamed, so that a refused bundle leaves nothing behind.
"""

from __future__ import annotations

import lzma
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from LiverLesionAI.bundles import (
    Bundle,
    bundle_files,
    bundle_folders,
    is_safe,
    list_bundles,
    load_bundle,
    user_bundle_folder,
    verify_bundle,
)
from LiverLesionAI.errors import BundleError
from LiverLesionAI.files import folder_aside, put_in_place
from LiverLesionAI.limits import (
    MAX_BUNDLE_BYTES,
    MAX_BUNDLE_FILES,
    MAX_BUNDLE_TEXT_BYTES,
    MAX_PICTURE_BYTES,
    MAX_WEIGHTS_BYTES,
)

TEXTS = frozenset({".json", ".md", ".txt", ".yaml", ".yml", ".csv"})
BINARIES = {".safetensors": MAX_WEIGHTS_BYTES, ".png": MAX_PICTURE_BYTES}
PICKLES = frozenset(
    {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".npy", ".npz", ".ts", ".pyc"}
)
MAGIC_PICKLE = b"\x80"
MAGIC_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Member:
    """A file of the source: its name in the bundle, its size as declared, and how to open it."""

    name: str
    size: int
    is_link: bool
    open: Callable[[], IO[bytes]]


def add_bundle(source: str | Path, *, sha256: str | None = None) -> Bundle:
    """Check a bundle and copy it to the user's folder of bundles.

    Parameters
    ----------
    source
        A bundle's folder or a zip of it, with or without a single folder around it.
    sha256
        The bundle's expected hash (that of its ``configs/metadata.json``), where it is known from elsewhere.

    Returns
    -------
    Bundle
        The bundle at its new place; the one that is at hand already if it is the same.

    Raises
    ------
    BundleError
        If the source is no bundle, is not safe, is damaged, or its name is taken by another bundle, one that
        comes with the program included.
    """
    source = Path(source)
    target_folder = user_bundle_folder()
    with folder_aside(target_folder) as incoming:
        try:
            with _members(source) as members:
                _copy_checked(source, members, incoming)
            bundle = verify_bundle(incoming)
            if sha256 is not None and sha256.lower() != bundle.sha256:
                raise BundleError(
                    f"{source} has the SHA-256 {bundle.sha256}, not {sha256}; get the bundle again."
                )
            return _move(bundle, target_folder / bundle.name, source)
        except BundleError as error:
            raise BundleError(str(error).replace(str(incoming), str(source))) from None


def _move(bundle: Bundle, target: Path, source: Path) -> Bundle:
    for shipped in list_bundles(bundle_folders()[:-1]):
        if shipped.name == bundle.name and shipped.sha256 != bundle.sha256:
            raise BundleError(
                f"{source} is named {bundle.name} as a model that comes with the program, which would always "
                "be taken in its place; have it named otherwise, or give its folder to --model."
            )
        if shipped.name == bundle.name:
            return shipped
    if target.exists():
        present = load_bundle(target)
        if present.sha256 != bundle.sha256:
            raise BundleError(
                f"{target} is another bundle of the same name; remove it before adding {source}."
            )
        return present
    put_in_place(bundle.path, target)
    return load_bundle(target)


@contextmanager
def _members(source: Path) -> Iterator[list[_Member]]:
    if source.is_dir():
        yield _folder_members(source)
    elif source.is_file() and zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as archive:
                yield _zip_members(archive)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
            raise BundleError(f"{source} cannot be unpacked ({error}); get the bundle again.") from None
    else:
        raise BundleError(f"{source} is neither a folder nor a zip; give a bundle's folder or a zip of it.")


def _folder_members(source: Path) -> list[_Member]:
    members = []
    for name in bundle_files(source):
        file = source / name
        info = file.lstat()
        regular = stat.S_ISREG(info.st_mode)
        members.append(_Member(str(name), info.st_size, not regular, _opener(file)))
    return members


def _opener(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("rb")


def _zip_members(archive: zipfile.ZipFile) -> list[_Member]:
    files = [info for info in archive.infolist() if not info.is_dir()]
    tops = {PurePosixPath(info.filename).parts[0] for info in files if PurePosixPath(info.filename).parts}
    wrapped = len(tops) == 1 and all(len(PurePosixPath(info.filename).parts) > 1 for info in files)
    prefix = f"{tops.pop()}/" if wrapped else ""
    members = []
    for info in files:
        kind = stat.S_IFMT(info.external_attr >> 16)
        name = info.filename.removeprefix(prefix) if is_safe(info.filename) else info.filename
        members.append(
            _Member(name, info.file_size, kind not in (0, stat.S_IFREG), _zip_opener(archive, info))
        )
    return members


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _copy_checked(source: Path, members: list[_Member], target: Path) -> None:
    if len(members) > MAX_BUNDLE_FILES:
        raise BundleError(
            f"{source} holds {len(members)} files, more than the {MAX_BUNDLE_FILES} of any bundle."
        )
    if sum(member.size for member in members) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{source} is larger than any bundle may be ({MAX_BUNDLE_BYTES >> 30} GiB).")
    _check_names_differ(source, [member.name for member in members])
    for member in members:
        _check_name(source, member)
    for member in members:
        file = target / member.name
        file.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as content, file.open("xb") as copy:
            _copy(source, member, content, copy)


def _check_names_differ(source: Path, names: list[str]) -> None:
    """Refuse names that no folder can hold side by side: twice the same, or a file that is a folder too."""
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    for name, count in Counter(names).items():
        if count > 1 or name in folders:
            raise BundleError(f"{source} holds {name!r} twice; get the bundle again.")


def _check_name(source: Path, member: _Member) -> None:
    if not is_safe(member.name):
        raise BundleError(
            f"{source} holds {member.name!r}, whose path leads outside the bundle; do not use it."
        )
    if member.is_link:
        raise BundleError(f"{source} holds {member.name!r}, which is a link and not a file; do not use it.")
    suffix = PurePosixPath(member.name).suffix.lower()
    if suffix in PICKLES:
        raise BundleError(
            f"{source} holds {member.name!r}, a kind of file that can run code when it is opened; "
            "ask its maker for safetensors."
        )
    if member.name != "LICENSE" and suffix not in TEXTS and suffix not in BINARIES:
        raise BundleError(f"{source} holds {member.name!r}, a kind of file that no bundle has; remove it.")
    limit = BINARIES.get(suffix, MAX_BUNDLE_TEXT_BYTES)
    if member.size > limit:
        raise BundleError(f"{source}: {member.name!r} is larger than such a file may be ({limit >> 20} MiB).")


def _copy(source: Path, member: _Member, content: IO[bytes], copy: IO[bytes]) -> None:
    """Copy no more than was declared, whatever a crafted archive unpacks to, and look at what it is."""
    left, first = member.size, True
    while chunk := content.read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise BundleError(f"{source}: {member.name!r} is larger than the archive says; do not use it.")
        if first:
            _check_content(source, member, chunk)
        first = False
        copy.write(chunk)


def _check_content(source: Path, member: _Member, start: bytes) -> None:
    suffix = PurePosixPath(member.name).suffix.lower()
    weights = suffix == ".safetensors" and start[8:9] == b"{"
    if weights or (suffix == ".png" and start.startswith(b"\x89PNG\r\n\x1a\n")):
        return
    if start.startswith((MAGIC_PICKLE, *MAGIC_ARCHIVES)) or suffix in BINARIES or b"\0" in start:
        raise BundleError(
            f"{source}: {member.name!r} is not what its name says but a pickle, an archive or another binary "
            "file; do not use it."
        )
