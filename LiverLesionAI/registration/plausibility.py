"""Whether a transform can be a body's: it must not fold space nor move anything absurdly far."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.registration.regions import Box
from LiverLesionAI.registration.stages import matrix_of

FARTHEST_MM = 40.0
_CHECK_SPACING_MM = (8.0, 8.0, 8.0)
_AROUND_MM = 60.0


def implausible(transform: sitk.Transform, box: Box) -> str | None:
    """Say what is wrong with a transform, in words; None where nothing is.

    Parameters
    ----------
    transform
        Reference frame to sequence.
    box
        Where it is to be used; no point of it may move by more than `FARTHEST_MM`. Folding, a Jacobian
        determinant that is not positive, is looked for up to 60 mm around it as well.
    """
    determinant, moved = _linear(transform, box) if transform.IsLinear() else _bent(transform, box)
    if determinant <= 0:
        return "it folds the image"
    if moved > FARTHEST_MM:
        return f"it moves parts by {moved:.0f} mm"
    return None


def _linear(transform: sitk.Transform, box: Box) -> tuple[float, float]:
    """Determinant of a linear transform, and the farthest that it moves a point: a corner of the box."""
    corners = [box.point(corner) for corner in product(*zip(box.low, box.high, strict=True))]
    moved = np.subtract([transform.TransformPoint(corner) for corner in corners], corners)
    return float(np.linalg.det(matrix_of(transform))), float(np.linalg.norm(moved, axis=1).max())


def _bent(transform: sitk.Transform, box: Box) -> tuple[float, float]:
    """Least determinant around a box, and the farthest that a point of it is moved, on a grid."""
    around = box.grown(_AROUND_MM).grid(_CHECK_SPACING_MM)
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        around.GetSize(),
        around.GetOrigin(),
        around.GetSpacing(),
        around.GetDirection(),
    )
    vectors = sitk.GetArrayFromImage(field)
    moved = np.linalg.norm(vectors[box.inside(around)], axis=-1)
    return _least_determinant(vectors, around), float(moved.max(initial=0.0))


def _least_determinant(vectors: NDArray[np.float64], grid: sitk.Image) -> float:
    """Smallest Jacobian determinant of displacements ``[z, y, x, LPS mm]`` on a grid.

    SimpleITK differentiates along a grid's axes and heeds no direction, so that displacements have to be
    given along these axes, too.
    """
    along = sitk.GetImageFromArray(vectors @ np.reshape(grid.GetDirection(), (3, 3)), isVector=True)
    along.SetSpacing(grid.GetSpacing())
    return float(sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(along)).min())
