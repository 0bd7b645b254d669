"""Read a study from a Slicer scene (``.mrml``, ``.mrb``, or the scene that Slicer shows)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.errors import StudyError
from LiverLesionAI.finite import NO_PLACE, finite_place, finite_voxels, spans_something, usable_limits
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.pseudonyms import cleaned, study_code
from LiverLesionAI.readers.mask_files import overlap_warning
from LiverLesionAI.readers.masks import Outlined, judged, with_lesions
from LiverLesionAI.readers.segments import lesions_among
from LiverLesionAI.registration import outline_on_sequence
from LiverLesionAI.scenes.clinical import clinical_of
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.outlines import outline_nodes
from LiverLesionAI.sequences import SEQUENCES, sequence_named, usual_reference
from LiverLesionAI.study import SequenceImage, Study, labels_in

_VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


def open_scene(path: Path, reference: str | None = None) -> Study:
    """Read a scene file in this process, which aborts over some that are damaged.

    See :func:`LiverLesionAI.scenes.file.read_scene`.
    """
    try:
        name = study_code(path.stem)
        return study_from_scene(mrml.load_scene(path), name, f"scene {name}{path.suffix}", reference)
    except StudyError as error:
        raise StudyError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None


def study_from_scene(scene: Node, study_id: str, source: str, reference: str | None = None) -> Study:
    """Read all sequences and lesions of a scene.

    Volumes are known as sequences by their names (:func:`LiverLesionAI.sequences.sequence_named`) or by the
    mark of our own writer; others are left out with a warning. The lesions are the segments of the scene's
    segmentation, else its label map.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study_id, source
        As in :class:`~LiverLesionAI.study.Study`; a study of our own writer keeps its identifier.
    reference
        The reference sequence; by default the one that our writer marked, else the one that the lesions were
        outlined on, else T2WI, else the first at hand.

    Raises
    ------
    StudyError
        If no volume means a sequence, two mean the same, or several nodes could be the lesions.
    """
    volumes, unknown = sequence_volumes(scene)
    if not volumes:
        known = ", ".join(SEQUENCES)
        raise StudyError(f"The scene has no volume named after a sequence; rename its volumes ({known}).")
    lesions = _lesions_node(scene)
    reference = reference or _reference(volumes, lesions)
    study = study_from_nodes(study_id, source, volumes, lesions, reference, _marked_outlines(scene))
    marked = volumes[study.reference].GetAttribute(attributes.STUDY)
    left_out = tuple(
        f"Volume {cleaned(name)!r} is named after no sequence and was left out." for name in unknown
    )
    return replace(study, id=marked or study_id, warnings=(*left_out, *study.warnings))


def study_id(reference: Node) -> str:
    """Return the pseudonym of a study by its reference volume: its mark, else the node's number."""
    number = reference.GetID().removeprefix(_VOLUME_CLASS)
    return reference.GetAttribute(attributes.STUDY) or f"study-{number}"


def study_of(scene: Node, nodes: ChosenNodes) -> Study:
    """Make a study of what a reader chose in a scene; segments corrected on single sequences come with it.

    Raises
    ------
    StudyError
        If there is no reference volume, one volume is chosen for several sequences, or the nodes cannot be
        used (see :func:`study_from_nodes`).
    """
    if nodes.repeated:
        raise StudyError(f"One volume is chosen for {' and '.join(nodes.repeated)}; choose each its own.")
    name = study_id(nodes.anchor)
    corrected = {} if nodes.segmentation is None else outline_nodes(scene, nodes.volumes)
    return study_from_nodes(
        name, "Slicer scene", nodes.volumes, nodes.segmentation, nodes.reference, corrected
    )


