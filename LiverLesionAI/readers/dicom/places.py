"""Whether images show the same part of the body."""

from __future__ import annotations

from itertools import product
from math import prod

from LiverLesionAI.identity import frames_differ
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.split import Stack

SHARED_PART = 0.5
"""Part of the smaller image that has to lie in the other one."""

Box = tuple[tuple[float, float], ...]


def show_same_place(a: Stack, b: Stack) -> bool:
    """Whether half of the smaller of two images lies in the other one, as far as that is known.

    Where geometry or all slices but one are missing, or the frames of reference differ, it is not known, and
    nothing speaks against it.
    """
    one, other = _box(a), _box(b)
    if one is None or other is None or frames_differ(a.first.frame_of_reference, b.first.frame_of_reference):
        return True
    shared = prod(
        max(0.0, min(end, other_end) - max(start, other_start))
        for (start, end), (other_start, other_end) in zip(one, other, strict=True)
    )
    return shared > SHARED_PART * min(map(_volume, (one, other)))


def _volume(box: Box) -> float:
    return prod(end - start for start, end in box)


def _box(stack: Stack) -> Box | None:
    """Extent along x, y and z in LPS mm."""
    if len(stack.frames) < 2:
        return None
    corners = [corner for frame in (stack.frames[0], stack.frames[-1]) for corner in _corners(frame)]
    if not corners:
        return None
    return tuple((min(values), max(values)) for values in zip(*corners, strict=True))


def _corners(frame: Frame) -> list[tuple[float, ...]]:
    """Outer corners of a slice; empty where its geometry is missing."""
    if not (frame.position and frame.row and frame.column and frame.spacing and frame.rows and frame.columns):
        return []
    right = [cosine * frame.spacing[1] * frame.columns for cosine in frame.row]
    down = [cosine * frame.spacing[0] * frame.rows for cosine in frame.column]
    return [
        tuple(p + i * r + j * d for p, r, d in zip(frame.position, right, down, strict=True))
        for i, j in product((0, 1), repeat=2)
    ]
