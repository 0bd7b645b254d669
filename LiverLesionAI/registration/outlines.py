"""Outlines carried from the reference to a sequence's own grid, and from a sequence back to the reference.

A label is carried as its signed distance map, interpolated between slices (shape-based interpolation, Raya
and Udupa, IEEE Trans Med Imaging 1990;9:32–42): no holes and no terraces where slices are thick, and an
outline carried onto its own grid stays as it was. Between thick slices the zero level of such a map encloses
less than the voxels did; the level is therefore chosen so that the volume is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from LiverLesionAI.registration.plausibility import FARTHEST_MM
from LiverLesionAI.study import SequenceImage, labels_in

_FIELD_SPACING_MM = 4.0
_MARGIN_MM = 8.0
_INVERSION_STEPS = 30
_OUTSIDE_MM = 1e3
_MOST_PARTS = 9
"""Parts that a voxel is divided into along an axis, at most, to see how much of it a lesion fills."""

Corner = NDArray[np.float64]
Corners = tuple[Corner, Corner]
"""Lower and upper corner of a box along the patient's axes, LPS mm."""


def outline_on_sequence(labels: sitk.Image, sequence: SequenceImage) -> sitk.Image:
    """Carry outlines of the reference frame to a sequence's own grid.

    Parameters
    ----------
    labels
        Label image in the reference frame.
    sequence
        The sequence with its transform (reference frame to sequence); it is inverted.

    Returns
    -------
    SimpleITK.Image
        Labels (uint16) on the sequence's grid. A lesion thinner than its voxels gets the voxel nearest to it;
        one outside of its field of view gets none.
    """
    transform = sequence.transform

    def way(low: Corner, high: Corner) -> tuple[sitk.Transform, Corners]:
        if transform is None:
            return sitk.Transform(3, sitk.sitkIdentity), (low, high)
        moved = _displacements(transform, low, high)
        target = low + moved.min(axis=(0, 1, 2)), high + moved.max(axis=(0, 1, 2))
        return inverse_within(transform, *target), target

    return _carried(labels, sequence.image, way)


def outline_on_reference(outline: sitk.Image, sequence: SequenceImage, grid: sitk.Image) -> sitk.Image:
    """Carry outlines drawn on a sequence to a grid in the reference frame.

    Parameters
    ----------
    outline
        Label image in the sequence's frame.
    sequence
        The sequence with its transform (reference frame to sequence).
    grid
        Image whose grid is wanted.

    Returns
    -------
    SimpleITK.Image
        Labels (uint16) on the grid; see :func:`outline_on_sequence`.
    """
    transform = sequence.transform

    def way(low: Corner, high: Corner) -> tuple[sitk.Transform, Corners]:
        if transform is None:
            return sitk.Transform(3, sitk.sitkIdentity), (low, high)
        moved = _displacements(transform, low - FARTHEST_MM, high + FARTHEST_MM)
        return transform, (low - moved.max(axis=(0, 1, 2)), high - moved.min(axis=(0, 1, 2)))

    return _carried(outline, grid, way)


def inverse_within(transform: sitk.Transform, low: Corner, high: Corner) -> sitk.Transform:
    """Invert a transform.

    Parameters
    ----------
    transform
        Any transform without folds that moves nothing farther than 40 mm.
    low, high
        Box of the points (LPS mm) that the inverse is wanted for; around it, it is the identity. The inverse
        of a linear transform holds everywhere.
    """
    if transform.IsLinear():
        return transform.GetInverse()
    around_low, around_high = low - FARTHEST_MM, high + FARTHEST_MM
    moved = _displacements(transform, around_low, around_high)
    grid = _grid(low, high)
    wanted = _points(grid)
    found = wanted - moved.mean(axis=(0, 1, 2))
    step = np.asarray(_grid(around_low, around_high).GetSpacing())
    for _ in range(_INVERSION_STEPS):
        index = np.moveaxis((found - around_low) / step, -1, 0)[::-1]
        there = [map_coordinates(moved[..., axis], index, order=1, mode="nearest") for axis in range(3)]
        found = wanted - np.stack(there, axis=-1)
    field = sitk.GetImageFromArray(found - wanted, isVector=True)
    field.CopyInformation(grid)
    return sitk.DisplacementFieldTransform(field)


