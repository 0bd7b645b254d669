"""Between the nodes that a reader chose and the library's studies and results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer

from LiverLesionAI import mrml
from LiverLesionAI.mrml import attributes

_VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


def study_id(reference: Any) -> str:
    """Return the pseudonym of a study by its reference volume: its mark, else the node's number."""
    return (
        reference.GetAttribute(attributes.STUDY) or f"study-{reference.GetID().removeprefix(_VOLUME_CLASS)}"
    )


def study_of(volumes: Mapping[str, Any], lesions: Any, reference: str) -> Any:
    """Make a study of chosen nodes.

    Parameters
    ----------
    volumes
        Sequence to volume node.
    lesions
        Segmentation node, or None.
    reference
        The reference sequence.

    Returns
    -------
    LiverLesionAI.study.Study

    Raises
    ------
    StudyError
        If there are no volumes, or they or the lesions cannot be used.
    """
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.readers.scene import study_from_nodes

    if reference not in volumes:
        raise StudyError(
            "No sequence is assigned as the reference; press Assign sequences or choose volumes."
        )
    return study_from_nodes(study_id(volumes[reference]), "Slicer scene", volumes, lesions, reference)


def show_result(study: Any, result: Any, volumes: Mapping[str, Any], segmentation: Any) -> Any:
    """Put a result beside the study's nodes; the reader's segmentation stays and takes the classes' colours.

    Parameters
    ----------
    study, result
        The study and its result.
    volumes
        Sequence to volume node.
    segmentation
        The reader's segmentation node.

    Returns
    -------
    LiverLesionAI.writers.scene.StudyNodes
    """
    from LiverLesionAI.writers.scene import show_study

    scene = slicer.mrmlScene
    owner = segmentation.GetAttribute(attributes.STUDY)
    segmentation.RemoveAttribute(attributes.STUDY)
    nodes = show_study(scene, study, result, volumes)
    _take_colours(segmentation, nodes.segmentation)
    mrml.remove_nodes(scene, [nodes.segmentation])
    segmentation.SetAttribute(attributes.ROLE, attributes.LESIONS)
    if owner:
        segmentation.SetAttribute(attributes.STUDY, owner)
    mrml.file_under(scene, nodes.folder, [segmentation])
    return nodes


def _take_colours(segmentation: Any, coloured: Any) -> None:
    """Give segments the colours and terms of another segmentation's segments, in the same order of labels."""
    target, source = segmentation.GetSegmentation(), coloured.GetSegmentation()
    labels = segment_labels(segmentation)
    for segment_id, label in labels.items():
        answer = source.GetSegment(f"lesion_{label}")
        if answer is None:
            continue
        segment = target.GetSegment(segment_id)
        segment.SetColor(answer.GetColor())
        tag = segment.GetTerminologyEntryTagName()
        segment.SetTag(tag, _tag(answer, tag))


def _tag(segment: Any, name: str) -> str:
    import vtk

    value = vtk.reference("")
    segment.GetTag(name, value)
    return str(value)


def segment_labels(segmentation: Any) -> dict[str, int]:
    """Return segment ID to the label that the segment has in the study's label image."""
    node = segmentation.GetSegmentation()
    ids = [node.GetNthSegmentID(index) for index in range(node.GetNumberOfSegments())]
    labels = [node.GetSegment(segment_id).GetLabelValue() for segment_id in ids]
    if len(set(labels)) < len(labels):
        labels = list(range(1, len(ids) + 1))
    return dict(zip(ids, labels, strict=True))


def result_from_text(text: str) -> Any:
    """Read the result that the panel remembers; None where there is none."""
    from LiverLesionAI.results import StudyResult

    return StudyResult.from_dict(json.loads(text)) if text else None


def jump_to(point_lps_mm: tuple[float, float, float], reference: Any) -> None:
    """Move all slice views to a point of the reference frame, LPS mm."""
    x, y, z = mrml.point_in_world(reference, point_lps_mm)
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceNode")
    for index in range(count):
        slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceNode").JumpSliceByCentering(-x, -y, z)


def saliency_volumes(
    study: Any, files: list[Path], volumes: Mapping[str, Any], folder: int
) -> dict[str, Any]:
    """Add the saliency maps that the worker wrote.

    Parameters
    ----------
    study
        The study.
    files
        ``<lesion>_<SEQ>.nii.gz`` and ``<lesion>_<SEQ>_weighted.nii.gz``.
    volumes
        Sequence to volume node.
    folder
        The study's folder in the subject hierarchy.

    Returns
    -------
    dict
        ``"<lesion>_<SEQ>"`` or ``"<lesion>_<SEQ>_weighted"`` to volume node.
    """
    import SimpleITK as sitk

    from LiverLesionAI.explanation import palette

    scene, reference = slicer.mrmlScene, volumes[study.reference]
    if not files:
        return {}
    colours = palette.colours([value / 255 for value in range(256)])
    scale = mrml.add_colour_scale(scene, f"{study.id} saliency", colours.tolist())
    scale.SetAttribute(attributes.STUDY, study.id)
    nodes = {}
    for file in files:
        key = file.name.removesuffix(".nii.gz")
        lesion, _, name = key.partition("_")
        weighted = " weighted" if name.endswith("_weighted") else ""
        sequence = name.removesuffix("_weighted")
        title = f"{study.lesion_name(int(lesion))} {sequence} saliency{weighted}"
        node = mrml.add_volume(scene, sitk.ReadImage(str(file)), title)
        node.SetAttribute(attributes.STUDY, study.id)
        node.SetAttribute(attributes.ROLE, attributes.SALIENCY)
        node.SetAttribute(attributes.LESION, lesion)
        node.SetAttribute(attributes.MAP, f"{sequence}{weighted}")
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        mrml.show_as_overlay(node, scale, palette.THRESHOLD)
        nodes[key] = node
    for lesion_id in study.lesion_ids:
        mine = [node for key, node in nodes.items() if key.startswith(f"{lesion_id}_")]
        title = f"{study.lesion_name(lesion_id)}: why"
        mrml.file_under(scene, mrml.subfolder_item(scene, folder, title), mine)
    return nodes
