"""Segments that a reader corrects on single sequences: a segmentation each, a segment per lesion."""

from __future__ import annotations

from collections.abc import Mapping

from LiverLesionAI import mrml
from LiverLesionAI.errors import StudyError
from LiverLesionAI.mrml import Node, Segment, attributes
from LiverLesionAI.registration import outline_on_sequence
from LiverLesionAI.scenes.words import Translate, in_english
from LiverLesionAI.study import Study, labels_in


def outlines_on(scene: Node, volume: Node) -> list[Node]:
    """Return the segmentation nodes that were corrected on a volume: none or one."""
    return [
        node
        for node in mrml.nodes_of(scene, "vtkMRMLSegmentationNode")
        if node.GetAttribute(attributes.ROLE) == attributes.OUTLINE and mrml.reference_volume(node) is volume
    ]


def outline_nodes(scene: Node, volumes: Mapping[str, Node]) -> dict[str, Node]:
    """Return sequence to the segmentation node that was corrected on it, for those that have one."""
    found = {name: outlines_on(scene, volume) for name, volume in volumes.items()}
    return {name: nodes[0] for name, nodes in found.items() if nodes}


def add_outlines(
    scene: Node,
    study: Study,
    sequence: str,
    volume: Node,
    segmentation: Node,
    translate: Translate = in_english,
) -> Node:
    """Carry all lesions to a sequence's own grid, to be corrected there.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study
        The study with its lesions.
    sequence
        The sequence to carry them to, through its alignment.
    volume
        Its volume node.
    segmentation
        Segmentation node of the lesions; the new segments share its segment IDs, names and colours.
    translate
        For the node's name.

    Returns
    -------
    vtkMRMLSegmentationNode

    Raises
    ------
    StudyError
        If a lesion lies outside of the sequence's field of view.
    """
    outline = outline_on_sequence(study.outlined_lesions, study.images[sequence])
    outside = sorted(set(study.lesion_ids) - set(labels_in(outline)))
    if outside:
        names = ", ".join(map(study.lesion_name, outside))
        raise StudyError(f"{sequence} does not cover {names}; segments cannot be corrected there.")
    segments = [
        _segment(segmentation.GetSegmentation(), segment_id, label)
        for segment_id, label in mrml.segment_labels(segmentation).items()
        if label in study.lesion_ids
    ]
    title = translate("Lesions on {sequence}").format(sequence=sequence)
    node = mrml.add_segmentation(scene, outline, title, segments, volume)
    node.SetAttribute(attributes.ROLE, attributes.OUTLINE)
    node.SetAttribute(attributes.SEQUENCE, sequence)
    return node


def _segment(segmentation: Node, segment_id: str, label: int) -> Segment:
    segment = segmentation.GetSegment(segment_id)
    return Segment(label, segment.GetName(), mrml.segment_colour(segment), segment_id=segment_id)
