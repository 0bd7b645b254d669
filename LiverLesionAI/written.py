"""Whether files that foreign libraries wrote are whole: ITK and VTK go on when a disk is full.

ITK completes a NIfTI file that was cut short with zeros, and a damaged transform can crash its reader: each
file is looked at byte by byte instead.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from LiverLesionAI.errors import OutputError, printable

if TYPE_CHECKING:
    import SimpleITK as sitk

_CHUNK = 1 << 20
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NIFTI_DATA_OFFSET = 108
NRRD_HEADER_END = re.compile(rb"\r?\n\r?\n")
_NRRD_BYTES = {
    "signed char": 1, "unsigned char": 1, "short": 2, "unsigned short": 2, "int": 4, "unsigned int": 4,
    "long long int": 8, "unsigned long long int": 8, "float": 4, "double": 8,
}  # fmt: skip


def check_image_file(path: Path, image: sitk.Image) -> None:
    """Compare the file of an image, ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.png``, with the image's size.

    Raises
    ------
    OutputError
        If the file is missing, cut short or damaged.
    """
    voxels = math.prod(image.GetSize()) * image.GetNumberOfComponentsPerPixel()
    expected = voxels * image.GetSizeOfPixelComponent()
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        whole = _is_whole(path, lambda file: _nifti_bytes(file) == expected)
    elif name.endswith(".nrrd"):
        whole = _is_whole(path, lambda file: _nrrd_bytes(file)[0] == expected)
    elif name.endswith(".png"):
        whole = _is_whole(path, _is_whole_png)
    else:
        raise OutputError(f"{path} is of a kind that is not written here; name it .nii.gz or .nrrd.")
    if not whole:
        raise unwritable(path)


def check_transform_file(path: Path, transform: sitk.Transform) -> None:
    """Compare the text of a ``.tfm`` file with how many numbers its transform has.

    Raises
    ------
    OutputError
        If the file is missing or cut short.
    """
    text = path.read_text(encoding="latin-1") if path.is_file() else ""
    rows = [
        line.split() for line in text.splitlines() if line.startswith(("Parameters:", "FixedParameters:"))
    ]
    written = sum(len(row) - 1 for row in rows)
    if not text.endswith("\n") or written != sum(_number_counts(transform)):
        raise unwritable(path)


def check_scene_folder(folder: Path) -> None:
    """Look at the files of a scene that VTK wrote into a folder.

    Raises
    ------
    OutputError
        If one is empty, cut short or damaged, or there is no scene.
    """
    from xml.etree import ElementTree

    scenes = 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.stat().st_size == 0 or (file.suffix == ".nrrd" and not _is_whole(file, _is_whole_nrrd)):
            raise unwritable(file)
        if file.suffix == ".mrml":
            scenes += 1
            try:
                ElementTree.parse(file)
            except ElementTree.ParseError:
                raise unwritable(file) from None
    if scenes == 0:
        raise unwritable(folder)


def is_compressed(path: Path) -> bool:
    """Whether a file is a NRRD whose voxels are compressed."""
    if path.suffix != ".nrrd":
        return False
    with path.open("rb") as file:
        return _nrrd_header(file).get("encoding", "raw") != "raw"


def check_archive(path: Path) -> None:
    """Read a zip archive through and compare its members with their checksums.

    Raises
    ------
    OutputError
        If it is cut short or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError):
        raise unwritable(path) from None
    if damaged is not None:
        raise unwritable(path)


def unwritable(path: Path) -> OutputError:
    """The error that a file did not come out whole."""
    return OutputError(f"{path} could not be written; check the free space and the rights of its folder.")


def refuse_odd_name(path: Path) -> None:
    """Refuse a name that ITK and VTK abort on.

    Raises
    ------
    OutputError
        If the path is not UTF-8.
    """
    if printable(str(path)) != str(path):
        raise OutputError(f"{path} has a name that is not UTF-8; choose another folder for the output.")


def _is_whole(path: Path, look: Callable[[Path], bool]) -> bool:
    try:
        return path.is_file() and look(path)
    except (OSError, EOFError, ValueError, KeyError, IndexError, struct.error, zlib.error):
        return False


def _nifti_bytes(path: Path) -> int:
    """How many bytes of voxels follow the header (NIfTI-1, ``vox_offset``)."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.read(_NIFTI_DATA_OFFSET + 4)
        (offset,) = struct.unpack_from("<f", header, _NIFTI_DATA_OFFSET)
        return len(header) + _remaining(file) - int(offset)


def _nrrd_bytes(path: Path) -> tuple[int, int]:
    """Bytes of voxels that a NRRD file has, and those that its header promises (teem, NRRD0004)."""
    with path.open("rb") as file:
        header = _nrrd_header(file)
        if not header:
            return 0, -1
        found = _remaining(file if header["encoding"] == "raw" else gzip.GzipFile(fileobj=file))
    return found, math.prod(map(int, header["sizes"].split())) * _NRRD_BYTES[header["type"]]


def _is_whole_nrrd(path: Path) -> bool:
    found, promised = _nrrd_bytes(path)
    return found == promised


def _nrrd_header(file: IO[bytes]) -> dict[str, str]:
    """Fields of a header, which the file is left behind; none where there is no end of it."""
    start = file.read(1 << 16)
    end = NRRD_HEADER_END.search(start)
    if end is None:
        return {}
    file.seek(end.end())
    lines = start[: end.start()].decode("latin-1").splitlines()
    parts = (line.partition(": ") for line in lines)
    return {name: value for name, separator, value in parts if separator}


def _is_whole_png(path: Path) -> bool:
    """Whether every chunk agrees with its checksum and the last one is there (ISO/IEC 15948, 5.3)."""
    content = path.read_bytes()
    position, kind = len(_PNG_SIGNATURE), b""
    while content.startswith(_PNG_SIGNATURE) and kind != b"IEND":
        (length,) = struct.unpack_from(">I", content, position)
        kind = content[position + 4 : position + 8]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + length)
        if zlib.crc32(content[position + 4 : position + 8 + length]) != checksum:
            return False
        position += 12 + length
    return kind == b"IEND"


def _remaining(file: IO[bytes] | gzip.GzipFile) -> int:
    """How many bytes can still be read; a gzip stream that is cut short or damaged raises."""
    count = 0
    while chunk := file.read(_CHUNK):
        count += len(chunk)
    return count


def _number_counts(transform: sitk.Transform) -> Iterator[int]:
    """How many parameters, fixed ones included, each part of a transform has."""
    import SimpleITK as sitk

    known = transform.Downcast()
    if isinstance(known, sitk.CompositeTransform):
        for index in range(known.GetNumberOfTransforms()):
            yield from _number_counts(known.GetNthTransform(index))
    else:
        yield known.GetNumberOfParameters() + known.GetNumberOfFixedParameters()
