"""Max-pooling that remembers where each maximum lay, so that what it is worth can be laid there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pooled:
    """Maxima of windows of 3×3×3 cells, two cells apart, as the network pools after its first convolution.

    Attributes
    ----------
    values
        ``[P, C, d, h, w]``; half as many along each axis as there were cells, rounded up.
    places
        Number of the cell that each maximum lies in, ``[P, C, d, h, w]``, counted along x, then y, then z;
        of cells that are equal, the first.
    """

    values: NDArray[np.float32]
    places: NDArray[np.int32]

    def laid_back(self, slopes: NDArray[np.float32], change: NDArray[np.float32]) -> NDArray[np.float64]:
        """What a change of the cells is worth, cell by cell, by the slopes of the maxima.

        Parameters
        ----------
        slopes
            Like `values`.
        change
            Of the cells, ``[C, D, H, W]``.

        Returns
        -------
        numpy.ndarray
            ``[D, H, W]``; the sum over all `P` and `C`.
        """
        channels, *sides = change.shape
        places = self.places.reshape(len(self.places), channels, -1)
        moved = np.take_along_axis(change.reshape(1, channels, -1), places, axis=2)
        moved *= slopes.reshape(places.shape)
        found = np.bincount(places.ravel(), moved.ravel(), minlength=int(np.prod(sides)))
        return found.astype(np.float64, copy=False).reshape(sides)


def pooled(cells: NDArray[np.float32]) -> Pooled:
    """Pool cells ``[P, C, D, H, W]``, none of which lies beyond the border.

    Along x, then y, then z, so that of equal cells the first is taken, as PyTorch does.
    """
    values, steps = cells, []
    for axis in (4, 3, 2):
        values, step = _along(values, axis)
        steps.append(step)
    along_x, along_y, along_z = steps
    outer, (z, y, x) = np.arange(np.prod(values.shape[:2]), dtype=np.int32), _numbers(values.shape[2:])
    outer = outer.reshape(*values.shape[:2], 1, 1, 1)
    depth, height, width = cells.shape[2:]
    z = 2 * z + along_z
    y = 2 * y + np.take(along_y, ((outer * depth + z) * values.shape[3] + y) * values.shape[4] + x)
    x = 2 * x + np.take(along_x, ((outer * depth + z) * height + y) * values.shape[4] + x)
    return Pooled(values, ((z * height + y) * width + x).astype(np.int32))


def _along(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """The largest of each even cell and its neighbours, and by how far that lies off: −1, 0 or 1."""
    even, odd = (np.ascontiguousarray(values[_cut(axis, slice(start, None, 2))]) for start in (0, 1))
    own, before, beyond = (
        _cut(axis, cut) for cut in (slice(odd.shape[axis]), slice(even.shape[axis] - 1), slice(1, None))
    )
    step = np.zeros(even.shape, np.int8)
    np.greater(odd, even[own], out=step[own].view(bool))
    np.maximum(even[own], odd, out=even[own])
    earlier, steps_beyond = (odd[before] >= even[beyond]).view(np.int8), step[beyond]
    steps_beyond *= 1 - earlier
    steps_beyond -= earlier
    np.maximum(even[beyond], odd[before], out=even[beyond])
    return even, step


def _cut(axis: int, cut: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, cut)


def _numbers(sides: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Number of each cell along each axis, to be broadcast."""
    return np.ogrid[tuple(slice(side) for side in sides)]
