"""The result of a study as Slicer shows it: MRML nodes, in Slicer's scene or as ``scene.mrb``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.answers import TaskResult
from LiverLesionAI.decisions import decided_class
from LiverLesionAI.explanation import palette
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inputs.intensity import window_of
from LiverLesionAI.mrml import Node, Segment, attributes
from LiverLesionAI.results import LesionResult, StudyResult
from LiverLesionAI.scenes.candidates import add_candidates
from LiverLesionAI.scenes.clinical import keep_clinical
from LiverLesionAI.scenes.explanations import saliency_of
from LiverLesionAI.scenes.nodes import ChosenNodes, study_nodes
from LiverLesionAI.scenes.outlines import outline_nodes
from LiverLesionAI.scenes.saliency import SaliencyNodes, add_saliency
from LiverLesionAI.scenes.summary import result_text, summary_title
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named
from LiverLesionAI.writers.tables import lesion_table
from LiverLesionAI.writers.volumes import lesion_classes

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation

_ABDOMEN_HU = (-100.0, 190.0)
"""Level 45, width 290."""
_FIRST_LOOK = ("LAP", "CT_ART")
_UNCLASSIFIED_COLOUR = (153, 153, 153)
_FIELD_OF_VIEW_MM = 250.0
_EXPLAINED_FIELD_OF_VIEW_MM = 150.0
_WINDOW_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class StudyNodes:
    """Where a study's nodes are in a scene; None where the study has no such part.

    ``folder`` is the study's item in the subject hierarchy, ``volumes`` maps sequences to volume nodes,
    ``saliency`` lesions to the nodes of their explanations.
    """

    folder: int
    volumes: Mapping[str, Node]
    segmentation: Node | None = None
    classes: Node | None = None
    colours: Node | None = None
    table: Node | None = None
    text: Node | None = None
    saliency: Mapping[int, SaliencyNodes] = field(default_factory=dict)


def write_scene(
    study: Study,
    result: StudyResult,
    path: Path,
    explanations: Sequence[LesionExplanation] = (),
    evidence: sitk.Image | None = None,
) -> Path:
    """Write a study and its result as ``.mrb``, to be opened in Slicer.

    Raises
    ------
    OutputError
        If the file cannot be written.
    LiverLesionError
        If slicer-core is missing.
    """
    scene = mrml.new_scene()
    with mrml.vtk_messages_logged():
        nodes = show_study(scene, study, result, explanations=explanations, evidence=evidence)
        arrange_views(scene, study, nodes)
    mrml.save_scene(scene, path)
    return path


def show_study(
    scene: Node,
    study: Study,
    result: StudyResult | None = None,
    volumes: Mapping[str, Node] | None = None,
    explanations: Sequence[LesionExplanation] = (),
    evidence: sitk.Image | None = None,
) -> StudyNodes:
    """Put a study and its result into a scene, in the place of what was shown of it before.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study
        The study.
    result
        What came out; without it only sequences and lesions are shown.
    volumes
        Sequence to volume node, where the sequences are in the scene already: they stay as and where they
        are, and the result goes beside them in the subject hierarchy.
    explanations
        Of the study's lesions: saliency maps and sequence weights.
    evidence
        Map that a detector's candidates were found on.

    Returns
    -------
    StudyNodes
    """
    clear_study(scene, study.id, keep=(volumes or {}).values())
    volumes = volumes or _add_sequences(scene, study)
    reference = volumes[study.reference]
    classes = colours = table = text = None
    segmentation = _add_lesions(scene, study, result, reference)
    _add_outlines(scene, study, volumes)
    if result is not None:
        classes, colours = _add_classes(scene, study, result, reference)
        table, text = show_answers(scene, result, reference)
        add_candidates(scene, result, volumes, evidence)
    folder = mrml.folder_item(scene, study.id, beside=reference)
    mrml.file_under(scene, folder, study_nodes(scene, study.id))
    explained = [saliency_of(each, study.lesion_name(each.lesion.lesion_id)) for each in explanations]
    saliency = add_saliency(scene, study.id, explained, reference)
    return StudyNodes(folder, volumes, segmentation, classes, colours, table, text, saliency)


def show_result(scene: Node, study: Study, result: StudyResult, nodes: ChosenNodes) -> StudyNodes:
    """Put a result beside the nodes it came from; the reader's segments stay and take the classes' colours.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study, result
        The study and its result.
    nodes
        What the study was made of.

    Returns
    -------
    StudyNodes
    """
    segmentations, reference = _segmentations(scene, nodes), nodes.anchor
    clear_study(scene, study.id, keep=(*nodes.volumes.values(), *segmentations))
    segmentation = nodes.segmentation or _add_lesions(scene, study, result, reference)
    classes, colours = _add_classes(scene, study, result, reference)
    table, text = show_answers(scene, result, reference)
    folder = mrml.folder_item(scene, study.id, beside=reference)
    mrml.file_under(scene, folder, study_nodes(scene, study.id))
    if nodes.segmentation is not None:
        style_segments(segmentations, result, mrml.segment_labels(nodes.segmentation))
        nodes.segmentation.SetAttribute(attributes.ROLE, attributes.LESIONS)
        mrml.file_under(scene, folder, segmentations)
    return StudyNodes(folder, nodes.volumes, segmentation, classes, colours, table, text)


def show_decisions(scene: Node, result: StudyResult, nodes: ChosenNodes) -> None:
    """Show what readers have decided: table, summary, and the segments where they are still there.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    result
        The result with the decisions.
    nodes
        The study.
    """
    show_answers(scene, result, nodes.volumes.get(result.study.reference))
    if nodes.segmentation is not None:
        style_segments(_segmentations(scene, nodes), result, mrml.segment_labels(nodes.segmentation))


def style_segments(segmentations: Sequence[Node], result: StudyResult, labels: Mapping[str, int]) -> None:
    """Give segments the class that readers decided on, else the model's, as name, colour and term.

    Parameters
    ----------
    segmentations
        Segmentation nodes that hold the same lesions by the same segment IDs.
    result
        The result.
    labels
        Segment ID to lesion.
    """
    answers = {lesion.id: lesion for lesion in result.lesions}
    for node in segmentations:
        for segment_id, label in labels.items():
            segment = node.GetSegmentation().GetSegment(segment_id)
            if segment is not None and label in answers:
                styled = lesion_segment(label, mrml.lesion_name(segment), answers[label], result.answer)
                mrml.style_segment(segment, styled)


def show_answers(scene: Node, result: StudyResult, reference: Node | None) -> tuple[Node, Node]:
    """Put the table of answers and their summary into a scene, in the place of those shown before.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    result
        What came out, with what readers decided.
    reference
        Volume node of the reference sequence: they stand beside it in the subject hierarchy; at its top where
        it is None.

    Returns
    -------
    table, text : Node
    """
    earlier = study_nodes(scene, result.study.id)
    mrml.remove_nodes(
        scene, [node for node in earlier if node.GetAttribute(attributes.ROLE) == attributes.ANSWERS]
    )
    lesions = lesion_table(result)
    table = mrml.add_table(scene, f"{result.study.id} lesions", lesions.columns, lesions.rows)
    text = mrml.add_text(scene, summary_title(result), result_text(result))
    for node in (table, text):
        node.SetAttribute(attributes.STUDY, result.study.id)
        node.SetAttribute(attributes.ROLE, attributes.ANSWERS)
    mrml.file_under(scene, mrml.folder_item(scene, result.study.id, beside=reference), (table, text))
    return table, text


def clear_study(scene: Node, study_id: str, keep: Collection[Node] = ()) -> None:
    """Remove a study's nodes from a scene, apart from some volumes and the transforms that they lie under."""
    kept = {node.GetID() for volume in keep for node in (volume, *mrml.parent_transforms(volume))}
    mrml.remove_nodes(scene, [node for node in study_nodes(scene, study_id) if node.GetID() not in kept])


