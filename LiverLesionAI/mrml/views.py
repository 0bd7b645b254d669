"""Where a study shows: its place in the subject hierarchy and the slice views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from LiverLesionAI.mrml.attributes import STUDY
from LiverLesionAI.mrml.frames import ras
from LiverLesionAI.mrml.scene import Node, nodes_of, slicer_module
from LiverLesionAI.mrml.transforms import point_in_world

SLICE_VIEWS: Mapping[str, str] = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
"""Slicer's three slice views and their orientations."""


def folder_item(scene: Node, study_id: str, beside: Node | None = None) -> int:
    """Find a study's folder in the subject hierarchy, or make it, named by the study's pseudonym.

    A new folder lies beside the item of a node where one is given, else at the top.
    """
    from LiverLesionAI.mrml import vtk_classes as vtk

    hierarchy = _hierarchy(scene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for item in map(items.GetId, range(items.GetNumberOfIds())):
        if hierarchy.GetItemAttribute(item, STUDY) == study_id:
            return item
    neighbour = hierarchy.GetItemByDataNode(beside) if beside else 0
    parent = hierarchy.GetItemParent(neighbour) if neighbour else hierarchy.GetSceneItemID()
    folder = hierarchy.CreateFolderItem(parent, study_id)
    hierarchy.SetItemAttribute(folder, STUDY, study_id)
    return folder


def subfolder_item(scene: Node, folder: int, name: str) -> int:
    """Find a folder by name directly inside a subject-hierarchy folder, or make it."""
    hierarchy = _hierarchy(scene)
    return hierarchy.GetItemChildWithName(folder, name) or hierarchy.CreateFolderItem(folder, name)


def folder_of(scene: Node, node: Node) -> tuple[int, str] | None:
    """Item and name of the subject-hierarchy folder that a node lies in; None at the top."""
    hierarchy = _hierarchy(scene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    if not parent or parent == hierarchy.GetSceneItemID():
        return None
    return parent, hierarchy.GetItemName(parent)


def file_under(scene: Node, folder: int, nodes: Iterable[Node]) -> None:
    """Put nodes into a subject-hierarchy folder."""
    hierarchy = _hierarchy(scene)
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node)


def jump_to(scene: Node, point_lps_mm: Sequence[float], volume: Node) -> None:
    """Move all slice views to a point of a volume's own frame, LPS mm."""
    place = ras(point_in_world(volume, point_lps_mm))
    for plane in nodes_of(scene, "vtkMRMLSliceNode"):
        plane.JumpSliceByCentering(*place)


def show_in_slice_views(
    scene: Node,
    background: Node,
    centre_lps_mm: Sequence[float],
    field_of_view_mm: float,
    foreground: Node | None = None,
    opacity: float = 0.0,
) -> None:
    """Show a volume in the three slice views, centred on a point.

    Parameters
    ----------
    scene
        The scene.
    background
        Volume node for the background layer.
    centre_lps_mm
        Point of the world, LPS mm.
    field_of_view_mm
        Width of what each view shows.
    foreground, opacity
        Volume node for the foreground layer, if any, and how much it covers, in [0, 1]. The label layer is
        emptied.
    """
    for view, orientation in SLICE_VIEWS.items():
        composite = _view_node(scene, "vtkMRMLSliceCompositeNode", view)
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
        composite.SetForegroundOpacity(opacity)
        composite.SetLabelVolumeID(None)
        plane = _view_node(scene, "vtkMRMLSliceNode", view)
        plane.SetOrientation(orientation)
        plane.JumpSliceByCentering(*ras(centre_lps_mm))
        width, height, _ = plane.GetDimensions()
        plane.SetFieldOfView(field_of_view_mm, field_of_view_mm * height / width, 1.0)


def _hierarchy(scene: Node) -> Node:
    return slicer_module().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def _view_node(scene: Node, class_name: str, view: str) -> Node:
    node = scene.GetSingletonNode(view, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(view)
        node.SetLayoutName(view)
        node.SetName(view)
        node = scene.AddNode(node)
    return node
