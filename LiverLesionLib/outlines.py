"""Outlines that a reader corrects on single sequences: a segmentation each, a segment for each lesion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from LiverLesionAI.study import Study


def outlines_on(volume: Any) -> list[Any]:
    """Return the segmentation nodes that hold a volume's own outlines: none or one."""
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    return [
        node
        for node in mrml.nodes_of(slicer.mrmlScene, "vtkMRMLSegmentationNode")
        if node.GetAttribute(attributes.ROLE) == attributes.OUTLINE and mrml.reference_volume(node) is volume
    ]


def outline_nodes(volumes: Mapping[str, Any]) -> dict[str, Any]:
    """Return sequence to the segmentation node of its own outlines, for those that have one."""
    found = {name: outlines_on(volume) for name, volume in volumes.items()}
    return {name: nodes[0] for name, nodes in found.items() if nodes}


def add_outlines(study: Study, sequence: str, volume: Any, segmentation: Any) -> Any:
    """Carry all lesions to a sequence's own grid, to be corrected there.

    Parameters
    ----------
    study
        The study with its lesions.
    sequence
        The sequence to carry them to, through its alignment.
    volume
        Its volume node.
    segmentation
        Segmentation node of the lesions; the new segments share its segment IDs, names and colours.

    Returns
    -------
    vtkMRMLSegmentationNode

    Raises
    ------
    StudyError
        If a lesion lies outside of the sequence's field of view.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.mrml import attributes
    from LiverLesionAI.registration import outline_on_sequence
    from LiverLesionAI.study import labels_in

    outline = outline_on_sequence(study.outlined_lesions, study.images[sequence])
    outside = sorted(set(study.lesion_ids) - set(labels_in(outline)))
    if outside:
        names = ", ".join(map(study.lesion_name, outside))
        raise StudyError(f"{sequence} does not cover {names}; outlines cannot be corrected there.")
    segments = [
        _segment(segmentation.GetSegmentation(), segment_id, label)
        for segment_id, label in mrml.segment_labels(segmentation).items()
        if label in study.lesion_ids
    ]
    title = _("Lesions on {sequence}").format(sequence=sequence)
    node = mrml.add_segmentation(slicer.mrmlScene, outline, title, segments, volume)
    node.SetAttribute(attributes.ROLE, attributes.OUTLINE)
    node.SetAttribute(attributes.SEQUENCE, sequence)
    return node


def _segment(segmentation: Any, segment_id: str, label: int) -> Any:
    from LiverLesionAI.mrml import Segment

    segment = segmentation.GetSegment(segment_id)
    red, green, blue = (round(255 * value) for value in segment.GetColor())
    return Segment(label, segment.GetName(), (red, green, blue), segment_id=segment_id)