def arrange_views(scene: Node, study: Study, nodes: StudyNodes) -> None:
    """Show the first lesion in the slice views.

    An explained lesion is shown in the sequence that counted most, its weighted map in the foreground, in the
    slice of the lesion's largest area; any other in the arterial phase, else in the reference.
    """
    reference = nodes.volumes[study.reference]
    for first in nodes.saliency.values():
        mrml.show_in_slice_views(
            scene,
            nodes.volumes[first.shown.strongest],
            mrml.point_in_world(reference, first.shown.place_lps_mm),
            _EXPLAINED_FIELD_OF_VIEW_MM,
            foreground=first.strongest,
            opacity=palette.OPACITY,
        )
        return
    first_look = next((name for name in _FIRST_LOOK if name in nodes.volumes), study.reference)
    centre = mrml.point_in_world(reference, _centre(study))
    mrml.show_in_slice_views(scene, nodes.volumes[first_look], centre, _FIELD_OF_VIEW_MM)


def _segmentations(scene: Node, nodes: ChosenNodes) -> list[Node]:
    """The segmentation of the lesions, then those that were corrected on single sequences."""
    lesions = [] if nodes.segmentation is None else [nodes.segmentation]
    return [*lesions, *outline_nodes(scene, nodes.volumes).values()]


