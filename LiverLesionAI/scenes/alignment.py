"""The alignment of sequences as transform nodes: what a registration found, and manual offsets above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.mrml import ManualOffset, Node, attributes
from LiverLesionAI.results import SequenceRegistration
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.outlines import outlines_on

_OWN_ROLES = (attributes.REGISTRATION, attributes.MANUAL_OFFSET)


def own_transforms(volume: Node) -> list[Node]:
    """Return the transform nodes of ours that a volume lies under, the nearest first."""
    found = []
    for node in mrml.parent_transforms(volume):
        if node.GetAttribute(attributes.ROLE) not in _OWN_ROLES:
            break
        found.append(node)
    return found


def aligned_sequences(volumes: Mapping[str, Node]) -> list[str]:
    """Return the sequences that lie under a transform of ours."""
    return [name for name, volume in volumes.items() if own_transforms(volume)]


def add_alignment(
    scene: Node,
    nodes: ChosenNodes,
    transforms: Mapping[str, sitk.Transform],
    reports: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put sequences under the transforms that were found, in the place of earlier ones.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    nodes
        The study.
    transforms
        Sequence to its transform, points of the reference frame to the sequence, LPS mm.
    reports
        Sequence to the fields of its :class:`LiverLesionAI.results.SequenceRegistration`. Sequences that came
        with a transform of their own (``"given"``) stay under it.
    """
    remove_alignment(scene, nodes.volumes)
    outer = nodes.anchor.GetTransformNodeID()
    for name, transform in transforms.items():
        if name not in nodes.volumes or reports[name]["transform"] == "given":
            continue
        node = mrml.add_transform(scene, transform, f"{name} to {nodes.reference}")
        node.SetAttribute(attributes.ROLE, attributes.REGISTRATION)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetAttribute(attributes.SIMILARITY, _similarity_text(reports[name]))
        node.SetAndObserveTransformNodeID(outer)
        _place(scene, nodes.volumes[name], node.GetID())


def remove_alignment(scene: Node, volumes: Mapping[str, Node]) -> None:
    """Take volumes out of all transforms of ours, back to where they lay before."""
    for volume in volumes.values():
        nodes = own_transforms(volume)
        if nodes:
            _place(scene, volume, nodes[-1].GetTransformNodeID())
            mrml.remove_nodes(scene, nodes)


def registration_of(volume: Node) -> SequenceRegistration | None:
    """Return how a volume was registered: the last stage, and the similarity before and after."""
    node = _own(volume, attributes.REGISTRATION)
    if node is None:
        return None
    stage, *numbers = (node.GetAttribute(attributes.SIMILARITY) or "").split()
    before, after = map(float, numbers) if len(numbers) == 2 else (None, None)
    return SequenceRegistration(stage, before, after)


def registrations(volumes: Mapping[str, Node]) -> dict[str, SequenceRegistration]:
    """Return how each sequence was registered; those that were not are left out."""
    found = {name: registration_of(volume) for name, volume in volumes.items()}
    return {name: report for name, report in found.items() if report is not None}


def manual_offset_of(volume: Node) -> ManualOffset:
    """Return how a volume was moved by hand."""
    node = _own(volume, attributes.MANUAL_OFFSET)
    return ManualOffset() if node is None else mrml.read_manual_offset(node)


def set_manual_offset(
    scene: Node, volume: Node, sequence: str, offset: ManualOffset, centre_lps_mm: tuple[float, float, float]
) -> None:
    """Move a volume by hand, on top of its registration if it has one.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    volume
        Volume node.
    sequence
        The sequence that it is.
    offset
        In the place of an earlier one; none at all takes the volume back.
    centre_lps_mm
        Point of the world that a first offset turns about.
    """
    node = _own(volume, attributes.MANUAL_OFFSET)
    if offset != ManualOffset():
        node = node or _add_offset_node(scene, volume, sequence, centre_lps_mm)
        mrml.write_manual_offset(node, offset)
    elif node is not None:
        _place_registered(scene, volume, node.GetTransformNodeID())
        mrml.remove_nodes(scene, [node])


def _add_offset_node(
    scene: Node, volume: Node, sequence: str, centre_lps_mm: tuple[float, float, float]
) -> Node:
    node = mrml.add_node(scene, "vtkMRMLLinearTransformNode", f"{sequence} manual offset")
    node.AddDefaultStorageNode()
    node.SetAttribute(attributes.ROLE, attributes.MANUAL_OFFSET)
    node.SetAttribute(attributes.SEQUENCE, sequence)
    mrml.set_offset_centre(node, centre_lps_mm)
    registration = _own(volume, attributes.REGISTRATION)
    node.SetAndObserveTransformNodeID((registration or volume).GetTransformNodeID())
    _place_registered(scene, volume, node.GetID())
    return node


def _place_registered(scene: Node, volume: Node, transform_id: str | None) -> None:
    """Put a volume, with its registration where it has one, under a transform node."""
    registration = _own(volume, attributes.REGISTRATION)
    if registration is None:
        _place(scene, volume, transform_id)
    else:
        registration.SetAndObserveTransformNodeID(transform_id)


def _place(scene: Node, volume: Node, transform_id: str | None) -> None:
    """Put a volume under a transform node, and the segments corrected on it with it."""
    for node in (volume, *outlines_on(scene, volume)):
        node.SetAndObserveTransformNodeID(transform_id)


def _own(volume: Node, role: str) -> Node | None:
    """The transform node of ours with a role above a volume; None where there is none."""
    return next((node for node in own_transforms(volume) if node.GetAttribute(attributes.ROLE) == role), None)


def _similarity_text(report: Mapping[str, Any]) -> str:
    numbers = (report["metric_before"], report["metric_after"])
    return " ".join(
        [str(report["transform"]), *(f"{number:.4f}" for number in numbers if number is not None)]
    )
