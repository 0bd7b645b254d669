"""LPS to RAS and back, and the layout of VTK's images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError

LPS_RAS: np.ndarray = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Matrix [4, 4] from LPS to RAS; its own inverse."""


def ras(point: Sequence[float]) -> tuple[float, float, float]:
    """Convert a point from LPS to RAS, or back, in mm."""
    return -point[0], -point[1], point[2]


def ras_directions(image: sitk.Image) -> np.ndarray:
    """Unit vectors of an image's index axes in RAS, as the columns of a matrix [3, 3]."""
    return LPS_RAS[:3, :3] @ np.reshape(image.GetDirection(), (3, 3))


def vtk_matrix(matrix: np.ndarray) -> Any:
    """Return a matrix [4, 4] as ``vtkMatrix4x4``."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    result = vtk.vtkMatrix4x4()
    result.DeepCopy(matrix.ravel().tolist())
    return result


def numpy_matrix(matrix: Any) -> np.ndarray:
    """Return a ``vtkMatrix4x4`` as an array [4, 4]."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def set_voxels(data: Any, voxels: np.ndarray) -> None:
    """Copy an array [z, y, x] into a ``vtkImageData``."""
    from vtkmodules.util.numpy_support import numpy_to_vtk

    data.SetDimensions(*voxels.shape[::-1])
    scalars = numpy_to_vtk(voxels.ravel(), deep=True)
    scalars.SetName("ImageScalars")
    data.GetPointData().SetScalars(scalars)


def voxels_of(data: Any) -> np.ndarray:
    """View of a ``vtkImageData``'s voxels, [z, y, x].

    Raises
    ------
    StudyError
        If it has none, as segments of damaged files.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy

    scalars = data.GetPointData().GetScalars()
    if scalars is None:
        raise StudyError("A segment or volume of the scene has no voxels; save the scene again.")
    return vtk_to_numpy(scalars).reshape(data.GetDimensions()[::-1])


def image_at(
    voxels: np.ndarray, origin_ras: Sequence[float], spacing: Sequence[float], directions_ras: np.ndarray
) -> sitk.Image:
    """Make an image (LPS mm) from voxels [z, y, x] and their place in RAS mm."""
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin(ras(origin_ras))
    image.SetSpacing(spacing)
    image.SetDirection((LPS_RAS[:3, :3] @ directions_ras).ravel().tolist())
    return image
