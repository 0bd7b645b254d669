"""Between the nodes that a reader chose and the library's studies and results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer

from LiverLesionAI import mrml
from LiverLesionAI.mrml import attributes
from LiverLesionLib.outlines import outline_nodes

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
        Segmentation node, or None. What was outlined on single sequences comes with it.
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
    outlines = outline_nodes(volumes) if lesions is not None else {}
    name = study_id(volumes[reference])
    return study_from_nodes(name, "Slicer scene", volumes, lesions, reference, outlines)


def show_result(study: Any, result: Any, volumes: Mapping[str, Any], segmentation: Any) -> Any:
    """Put a result beside the study's nodes; the reader's outlines stay and take the classes' colours.

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
    drawn = [segmentation, *outline_nodes(volumes).values()]
    with _kept(drawn):
        nodes = show_study(scene, replace(study, outlines={}), result, volumes)
    for node in drawn:
        _take_colours(node, nodes.segmentation, mrml.segment_labels(segmentation))
    mrml.remove_nodes(scene, [nodes.segmentation])
    segmentation.SetAttribute(attributes.ROLE, attributes.LESIONS)
    mrml.file_under(scene, nodes.folder, drawn)
    return nodes


@contextmanager
def _kept(nodes: Sequence[Any]) -> Iterator[None]:
    """Keep nodes when their study is shown anew: for the while they do not belong to it."""
    owners = [node.GetAttribute(attributes.STUDY) for node in nodes]
    for node in nodes:
        node.RemoveAttribute(attributes.STUDY)
    try:
        yield
    finally:
        for node, owner in zip(nodes, owners, strict=True):
            if owner:
                node.SetAttribute(attributes.STUDY, owner)


def _take_colours(segmentation: Any, coloured: Any, labels: Mapping[str, int]) -> None:
    """Give segments the colours and terms of the lesions that they are; `labels` is segment ID to lesion."""
    target, source = segmentation.GetSegmentation(), coloured.GetSegmentation()
    for segment_id, label in labels.items():
        segment, answer = target.GetSegment(segment_id), source.GetSegment(f"lesion_{label}")
        if segment is None or answer is None:
            continue
        segment.SetColor(answer.GetColor())
        tag = segment.GetTerminologyEntryTagName()
        segment.SetTag(tag, _tag(answer, tag))


def _tag(segment: Any, name: str) -> str:
    import vtk

    value = vtk.reference("")
    segment.GetTag(name, value)
    return str(value)


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
