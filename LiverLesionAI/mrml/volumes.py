"""Images as volume nodes, exactly where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.mrml.frames import image_at, numpy_matrix, ras, ras_directions, set_voxels, voxels_of
from LiverLesionAI.mrml.scene import Node, add_node

_SAMPLED_VOXELS = 4096


def add_volume(scene: Node, image: sitk.Image, name: str, *, labels: bool = False) -> Node:
    """Add a scalar 3D image as a volume node, exactly where it lies.

    Parameters
    ----------
    scene
        The scene.
    image
        Scalar 3D image, LPS mm.
    name
        The node's name.
    labels
        True makes a label map node.

    Returns
    -------
    vtkMRMLScalarVolumeNode or vtkMRMLLabelMapVolumeNode
        With default display and storage nodes.
    """
    node = add_node(scene, "vtkMRMLLabelMapVolumeNode" if labels else "vtkMRMLScalarVolumeNode", name)
    put_image(node, image)
    node.CreateDefaultDisplayNodes()
    node.AddDefaultStorageNode()
    return node


def put_image(node: Node, image: sitk.Image) -> None:
    """Give a volume node the voxels and the place of a scalar 3D image, LPS mm; its look stays as it is."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    data = vtk.vtkImageData()
    set_voxels(data, sitk.GetArrayViewFromImage(image))
    node.SetSpacing(*image.GetSpacing())
    node.SetOrigin(*ras(image.GetOrigin()))
    node.SetIJKToRASDirections(*ras_directions(image).ravel().tolist())
    node.SetAndObserveImageData(data)


def image_from_volume(node: Node) -> sitk.Image:
    """Return a volume node's image in its own frame (parent transforms apart), LPS mm.

    Raises
    ------
    StudyError
        If the node has no voxels, or holds vectors or colours.
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    data, directions = _scalar_data(node), vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(directions)
    return image_at(voxels_of(data), node.GetOrigin(), node.GetSpacing(), numpy_matrix(directions)[:3, :3])


def slice_number(node: Node, point_lps_mm: Sequence[float]) -> tuple[int, int]:
    """Tell the axial slice of a volume node at a point of its own frame.

    In another orientation: the plane of its grid that is closest to axial.

    Returns
    -------
    number : int
        Counted from 1 at the feet; the first or last slice for points beyond them.
    count : int
        How many slices there are.
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    to_ras = numpy_matrix(matrix)
    axis = int(np.argmax(np.abs(to_ras[2, :3]) / np.linalg.norm(to_ras[:3, :3], axis=0)))
    count = node.GetImageData().GetDimensions()[axis]
    index = float((np.linalg.inv(to_ras) @ [*ras(point_lps_mm), 1.0])[axis])
    number = round(index if to_ras[2, axis] > 0 else count - 1 - index) + 1
    return min(max(number, 1), count), count


@dataclass(frozen=True)
class SliceGrid:
    """Where the slices of a volume lie in its own frame, LPS mm, as DICOM says it.

    Attributes
    ----------
    row, column
        Direction cosines of ImageOrientationPatient.
    spacing
        Between rows and between columns, mm.
    rows, columns
        Of a slice.
    positions
        Centre of the first voxel of each slice (ImagePositionPatient).
    """

    row: tuple[float, float, float]
    column: tuple[float, float, float]
    spacing: tuple[float, float]
    rows: int
    columns: int
    positions: tuple[tuple[float, float, float], ...]


def slice_grid(node: Node) -> SliceGrid | None:
    """Return where the slices of a volume node lie, parent transforms apart; None where it has no voxels."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    if node.GetImageData() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    to_ras, (columns, rows, slices) = numpy_matrix(matrix), node.GetImageData().GetDimensions()
    spacing = np.linalg.norm(to_ras[:3, :3], axis=0)
    right, down = (ras((to_ras[:3, axis] / spacing[axis]).tolist()) for axis in (0, 1))
    positions = [ras((to_ras @ [0, 0, index, 1])[:3].tolist()) for index in range(slices)]
    return SliceGrid(right, down, (float(spacing[1]), float(spacing[0])), rows, columns, tuple(positions))


def lowest_value(node: Node) -> float | None:
    """Return the smallest voxel of a volume node; None where it has no voxels."""
    image = node.GetImageData()
    return None if image is None else float(image.GetScalarRange()[0])


def middle_and_corners(node: Node) -> list[tuple[float, float, float]]:
    """Return the middle and the eight corner voxels' centres of a volume node, in its own frame, LPS mm."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ends = np.array(node.GetImageData().GetDimensions()) - 1.0
    indices = [ends / 2, *(ends * corner for corner in np.ndindex(2, 2, 2))]
    return [ras((numpy_matrix(matrix) @ [*index, 1.0])[:3].tolist()) for index in indices]


def volume_fingerprint(node: Node) -> str:
    """Tell a volume node from others at little cost: by its grid (to 0.001 mm) and some thousand voxels.

    Parent transforms do not count.

    Raises
    ------
    StudyError
        As :func:`image_from_volume`.
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    data, matrix = _scalar_data(node), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    grid = (data.GetDimensions(), (np.round(numpy_matrix(matrix), 3) + 0.0).tolist())
    voxels = voxels_of(data).ravel()
    digest = hashlib.sha256(repr(grid).encode())
    digest.update(voxels[:: voxels.size // _SAMPLED_VOXELS | 1].tobytes())
    return digest.hexdigest()


def set_window(node: Node, lower: float, upper: float) -> None:
    """Set a volume node's display window, in units of its voxels."""
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(lower, upper)


def _scalar_data(node: Node) -> Any:
    """The ``vtkImageData`` of a volume node, checked to hold one value per voxel."""
    data, name = node.GetImageData(), node.GetName()
    if data is None or data.GetPointData().GetScalars() is None:
        raise StudyError(f"Volume {name!r} of the scene has no voxels; load its file again.")
    if data.GetNumberOfScalarComponents() != 1:
        raise StudyError(f"Volume {name!r} of the scene holds vectors or colours, not one value per voxel.")
    return data
