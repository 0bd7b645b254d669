"""The result of a study as Slicer shows it: MRML nodes, in Slicer's scene or as ``scene.mrb``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.decisions import decided_class, in_words
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.mrml import Node, Segment, attributes
from LiverLesionAI.results import PHANTOM_NOTICE, LesionResult, StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named
from LiverLesionAI.writers.tables import lesion_table
from LiverLesionAI.writers.volumes import lesion_classes

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.scenes.saliency import SaliencyNodes

_FIRST_LOOK = ("LAP", "CT_ART")
_UNCLASSIFIED_COLOUR = (153, 153, 153)
_FIELD_OF_VIEW_MM = 250.0
_EXPLAINED_FIELD_OF_VIEW_MM = 150.0
_SALIENCY_OPACITY = 0.5
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
    study: Study, result: StudyResult, path: Path, explanations: Sequence[LesionExplanation] = ()
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
        nodes = show_study(scene, study, result, explanations=explanations)
        arrange_views(scene, study, nodes)
    mrml.save_scene(scene, path)
    return path


def show_study(
    scene: Node,
    study: Study,
    result: StudyResult | None = None,
    volumes: Mapping[str, Node] | None = None,
    explanations: Sequence[LesionExplanation] = (),
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
    saliency = _add_saliency(scene, study, explanations, reference)
    folder = mrml.folder_item(scene, study.id, beside=reference)
    mrml.file_under(scene, folder, study_nodes(scene, study.id))
    for lesion_id, nodes in saliency.items():
        title = f"{study.lesion_name(lesion_id)}: why"
        mrml.file_under(scene, mrml.subfolder_item(scene, folder, title), nodes.nodes)
    return StudyNodes(folder, volumes, segmentation, classes, colours, table, text, saliency)


def show_answers(scene: Node, result: StudyResult, reference: Node) -> tuple[Node, Node]:
    """Put the table of answers and their summary into a scene, in the place of those shown before.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    result
        What came out, with what readers decided.
    reference
        Volume node of the reference sequence: they stand beside it in the subject hierarchy.

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
    text = mrml.add_text(scene, _title(result), result_text(result))
    for node in (table, text):
        node.SetAttribute(attributes.STUDY, result.study.id)
        node.SetAttribute(attributes.ROLE, attributes.ANSWERS)
    mrml.file_under(scene, mrml.folder_item(scene, result.study.id, beside=reference), (table, text))
    return table, text


def study_nodes(scene: Node, study_id: str) -> list[Node]:
    """All nodes of ours that belong to a study."""
    nodes = mrml.nodes_of(scene, "vtkMRMLNode")
    return [node for node in nodes if node.GetAttribute(attributes.STUDY) == study_id]


def clear_study(scene: Node, study_id: str, keep: Collection[Node] = ()) -> None:
    """Remove a study's nodes from a scene, apart from some volumes and the transforms that they lie under."""
    kept = {node.GetID() for volume in keep for node in (volume, *mrml.parent_transforms(volume))}
    mrml.remove_nodes(scene, [node for node in study_nodes(scene, study_id) if node.GetID() not in kept])


def arrange_views(scene: Node, study: Study, nodes: StudyNodes) -> None:
    """Show the first lesion in the slice views.

    An explained lesion is shown in the sequence that counted most, its saliency map in the foreground, in the
    slice of the lesion's largest area; any other in the arterial phase, else in the reference.
    """
    reference = nodes.volumes[study.reference]
    for first in nodes.saliency.values():
        why = first.explanation
        mrml.show_in_slice_views(
            scene,
            nodes.volumes[why.strongest],
            mrml.point_in_world(reference, why.slice_centre_lps_mm(why.largest_slice)),
            _EXPLAINED_FIELD_OF_VIEW_MM,
            foreground=first.strongest,
            opacity=_SALIENCY_OPACITY,
        )
        return
    first_look = next((name for name in _FIRST_LOOK if name in nodes.volumes), study.reference)
    centre = mrml.point_in_world(reference, _centre(study))
    mrml.show_in_slice_views(scene, nodes.volumes[first_look], centre, _FIELD_OF_VIEW_MM)