def study_from_nodes(
    study_id: str,
    source: str,
    volumes: Mapping[str, Node],
    lesions: Node | None,
    reference: str,
    outlines: Mapping[str, Node] = MappingProxyType({}),
) -> Study:
    """Make a study of chosen nodes; all parent transforms are honoured.

    The reference frame is the frame of the reference volume. A volume that is displaced against it by
    transforms gets the way from there to its own frame as its transform.

    Parameters
    ----------
    study_id, source
        As in :class:`~LiverLesionAI.study.Study`.
    volumes
        Sequence to volume node.
    lesions
        Segmentation node (a segment per lesion) or label map node. One that is displaced against the
        reference is resampled on the reference image's grid (nearest neighbour), else its grid is kept.
    reference
        The reference sequence.
    outlines
        Sequence to the segmentation node drawn on it: a segment is the lesion of the same segment ID in
        `lesions`, or of the same label where that is a label map. Lesions that are not outlined there are
        carried over.

    Raises
    ------
    StudyError
        If a volume cannot be used, the reference is not among them, or the lesions are empty or lie outside
        of every volume.
    """
    if reference not in volumes:
        raise StudyError(f"The scene has no {reference}, which was to be the reference sequence.")
    anchor = volumes[reference]
    ordered = sorted(volumes, key=list(SEQUENCES).index)
    images = {name: _sequence_image(volumes[name], anchor) for name in ordered}
    clinical = clinical_of([anchor, *volumes.values()])
    study = Study(study_id, source, images, reference=reference, clinical=clinical)
    if lesions is None:
        return study
    what = f"{cleaned(lesions.GetName())!r} of the scene"
    given = _labels(lesions, anchor, images[reference].image, what)
    study = with_lesions(study, judged(given, what, split=False), what)
    drawn = {name: _outline(study, name, node, volumes[name], lesions) for name, node in outlines.items()}
    return replace(study, outlines=drawn)


def sequence_volumes(scene: Node) -> tuple[dict[str, Node], list[str]]:
    """Find the volumes of a scene that are sequences.

    Returns
    -------
    volumes : dict
        Sequence to volume node.
    others : list of str
        Names of the other volumes.

    Raises
    ------
    StudyError
        If two volumes are the same sequence.
    """
    volumes: dict[str, Node] = {}
    unknown = []
    nodes = mrml.nodes_of(scene, _VOLUME_CLASS)
    for node in sorted(nodes, key=lambda node: node.GetAttribute(attributes.SEQUENCE) is None):
        is_source = node.GetAttribute(attributes.ROLE) in attributes.SOURCES
        if node.IsA("vtkMRMLLabelMapVolumeNode") or not is_source:
            continue
        marked = node.GetAttribute(attributes.SEQUENCE)
        sequence = marked if marked in SEQUENCES else sequence_named(node.GetName())
        if sequence is None:
            unknown.append(node.GetName())
        elif sequence not in volumes:
            volumes[sequence] = node
        elif bool(marked) == bool(volumes[sequence].GetAttribute(attributes.SEQUENCE)):
            first = volumes[sequence].GetName()
            raise StudyError(f"Volumes {first!r} and {node.GetName()!r} are both {sequence}; keep one.")
    return volumes, unknown


def _lesions_node(scene: Node) -> Node | None:
    """The segmentation, else the label map, that holds the lesions."""
    for class_name in ("vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode"):
        nodes = mrml.nodes_of(scene, class_name)
        roles = [node.GetAttribute(attributes.ROLE) for node in nodes]
        ours = [node for node, role in zip(nodes, roles, strict=True) if role == attributes.LESIONS]
        candidates = ours or [node for node, role in zip(nodes, roles, strict=True) if role is None]
        if len(candidates) > 1:
            names = ", ".join(repr(node.GetName()) for node in candidates)
            raise StudyError(f"The lesions could be any of {names}; keep the one that holds them.")
        if candidates:
            return candidates[0]
    return None


def _marked_outlines(scene: Node) -> dict[str, Node]:
    return {
        node.GetAttribute(attributes.SEQUENCE): node
        for node in mrml.nodes_of(scene, "vtkMRMLSegmentationNode")
        if node.GetAttribute(attributes.ROLE) == attributes.OUTLINE
    }


