"""The test vocabulary of series descriptions and headers, as stacks of one slice."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.identity import UNKNOWN
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.identify import identify_stacks
from LiverLesionAI.readers.dicom.split import Stack
from LiverLesionAI.readers.dicom.vocabulary import kind_of_image_type

FILE = Path(__file__).parent / "data" / "series_vocabulary.csv"
_NUMBERS = {
    "TE": "te",
    "TR": "tr",
    "field": "field_t",
    "b": "b",
    "injected": "injected_s",
    "agent_ml": "agent_ml",
    "acquired": "acquired_s",
}
_LISTS = {"ImageType": "image_type", "ScanningSequence": "scanning_sequence"}


@dataclass(frozen=True)
class Row:
    """A line of the vocabulary and what it is recognised as."""

    description: str
    headers: str
    expected: str
    held_out: str
    source: str
    found: str
    reasons: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.found == self.expected

    @property
    def is_wrong(self) -> bool:
        """Recognised as something that it is not; unknown is never wrong."""
        return not self.is_right and self.found != "unknown"


def rows() -> list[Row]:
    with FILE.open(encoding="utf-8", newline="") as stream:
        return [_row(line) for line in csv.DictReader(stream)]


def _row(line: dict[str, str]) -> Row:
    frame = Frame(
        file=Path("slice.dcm"),
        number=1,
        identity=UNKNOWN,
        study_uid="1",
        series_uid="1",
        sop_uid="1",
        sop_class="",
        modality=line["modality"],
        description=line["description"],
        protocol=line["protocol"],
        rows=1,
        columns=1,
        **_headers(line["headers"]),
    )
    kind = kind_of_image_type(frame.image_type)
    (found,) = identify_stacks([Stack((frame,), kind=kind)])
    return Row(
        line["description"],
        line["headers"],
        line["expected"],
        line["held_out"],
        line["source"],
        found.sequence or "unknown",
        found.reasons,
    )


def _headers(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in filter(None, text.split(";")):
        name, value = pair.split("=", 1)
        if name in _NUMBERS:
            values[_NUMBERS[name]] = float(value)
        elif name in _LISTS:
            values[_LISTS[name]] = tuple(value.split("|"))
        else:
            values[name] = value
    return values
