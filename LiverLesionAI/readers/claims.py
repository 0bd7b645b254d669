"""What an image file's header claims, held against the file and the machine before anything is allocated.

Formats: NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h), NRRD (teem's format.html), MetaImage (ITK's MetaIO).
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.errors import StudyError
from LiverLesionAI.limits import (
    BYTES_PER_VOXEL,
    MAX_DEFLATION,
    MAX_HEADER_BYTES,
    MAX_VOXELS,
    check_memory,
)

_GZIP = b"\x1f\x8b"
_LARGEST_OFFSET = 1 << 40
_NIFTI_SIZES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1536: 16,
    1792: 16, 2048: 32, 2304: 4,
}  # fmt: skip
"""NIfTI's code of a data type to its bytes."""

_NRRD_SIZES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4,
    "uint32_t": 4, "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8,
    "signed long long int": 8, "int64": 8, "int64_t": 8, "ulonglong": 8, "unsigned long long": 8,
    "unsigned long long int": 8, "uint64": 8, "uint64_t": 8, "float": 4, "double": 8,
}  # fmt: skip
_META_SIZES = {
    "CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 8, "ULONG": 8,
    "LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
_PACKED = ("gzip", "gz", "bzip2", "bz2")


@dataclass(frozen=True)
class _NiftiLayout:
    """Where a version of NIfTI has its fields: their kinds for :mod:`struct`, and their first bytes."""

    size: int
    dimensions: tuple[str, int]
    code: tuple[str, int]
    offset: tuple[str, int]
    scaling: tuple[str, int]
    magic: int


_NIFTI_LAYOUTS = (
    _NiftiLayout(348, ("8h", 40), ("h", 70), ("f", 108), ("2f", 112), 344),
    _NiftiLayout(540, ("8q", 16), ("h", 12), ("q", 168), ("2d", 176), 4),
)


@dataclass(frozen=True)
class _Claim:
    """What a header says of the voxels.

    Attributes
    ----------
    sizes
        Voxels along each axis, the values of a voxel counted as an axis.
    item_bytes
        Bytes of a value.
    start
        Where in the unpacked file the voxels begin; None where they lie in another file.
    packed
        Whether the voxels are compressed within the file.
    """

    sizes: tuple[int, ...]
    item_bytes: int
    start: int | None
    packed: bool = False

    @property
    def count(self) -> int:
        return math.prod(self.sizes)


def check_claims(file: Path) -> None:
    """Refuse an image file whose header claims what cannot be, or more than the file or the machine holds.

    What is wrong in another way, or is of another format, is left to the reader.

    Raises
    ------
    StudyError
        If the file is cut short, has more voxels than any image may have, or a NIfTI header whose start or
        scaling of the voxels is impossible.
    MemoryShortError
        If the machine cannot hold the image.
    """
    try:
        packed, start = _start_of(file)
        claim = _claim(file, start)
        size = file.stat().st_size
    except (OSError, zlib.error):
        return
    if claim is None:
        return
    if claim.count > MAX_VOXELS:
        raise StudyError(
            f"{file} claims {' × '.join(map(str, claim.sizes))} voxels, more than any image of a liver has; "
            "export it again."
        )
    most = size * MAX_DEFLATION if packed or claim.packed else size
    needed = claim.count * claim.item_bytes
    if claim.start is not None and most < needed + (0 if claim.packed else claim.start):
        raise StudyError(
            f"{file} is damaged or cut short: its header claims {needed} bytes of voxels, which it cannot "
            "hold; copy or export it again."
        )
    check_memory(claim.count * BYTES_PER_VOXEL, f"{file}, with {claim.count} voxels,")


def _start_of(file: Path) -> tuple[bool, bytes]:
    """Whether a file is gzipped, and how it begins, unpacked as far as it goes."""
    with file.open("rb") as raw:
        start = raw.read(MAX_HEADER_BYTES)
    if start[:2] != _GZIP:
        return False, start
    return True, zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start, MAX_HEADER_BYTES)


def _claim(file: Path, start: bytes) -> _Claim | None:
    if start[:4] == b"NRRD":
        return _nrrd_claim(start)
    for layout in _NIFTI_LAYOUTS:
        for order in "<>":
            if start[:4] == struct.pack(f"{order}i", layout.size) and len(start) >= layout.size:
                return _nifti_claim(file, start, layout, order)
    return _meta_claim(start)


def _nifti_claim(file: Path, start: bytes, layout: _NiftiLayout, order: str) -> _Claim | None:
    def read(field: tuple[str, int]) -> tuple[Any, ...]:
        return struct.unpack_from(order + field[0], start, field[1])

    (code,), (offset,), (slope, intercept) = read(layout.code), read(layout.offset), read(layout.scaling)
    rank, *dimensions = read(layout.dimensions)
    sizes = tuple(dimensions[:rank]) if 1 <= rank <= 7 else ()
    if not sizes or min(sizes) < 1 or code not in _NIFTI_SIZES:
        return None
    if math.isfinite(slope) and slope != 0 and not math.isfinite(intercept):
        raise StudyError(f"{file} is damaged: its scl_inter is no number; export it again.")
    if start[layout.magic : layout.magic + 2] != b"n+":
        return _Claim(sizes, _NIFTI_SIZES[code], None)
    if offset != 0 and not layout.size + 4 <= offset <= _LARGEST_OFFSET:
        raise StudyError(f"{file} is damaged: its vox_offset of {offset:g} is impossible; export it again.")
    return _Claim(sizes, _NIFTI_SIZES[code], int(offset) or layout.size + 4)


def _nrrd_claim(start: bytes) -> _Claim | None:
    head, end, _ = start.partition(b"\n\n")
    if not end:
        head, end, _ = start.partition(b"\r\n\r\n")
    fields = _fields(head, ":")
    sizes = _whole_numbers(fields.get("sizes", ""))
    item = _NRRD_SIZES.get(fields.get("type", "").lower())
    if not sizes or item is None:
        return None
    encoding = fields.get("encoding", "raw").lower()
    detached = "data file" in fields or "datafile" in fields
    least = 1 if encoding in ("ascii", "txt", "text", "hex") else item
    return _Claim(sizes, least, None if detached else len(head) + len(end), encoding in _PACKED)


def _meta_claim(start: bytes) -> _Claim | None:
    head, _, _ = start.partition(b"ElementDataFile")
    fields = _fields(head, "=")
    sizes = _whole_numbers(fields.get("dimsize", ""))
    item = _META_SIZES.get(fields.get("elementtype", "").removeprefix("MET_").upper())
    if not sizes or item is None:
        return None
    channels = _whole_numbers(fields.get("elementnumberofchannels", ""))
    channels = () if channels == (1,) else channels
    local = re.search(rb"ElementDataFile\s*=\s*LOCAL\s*\n", start, re.IGNORECASE)
    packed = fields.get("compresseddata", "").lower() == "true"
    return _Claim((*sizes, *channels), item, local.end() if local else None, packed)


def _fields(head: bytes, separator: str) -> Mapping[str, str]:
    """Fields of a header of text, their names in small letters; comments and keys of NRRD left out."""
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines():
        name, found, value = line.partition(separator)
        if found and not value.startswith("=") and not line.startswith("#"):
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _whole_numbers(text: str) -> tuple[int, ...]:
    words = text.split()
    return (
        tuple(map(int, words))
        if words and all(w.isascii() and w.isdigit() and len(w) < 19 for w in words)
        else ()
    )
