"""Whether a transform can be a body's: it must not fold space nor move anything absurdly far."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.registration.regions import Box

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
    around = box.grown(_AROUND_MM).grid(_CHECK_SPACING_MM)
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        around.GetSize(),
        around.GetOrigin(),
        around.GetSpacing(),
        around.GetDirection(),
    )
    if sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field)).min() <= 0:
        return "it folds the image"
    moved = np.linalg.norm(sitk.GetArrayFromImage(field)[box.inside(around)], axis=-1)
    if moved.size and moved.max() > FARTHEST_MM:
        return f"it moves parts by {moved.max():.0f} mm"
    return None
