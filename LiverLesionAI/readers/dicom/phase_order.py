"""Phases of a dynamic series that no word names, from the order and the times of its images.

That there are four images is no evidence. They are phases only where something speaks of contrast, and where
they show the same place with the same flip angle, echo and fat treatment at different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from LiverLesionAI.readers.dicom.phase_images import (
    TYPICAL_S,
    WINDOWS_S,
    PhaseImage,
    may_be_phases,
    window,
)
from LiverLesionAI.readers.dicom.places import show_same_place
from LiverLesionAI.readers.dicom.rules import LIKELY, WEAK
from LiverLesionAI.readers.dicom.split import series_of

FASTEST_PHASE_S = 8.0
"""Below this distance a series follows the bolus, and its single images are no phases."""

MOST_PHASES = 8
"""A series of more images follows the bolus: without an injection time any of them may be any phase."""

SOONEST_ARRIVAL_S = WINDOWS_S["LAP"][0]
"""The unenhanced image and the arterial phase are at least this far apart."""


def by_order(images: Sequence[PhaseImage], enhanced_from: float, gadoxetic: bool | None) -> list[PhaseImage]:
    """Label images of one protocol by their order and distances in time; unknown where several answers fit.

    Parameters
    ----------
    images
        In order of acquisition: open ones, and ones that are known to be unenhanced.
    enhanced_from
        Second at which the first image that is known to be enhanced was acquired.
    gadoxetic
        Whether the agent is gadoxetic acid; None where nothing is said.
    """
    alike = _largest_alike(images)
    if len(alike) > 1 and any(image.speaks_of_contrast for image in alike):
        solved = {image.index: image for image in _solved(alike, images, enhanced_from, gadoxetic)}
    else:
        solved = {}
    return [solved.get(image.index) or undecided(image, images, enhanced_from) for image in images]


def _largest_alike(images: Sequence[PhaseImage]) -> list[PhaseImage]:
    """The most images that may be phases of one dynamic series."""
    groups = [[other for other in images if may_be_phases(image, other)] for image in images]
    return max(groups, key=len, default=[])


def _solved(
    alike: Sequence[PhaseImage],
    images: Sequence[PhaseImage],
    enhanced_from: float,
    gadoxetic: bool | None,
) -> list[PhaseImage]:
    """Unenhanced first, then by the distances in time."""
    if len(alike) > MOST_PHASES:
        why = f"one of {len(alike)} images that follow the bolus, and no time of injection is said"
        return [image if image.label else image.labelled(None, 0.0, why) for image in alike]
    agents = [bool(image.stack.first.agent) for image in alike]
    unenhanced = sum(1 for image in alike if image.label == "T1WI")
    if not unenhanced and any(agents) and not agents[0]:
        unenhanced = agents.index(True)
    hypotheses = (unenhanced,) if unenhanced else (0,) if _says_enhanced(alike[0]) else (1, 0)
    fits = [found for n in hypotheses if (found := _phases_after(alike, n, gadoxetic)) is not None]
    sure = len(fits) == 1
    if not fits or (not sure and len(alike) < 4):
        return [undecided(image, images, enhanced_from) for image in alike]
    confidence = WEAK if not sure or hypotheses == (0,) else LIKELY
    why = "order and distances in time within the series"
    return [
        image if image.label else image.labelled(phase, confidence if phase else 0.0, why)
        for image, phase in zip(alike, fits[0], strict=True)
    ]


def _says_enhanced(image: PhaseImage) -> bool:
    """Whether the name of a series of its own says that it was acquired after contrast."""
    return image.stack.phases == 1 and image.said.says("enhanced") and not image.said.says("dynamic")


def _phases_after(
    images: Sequence[PhaseImage], unenhanced: int, gadoxetic: bool | None
) -> list[str | None] | None:
    """Phases if the first images are unenhanced; None where that is not possible."""
    after = len(images) - unenhanced
    if after < 2:
        return None
    before: list[str | None] = ["T1WI"] * unenhanced
    times = _moments(images)
    if times is None:
        return [*before, "LAP", "PVP", "DP"] if unenhanced and after == 3 and _are_numbered(images) else None
    gaps = [b - a for a, b in pairwise(times)]
    if min(gaps[unenhanced:]) < FASTEST_PHASE_S or (unenhanced and gaps[unenhanced - 1] < SOONEST_ARRIVAL_S):
        return None
    known = times[unenhanced:]
    phases = [window(TYPICAL_S["LAP"] + time - known[0], gadoxetic) for time in known]
    needed = {"LAP", "PVP", "DP"} if len(known) > 2 else {"LAP", "PVP"}
    return [*before, *phases] if needed <= set(phases) else None


def _moments(images: Sequence[PhaseImage]) -> list[float] | None:
    """Second at which each image was begun, ascending; None where they are not known or not different.

    GE gives all time points of a series its own acquisition time, and the delay of each as its trigger time.
    """
    starts = [image.stack.acquired_s for image in images]
    if len(set(starts)) == 1 and len({series_of(image.stack.first) for image in images}) == 1:
        triggers = [image.stack.first.trigger_ms for image in images]
        starts = [None if trigger is None else trigger / 1000 for trigger in triggers]
    times = [start for start in starts if start is not None]
    ascending = all(a < b for a, b in pairwise(times))
    return times if len(times) == len(images) and ascending else None


def _are_numbered(images: Sequence[PhaseImage]) -> bool:
    """Whether the header numbers the images as time points of one series."""
    positions = [image.stack.first.temporal_position for image in images]
    one_series = len({series_of(image.stack.first) for image in images}) == 1
    return one_series and None not in positions and len(set(positions)) == len(positions)


def undecided(image: PhaseImage, images: Sequence[PhaseImage], enhanced_from: float) -> PhaseImage:
    """An image that neither words nor times place; repeated ones are probably unenhanced *and* enhanced."""
    if image.label:
        return image
    others = [other for other in images if other is not image]
    if image.speaks_of_contrast or any(show_same_place(image.stack, other.stack) for other in others):
        return image.labelled(None, 0.0, "order and times within its protocol allow several answers")
    if others:
        return image.labelled(None, 0.0, "its protocol was repeated at other places of the body")
    return alone(image, enhanced_from)


def alone(image: PhaseImage, enhanced_from: float) -> PhaseImage:
    """The only image of its protocol."""
    if image.speaks_of_contrast or image.stack.phases > 1:
        return image.labelled(None, 0.0, "contrast-enhanced or dynamic, but nothing tells the phase")
    if image.order[0] > enhanced_from and enhanced_from != float("inf"):
        return image.labelled(None, 0.0, "acquired after contrast was given, and nothing tells the phase")
    return _unenhanced_by_silence(image)


def _unenhanced_by_silence(image: PhaseImage) -> PhaseImage:
    """Other planes than axial are mostly acquired after contrast, so that silence says nothing there."""
    if image.said.unreadable:
        return image.labelled(None, 0.0, "its name is in no known character set and may speak of contrast")
    plane = image.stack.first.plane
    if plane in ("coronal", "sagittal") or (not plane and image.said.says("coronal", "sagittal")):
        return image.labelled(None, 0.0, "not axial, and nothing tells whether contrast was given")
    return image.labelled("T1WI", WEAK, "nothing speaks of contrast")
