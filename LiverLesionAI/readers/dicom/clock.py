"""One clock for the images of a study, also across midnight and several days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from LiverLesionAI.readers.dicom.headers import Frame

DAY_S = 86_400.0
LONGEST_EXAMINATION_S = 6 * 3600.0
"""Times that lie within this span around midnight are those of one examination."""


def on_one_clock(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return slices of one study with `acquired_s` counted from midnight before the first of them.

    Acquisition dates are used where all slices have one and they differ. Else (none, or the same one written
    over all) times on both sides of midnight are those of two days, if that makes the examination short.

    Parameters
    ----------
    frames
        With `acquired_s` as second of the day.
    """
    timed = [frame for frame in frames if frame.acquired_s is not None]
    days = {frame.day for frame in timed}
    if len(days) > 1 and None not in days:
        first = min(day for day in days if day is not None)
        return tuple(_later(frame, (frame.day or first) - first) for frame in frames)
    start = _start([frame.acquired_s for frame in timed if frame.acquired_s is not None])
    return tuple(_later(frame, int((frame.acquired_s or start) < start)) for frame in frames)


def since(moment_s: float, second_of_day: float) -> float:
    """Seconds from a time of day to a moment, of the days that are possible the closest one."""
    return (moment_s - second_of_day + DAY_S / 2) % DAY_S - DAY_S / 2


def _start(times: Sequence[float]) -> float:
    """First second of the day of an examination: what is earlier in the day is on the next one."""
    ordered = sorted(set(times))
    if not ordered or ordered[-1] - ordered[0] <= DAY_S / 2:
        return 0.0
    pause, after = max((later - earlier, later) for earlier, later in pairwise(ordered))
    return after if DAY_S - pause <= LONGEST_EXAMINATION_S else 0.0


def _later(frame: Frame, days: int) -> Frame:
    if frame.acquired_s is None or not days:
        return frame
    return replace(frame, acquired_s=frame.acquired_s + days * DAY_S)