def _reference(volumes: Mapping[str, Node], lesions: Node | None) -> str:
    outlined_on = mrml.reference_volume(lesions) if lesions is not None else None
    for name, node in volumes.items():
        if node.GetAttribute(attributes.ROLE) == attributes.REFERENCE:
            return name
    for name, node in volumes.items():
        if outlined_on is not None and node.GetID() == outlined_on.GetID():
            return name
    return usual_reference(volumes)


def _sequence_image(node: Node, reference: Node) -> SequenceImage:
    image, name = mrml.image_from_volume(node), node.GetName()
    voxels = sitk.GetArrayViewFromImage(image)
    if not finite_voxels(voxels):
        raise StudyError(f"Volume {name!r} of the scene has values that are not numbers (NaN or infinite).")
    if not finite_place(image):
        raise StudyError(f"Volume {name!r} of the scene has {NO_PLACE}; load it again.")
    if not spans_something(voxels.min(), voxels.max()):
        raise StudyError(f"Volume {name!r} of the scene has the same value everywhere; load it again.")
    transform = mrml.transform_between(reference, node)
    limits = node.GetAttribute(attributes.INTENSITY_LIMITS)
    if limits is None:
        return SequenceImage(image, transform)
    try:
        return SequenceImage(image, transform, usable_limits(limits.split()))
    except ValueError:
        raise StudyError(
            f"Volume {name!r} of the scene has intensity limits that span nothing (attribute "
            f"{attributes.INTENSITY_LIMITS}); remove the attribute or load the volume again."
        ) from None


def _outline(study: Study, name: str, node: Node, volume: Node, lesions: Node) -> sitk.Image:
    """Label image of all lesions in a sequence's frame: as drawn there, the others carried over."""
    numbers = mrml.segment_labels(lesions) if lesions.IsA("vtkMRMLSegmentationNode") else None
    image = mrml.labels_from_segmentation(node, numbers).image
    displacement = mrml.transform_between(volume, node)
    if displacement is not None:
        image = sitk.Resample(image, study.images[name].image, displacement, sitk.sitkNearestNeighbor)
    drawn = sitk.Cast(image, sitk.sitkUInt16)
    missing = sorted(set(study.lesion_ids) - set(labels_in(drawn)))
    if not missing:
        return drawn
    others = sitk.ChangeLabel(study.outlined_lesions, {label: 0 for label in labels_in(drawn)})
    carried = outline_on_sequence(others, replace(study.images[name], image=drawn))
    return sitk.Add(drawn, sitk.Mask(carried, drawn == 0))


def _labels(node: Node, anchor: Node, grid: sitk.Image, what: str) -> Outlined:
    """The lesions of a node in the frame of `anchor`."""
    names: Mapping[int, str] = {}
    warnings: tuple[str, ...] = ()
    if node.IsA("vtkMRMLSegmentationNode"):
        segmented, warnings = _segmented(node, what)
        image, names = segmented.image, segmented.names
        if segmented.overlap:
            warnings = (*warnings, overlap_warning(what))
    else:
        image = mrml.image_from_volume(node)
    displacement = mrml.transform_between(anchor, node)
    if displacement is not None:
        image = sitk.Resample(image, grid, displacement, sitk.sitkNearestNeighbor)
    given = {label: name for label, name in names.items() if name != f"lesion {label}"}
    return Outlined(sitk.Cast(image, sitk.sitkUInt16), given, warnings)


def _segmented(node: Node, what: str) -> tuple[mrml.SegmentedLabels, tuple[str, ...]]:
    """The segments that are lesions as labels, and warnings about the others."""
    described = mrml.described_segments(node)
    if not described:
        return mrml.labels_from_segmentation(node), ()
    chosen, warnings = lesions_among(described, what)
    numbers = {segment.number for segment in chosen}
    labels = {key: label for key, label in mrml.segment_labels(node).items() if label in numbers}
    return mrml.labels_from_segmentation(node, labels), warnings
