"""A manual offset: an image moved by hand, in millimetres and degrees as the reader sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from LiverLesionAI.mrml.frames import numpy_matrix, ras, vtk_matrix
from LiverLesionAI.mrml.scene import Node

_DIGITS = 6


@dataclass(frozen=True)
class ManualOffset:
    """How far an image was moved.

    Attributes
    ----------
    right_mm, anterior_mm, superior_mm
        Shift of the centre of rotation along the patient's axes.
    turn_deg
        Turn in the axial plane about that centre, from right to anterior: clockwise on the screen, where the
        patient's right is on the left.
    """

    right_mm: float = 0.0
    anterior_mm: float = 0.0
    superior_mm: float = 0.0
    turn_deg: float = 0.0

    @property
    def shift_mm(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm([self.right_mm, self.anterior_mm, self.superior_mm]))


def write_manual_offset(node: Node, offset: ManualOffset) -> None:
    """Let a linear transform node move what lies under it.

    The movement is that of the world: linear transforms above the node turn neither its axes nor its centre.

    Parameters
    ----------
    node
        ``vtkMRMLLinearTransformNode`` that :func:`set_offset_centre` has given a centre.
    offset
        Replaces what the node did before.
    """
    angle = np.deg2rad(offset.turn_deg)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = np.asarray(node.GetCenterOfTransformation())
    moved = np.eye(4)
    moved[:3, :3] = turn
    shift = np.array([offset.right_mm, offset.anterior_mm, offset.superior_mm])
    moved[:3, 3] = centre + shift - turn @ centre
    outer = _outer_matrix(node)
    node.SetMatrixTransformToParent(vtk_matrix(np.linalg.inv(outer) @ moved @ outer))


def read_manual_offset(node: Node) -> ManualOffset:
    """Return what a node of :func:`write_manual_offset` does."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    outer = _outer_matrix(node)
    moved = outer @ numpy_matrix(matrix) @ np.linalg.inv(outer)
    centre = np.asarray(node.GetCenterOfTransformation())
    shift = moved[:3, :3] @ centre + moved[:3, 3] - centre
    turn = np.rad2deg(np.arctan2(moved[1, 0], moved[0, 0]))
    return ManualOffset(*np.round([*shift, turn], _DIGITS).tolist())


def set_offset_centre(node: Node, centre_lps_mm: Sequence[float]) -> None:
    """Say about which point of the world (LPS mm) a node turns; before its first offset."""
    node.SetCenterOfTransformation(ras(centre_lps_mm))


def _outer_matrix(node: Node) -> np.ndarray:
    """Matrix [4, 4] from the frame above a node to the world, RAS; identity where it is no linear one."""
    from LiverLesionAI.mrml import vtk_classes as vtk

    matrix, outer = vtk.vtkMatrix4x4(), node.GetParentTransformNode()
    if outer is not None and outer.IsTransformToWorldLinear():
        outer.GetMatrixTransformToWorld(matrix)
    return numpy_matrix(matrix)
