"""Say of each series in a folder what it is, why, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers.dicom.clock import on_one_clock
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.phases import assign_phases
from LiverLesionAI.readers.dicom.rules import OTHER, Answer, recognise
from LiverLesionAI.readers.dicom.scan import Scan, scan
from LiverLesionAI.readers.dicom.split import Stack, series_of, split
from LiverLesionAI.readers.dicom.studies import studies_of


@dataclass(frozen=True)
class Identified:
    """One stack and what it is.

    Attributes
    ----------
    stack
        Its slices.
    sequence
        Name of a sequence, ``"other"`` for what is surely none, None for unknown.
    confidence
        0 to 1; 0 where it is unknown.
    reasons
        In words.
    """

    stack: Stack
    sequence: str | None
    confidence: float
    reasons: tuple[str, ...]

    @property
    def is_sequence(self) -> bool:
        """Whether this is one of the sequences of a study."""
        return self.sequence not in (None, OTHER)

    def row(self) -> dict[str, Any]:
        """Return the entry of ``identify --json``."""
        return {
            "series_uid": self.stack.first.series_uid,
            "description": self.stack.first.description,
            "sequence": self.sequence,
            "part": self.stack.part,
            "confidence": round(self.confidence, 2),
            "reasons": list(self.reasons),
            "files": len({frame.file for frame in self.stack.frames}),
        }


def identify(path: str | Path, progress: Progress = silent) -> tuple[Identified, ...]:
    """Recognise every series at a path.

    Parameters
    ----------
    path
        A folder tree of DICOM files, one file, or a DICOMDIR.
    progress
        Told how far the work is; may cancel by raising.

    Returns
    -------
    tuple of Identified
        One for each stack (a series that holds several phases, b-values, echoes or Dixon images is several).

    Raises
    ------
    DicomError
        If no DICOM file can be read there.
    """
    return identify_scan(scan(path, progress))


def identify_scan(found: Scan) -> tuple[Identified, ...]:
    """Recognise every series that was scanned; studies are judged each by itself."""
    studies = studies_of(found.frames, lambda frame: frame)
    return tuple(item for frames in studies for item in identify_stacks(_stacks(on_one_clock(frames))))


def identify_stacks(stacks: Sequence[Stack]) -> tuple[Identified, ...]:
    """Recognise the stacks of one study."""
    answers = {index: recognise(stack) for index, stack in enumerate(stacks)}
    answers = assign_phases(stacks, answers)
    return tuple(_identified(stack, answers[index]) for index, stack in enumerate(stacks))


def _identified(stack: Stack, answer: Answer) -> Identified:
    return Identified(stack, answer.sequence, answer.confidence, answer.reasons)


def _stacks(frames: Sequence[Frame]) -> tuple[Stack, ...]:
    """Images split into stacks; reports, masks and the like stay whole series."""
    images = [frame for frame in frames if frame.is_image]
    others: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        if not frame.is_image:
            others[series_of(frame)].append(frame)
    return (*split(images), *(Stack(tuple(group)) for group in others.values()))