def _carried(
    labels: sitk.Image,
    grid: sitk.Image,
    way: Callable[[Corner, Corner], tuple[sitk.Transform, Corners]],
) -> sitk.Image:
    """Carry each label; `way` maps its box to the transform from the grid to it and the box on the grid."""
    carried = np.zeros(grid.GetSize()[::-1], np.uint16)
    nearest = np.full(carried.shape, np.inf, np.float32)
    for label in labels_in(labels):
        distance = _signed_distance(labels, label)
        transform, target = way(*_corners(distance, _MARGIN_MM))
        window = _window(grid, *target)
        if window is None:
            continue
        part = grid[tuple(slice(s.start, s.stop) for s in window[::-1])]
        found = sitk.GetArrayFromImage(
            sitk.Resample(distance, part, transform, sitk.sitkLinear, _OUTSIDE_MM, sitk.sitkFloat32)
        )
        count = _voxels_wanted(labels == label, part, transform)
        if count == 0 and found.min() > np.linalg.norm(grid.GetSpacing()) / 2:
            continue
        found -= np.partition(found, max(count, 1) - 1, axis=None)[max(count, 1) - 1]
        inside = (found <= 0) & (found < nearest[window])
        carried[window][inside] = label
        nearest[window][inside] = found[inside]
    image = sitk.GetImageFromArray(carried)
    image.CopyInformation(grid)
    return image


def _voxels_wanted(mask: sitk.Image, grid: sitk.Image, transform: sitk.Transform) -> int:
    """How many voxels of a grid hold as much of its space as a mask fills, by sampling within the voxels."""
    finest = min(mask.GetSpacing())
    parts = [min(max(round(step / finest), 1), _MOST_PARTS) for step in grid.GetSpacing()]
    fine = sitk.Expand(grid, parts, sitk.sitkNearestNeighbor)
    filled = sitk.Resample(mask, fine, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return round(np.count_nonzero(sitk.GetArrayViewFromImage(filled)) / np.prod(parts))


def _signed_distance(labels: sitk.Image, label: int) -> sitk.Image:
    """Distance of the centres of voxels around a label to the other side, negative inside, in mm.

    Voxels count with their whole extent, in steps of the finest spacing: the edge of a slice lies half a
    slice from its centre.
    """
    voxels = sitk.GetArrayFromImage(labels) == label
    filled = [np.flatnonzero(voxels.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = [int(index[0]) for index in filled]
    box = tuple(slice(index[0], index[-1] + 1) for index in filled)
    spacing = np.asarray(labels.GetSpacing()[::-1])
    margin = [max(2, int(np.ceil(_MARGIN_MM / step))) for step in spacing]
    parts = [2 * min(round(step / spacing.min()) // 2, _MOST_PARTS // 2) + 1 for step in spacing]
    mask = np.pad(voxels[box], [(m, m) for m in margin])
    for axis, count in enumerate(parts):
        mask = np.repeat(mask, count, axis=axis)
    steps = spacing / parts
    distance = distance_transform_edt(~mask, steps) - distance_transform_edt(mask, steps)
    centres = distance[tuple(slice(count // 2, None, count) for count in parts)]
    image = sitk.GetImageFromArray(centres.astype(np.float32))
    image.SetSpacing(labels.GetSpacing())
    image.SetDirection(labels.GetDirection())
    first = [float(a - m) for a, m in zip(low, margin, strict=True)][::-1]
    image.SetOrigin(labels.TransformContinuousIndexToPhysicalPoint(first))
    return image


def _corners(image: sitk.Image, margin_mm: float) -> Corners:
    size = np.asarray(image.GetSize()) - 1.0
    ends = np.stack(np.meshgrid(*zip((0.0,) * 3, size, strict=True)), axis=-1).reshape(-1, 3)
    points = [image.TransformContinuousIndexToPhysicalPoint(end) for end in ends.tolist()]
    return np.min(points, axis=0) - margin_mm, np.max(points, axis=0) + margin_mm


def _window(grid: sitk.Image, low: Corner, high: Corner) -> tuple[slice, ...] | None:
    """Voxels ``[z, y, x]`` of a grid that may lie in a box; None where none does."""
    ends = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    index = np.array([grid.TransformPhysicalPointToContinuousIndex(end) for end in ends.tolist()])
    first = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, grid.GetSize())
    if np.any(last <= first):
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))


def _grid(low: Corner, high: Corner) -> sitk.Image:
    count = np.maximum(np.ceil((high - low) / _FIELD_SPACING_MM).astype(int), 1) + 1
    image = sitk.Image(count.tolist(), sitk.sitkUInt8)
    image.SetOrigin(low.tolist())
    image.SetSpacing(((high - low) / (count - 1)).tolist())
    return image


def _points(grid: sitk.Image) -> NDArray[np.float64]:
    """Points of a grid along the patient's axes, ``[z, y, x, 3]``, LPS mm."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.GetSize()[::-1]), indexing="ij")
    return np.stack([x, y, z], axis=-1) * grid.GetSpacing() + grid.GetOrigin()


def _displacements(transform: sitk.Transform, low: Corner, high: Corner) -> NDArray[np.float64]:
    """What a transform moves the points of a box by, ``[z, y, x, 3]``, LPS mm."""
    grid = _grid(low, high)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing()
    )
    return sitk.GetArrayFromImage(field)
