"""Transforms between frames as transform nodes.

A MRML transform node maps its children to the world. The transform of a study maps the other way, from the
reference frame to the sequence, as SimpleITK resamples: it is the node's transform *from* parent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.finite import check_matrix, checked_transform, linear_matrix
from LiverLesionAI.mrml.frames import LPS_RAS, numpy_matrix, ras, vtk_matrix
from LiverLesionAI.mrml.scene import Node, add_node, parent_transforms, slicer_module, vtk_messages_logged

_IDENTITY_TOLERANCE = 1e-12
_FLAT = 1e-6


def add_transform(scene: Node, transform: sitk.Transform, name: str) -> Node:
    """Add a study's transform as a node: a sequence placed under it shows in the reference frame.

    Parameters
    ----------
    scene
        The scene.
    transform
        Maps points of the reference frame to points of the sequence, LPS mm. Linear transforms become a
        matrix; B-splines and displacement fields keep their coefficients (between the grid points Slicer
        interpolates a displacement field by cubic splines, SimpleITK linearly).
    name
        The node's name.

    Returns
    -------
    vtkMRMLTransformNode
    """
    if transform.IsLinear():
        node = add_node(scene, "vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformFromParent(vtk_matrix(LPS_RAS @ linear_matrix(transform) @ LPS_RAS))
    else:
        node = add_node(scene, "vtkMRMLTransformNode", name)
        with _transform_file() as (path, storage):
            sitk.WriteTransform(transform, path)
            storage.ReadData(node)
    node.AddDefaultStorageNode()
    return node


def transform_between(source: Node, target: Node) -> sitk.Transform | None:
    """Transform from the frame of one node to that of another, through all their parent transforms.

    Parameters
    ----------
    source, target
        Transformable nodes (volumes, segmentations) of one scene.

    Returns
    -------
    SimpleITK.Transform or None
        Maps points of `source`'s own frame to points of `target`'s, LPS mm; None where the frames agree.

    Raises
    ------
    StudyError
        If the way from one to the other holds an inverted deformation, which ITK cannot express, or a
        transform that no patient can undergo (:func:`LiverLesionAI.finite.checked_transform`).
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    for node in (*parent_transforms(source), *parent_transforms(target)):
        _check_invertible(node)
    mrml = slicer_module().vtkMRMLTransformNode
    way = f"{source.GetName()!r} to {target.GetName()!r}"
    general, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    mrml.GetTransformBetweenNodes(source.GetParentTransformNode(), target.GetParentTransformNode(), general)
    if not mrml.IsGeneralTransformLinear(general, linear):
        return _deformation(general, way)
    matrix = LPS_RAS @ numpy_matrix(linear.GetMatrix()) @ LPS_RAS
    check_matrix(matrix, f"The transform from {way}")
    if np.allclose(matrix, np.eye(4), rtol=0, atol=_IDENTITY_TOLERANCE):
        return None
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


def carried_points(
    source: Node, target: Node, points: Sequence[Sequence[float]]
) -> list[tuple[float, float, float]]:
    """Carry points from the frame of one node to that of another, through all their parent transforms.

    Parameters
    ----------
    source, target
        Transformable nodes of one scene.
    points
        In `source`'s own frame, LPS mm.

    Returns
    -------
    list of tuple
        In `target`'s own frame, LPS mm.
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    general = vtk.vtkGeneralTransform()
    slicer_module().vtkMRMLTransformNode.GetTransformBetweenNodes(
        source.GetParentTransformNode(), target.GetParentTransformNode(), general
    )
    return [ras(general.TransformPoint(ras(point))) for point in points]


def point_in_world(node: Node, point: Sequence[float]) -> tuple[float, float, float]:
    """Carry a point from a node's own frame to the world, both LPS mm."""
    in_world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(ras(point), in_world)
    return ras(in_world)


def point_of_view(node: Node, point_ras_mm: Sequence[float]) -> tuple[float, float, float]:
    """Carry a point of the world as views and markups have it, RAS mm, to a node's own frame, LPS mm."""
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld(point_ras_mm, local)
    return ras(local)


def _deformation(general: Any, way: str) -> sitk.Transform:
    node = slicer_module().vtkMRMLTransformNode()
    node.SetAndObserveTransformFromParent(general)
    with _transform_file() as (path, storage), vtk_messages_logged():
        storage.WriteData(node)
        try:
            transform = sitk.ReadTransform(path)
        except RuntimeError:
            raise StudyError(
                f"The deformation from {way} is stored as an inverse; "
                "convert it to a displacement field in Slicer's Transforms module."
            ) from None
    return checked_transform(transform, f"The deformation from {way}")


@contextmanager
def _transform_file() -> Iterator[tuple[str, Node]]:
    with tempfile.TemporaryDirectory() as folder:
        storage = slicer_module().vtkMRMLTransformStorageNode()
        storage.SetFileName(Path(folder, "transform.h5").as_posix())
        yield storage.GetFileName(), storage


def _check_invertible(node: Node) -> None:
    """Refuse a linear transform that VTK would invert without a word although it has no inverse."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    matrix = vtk.vtkMatrix4x4()
    if not (node.IsLinear() and node.GetMatrixTransformToParent(matrix)):
        return
    scales = np.linalg.svd(np.nan_to_num(numpy_matrix(matrix)[:3, :3]), compute_uv=False)
    if not np.isfinite(numpy_matrix(matrix)).all() or scales.min() <= _FLAT * scales.max():
        raise StudyError(
            f"Transform {node.GetName()!r} of the scene flattens what is under it or holds values that are "
            "not numbers; mend or remove it in Slicer's Transforms module."
        )
