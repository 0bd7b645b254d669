"""Split series into stacks: one stack is one image, with every slice position once.

What vendors send as one series may hold several phases, b-values, echoes, Dixon images or orientations. A
series is split by what its slices say, and by nothing that does not repeat slice positions: the acquisition
time of a 2D series differs from slice to slice without making it dynamic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from LiverLesionAI.readers.dicom.bvalues import TRACE_WORDS
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.vocabulary import KIND_TITLES, kind_of_derivation, kind_of_image_type

SAME_POSITION_MM = 0.05
SAME_DIRECTION_COSINE = 0.9994
"""Cosine of 2°."""
FEWEST_OF_A_REPEAT = 1.25
"""Slices per position from which repeats are time points; a few slices stored twice are none."""

MAX_STACKS_OF_A_SERIES = 200

_ACQUIRED = ("", "dwi")
"""Kinds of slices that are not said to be computed."""


@dataclass(frozen=True)
class Stack:
    """The slices of one image, sorted along their normal.

    Attributes
    ----------
    frames
        Slices in order of position; slices without geometry keep the order of their instance numbers.
    part
        Which part of its series it is, in words, for example ``"phase 2 of 4"``; empty for a whole series.
    phase, phases
        Number of this time point counted from 1, and how many the series has; 1 of 1 where it is not dynamic.
    kind
        What the image is computed to be, said by ImageType or the derivation's code, for example ``"water"``;
        empty for plain images.
    """

    frames: tuple[Frame, ...]
    part: str = ""
    phase: int = 1
    phases: int = 1
    kind: str = ""

    @property
    def first(self) -> Frame:
        """The first slice; what a stack says of itself is read from it."""
        return self.frames[0]

    @property
    def acquired_s(self) -> float | None:
        """When the stack began, in seconds from midnight before its study."""
        times = [frame.acquired_s for frame in self.frames if frame.acquired_s is not None]
        return min(times) if times else None

    @property
    def name(self) -> str:
        """Number of the series and part, for messages: descriptions can hold a patient's name."""
        number = self.first.series_number
        said = "a series without number" if number is None else f"series {number}"
        return f"{said} ({self.part})" if self.part else said


@dataclass(frozen=True)
class _Facet:
    """One respect in which the slices of a series may differ."""

    value: Callable[[Frame], Hashable]
    title: Callable[[Hashable, int, int], str]


_FACETS: tuple[_Facet, ...] = (
    _Facet(
        lambda frame: None if frame.te is None else round(frame.te, 1),
        lambda value, i, n: f"echo {i} of {n} (TE {value} ms)",
    ),
    _Facet(lambda frame: frame.b, lambda value, i, n: "b not said" if value is None else f"b = {value:g}"),
    _Facet(lambda frame: frame.directional, lambda value, i, n: "one direction" if value else "trace"),
)

_TIMES: tuple[Callable[[Frame], Hashable], ...] = (
    lambda frame: frame.dimension or None,
    lambda frame: frame.temporal_position,
    lambda frame: frame.trigger_ms,
    lambda frame: frame.acquisition_number,
    lambda frame: frame.acquired_s,
)


def split(frames: Iterable[Frame]) -> tuple[Stack, ...]:
    """Sort slices into stacks.

    Parameters
    ----------
    frames
        Slices of any number of series.

    Returns
    -------
    tuple of Stack
        By series (in order of series number and time), and within a series by orientation, kind, echo,
        b-value and time.
    """
    series: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        series[series_of(frame)].append(frame)
    ordered = sorted(series.values(), key=lambda slices: (_or_last(slices[0].series_number), _start(slices)))
    return tuple(stack for slices in ordered for stack in _split_series(slices))


def series_of(frame: Frame) -> Hashable:
    """What the slices of one series have in common.

    Where SeriesInstanceUID is missing, these are its number (its folder, where that is missing too), name and
    frame of reference.
    """
    if frame.series_uid:
        return frame.study_uid, frame.series_uid
    number = frame.series_number if frame.series_number is not None else frame.file.parent
    said = (frame.modality, frame.description, frame.protocol, frame.frame_of_reference)
    return frame.study_uid, number, *said


def _split_series(frames: list[Frame]) -> list[Stack]:
    by_orientation = _by_orientation(frames)
    stacks = []
    for number, group in enumerate(by_orientation, start=1):
        titles = (f"orientation {number} of {len(by_orientation)}",) if len(by_orientation) > 1 else ()
        by_kind = _by_kind(group)
        for kind, plain in sorted(by_kind.items()):
            said = (KIND_TITLES[kind] or "plain",) if len(by_kind) > 1 else ()
            stacks += [replace(s, kind=kind) for s in _split_by(_FACETS, plain, (*titles, *said))]
    return stacks


def kind_of(frame: Frame) -> str:
    """What a slice says that it is computed to be: a key of :data:`~.vocabulary.KIND_TITLES`."""
    return kind_of_image_type(frame.image_type, frame.component) or kind_of_derivation(frame.derivation)


