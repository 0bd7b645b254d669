"""Attributes of one frame of a multi-frame object: its own, those all frames share, those of the object.

DICOM PS3.3 C.7.6.16 (Multi-frame Functional Groups) and C.7.6.17 (Multi-frame Dimension).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

Lookup = Callable[[str], Any]
"""Keyword of an attribute to its value; None where it is missing or unreadable."""

_ALIASES = {
    "EchoTime": ("EffectiveEchoTime",),
    "ImageType": ("FrameType",),
    "InversionTime": ("InversionTimes",),
    "TemporalPositionIdentifier": ("TemporalPositionIndex",),
    "TriggerTime": ("TemporalPositionTimeOffset", "NominalCardiacTriggerDelayTime"),
    "AcquisitionTime": ("FrameAcquisitionDateTime", "AcquisitionDateTime"),
    "AcquisitionDate": ("FrameAcquisitionDateTime", "AcquisitionDateTime"),
    "SequenceName": ("PulseSequenceName",),
    "AcquisitionNumber": ("FrameAcquisitionNumber",),
    "EchoTrainLength": ("RFEchoTrainLength", "GradientEchoTrainLength"),
}
"""Names that enhanced multi-frame objects give to what classic objects say (DICOM PS3.3 C.7.6.16, C.8.13)."""

_PLACES = {0x00200032, 0x00209057, 0x00209056, 0x00200037, 0x00209111, 0x00209116}
"""Dimensions that say where a frame lies: ImagePositionPatient, InStackPositionNumber, StackID,
ImageOrientationPatient and the sequences that hold them."""

_INDICES = "DimensionIndexValues"


def object_lookup(dataset: Dataset) -> Lookup:
    """Attributes of a whole object."""

    def get(keyword: str) -> Any:
        try:
            return dataset.get(keyword)
        except Exception:
            return None

    return get


def frame_lookups(dataset: Dataset) -> Iterator[Lookup]:
    """Attributes of each frame of a multi-frame object; nothing where it has no functional groups."""
    top = object_lookup(dataset)
    shared = _flattened(next(iter(items_of(top("SharedFunctionalGroupsSequence"))), None))
    for item in items_of(top("PerFrameFunctionalGroupsSequence")):
        yield _frame_lookup(_flattened(item), shared, top)


def items_of(value: Any) -> tuple[Dataset, ...]:
    """Items of a sequence; empty where the attribute is missing or no sequence."""
    return tuple(item for item in value if hasattr(item, "get")) if isinstance(value, MutableSequence) else ()


def dimension_of(get: Lookup) -> tuple[int, ...]:
    """Index values of a frame in every dimension but its place, in the order of the dimensions.

    They order frames before anything else does (DICOM PS3.3 C.7.6.17.1); empty where there are none.
    """
    values = get(_INDICES)
    try:
        indices = [values] if isinstance(values, int) else [int(value) for value in values or ()]
    except (TypeError, ValueError):
        return ()
    pointers = [item.get("DimensionIndexPointer") for item in items_of(get("DimensionIndexSequence"))]
    if len(indices) != len(pointers):
        return ()
    return tuple(index for index, at in zip(indices, pointers, strict=True) if at not in _PLACES)


def _frame_lookup(own: Mapping[str, Any], shared: Mapping[str, Any], top: Lookup) -> Lookup:
    def get(keyword: str) -> Any:
        for name in (*_ALIASES.get(keyword, ()), keyword):
            for group in (own, shared):
                if group.get(name) not in (None, ""):
                    return group[name]
        value = top(keyword)
        if value in (None, ""):
            value = next((found for n in _ALIASES.get(keyword, ()) if (found := top(n))), value)
        return value

    return get


def _flattened(groups: Dataset | None) -> dict[str, Any]:
    """Attributes of all functional groups of a frame, by keyword."""
    flat: dict[str, Any] = {}
    for sequence in groups or ():
        if sequence.VR != "SQ" or not sequence.value:
            continue
        for element in sequence.value[0]:
            if element.keyword:
                flat.setdefault(element.keyword, element.value)
    return flat
