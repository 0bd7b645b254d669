"""Scalar maps to be laid over an image: colour scale, threshold and legend."""

from __future__ import annotations

from collections.abc import Sequence

import SimpleITK as sitk

from LiverLesionAI.mrml.scene import Node, add_node, slicer_module
from LiverLesionAI.mrml.volumes import put_image

_ABOVE_ROUNDING = 1.0001
"""Scene files keep six digits of a threshold; the highest voxel must stay below it."""
_LABELS = 5
_LEGEND_SIZE, _LEGEND_POINTS = (0.12, 0.3), 12
"""Share of a view that a legend takes at most, across and up, and its letters."""


def add_colour_scale(scene: Node, name: str, colours: Sequence[Sequence[float]]) -> Node:
    """Add a continuous colour scale.

    Parameters
    ----------
    scene
        The scene.
    name
        The node's name.
    colours
        Red, green and blue in [0, 1], from the lowest value to the highest.

    Returns
    -------
    vtkMRMLColorTableNode
    """
    node = add_node(scene, "vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetHideFromEditors(False)
    node.SetNumberOfColors(len(colours))
    for value, (red, green, blue) in enumerate(colours):
        node.SetColor(value, f"{value / (len(colours) - 1):.3f}", red, green, blue, 1)
    node.AddDefaultStorageNode()
    return node


def add_overlay(
    scene: Node, image: sitk.Image, name: str, scale: Node, threshold: float, upper: float = 1.0
) -> Node:
    """Add a volume that is coloured from 0 to `upper` and shows nothing of what lies below a threshold.

    What lies above `upper` has the last colour: it is the most of all, and must not be left out.

    It gets no storage node before it is saved, and its window is set before its voxels are: both spare the
    scene events.

    Returns
    -------
    vtkMRMLScalarVolumeNode
    """
    node = add_node(scene, "vtkMRMLScalarVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(scale.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, upper)
    display.SetInterpolate(True)
    display.AutoThresholdOff()
    highest = float(sitk.GetArrayViewFromImage(image).max())
    display.SetThreshold(threshold, max(upper, highest) * _ABOVE_ROUNDING)
    display.ApplyThresholdOn()
    put_image(node, image)
    return node


def add_colour_legend(volume: Node, title: str) -> Node:
    """Add a legend that shows with a volume in the slice views.

    It is not saved with the scene: trame-slicer, for one, does not know its class and would refuse the file.

    Returns
    -------
    vtkMRMLColorLegendDisplayNode
    """
    node = slicer_module().vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
    node.SetTitleText(title)
    node.SetLabelFormat("%.2f")
    node.SetNumberOfLabels(_LABELS)
    node.SetSize(*_LEGEND_SIZE)
    for words in (node.GetTitleTextProperty(), node.GetLabelTextProperty()):
        words.SetFontSize(_LEGEND_POINTS)
    node.SetVisibility3D(False)
    node.SetVisibility(True)
    node.SetSaveWithScene(False)
    return node