def result_text(result: StudyResult) -> str:
    """What came out, in words: a line a lesion, with the notice and all warnings."""
    lines = [f"Study {result.study.id}: {', '.join(result.study.sequences)}"]
    if result.study.missing:
        lines.append(f"Missing: {', '.join(result.study.missing)}")
    lines += [f"Model {model.name} {model.version}, {model.members} members" for model in result.models]
    if result.is_phantom_trained:
        lines.append(f"{PHANTOM_NOTICE.capitalize()}.")
    lines += [_lesion_line(lesion) for lesion in result.lesions]
    lines += [f"Warning: {warning}" for warning in result.warnings]
    lines += [f"Warning, {each.name}: {warning}" for each in result.lesions for warning in each.warnings]
    return "\n".join(lines) + "\n"


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
        mrml.set_window(node, *np.percentile(voxels, _WINDOW_PERCENTILES).tolist())
        volumes[name] = node
    return volumes


def _add_lesions(scene: Node, study: Study, result: StudyResult | None, reference: Node) -> Node | None:
    if study.lesions is None:
        return None
    answers = {lesion.id: lesion for lesion in result.lesions} if result else {}
    segments = [
        lesion_segment(lesion_id, study.lesion_name(lesion_id), answers.get(lesion_id))
        for lesion_id in study.lesion_ids
    ]
    node = mrml.add_segmentation(scene, study.lesions, f"{study.id} lesion outlines", segments, reference)
    node.SetAttribute(attributes.ROLE, attributes.LESIONS)
    return _mark(node, study)


def _add_outlines(scene: Node, study: Study, volumes: Mapping[str, Node]) -> None:
    """Outlines drawn on single sequences, kept but not shown."""
    for name, outline in study.outlines.items():
        segments = [lesion_segment(lesion_id, study.lesion_name(lesion_id)) for lesion_id in study.lesion_ids]
        title = f"{study.id} outlines on {name}"
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


def _add_saliency(
    scene: Node, study: Study, explanations: Sequence[LesionExplanation], reference: Node
) -> Mapping[int, SaliencyNodes]:
    if not explanations:
        return {}
    from LiverLesionAI.scenes.saliency import add_saliency

    return add_saliency(scene, study, explanations, reference)


def lesion_segment(label: int, name: str, answer: LesionResult | None = None) -> Segment:
    """How a lesion shows as a segment: in the class that readers decided on, else in the model's.

    Parameters
    ----------
    label
        Value in the label image.
    name
        The lesion's own name.
    answer
        What came out; None where it has not been asked for.
    """
    if answer is None:
        return Segment(label, name, _UNCLASSIFIED_COLOUR, lesion=name)
    shown, whose = decided_class(answer), " (reader)"
    if shown is None and answer.answer is not None:
        shown = answer.answer.predicted_class
        whose = " (readers differ)" if answer.reading is not None else ""
    if shown is None:
        return Segment(label, f"{name}: not classified", _UNCLASSIFIED_COLOUR, lesion=name)
    return Segment(label, f"{name}: {shown.name}{whose}", shown.colour, shown.code or mrml.LESION, name)


def _lesion_line(lesion: LesionResult) -> str:
    tasks = lesion.tasks.values()
    answers = [f"{task.predicted} ({task.probabilities[task.predicted]:.2f})" for task in tasks]
    line = f"{lesion.name}, {lesion.diameter_mm:.0f} mm: {', '.join(answers) or 'not classified'}"
    return f"{line}; {in_words(lesion.reading)}" if lesion.reading is not None else line


def _title(result: StudyResult) -> str:
    """Name of the text node; short and plain, for it names a file too."""
    notice = " (not for clinical use)" if result.is_phantom_trained else ""
    return f"{result.study.id} summary{notice}"


def _centre(study: Study) -> tuple[float, float, float]:
    """Centre of the first lesion, else of the reference image, in the reference frame."""
    if study.lesions is not None and study.lesion_ids:
        return lesion_geometry(study.lesions, study.lesion_ids[0]).centroid_lps_mm
    image = study.images[study.reference].image
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _mark(node: Node, study: Study) -> Node:
    node.SetAttribute(attributes.STUDY, study.id)
    return node
