"""Points with names as markups."""

from __future__ import annotations

from collections.abc import Sequence

from LiverLesionAI.mrml.scene import Node, add_node
from LiverLesionAI.mrml.transforms import ras


def add_points(
    scene: Node,
    name: str,
    points_lps_mm: Sequence[Sequence[float]],
    labels: Sequence[str],
    descriptions: Sequence[str],
) -> Node:
    """Add a list of points that cannot be moved by accident.

    Parameters
    ----------
    scene
        The scene.
    name
        The node's name.
    points_lps_mm
        In the frame of the transform that the node will lie under, LPS mm.
    labels, descriptions
        Of each point.

    Returns
    -------
    vtkMRMLMarkupsFiducialNode
    """
    node = add_node(scene, "vtkMRMLMarkupsFiducialNode", name)
    for point, label, description in zip(points_lps_mm, labels, descriptions, strict=True):
        index = node.AddControlPoint(list(ras(point)), label)
        node.SetNthControlPointDescription(index, description)
    node.SetLocked(True)
    node.AddDefaultStorageNode()
    node.CreateDefaultDisplayNodes()
    return node
