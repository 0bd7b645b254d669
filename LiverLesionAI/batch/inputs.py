"""Whether the files of a study have changed: at a glance, and by their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.manifest import CLUTTER, sha256_of


def glance(path: Path, mask: Path | None, clinical: Mapping[str, Any]) -> str:
    """What tells at a glance that a study's files are those seen before; empty where the study is not there.

    Names, sizes and times of the files: a study for which they are another may still be the same, and
    :func:`content_sha256` tells. Times are compared with what they were and never with the clock.
    """
    if not path.exists():
        return ""
    lines = [_line(name, file) for name, file in _files(path, mask)]
    return _digest([*lines, _text(clinical)])


def content_sha256(path: Path, mask: Path | None, clinical: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a study is read from.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    lines = [f"{name} {sha256_of(file)}" for name, file in _files(path, mask)]
    return _digest([*lines, _text(clinical)])


def _files(path: Path, mask: Path | None) -> Iterator[tuple[str, Path]]:
    """Files of a study by their names in it; of a scene all files beside it, for it may name any of them."""
    root = path.parent if path.suffix.lower() == ".mrml" else path
    if root.is_file():
        yield root.name, root
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_of_study(Path(folder, name)))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and name not in CLUTTER and file.exists():
                yield file.relative_to(root).as_posix(), file
    if mask is not None and mask.exists():
        yield "mask", mask


def _is_of_study(folder: Path) -> bool:
    """Whether a folder may hold files of a study: it is neither hidden nor a run's."""
    return not folder.name.startswith(".") and not (folder / LEDGER_FILE).exists()


def _line(name: str, file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return f"{name} gone"
    return f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _text(clinical: Mapping[str, Any]) -> str:
    return json.dumps(dict(clinical), sort_keys=True)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
