"""Headers of slices without files, for the tests of what is concluded from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from LiverLesionAI.identity import UNKNOWN
from LiverLesionAI.readers.dicom.clock import on_one_clock
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.identify import Identified, identify_stacks
from LiverLesionAI.readers.dicom.split import split


def made_slice(z: float = 0.0, **said: Any) -> Frame:
    """A slice of a T1-weighted gradient echo, but for what is said."""
    facts: dict[str, Any] = {
        "modality": "MR",
        "scanning_sequence": ("GR",),
        "te": 1.9,
        "tr": 4.2,
        "position": (0.0, 0.0, z),
        "row": (1.0, 0.0, 0.0),
        "column": (0.0, 1.0, 0.0),
        "rows": 8,
        "columns": 8,
        "spacing": (1.0, 1.0),
        "series_uid": "1",
        **said,
    }
    return Frame(
        file=Path(f"{z}-{said.get('instance')}.dcm"),
        number=1,
        identity=UNKNOWN,
        study_uid="1",
        sop_uid=f"{facts['series_uid']}.{z}.{said}",
        sop_class="",
        **facts,
    )


def made_volume(slices: int = 4, start: float = 0.0, **said: Any) -> list[Frame]:
    """Slices 3 mm apart."""
    return [made_slice(start + 3.0 * z, **said) for z in range(slices)]


def identified(*frames: Frame) -> tuple[Identified, ...]:
    """What the slices of a study are."""
    return identify_stacks(split(on_one_clock(frames)))


def sequences(*frames: Frame) -> list[str | None]:
    """The sequences of the stacks of a study."""
    return [item.sequence for item in identified(*frames)]
