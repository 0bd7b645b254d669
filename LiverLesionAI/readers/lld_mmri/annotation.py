"""``Annotation.json`` of LLD-MMRI: where each phase's volume and lesion are, and what the lesion is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.limits import check_text_size

PHASES: Mapping[str, str] = {
    "T2WI": "T2WI",
    "DWI": "DWI",
    "In Phase": "INPHASE",
    "Out Phase": "OUTPHASE",
    "C-pre": "T1WI",
    "C+A": "LAP",
    "C+V": "PVP",
    "C+Delay": "DP",
}
"""Phase of the dataset to sequence; there is no ADC."""

CLASSES = ("haemangioma", "ICC", "abscess", "metastasis", "cyst", "FNH", "HCC")
"""Number of the dataset's class to class of W7."""

NAMES: Mapping[str, int] = {
    "Hepatic_hemangioma": 0,
    "Intrahepatic_cholangiocarcinoma": 1,
    "Hepatic_abscess": 2,
    "Hepatic_metastasis": 3,
    "Hepatic_cyst": 4,
    "FOCAL_NODULAR_HYPERPLASIA": 5,
    "Hepatocellular_carcinoma": 6,
}
"""The dataset's names of its classes."""

HIDDEN = -1

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """A lesion's box in the voxels of its own volume, x along rows, y along columns, z along slices.

    Attributes
    ----------
    low, high
        First and last voxel, as floats, (x, y, z).
    """

    low: Corner
    high: Corner


@dataclass(frozen=True)
class PhaseRecord:
    """What the file says of one phase of one patient.

    Attributes
    ----------
    sequence
        Name of the sequence.
    study_uid, series_uid
        Folder and file of the raw layout.
    spacing_mm
        Of voxels, (x, y, z): pixel spacing and spacing of slices, not their thickness.
    origin_mm
        Of the first voxel, as the file says it.
    box
        The lesion.
    category
        Number of the class; −1 where it is hidden.
    """

    sequence: str
    study_uid: str
    series_uid: str
    spacing_mm: Corner
    origin_mm: Corner
    box: Box
    category: int


def read_annotation(file: Path) -> dict[str, dict[str, PhaseRecord]]:
    """Read the file of boxes.

    Returns
    -------
    dict
        Patient to sequence to record.

    Raises
    ------
    ConfigError
        If it cannot be read, its classes are others, or a record cannot be used; the patient is named.
    """
    try:
        check_text_size(file)
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read as boxes of LLD-MMRI ({error}).") from None
    if not isinstance(content, dict) or not isinstance(content.get("Annotation_info"), dict):
        raise ConfigError(f"{file} has no Annotation_info; give the file that comes with LLD-MMRI.")
    _check_classes(file, content.get("Category_info", {}))
    return {
        str(patient): _patient(file, str(patient), records)
        for patient, records in content["Annotation_info"].items()
    }


def _check_classes(file: Path, info: Any) -> None:
    """Refuse a file whose classes have other numbers."""
    known = info if isinstance(info, dict) else {}
    for name, number in NAMES.items():
        if name in known and known[name] != number:
            raise ConfigError(
                f"{file} gives {name} the number {known[name]}, not {number}; it is another release."
            )


def _patient(file: Path, patient: str, records: Any) -> dict[str, PhaseRecord]:
    if not isinstance(records, list):
        raise ConfigError(f"{file}: patient {patient} has no list of phases.")
    found: dict[str, PhaseRecord] = {}
    for record in records:
        try:
            made = _record(record)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ConfigError(
                f"{file}: patient {patient} has a phase that cannot be used ({error})."
            ) from None
        if made.sequence in found:
            raise ConfigError(f"{file}: patient {patient} has phase {record['phase']} twice.")
        found[made.sequence] = made
    return found


def _record(record: Any) -> PhaseRecord:
    lesions = record["annotation"]["lesion"]
    if len(lesions) != 1:
        raise ValueError(f"{len(lesions)} lesions where the dataset has one")
    (lesion,) = lesions.values()
    box = lesion["bbox"]["3D_box"]
    low, high = ([float(box[f"{axis}_{end}"]) for axis in "xyz"] for end in ("min", "max"))
    x, y = (float(side) for side in record["pixel_spacing"])
    spacing = (x, y, abs(float(record["slice_spacing"])))
    origin = tuple(float(value) for value in record["origin"])
    category = int(lesion["category"])
    if category not in range(HIDDEN, len(CLASSES)):
        raise ValueError(f"category {category}")
    numbers = (*low, *high, *spacing, *origin)
    if len(origin) != 3 or not all(map(math.isfinite, numbers)) or min(spacing) <= 0:
        raise ValueError("a number that is none")
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise ValueError("a box whose ends are exchanged")
    return PhaseRecord(
        PHASES[record["phase"]],
        str(record["studyUID"]),
        str(record["seriesUID"]),
        spacing,
        (origin[0], origin[1], origin[2]),
        Box((low[0], low[1], low[2]), (high[0], high[1], high[2])),
        category,
    )
