"""Choose one stack for each sequence, by rules that are said; the others stay listed.

The rules, in order: the part of the body (series come last that are named after another one than the liver,
or lie where, or in a frame of reference in which, few of the other sequences lie) → the plane (axial before
others) → full coverage (at least three quarters of the longest candidate's extent) → what the sequence asks
for (T2: fat-suppressed; DWI: weighted, an acquired trace with b closest to 800 s/mm²; ADC: made by the
scanner; T1: fat-suppressed or water, in and opposed phase: unenhanced; CT: a soft kernel, slices of 2 mm or
more) → confidence → latest repetition.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from LiverLesionAI.identity import frames_differ
from LiverLesionAI.readers.dicom.identify import Identified
from LiverLesionAI.readers.dicom.places import show_same_place
from LiverLesionAI.readers.dicom.regions import LIVER, region_of
from LiverLesionAI.readers.dicom.rules import is_computed_b, is_fat_suppressed, reading_of
from LiverLesionAI.sequences import SEQUENCES

BEST_B = 800.0
"""The b-value of the DWI that the model of Wang et al. 2021 was made for, s/mm²."""

UNKNOWN_B_AWAY = 500.0
"""How far from it a DWI counts that says no b-value: behind the usual high ones, before b = 50."""

FULL_COVERAGE = 0.75
FEWEST_SLICES = 3
LEAST_CONFIDENCE = 0.5

THINNEST_CT_MM = 2.0
"""Thinner slices are made for reformats and are too noisy to be read."""

_SHARP_KERNEL = re.compile(r"LUNG|BONE|EDGE|^[BHIU]R?[6-9]\d|^FC(30|5\d|8\d)|^Y[A-D]$")
"""Kernels for lung and bone: GE; Siemens from 60 on; Canon; Philips."""

_FAT_SUPPRESSED_FIRST = ("T2WI", "T1WI", "LAP", "PVP", "DP", "HBP")


@dataclass(frozen=True)
class Choice:
    """The candidates of one sequence.

    Attributes
    ----------
    sequence
        Its name.
    candidates
        The best first.
    """

    sequence: str
    candidates: tuple[Identified, ...]

    @property
    def best(self) -> Identified:
        """The chosen one."""
        return self.candidates[0]

    @property
    def others(self) -> tuple[Identified, ...]:
        """The candidates that were not chosen."""
        return self.candidates[1:]


def choose(identified: Iterable[Identified]) -> tuple[Choice, ...]:
    """Rank the candidates of each sequence.

    Parameters
    ----------
    identified
        The stacks of one study.

    Returns
    -------
    tuple of Choice
        In the order of :data:`LiverLesionAI.sequences.SEQUENCES`; stacks of fewer than three slices and
        doubtful ones (confidence below 0.5) are no candidates.
    """
    candidates: dict[str, list[Identified]] = defaultdict(list)
    for item in identified:
        if item.sequence in SEQUENCES and is_usable(item):
            candidates[item.sequence].append(item)
    return tuple(Choice(name, _ranked(name, candidates)) for name in SEQUENCES if name in candidates)


def extent_mm(item: Identified) -> float:
    """Extent across the slices, from the first slice's centre to the last one's; 0 where it is not known."""
    along = [frame.along for frame in item.stack.frames]
    known = [at for at in along if at is not None]
    return max(known) - min(known) if known else 0.0


def is_usable(item: Identified) -> bool:
    """Whether a stack has slices enough and is recognised surely enough to be a candidate."""
    return len(item.stack.frames) >= FEWEST_SLICES and item.confidence >= LEAST_CONFIDENCE


def _ranked(name: str, candidates: Mapping[str, Sequence[Identified]]) -> tuple[Identified, ...]:
    items = candidates[name]
    longest = max(extent_mm(item) for item in items)
    others = [stacks for other, stacks in candidates.items() if other != name]
    beside = {
        id(item): sum(any(_can_be_compared(item, other) for other in stacks) for stacks in others)
        for item in items
    }
    most = max(beside.values())

    def rank(item: Identified) -> tuple[float, ...]:
        covers = extent_mm(item) >= FULL_COVERAGE * longest
        axial = item.stack.first.plane in ("axial", "")
        latest = item.stack.acquired_s or 0.0
        elsewhere = region_of(item.stack.first.description) not in (None, LIVER)
        shown = (elsewhere, 2 * beside[id(item)] < most, not axial, not covers)
        return (*shown, *_asked_for(name, item), -item.confidence, -latest, -item.stack.phase)

    return tuple(sorted(items, key=rank))


def _can_be_compared(a: Identified, b: Identified) -> bool:
    """Whether two images show one place in one frame of reference, as far as that is known."""
    one, other = a.stack.first.frame_of_reference, b.stack.first.frame_of_reference
    return not frames_differ(one, other) and show_same_place(a.stack, b.stack)


def _asked_for(name: str, item: Identified) -> tuple[float, ...]:
    """What a sequence asks for; less is better."""
    first = item.stack.first
    if name in _FAT_SUPPRESSED_FIRST:
        return (not is_fat_suppressed(item.stack),)
    if name == "DWI":
        b = first.b if first.b is not None else _named_b(item)
        away = abs(b - BEST_B) if b is not None else UNKNOWN_B_AWAY
        return (b == 0, is_computed_b(item.stack), first.directional, away)
    if SEQUENCES[name].modality == "CT":
        thin = first.thickness is not None and first.thickness < THINNEST_CT_MM
        return (bool(_SHARP_KERNEL.search(first.kernel)), thin)
    if name in ("INPHASE", "OUTPHASE"):
        return (bool(first.agent), item.stack.acquired_s or 0.0)
    return ()


def _named_b(item: Identified) -> float | None:
    named = reading_of(item.stack.first).b_values
    return float(named[0]) if len(named) == 1 else None
