"""What a scene offers to a reader: its studies, their volumes, the lesions of a segmentation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.words import Translate, in_english
from LiverLesionAI.sequences import usual_reference

if TYPE_CHECKING:
    from LiverLesionAI.results import Unit


@dataclass(frozen=True)
class LesionRow:
    """A segment as a lesion.

    Attributes
    ----------
    id, segment_id
        Label, identifier of the segment.
    name, lesion
        What the segment is called, and the lesion's own name in it, without its class.
    colour
        sRGB in [0, 255].
    diameter_mm, volume_ml
        Longest axial diameter, volume.
    centroid_lps_mm
        Centre in the node's own frame.
    shape
        Hash of its voxels, wherever they lie.
    """

    id: int
    segment_id: str
    name: str
    colour: tuple[int, int, int]
    diameter_mm: float
    volume_ml: float
    centroid_lps_mm: tuple[float, float, float]
    lesion: str
    shape: str


def sequence_candidates(scene: Node) -> list[Node]:
    """Return the volumes of a scene that may be sequences: no labels, nothing that was computed."""
    return [
        node
        for node in mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode")
        and node.GetAttribute(attributes.ROLE) in attributes.SOURCES
    ]


def studies(scene: Node, translate: Translate = in_english) -> dict[str, list[Node]]:
    """Return what of a scene may be a study: name to volume nodes, in order.

    These are the folders of the subject hierarchy that hold volumes, folders of one name told apart by a
    number, and beside such folders the volumes that lie in none.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    translate
        For the name of volumes in no folder.
    """
    folders: dict[tuple[int, str] | None, list[Node]] = {}
    for node in sequence_candidates(scene):
        folders.setdefault(mrml.folder_of(scene, node), []).append(node)
    loose = folders.pop(None, [])
    found: dict[str, list[Node]] = {}
    for folder, nodes in folders.items():
        name = folder[1] if folder is not None else ""
        same = sum(each is not None and each[1] == name for each in list(folders)[: len(found)])
        found[f"{name} ({same + 1})" if same else name] = nodes
    if found and loose:
        found[translate("volumes in no folder")] = loose
    return found


def default_reference(volumes: Mapping[str, Node], segmentation: Node | None = None) -> str:
    """Return the sequence that lesions are segmented on: the segmentation's, else the usual one."""
    segmented_on = mrml.reference_volume(segmentation) if segmentation is not None else None
    for name, node in volumes.items():
        if node is segmented_on:
            return name
    return usual_reference(volumes)


def only_segmentation(scene: Node, *, is_needed: bool = True) -> Node | None:
    """Return the segmentation of the scene that holds lesions.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    is_needed
        Without need, there is None where the scene has none or several that could be meant.

    Raises
    ------
    StudyError
        If one is needed, but there is none or several could be meant.
    """
    nodes = mrml.nodes_of(scene, "vtkMRMLSegmentationNode")
    ours = [node for node in nodes if node.GetAttribute(attributes.ROLE) == attributes.LESIONS]
    candidates = ours or [node for node in nodes if node.GetAttribute(attributes.ROLE) is None]
    if len(candidates) != 1 and not is_needed:
        return None
    if len(candidates) != 1:
        raise StudyError(
            f"The scene has {len(candidates)} segmentations that could be the lesions; "
            "choose the one that holds them."
        )
    return candidates[0]


def nodes_for(unit: Unit, nodes: ChosenNodes) -> ChosenNodes:
    """Return the nodes that a model gets: without an empty segmentation, unless it answers for lesions.

    Parameters
    ----------
    unit
        What gets an answer.
    nodes
        What was chosen.

    Raises
    ------
    StudyError
        If the segments cannot be turned into label maps.
    """
    if unit == "lesion" or nodes.segmentation is None or lesion_rows(nodes.segmentation):
        return nodes
    return replace(nodes, segmentation=None)


def lesion_rows(segmentation: Node) -> list[LesionRow]:
    """Measure the lesions of a segmentation node; empty segments are left out.

    Raises
    ------
    StudyError
        If its segments cannot be turned into label maps.
    """
    node = segmentation.GetSegmentation()
    if not node.GetNumberOfSegments():
        return []
    image = mrml.labels_from_segmentation(segmentation).image
    boxes = _bounding_boxes(image)
    return [
        _lesion_row(segment_id, node.GetSegment(segment_id), label, image, boxes[label])
        for segment_id, label in mrml.segment_labels(segmentation).items()
        if label in boxes
    ]


def _bounding_boxes(image: sitk.Image) -> dict[int, tuple[int, ...]]:
    """Label to its box of voxels: the corner ``x, y, z``, then the size."""
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(image)
    return {label: measured.GetBoundingBox(label) for label in measured.GetLabels()}


def _lesion_row(
    segment_id: str, segment: Node, label: int, image: sitk.Image, box: tuple[int, ...]
) -> LesionRow:
    geometry = lesion_geometry(image, label)
    x, y, z, width, height, depth = box
    cropped = sitk.GetArrayViewFromImage(image)[z : z + depth, y : y + height, x : x + width] == label
    return LesionRow(
        id=label,
        segment_id=segment_id,
        name=segment.GetName(),
        colour=mrml.segment_colour(segment),
        diameter_mm=geometry.diameter_mm,
        volume_ml=geometry.volume_ml,
        centroid_lps_mm=geometry.centroid_lps_mm,
        lesion=mrml.lesion_name(segment),
        shape=hashlib.sha256(repr(cropped.shape).encode() + cropped.tobytes()).hexdigest(),
    )
