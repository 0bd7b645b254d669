"""The diffusion b-value of one image, and whether it has a direction, wherever its vendor keeps them.

Sources: DICOM PS3.3 C.8.13.5.9 (DiffusionBValue, DiffusionDirectionality) and the vendors' DICOM conformance
statements: Siemens (0019,xx0C) and the CSA image header, GE (0043,xx39) with its bias, Philips (2001,xx03),
United Imaging (0065,xx09); for directions Siemens (0019,xx0D) and (0019,xx0E), GE (0043,xx30) and (0019,xxBB)
to (0019,xxBD), Philips (2001,xx04), United Imaging (0065,xx37).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

HIGHEST_B = 20_000.0
TRACE_WORDS = frozenset({"TRACEW", "TRACE", "ISOTROPIC"})
"""Words of ImageType for the mean over directions."""

_GE_BIAS = 1_000_000_000
_SIEMENS_SEQUENCE_NAME = re.compile(r"b(\d+)")


def b_value(
    standard: float | None, dataset: Dataset, manufacturer: str, sequence_name: str
) -> tuple[float | None, str]:
    """Return the b-value and where it stood.

    Parameters
    ----------
    standard
        The value of DiffusionBValue (0018,9087), where the image has one.
    dataset
        The header, for the vendors' private attributes.
    manufacturer
        Manufacturer (0008,0070): only its own places are looked at; all where it is empty.
    sequence_name
        SequenceName (0018,0024); Siemens writes ``*ep_b800t`` there.

    Returns
    -------
    b : float or None
        In s/mm²; None where the image says nothing.
    source : str
        In words; empty where there is none.
    """
    if standard is not None and 0 <= standard <= HIGHEST_B:
        return standard, "DiffusionBValue"
    for vendor, find, source in _VENDOR_PLACES:
        if not manufacturer or manufacturer.upper().startswith(vendor):
            value = find(dataset)
            if value is not None and 0 <= value <= HIGHEST_B:
                return value, source
    value = _in_sequence_name(sequence_name)
    return value, "SequenceName" if value is not None else ""


def is_directional(
    stated: str, image_type: Sequence[str], directed: bool, dataset: Dataset, manufacturer: str
) -> bool:
    """Whether an image shows diffusion along one direction; traces and means do not.

    Parameters
    ----------
    stated
        DiffusionDirectionality (0018,9075); empty where the image has none.
    image_type
        ImageType (0008,0008).
    directed
        Whether DiffusionGradientOrientation (0018,9089) is a direction.
    dataset
        The header, for the vendors' private attributes.
    manufacturer
        Manufacturer (0008,0070), as for :func:`b_value`.
    """
    if stated:
        return stated.upper() in ("DIRECTIONAL", "BMATRIX")
    if TRACE_WORDS & set(image_type):
        return False
    return directed or any(
        find(dataset)
        for vendor, find in _VENDOR_DIRECTIONS
        if not manufacturer or manufacturer.upper().startswith(vendor)
    )


def _private(dataset: Dataset, group: int, creator: str, element: int) -> Any:
    try:
        return dataset.private_block(group, creator)[element].value
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _number(value: Any) -> float | None:
    """First number of a private value; implicit little endian leaves it as bytes."""
    if isinstance(value, bytes):
        return _number_in_bytes(value)
    if value is None or isinstance(value, str):
        return _number_in_text(value or "")
    try:
        first = value[0] if hasattr(value, "__len__") else value
        return float(first)
    except (TypeError, ValueError, IndexError):
        return None


def _number_in_text(text: str) -> float | None:
    match = re.match(r"\s*(-?\d+(?:\.\d+)?)", text)
    return float(match.group(1)) if match else None


def _number_in_bytes(value: bytes) -> float | None:
    text = value.rstrip(b"\0 ")
    if text and all(32 <= byte < 127 for byte in text):
        return _number_in_text(text.decode("ascii"))
    formats = {4: "<f", 8: "<d"}
    return float(struct.unpack(formats[len(value)], value)[0]) if len(value) in formats else None


def _ge(dataset: Dataset) -> float | None:
    """GE adds 10⁹ (or what (0043,xx7F) says) where the b-value was set by hand."""
    value = _number(_private(dataset, 0x0043, "GEMS_PARM_01", 0x39))
    if value is None:
        return None
    bias = _number(_private(dataset, 0x0043, "GEMS_PARM_01", 0x7F))
    if bias and 0 < bias <= value:
        value -= bias
    return value % _GE_BIAS


def _csa(dataset: Dataset) -> float | None:
    header = _private(dataset, 0x0029, "SIEMENS CSA HEADER", 0x10)
    if not isinstance(header, bytes) or not header.startswith(b"SV10"):
        return None
    return _csa_element(header, b"B_value")


def _csa_element(header: bytes, name: bytes) -> float | None:
    """First value of an element of Siemens' CSA2 header.

    Each element is 84 bytes (name 64, multiplicity, VR, type, number of items, a mark) and its items, each
    with its length in four integers and padded to four bytes.
    """
    start = header.find(name + b"\0")
    if start < 0:
        return None
    try:
        (items,) = struct.unpack_from("<i", header, start + 76)
        at = start + 84
        for _ in range(min(max(items, 0), 100)):
            (length,) = struct.unpack_from("<i", header, at + 4)
            if not 0 <= length <= len(header) - at:
                return None
            text = header[at + 16 : at + 16 + length].split(b"\0")[0]
            if text.strip():
                return _number_in_bytes(text)
            at += 16 + (length + 3) // 4 * 4
    except struct.error:
        return None
    return None


def _in_sequence_name(name: str) -> float | None:
    if not name.startswith("*ep"):
        return None
    match = _SIEMENS_SEQUENCE_NAME.search(name)
    return float(match.group(1)) if match else None


_VENDOR_PLACES: tuple[tuple[str, Callable[[Dataset], float | None], str], ...] = (
    (
        "SIEMENS",
        lambda dataset: _number(_private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0C)),
        "Siemens (0019,xx0C)",
    ),
    ("SIEMENS", _csa, "Siemens CSA header"),
    (
        "PHILIPS",
        lambda dataset: _number(_private(dataset, 0x2001, "Philips Imaging DD 001", 0x03)),
        "Philips (2001,xx03)",
    ),
    ("GE", _ge, "GE (0043,xx39)"),
    (
        "UIH",
        lambda dataset: _number(_private(dataset, 0x0065, "Image Private Header", 0x09)),
        "United Imaging (0065,xx09)",
    ),
)


def _siemens_direction(dataset: Dataset) -> bool:
    said = _text(_private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0D))
    if said:
        return said == "DIRECTIONAL"
    return _is_vector(_private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0E))


def _ge_direction(dataset: Dataset) -> bool:
    """(0043,xx30) is 16 for combined images, 3 to 5 for those along an axis."""
    collapse = _number(_private(dataset, 0x0043, "GEMS_PARM_01", 0x30))
    if collapse is not None and collapse in (3, 4, 5, 16):
        return collapse != 16
    return any(_number(_private(dataset, 0x0019, "GEMS_ACQU_01", element)) for element in (0xBB, 0xBC, 0xBD))


def _philips_direction(dataset: Dataset) -> bool:
    """I is isotropic; P, M, S and O are along an axis or oblique."""
    return _text(_private(dataset, 0x2001, "Philips Imaging DD 001", 0x04))[:1] in tuple("PMSO")


def _uih_direction(dataset: Dataset) -> bool:
    return _is_vector(_private(dataset, 0x0065, "Image Private Header", 0x37))


def _text(value: Any) -> str:
    said = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return said.strip(" \0").upper()


def _is_vector(value: Any) -> bool:
    if isinstance(value, bytes) and len(value) == 24:
        value = struct.unpack("<3d", value)
    try:
        return len(value) == 3 and any(float(part) for part in value)
    except (TypeError, ValueError):
        return False


_VENDOR_DIRECTIONS: tuple[tuple[str, Callable[[Dataset], bool]], ...] = (
    ("SIEMENS", _siemens_direction),
    ("GE", _ge_direction),
    ("PHILIPS", _philips_direction),
    ("UIH", _uih_direction),
)
