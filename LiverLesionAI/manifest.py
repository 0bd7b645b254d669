"""Which files of an output folder the program wrote itself, so that a later run replaces these and no other.

``SHA256SUMS`` names every file with its hash, as ``sha256sum --check`` reads it. Outputs that were written
before there was such a list are known by the names of their files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from LiverLesionAI.sequences import SEQUENCES

MANIFEST = "SHA256SUMS"

CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What operating systems put into folders by themselves."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_SEQUENCE = f"(?:{'|'.join(SEQUENCES)})"
_STUDY = rf"(?:{_SEQUENCE}|lesions(?:_{_SEQUENCE})?)\.nii\.gz|acquisition\.json|clinical\.json"
_TRUTH = rf"(?:truth|kinetics)\.json|regions\.nii\.gz|(?:masks|displacement)/{_SEQUENCE}\.nii\.gz"
_OURS = re.compile(
    "|".join(
        (
            r"results\.(?:json|csv)|registration\.json|scene\.mrb|report\.html|lesions\.nii\.gz",
            r"lesion_classes\.nii\.gz",
            rf"registered/{_SEQUENCE}\.nii\.gz",
            rf"transforms/{_SEQUENCE}\.tfm",
            rf"outlines/lesions_{_SEQUENCE}\.nii\.gz",
            rf"figures/(?:lesion_\d+|registration_{_SEQUENCE})\.png",
            rf"saliency/\d+_{_SEQUENCE}(?:_weighted)?\.nii\.gz",
            r"dicom/(?:seg|sr)\.dcm",
            rf"dicom/saliency_\d+_{_SEQUENCE}(?:_weighted)?\.dcm",
            rf"phantom/[^/]+/(?:{_STUDY})",
            rf"phantom/truth/[^/]+/(?:{_TRUTH})",
        )
    )
)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(folder: Path) -> None:
    """Write ``SHA256SUMS`` of all files below a folder."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(entries(folder))]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def entries(folder: Path) -> Iterator[PurePosixPath]:
    """Everything below a folder that is no folder, links included, relative to it; not the list itself."""
    for path in folder.rglob("*"):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if (path.is_symlink() or not path.is_dir()) and str(name) != MANIFEST:
            yield name


def written_by_us(folder: Path, *, by_name: bool = False) -> frozenset[PurePosixPath]:
    """Files below a folder that are as the program wrote them, relative to it; not the list itself.

    Parameters
    ----------
    folder
        An output folder.
    by_name
        Whether to go by the names of files where there is no list.
    """
    hashes = _hashes(folder / MANIFEST)
    if hashes is None and by_name:
        return frozenset(
            name for name in _files(folder) if _OURS.fullmatch(str(name)) or name.name in CLUTTER
        )
    listed = hashes or {}
    return frozenset(
        name
        for name in _files(folder)
        if name.name in CLUTTER or (str(name) in listed and sha256_of(folder / name) == listed[str(name)])
    )


def _files(folder: Path) -> Iterator[PurePosixPath]:
    return (
        name for name in entries(folder) if (folder / name).is_file() and not (folder / name).is_symlink()
    )


def _hashes(manifest: Path) -> dict[str, str] | None:
    """Name to hash; None where there is no list."""
    if not manifest.is_file():
        return None
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    return {match[2]: match[1] for match in found}
