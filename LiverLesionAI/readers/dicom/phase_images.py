"""An image on the way to its phase, the times of phases, and which images may be phases of one dynamic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from LiverLesionAI.readers.dicom.places import show_same_place
from LiverLesionAI.readers.dicom.rules import CLEAR, SAID, Answer, is_fat_suppressed
from LiverLesionAI.readers.dicom.split import Stack, series_of
from LiverLesionAI.readers.dicom.vocabulary import Reading

WINDOWS_S: dict[str, tuple[float, float]] = {"LAP": (15, 46), "PVP": (46, 111), "DP": (111, 481)}
HBP_FROM_S, HBP_UNTIL_S = 600.0, 7200.0

TYPICAL_S = {"LAP": 30.0, "PVP": 70.0, "DP": 180.0}
"""Where a phase is taken to lie when only the distances between phases are known."""

SAME_FLIP_DEG = 0.5


@dataclass(frozen=True)
class PhaseImage:
    """A T1-weighted or CT image on the way to its phase."""

    index: int
    stack: Stack
    said: Reading
    evidence: Answer
    label: str | None = None
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()

    def labelled(self, label: str | None, confidence: float, *reasons: str) -> PhaseImage:
        """Return the image with an answer."""
        return replace(self, label=label, confidence=confidence, reasons=reasons)

    @property
    def is_open(self) -> bool:
        """Whether nothing has been decided, not even that it is unknown."""
        return self.label is None and not self.reasons

    @property
    def order(self) -> tuple[float, int, int]:
        """What images are ordered by: start of acquisition, number of the series and of the time point."""
        start = self.stack.acquired_s
        number = self.stack.first.series_number or 0
        return (float("inf") if start is None else start, number, self.stack.phase)

    @property
    def says_a_phase(self) -> bool:
        """Whether words name the phase, the unenhanced one among them."""
        return self.said.says("pre", "early arterial", *WINDOWS_S, "HBP")

    @property
    def speaks_of_contrast(self) -> bool:
        """Whether words or header say that contrast was or will be given."""
        said = self.said.says("enhanced", "dynamic", "liver agent", "early arterial", *WINDOWS_S, "HBP")
        return said or bool(self.stack.first.agent)


def window(seconds: float, gadoxetic: bool | None) -> str | None:
    """Return the phase that lies at a time after injection (s), if any.

    Examples
    --------
    >>> window(35, None), window(1200, True), window(1200, None)
    ('LAP', 'HBP', None)
    """
    found = next((phase for phase, (start, end) in WINDOWS_S.items() if start <= seconds < end), None)
    if found is None and gadoxetic and HBP_FROM_S <= seconds <= HBP_UNTIL_S:
        return "HBP"
    return found


def without_contrast(images: Sequence[PhaseImage]) -> list[PhaseImage]:
    """Label images of CT whose header says that no contrast agent was given; words come before that.

    A volume of 0 ml says so. So does silence, where the header of a later series of the study names an agent
    and nothing in this one's speaks of contrast.
    """
    given_from = min((image.order[0] for image in images if image.stack.first.agent), default=float("-inf"))
    found = []
    for image in images:
        first = image.stack.first
        if image.says_a_phase:
            found.append(image)
        elif first.agent_ml == 0:
            found.append(image.labelled("T1WI", CLEAR, "0 ml of contrast agent in its header"))
        elif not image.speaks_of_contrast and not image.said.unreadable and image.order[0] < given_from:
            why = "its header names no contrast agent, those of later series do"
            found.append(image.labelled("T1WI", SAID, why))
        else:
            found.append(image)
    return found


def may_be_phases(a: PhaseImage, b: PhaseImage) -> bool:
    """Whether two images of one protocol show the same place with the same flip angle and fat treatment."""
    flips = a.stack.first.flip, b.stack.first.flip
    same_flip = None in flips or abs((flips[0] or 0) - (flips[1] or 0)) <= SAME_FLIP_DEG
    same_fat = is_fat_suppressed(a.stack) == is_fat_suppressed(b.stack)
    return same_flip and same_fat and show_same_place(a.stack, b.stack)


def show_one_moment(a: PhaseImage, b: PhaseImage) -> bool:
    """Whether two images of one series were acquired at one time and place, and are no time points then.

    So are the images of a Dixon series that does not say which of them is water.
    """
    one, other = a.stack.first, b.stack.first
    if series_of(one) != series_of(other) or a.stack.acquired_s is None:
        return False
    points = [(f.temporal_position, f.trigger_ms, f.acquisition_number, f.dimension) for f in (one, other)]
    same_time = a.stack.acquired_s == b.stack.acquired_s and points[0] == points[1]
    return same_time and a.stack.kind == b.stack.kind and show_same_place(a.stack, b.stack)
