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
    from LiverLesionAI.scenes.read import study_from_nodes

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
    LiverLesionAI.scenes.show.StudyNodes
    """
    from LiverLesionAI.scenes.show import show_study

    scene = slicer.mrmlScene
    drawn = [segmentation, *outline_nodes(volumes).values()]
    with _kept(drawn):
        nodes = show_study(scene, replace(study, outlines={}), result, volumes)
    style_segments(drawn, result, mrml.segment_labels(segmentation))
    mrml.remove_nodes(scene, [nodes.segmentation])
    segmentation.SetAttribute(attributes.ROLE, attributes.LESIONS)
    mrml.file_under(scene, nodes.folder, drawn)
    return nodes


def show_decisions(result: Any, volumes: Mapping[str, Any], segmentation: Any) -> None:
    """Show what readers have decided: table, summary, and the segments where they are still there.

    Parameters
    ----------
    result
        The result with the decisions.
    volumes
        Sequence to volume node.
    segmentation
        The reader's segmentation node, or None.
    """
    from LiverLesionAI.scenes.show import show_answers

    show_answers(slicer.mrmlScene, result, volumes.get(result.study.reference))
    if segmentation is not None:
        drawn = [segmentation, *outline_nodes(volumes).values()]
        style_segments(drawn, result, mrml.segment_labels(segmentation))


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


def style_segments(segmentations: Sequence[Any], result: Any, labels: Mapping[str, int]) -> None:
    """Give segments the class that readers decided on, else the model's, as name, colour and term.

    Parameters
    ----------
    segmentations
        Segmentation nodes that outline the same lesions by the same segment IDs.
    result
        The result.
    labels
        Segment ID to lesion.
    """
    from LiverLesionAI.scenes.show import lesion_segment

    answers = {lesion.id: lesion for lesion in result.lesions}
    for node in segmentations:
        for segment_id, label in labels.items():
            segment = node.GetSegmentation().GetSegment(segment_id)
            if segment is not None and label in answers:
                styled = lesion_segment(label, mrml.lesion_name(segment), answers[label])
                mrml.style_segment(segment, styled)


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


def place_of(saliency: Any, lesion: Any) -> tuple[float, float, float]:
    """Return where a lesion is to be looked at, LPS mm: its slice of largest area, else its centre.

    Parameters
    ----------
    saliency
        A map of the lesion, which remembers the place; or None.
    lesion
        The lesion's result.
    """
    kept = saliency.GetAttribute(attributes.PLACE) if saliency is not None else None
    if not kept:
        return lesion.centroid_lps_mm
    x, y, z = map(float, kept.split())
    return x, y, z


def clear_explanations(study: str) -> None:
    """Remove maps, weights and charts of a study."""
    from LiverLesionAI.scenes.show import study_nodes

    scene = slicer.mrmlScene
    mrml.remove_nodes(
        scene, [node for node in study_nodes(scene, study) if node.GetAttribute(attributes.LESION)]
    )


def maps_of(study: str) -> dict[tuple[str, str], Any]:
    """Lesion and name of each map of a study, as its attributes tell them, to its volume node."""
    maps = {}
    for node in mrml.nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode"):
        lesion, name = node.GetAttribute(attributes.LESION), node.GetAttribute(attributes.MAP)
        if node.GetAttribute(attributes.STUDY) == study and lesion and name:
            maps[lesion, name] = node
    return maps


def maps_in_views(study: str) -> list[tuple[Any, tuple[str, str]]]:
    """Views whose foreground is a map of a study, as composite nodes, each with the map's lesion and name."""
    which = {node.GetID(): key for key, node in maps_of(study).items()}
    views = mrml.nodes_of(slicer.mrmlScene, "vtkMRMLSliceCompositeNode")
    return [(view, which[shown]) for view in views if (shown := view.GetForegroundVolumeID()) in which]


def show_maps_again(study: str, shown: list[tuple[Any, tuple[str, str]]]) -> None:
    """Put the maps that have replaced others into the views that showed these (:func:`maps_in_views`)."""
    maps = maps_of(study)
    for view, which in shown:
        view.SetForegroundVolumeID(maps[which].GetID() if which in maps else None)


def saliency_volumes(
    result: Any,
    files: list[Path],
    places: Mapping[str, list[float]],
    volumes: Mapping[str, Any],
    folder: int,
) -> None:
    """Add the saliency maps that the worker wrote.

    Parameters
    ----------
    result
        The result that they explain.
    files
        ``<lesion>_<SEQ>.nii.gz`` and ``<lesion>_<SEQ>_weighted.nii.gz``.
    places
        Lesion to the middle of its slice of largest area, LPS mm.
    volumes
        Sequence to volume node.
    folder
        The study's folder in the subject hierarchy.
    """
    scale = _saliency_colours(result.study.id) if files else None
    for lesion in result.lesions:
        mine = [file for file in files if file.name.startswith(f"{lesion.id}_")]
        nodes = [_add_map(result, lesion, file, scale, volumes[result.study.reference]) for file in mine]
        for node in nodes:
            node.SetAttribute(attributes.PLACE, " ".join(map(repr, places[str(lesion.id)])))
        if nodes:
            subfolder = mrml.subfolder_item(slicer.mrmlScene, folder, f"{lesion.name}: why")
            mrml.file_under(slicer.mrmlScene, subfolder, nodes)


def _add_map(result: Any, lesion: Any, file: Path, scale: Any, reference: Any) -> Any:
    import SimpleITK as sitk

    from LiverLesionAI.explanation import palette

    sequence, _, kind = file.name.removesuffix(".nii.gz").partition("_")[2].partition("_")
    weighted = " weighted" if kind else ""
    title = f"{lesion.name} {sequence} saliency{weighted}"
    node = mrml.add_volume(slicer.mrmlScene, sitk.ReadImage(str(file)), title)
    node.SetAttribute(attributes.STUDY, result.study.id)
    node.SetAttribute(attributes.ROLE, attributes.SALIENCY)
    node.SetAttribute(attributes.LESION, str(lesion.id))
    node.SetAttribute(attributes.MAP, f"{sequence}{weighted}")
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    mrml.show_as_overlay(node, scale, palette.THRESHOLD)
    return node


def _saliency_colours(study: str) -> Any:
    """The study's colours of saliency; made where it has none."""
    from LiverLesionAI.explanation import palette
    from LiverLesionAI.scenes.show import study_nodes

    name, scene = f"{study} saliency", slicer.mrmlScene
    found = next((node for node in study_nodes(scene, study) if node.GetName() == name), None)
    if found is not None:
        return found
    colours = palette.colours([value / 255 for value in range(256)])
    scale = mrml.add_colour_scale(scene, name, colours.tolist())
    scale.SetAttribute(attributes.STUDY, study)
    return scale
