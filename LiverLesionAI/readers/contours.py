"""Closed planar contours as voxels of an image's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError

OFF_PLANE = 0.25
"""Points of a contour may lie this part of a slice off their common plane."""

_BEYOND = 1.0
"""Voxels that a contour may reach beyond the image's own."""

_SAME_PLANE = 0.01


def filled(contours: Sequence[np.ndarray], grid: sitk.Image) -> np.ndarray:
    """Voxels whose centres lie inside of contours.

    Contours of one plane are joined by exclusive or: one inside another is a hole, and so is what a keyhole
    leads to. A contour stands for half the distance to its neighbour planes on either side, so that an
    outline on every second slice has no gaps.

    Parameters
    ----------
    contours
        Points of each contour in order, ``[point, 3]``, LPS mm; the last joins the first.
    grid
        Image whose slices (index axis z) the contours lie in.

    Returns
    -------
    numpy.ndarray
        Of bool, [z, y, x].

    Raises
    ------
    StudyError
        If a contour does not lie along the slices of the grid, or reaches beyond them, so that a part of what
        was outlined would be missing.
    """
    columns, rows, slices = grid.GetSize()
    planes: dict[float, np.ndarray] = {}
    for points in contours:
        index = _indices(points, grid)
        level = float(index[:, 2].mean())
        if np.abs(index[:, 2] - level).max() > OFF_PLANE:
            raise StudyError("its contours do not lie in the slices of the image")
        if (
            index.min() < -0.5 - _BEYOND
            or (index.max(axis=0) > np.array(grid.GetSize()) - 0.5 + _BEYOND).any()
        ):
            raise StudyError("its contours reach beyond the image")
        same = next((known for known in planes if abs(known - level) < _SAME_PLANE), level)
        planes[same] = planes.get(same, np.zeros((rows, columns), bool)) ^ _inside(
            index[:, :2], rows, columns
        )
    voxels = np.zeros((slices, rows, columns), bool)
    levels = np.array(sorted(planes))
    if not len(levels):
        return voxels
    half = max(float(np.median(np.diff(levels))) if len(levels) > 1 else 1.0, 1.0) / 2
    for k in range(slices):
        near = levels[(levels - half <= k) & (k < levels + half)]
        if len(near):
            voxels[k] = planes[float(near[np.argmin(np.abs(near - k))])]
    return voxels


def _indices(points: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """Continuous indices of points, ``[point, 3]``."""
    axes = np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing()
    return np.linalg.solve(axes, (points - grid.GetOrigin()).T).T


def _inside(polygon: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pixels whose centres a polygon (x, y in pixels) goes round an odd number of times."""
    pixels = np.zeros((rows, columns), bool)
    ends = np.roll(polygon, -1, axis=0)
    first, last = int(np.ceil(polygon[:, 1].min())), int(np.floor(polygon[:, 1].max()))
    for row in range(max(first, 0), min(last, rows - 1) + 1):
        crossed = (polygon[:, 1] <= row) != (ends[:, 1] <= row)
        a, b = polygon[crossed], ends[crossed]
        at = np.sort(a[:, 0] + (row - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
        pixels[row] = np.searchsorted(at, np.arange(columns), side="right") % 2 == 1
    return pixels