def _add_sequences(scene: Node, study: Study) -> dict[str, Node]:
    volumes = {}
    for name, sequence in study.images.items():
        node = _mark(mrml.add_volume(scene, sequence.image, name), study)
        node.SetAttribute(attributes.SEQUENCE, name)
        if name == study.reference:
            node.SetAttribute(attributes.ROLE, attributes.REFERENCE)
        if sequence.intensity_limits is not None:
            node.SetAttribute(attributes.INTENSITY_LIMITS, " ".join(map(repr, sequence.intensity_limits)))
        if sequence.transform is not None:
            way = f"{name} to {study.reference}"
            transform = _mark(mrml.add_transform(scene, sequence.transform, way), study)
            node.SetAndObserveTransformNodeID(transform.GetID())
        voxels = sitk.GetArrayViewFromImage(sequence.image)
        is_ct = SEQUENCES[name].modality == "CT"
        window = _ABDOMEN_HU if is_ct else window_of(voxels, _WINDOW_PERCENTILES)
        mrml.set_window(node, *window)
        volumes[name] = node
    if study.clinical:
        keep_clinical(study.clinical, volumes[study.reference])
    return volumes


def _add_lesions(scene: Node, study: Study, result: StudyResult | None, reference: Node) -> Node | None:
    if study.lesions is None:
        return None
    answers = {lesion.id: lesion for lesion in result.lesions} if result else {}
    study_answer = result.answer if result else None
    segments = [
        lesion_segment(lesion_id, study.lesion_name(lesion_id), answers.get(lesion_id), study_answer)
        for lesion_id in study.lesion_ids
    ]
    node = mrml.add_segmentation(scene, study.lesions, f"{study.id} lesion segments", segments, reference)
    node.SetAttribute(attributes.ROLE, attributes.LESIONS)
    return _mark(node, study)


def _add_outlines(scene: Node, study: Study, volumes: Mapping[str, Node]) -> None:
    """Segments corrected on single sequences, kept but not shown."""
    for name, outline in study.outlines.items():
        segments = [lesion_segment(lesion_id, study.lesion_name(lesion_id)) for lesion_id in study.lesion_ids]
        title = f"{study.id} segments on {name}"
        node = mrml.add_segmentation(scene, outline, title, segments, volumes[name])
        node.SetAttribute(attributes.ROLE, attributes.OUTLINE)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetDisplayVisibility(False)
        _mark(node, study)


def _add_classes(
    scene: Node, study: Study, result: StudyResult, reference: Node
) -> tuple[Node, Node] | tuple[None, None]:
    image = lesion_classes(study, result)
    if image is None:
        return None, None
    answers = (result.answer, *(lesion.answer for lesion in result.lesions))
    shown = next(answer for answer in answers if answer is not None)
    colours = _mark(mrml.add_colour_table(scene, taxonomy_named(shown.taxonomy)), study)
    node = _mark(mrml.add_volume(scene, image, f"{study.id} lesion classes", labels=True), study)
    node.SetAttribute(attributes.ROLE, attributes.CLASSES)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
    return node, colours


def lesion_segment(
    label: int, name: str, answer: LesionResult | None = None, study_answer: TaskResult | None = None
) -> Segment:
    """How a lesion shows as a segment: in the class that readers decided on, else in the model's.

    Where the model answers for the study, the lesion has the colour of that answer and keeps its name.

    Parameters
    ----------
    label
        Value in the label image.
    name
        The lesion's own name.
    answer
        What came out; None where it has not been asked for.
    study_answer
        The answer for the study as a whole; None where there is none.
    """
    if answer is None:
        return Segment(label, name, _UNCLASSIFIED_COLOUR, lesion=name)
    shown, whose = decided_class(answer), " (reader)"
    if shown is None and answer.answer is not None:
        shown = answer.answer.predicted_class
        whose = " (readers differ)" if answer.reading is not None else ""
    if shown is None and study_answer is not None:
        return Segment(label, name, study_answer.predicted_class.colour, lesion=name)
    if shown is None:
        return Segment(label, f"{name}: not classified", _UNCLASSIFIED_COLOUR, lesion=name)
    return Segment(label, f"{name}: {shown.name}{whose}", shown.colour, shown.code or mrml.LESION, name)


def add_candidate_segments(scene: Node, labels: sitk.Image, result: StudyResult, reference: Node) -> Node:
    """Show the segments that were made of candidates, in the colours of their classes.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    labels
        The segments, in the reference frame.
    result
        With their classes.
    reference
        Volume node of the reference sequence.

    Returns
    -------
    vtkMRMLSegmentationNode
    """
    segments = [lesion_segment(lesion.id, lesion.name, lesion) for lesion in result.lesions]
    node = mrml.add_segmentation(scene, labels, f"{result.study.id} candidates", segments, reference)
    node.SetAttribute(attributes.ROLE, attributes.LESIONS)
    node.SetAttribute(attributes.STUDY, result.study.id)
    return node


def _centre(study: Study) -> tuple[float, float, float]:
    """Centre of the first lesion, else of the reference image, in the reference frame."""
    if study.lesions is not None and study.lesion_ids:
        return lesion_geometry(study.lesions, study.lesion_ids[0]).centroid_lps_mm
    image = study.images[study.reference].image
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _mark(node: Node, study: Study) -> Node:
    node.SetAttribute(attributes.STUDY, study.id)
    return node