def _by_kind(frames: list[Frame]) -> dict[str, list[Frame]]:
    """Slices of one kind each: what is computed from others is no echo, b-value or phase beside them.

    Slices that are derived beside original ones are diffusion-weighted images of a b-value that was acquired
    (the mean of its directions) or was not (a computed one), else derived in a way that is not said.
    """
    original = [frame for frame in frames if not frame.is_derived and kind_of(frame) in _ACQUIRED]
    acquired_b = {frame.b for frame in original}
    weighted = any(acquired_b - {None, 0.0})
    beside = _repeats(frames) > 0
    kinds: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        kind = kind_of(frame)
        if original and beside and frame.is_derived and kind in _ACQUIRED:
            if frame.b is None:
                kind = kind or "derived"
            elif weighted and frame.b not in acquired_b and not TRACE_WORDS & set(frame.image_type):
                kind = "computed b"
        kinds[kind].append(frame)
    return kinds


def _by_orientation(frames: list[Frame]) -> list[list[Frame]]:
    """Slices of one orientation and size each; orientations within a degree or two are one."""
    groups: list[list[Frame]] = []
    for frame in frames:
        like = (group for group in groups if _looks_the_same_way(group[0], frame))
        group = next(like, None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    return groups


def _looks_the_same_way(a: Frame, b: Frame) -> bool:
    if (a.rows, a.columns) != (b.rows, b.columns) or (a.row is None) != (b.row is None):
        return False
    if a.row is None or b.row is None or a.column is None or b.column is None:
        return True
    if a.normal is None or b.normal is None:
        return a.normal is b.normal
    cosines = (
        sum(x * y for x, y in zip(u, v, strict=True)) for u, v in ((a.row, b.row), (a.column, b.column))
    )
    return min(cosines) > SAME_DIRECTION_COSINE


def _split_by(facets: Sequence[_Facet], frames: list[Frame], titles: tuple[str, ...]) -> list[Stack]:
    if not facets or not _repeats(frames):
        return _split_by_time(frames, titles)
    facet, rest = facets[0], facets[1:]
    groups = _grouped(frames, facet.value)
    if len(groups) == 1:
        return _split_by(rest, frames, titles)
    stacks = []
    for number, (value, group) in enumerate(sorted(groups.items(), key=_by_value), start=1):
        stacks += _split_by(rest, group, (*titles, facet.title(value, number, len(groups))))
    return stacks


def _split_by_time(frames: list[Frame], titles: tuple[str, ...]) -> list[Stack]:
    phases = _phases(frames)
    n = len(phases)
    if n > MAX_STACKS_OF_A_SERIES:
        n, phases = 1, [frames]
    stacks = []
    for number, group in enumerate(phases, start=1):
        said = (*titles, f"phase {number} of {n}") if n > 1 else titles
        stacks.append(Stack(_sorted_by_position(group), ", ".join(said), number, n))
    return stacks


def _phases(frames: list[Frame]) -> list[list[Frame]]:
    """Time points in order, each with every position at most once."""
    repeats = _repeats(frames)
    if not repeats or len(frames) < FEWEST_OF_A_REPEAT * len(set(_levels(frames))):
        return [frames]
    for value in _TIMES:
        groups = _grouped(frames, value)
        if len(groups) == repeats + 1 and None not in groups and not any(map(_repeats, groups.values())):
            return [group for _, group in sorted(groups.items(), key=_by_value)]
    return _by_occurrence(frames, repeats + 1)


def _by_occurrence(frames: list[Frame], n: int) -> list[list[Frame]]:
    """Where nothing tells time points apart, the k-th slice at each position belongs to the k-th of them."""
    ordered = sorted(frames, key=lambda frame: (*(_numbers(t(frame)) for t in _TIMES), *_order(frame)))
    phases: list[list[Frame]] = [[] for _ in range(n)]
    seen: Counter[int] = Counter()
    for frame, level in zip(ordered, _levels(ordered), strict=True):
        phases[seen[level] if level is not None else 0].append(frame)
        if level is not None:
            seen[level] += 1
    return phases


def _repeats(frames: list[Frame]) -> int:
    """How often the most repeated position occurs again."""
    positions = Counter(level for level in _levels(frames) if level is not None)
    return max(positions.values(), default=1) - 1


def _levels(frames: Sequence[Frame]) -> list[int | None]:
    """Number of each slice's position along the normal; None where the geometry is missing."""
    along = [frame.along for frame in frames]
    levels: list[int | None] = [None] * len(frames)
    level, last = -1, float("-inf")
    for at, index in sorted((at, index) for index, at in enumerate(along) if at is not None):
        if at - last > SAME_POSITION_MM:
            level, last = level + 1, at
        levels[index] = level
    return levels


def _sorted_by_position(frames: list[Frame]) -> tuple[Frame, ...]:
    known = all(frame.along is not None for frame in frames)
    return tuple(sorted(frames, key=lambda frame: (frame.along if known else 0.0, *_order(frame))))


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> dict[Hashable, list[Frame]]:
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return groups


def _by_value(item: tuple[Hashable, list[Frame]]) -> tuple[tuple[float, ...], str]:
    return _numbers(item[0]), str(item[0])


def _numbers(value: Hashable) -> tuple[float, ...]:
    """A number or several, to sort by; what is none comes last."""
    if isinstance(value, tuple):
        return tuple(float(number) for number in value)
    return (float(value) if isinstance(value, (int, float)) else float("inf"),)


def _or_last(value: float | None) -> float:
    return float("inf") if value is None else float(value)


def _order(frame: Frame) -> tuple[float, str, int]:
    return _or_last(frame.instance), str(frame.file), frame.number


def _start(frames: list[Frame]) -> float:
    return min(_or_last(frame.acquired_s) for frame in frames)
