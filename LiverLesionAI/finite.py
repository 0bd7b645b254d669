"""Numbers that can be worked with: voxels, places, intensity limits and transforms that come from outside.

A number that is none (NaN) passes every comparison of size unseen, and a network answers to it all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from LiverLesionAI.errors import StudyError

if TYPE_CHECKING:
    import SimpleITK as sitk

LARGEST_VOXEL = 1e18
"""Intensities beyond have squares that single precision does not hold; no scanner gives any."""

FARTHEST_MM = 1e5
"""No scanner puts an image, and nothing between two images moves a point, farther than this (100 m)."""

NO_PLACE = "a position that no scanner gives (no number, or more than 100 m away)"

LARGEST_SCALE = 3.0
"""By how much a linear transform between images of one patient may stretch or shrink along any direction."""


def finite_voxels(voxels: np.ndarray) -> bool:
    """Whether all voxels are numbers that single precision can work with."""
    if voxels.dtype.kind in "iub" or voxels.size == 0:
        return True
    lowest, highest = voxels.min(), voxels.max()
    return bool(lowest >= -LARGEST_VOXEL and highest <= LARGEST_VOXEL)


def finite_place(image: sitk.Image) -> bool:
    """Whether spacing and direction of an image are finite, and its corners where a scanner may be.

    The way back from millimetres to voxels must be finite too: ITK inverts directions by a singular value
    decomposition that gives no numbers for some cosines below 1e-290.
    """
    back = image.TransformPhysicalPointToContinuousIndex(image.GetOrigin())
    if not np.isfinite([*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection(), *back]).all():
        return False
    ends = [image.TransformIndexToPhysicalPoint(index) for index in ((0, 0, 0), tuple(image.GetSize()))]
    return bool(np.abs(ends).max() <= FARTHEST_MM)


def spans_something(lower: float, upper: float) -> bool:
    """Whether two intensities stay apart in single precision, in which networks see them."""
    span = np.float32(upper) - np.float32(lower)
    return bool(span >= np.finfo(np.float32).tiny)


def usable_limits(values: Sequence[Any]) -> tuple[float, float]:
    """Two intensities that become 0 and 1.

    Raises
    ------
    ValueError
        If they are not two finite numbers, the lower one first.
    """
    if not isinstance(values, list | tuple):
        raise ValueError("the limits are no pair")
    lower, upper = map(float, values)
    if not (-LARGEST_VOXEL <= lower < upper <= LARGEST_VOXEL and spans_something(lower, upper)):
        raise ValueError("the limits span nothing that can be worked with")
    return lower, upper


def checked_transform(transform: sitk.Transform, name: str) -> sitk.Transform:
    """Return a transform between images of one patient, each of its parts, as it was given.

    Parameters
    ----------
    transform
        Linear, deformable or composite, in mm.
    name
        What to call it in a message.

    Raises
    ------
    StudyError
        If it is not of three dimensions, one of its numbers is not finite, a part moves anything farther than
        :data:`FARTHEST_MM`, or a linear part flattens, mirrors or scales more than :data:`LARGEST_SCALE`
        times, as no patient does.
    """
    if transform.GetDimension() != 3:
        raise StudyError(f"{name} has {transform.GetDimension()} dimensions; write it again for volumes.")
    for part in _parts(transform):
        moves = _displacements(part)
        if not (np.isfinite(moves).all() and np.isfinite(part.GetFixedParameters()).all()):
            raise StudyError(f"{name} holds values that are not numbers; write it again or remove it.")
        if part.IsLinear():
            check_matrix(linear_matrix(part), name)
        else:
            _check_moves(moves, name)
    return transform


def check_matrix(matrix: np.ndarray, name: str) -> None:
    """Refuse a linear transform ``[4, 4]`` that no patient can undergo.

    Raises
    ------
    StudyError
        See :func:`checked_transform`.
    """
    if not np.isfinite(matrix).all():
        raise StudyError(f"{name} holds values that are not numbers; write it again or remove it.")
    _check_moves(matrix[:3, 3], name)
    axes = matrix[:3, :3]
    scales = np.linalg.svd(axes, compute_uv=False)
    if scales.min() * LARGEST_SCALE < 1 or scales.max() > LARGEST_SCALE:
        raise StudyError(
            f"{name} scales by {scales.min():.3g} to {scales.max():.3g}, as nothing between images of one "
            "patient does; write it again in mm or remove it."
        )
    if np.linalg.det(axes) < 0:
        raise StudyError(f"{name} turns the patient into a mirror image; write it again or remove it.")


def _check_moves(moves_mm: np.ndarray, name: str) -> None:
    farthest = float(np.abs(moves_mm).max(initial=0.0))
    if farthest > FARTHEST_MM:
        raise StudyError(
            f"{name} moves by {farthest / 1000:.3g} m, as nothing between images of one patient does; write "
            "it again in mm or remove it."
        )


def linear_matrix(transform: sitk.Transform) -> np.ndarray:
    """Matrix ``[4, 4]`` of a linear transform, in its own frame."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis, unit in enumerate(np.eye(3).tolist()):
        matrix[:3, axis] = transform.TransformVector(unit, (0.0, 0.0, 0.0))
    return matrix


def _parts(transform: sitk.Transform) -> Iterator[sitk.Transform]:
    """The transforms that a composite one is made of, else the transform itself."""
    import SimpleITK as sitk

    known = transform.Downcast()
    if not isinstance(known, sitk.CompositeTransform):
        yield known
        return
    for index in range(known.GetNumberOfTransforms()):
        yield from _parts(known.GetNthTransform(index))


def _displacements(part: sitk.Transform) -> np.ndarray:
    """Parameters; those of a deformation are displacements in mm, of which a point's is a weighted mean."""
    import SimpleITK as sitk

    if isinstance(part, sitk.DisplacementFieldTransform):
        return sitk.GetArrayFromImage(part.GetDisplacementField())
    return np.array(part.GetParameters())
