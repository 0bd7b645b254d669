"""Opening DICOM files; those of the deflated transfer syntax no further than images unpack."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from LiverLesionAI.errors import DicomError
from LiverLesionAI.limits import is_bomb

if TYPE_CHECKING:
    from pydicom import Dataset

warnings.filterwarnings("ignore", module=r"pydicom\.")
"""They quote values, which could name the patient, whenever one is first looked at."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PREAMBLE, _META_GROUP, _META_BYTES = 132, 2, 4096
_LONG_VALUES = (b"OB", b"UN")
_CHUNK = 1 << 20


def open_dicom(file: Path, *, stop_before_pixels: bool = False) -> Dataset:
    """Read a DICOM file with pydicom.

    Raises
    ------
    DicomError
        If it unpacks to far more than images do.
    Exception
        Whatever pydicom raises over a damaged file.
    """
    from pydicom import dcmread

    with file.open("rb") as stream:
        if _DEFLATED in stream.read(_META_BYTES):
            _check_deflated(file, stream)
    return dcmread(file, stop_before_pixels=stop_before_pixels, force=True)


def _check_deflated(file: Path, stream: IO[bytes]) -> None:
    """Unpack what follows the file meta information chunk by chunk and count its bytes."""
    packed, unpacked = file.stat().st_size, 0
    stream.seek(_end_of_meta(stream))
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    waiting = stream.read(_CHUNK)
    while waiting and not unpacking.eof:
        unpacked += len(unpacking.decompress(waiting, _CHUNK))
        if is_bomb(packed, unpacked):
            raise DicomError(
                f"{file} unpacks to more than {unpacked >> 20} MiB from {packed / 2**20:.1f} MiB, as no "
                "image does; leave it out."
            )
        waiting = unpacking.unconsumed_tail or stream.read(_CHUNK)


def _end_of_meta(stream: IO[bytes]) -> int:
    """Where the elements of group 2 end, which are explicit little endian (DICOM PS3.10, 7.1)."""
    position = _PREAMBLE
    while True:
        stream.seek(position)
        head = stream.read(12)
        if len(head) < 12 or int.from_bytes(head[:2], "little") != _META_GROUP:
            return position
        if head[4:6] in _LONG_VALUES:
            position += 12 + struct.unpack_from("<I", head, 8)[0]
        else:
            position += 8 + struct.unpack_from("<H", head, 6)[0]
