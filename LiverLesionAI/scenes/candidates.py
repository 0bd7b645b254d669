"""A detector's candidates as MRML nodes: a list of points, and the map that they were found on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.explanation import palette
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.results import PHANTOM_NOTICE, Candidate, StudyResult
from LiverLesionAI.scenes.nodes import study_nodes

_COLOURS = 256
_HIGHEST_PERCENTILE = 99.9


def add_candidates(
    scene: Node, result: StudyResult, volumes: Mapping[str, Node], evidence: sitk.Image | None = None
) -> tuple[Node | None, Node | None]:
    """Show candidates, numbered by rank, and their map where it is at hand.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    result
        With its candidates; of one without, nothing is shown but the map.
    volumes
        Sequence to volume node.
    evidence
        The map, in the frame of the series.

    Returns
    -------
    points, overlay : Node or None
    """
    points = _points(scene, result, volumes[result.study.reference]) if result.candidates else None
    overlay = None
    if evidence is not None:
        series = result.provenance.parameters["detection"]["sequence"]
        overlay = _overlay(scene, result, evidence, volumes[series])
    return points, overlay


def clear_candidates(scene: Node, study_id: str) -> None:
    """Remove a study's candidates and their map."""
    roles = (attributes.CANDIDATES, attributes.EVIDENCE)
    nodes = [node for node in study_nodes(scene, study_id) if node.GetAttribute(attributes.ROLE) in roles]
    mrml.remove_nodes(scene, nodes)


def candidate_label(candidate: Candidate) -> str:
    """A candidate in the views: rank and probability."""
    return f"{candidate.rank}: HCC {candidate.probability:.2f}"


def _points(scene: Node, result: StudyResult, reference: Node) -> Node:
    notice = f" ({PHANTOM_NOTICE})" if result.is_phantom_trained else ""
    node = mrml.add_points(
        scene,
        f"{result.study.id} candidates{notice}",
        [each.centre_lps_mm for each in result.candidates],
        [candidate_label(each) for each in result.candidates],
        [
            f"{each.sequence}, slices {each.slices[0] + 1} to {each.slices[1] + 1}"
            for each in result.candidates
        ],
    )
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.SetAttribute(attributes.ROLE, attributes.CANDIDATES)
    node.SetAttribute(attributes.STUDY, result.study.id)
    return node


def _overlay(scene: Node, result: StudyResult, evidence: sitk.Image, series: Node) -> Node:
    voxels = sitk.GetArrayViewFromImage(evidence)
    upper = max(float(np.percentile(voxels, _HIGHEST_PERCENTILE)), 1.0)
    scale = mrml.add_colour_scale(
        scene, f"{result.study.id} evidence colours", palette.colours(np.linspace(0, 1, _COLOURS)).tolist()
    )
    node = mrml.add_overlay(
        scene, evidence, f"{result.study.id} evidence of HCC", scale, palette.CUT * upper, upper
    )
    node.SetAndObserveTransformNodeID(series.GetTransformNodeID())
    for each in (scale, node):
        each.SetAttribute(attributes.STUDY, result.study.id)
        each.SetAttribute(attributes.ROLE, attributes.EVIDENCE)
    return node
