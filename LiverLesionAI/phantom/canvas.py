"""Painting of implicit shapes into a label map, each only within its own bounding box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .fields import Grid

Implicit = Callable[[NDArray, NDArray, NDArray], NDArray]
Point = Sequence[float] | NDArray[np.float64]


class Canvas:
    """Label map on a grid, in coordinates of a body scaled by `scale`.

    Parameters
    ----------
    grid : where the labels live, LPS mm.
    codes : names of the labels in order; a label's value is its index.
    scale : body size (x, y, z) relative to the reference body whose coordinates the shapes are given in.
    """

    def __init__(self, grid: Grid, codes: Sequence[str], scale: Point = (1.0, 1.0, 1.0)) -> None:
        self.grid = grid
        self.labels = np.zeros(grid.shape, np.uint8)
        self._codes = {name: value for value, name in enumerate(codes)}
        self._scale = np.asarray(scale, np.float32)
        self.axes = tuple(axis / s for axis, s in zip(grid.axes(), self._scale, strict=True))

    def code(self, name: str) -> int:
        """Value of a label."""
        return self._codes[name]

    def where(self, *names: str) -> NDArray[np.bool_]:
        """Mask of the named labels on the whole grid."""
        return np.isin(self.labels, [self._codes[name] for name in names])

    def shape(
        self, name: str, inside: Implicit, low: Point, high: Point, only: Iterable[str] | None = None
    ) -> None:
        """Paint where `inside(x, y, z)` holds within a box, over the labels `only` (all when omitted)."""
        window = self.grid.window(np.asarray(low) * self._scale, np.asarray(high) * self._scale)
        labels = self.labels[window]
        if not labels.size:
            return
        x, y, z = self.axes
        mask = inside(x[:, :, window[2]], y[:, window[1], :], z[window[0], :, :])
        if only is not None:
            mask = mask & np.isin(labels, [self._codes[n] for n in only])
        labels[np.broadcast_to(mask, labels.shape)] = self._codes[name]

    def ellipsoid(
        self,
        name: str,
        centre: Point,
        radii: Point,
        *,
        lean: tuple[float, float] = (0.0, 0.0),
        only: Iterable[str] | None = None,
    ) -> None:
        """Paint an ellipsoid; `lean` shifts its centre in x and y per mm of z."""
        (cx, cy, cz), (rx, ry, rz) = centre, radii
        reach = np.array([rx + abs(lean[0]) * rz, ry + abs(lean[1]) * rz, rz])

        def inside(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
            dz = z - cz
            return ((x - cx - lean[0] * dz) / rx) ** 2 + ((y - cy - lean[1] * dz) / ry) ** 2 + (
                dz / rz
            ) ** 2 < 1

        self.shape(name, inside, np.asarray(centre) - reach, np.asarray(centre) + reach, only)

    def tube(self, name: str, points: NDArray, radii: NDArray, only: Iterable[str] | None = None) -> None:
        """Paint a chain of tapering cylinders through points [n, 3] with radii [n]."""
        reach = float(np.max(radii))
        beyond = (points.min(axis=0) - reach) * self._scale > self.grid.high
        before = (points.max(axis=0) + reach) * self._scale < self.grid.low
        if np.any(beyond | before):
            return
        for start, end, r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            inside = _cylinder(start, end, float(r0), float(r1))
            reach = max(r0, r1)
            self.shape(name, inside, np.minimum(start, end) - reach, np.maximum(start, end) + reach, only)


def _cylinder(start: NDArray, end: NDArray, r0: float, r1: float) -> Implicit:
    """Cylinder with rounded ends whose radius runs from `r0` to `r1`."""
    axis = end - start
    length2 = float(axis @ axis) or 1.0

    def inside(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        t = np.clip((dx * axis[0] + dy * axis[1] + dz * axis[2]) / length2, 0, 1)
        distance2 = (dx - t * axis[0]) ** 2 + (dy - t * axis[1]) ** 2 + (dz - t * axis[2]) ** 2
        return distance2 < (r0 + (r1 - r0) * t) ** 2

    return inside
