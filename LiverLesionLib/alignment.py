"""The alignment of sequences as transform nodes: what a registration found, and nudges by hand above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import slicer

if TYPE_CHECKING:
    import SimpleITK as sitk

    from LiverLesionAI.mrml import Nudge


def own_transforms(volume: Any) -> list[Any]:
    """Return the transform nodes of ours that a volume lies under, the nearest first."""
    from LiverLesionAI.mrml import attributes

    found, node = [], volume.GetParentTransformNode()
    while node is not None and _role(node) in (attributes.REGISTRATION, attributes.NUDGE):
        found.append(node)
        node = node.GetParentTransformNode()
    return found


def aligned_sequences(volumes: Mapping[str, Any]) -> list[str]:
    """Return the sequences that lie under a transform of ours."""
    return [name for name, volume in volumes.items() if own_transforms(volume)]


def add_alignment(
    volumes: Mapping[str, Any],
    reference: str,
    transforms: Mapping[str, sitk.Transform],
    reports: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put sequences under the transforms that were found, in the place of earlier ones.

    Parameters
    ----------
    volumes
        Sequence to volume node.
    reference
        The reference sequence.
    transforms
        Sequence to its transform, points of the reference frame to the sequence, LPS mm.
    reports
        Sequence to the fields of its :class:`LiverLesionAI.results.SequenceRegistration`. Sequences that came
        with a transform of their own (``"given"``) stay under it.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    remove_alignment(volumes)
    outer = volumes[reference].GetTransformNodeID()
    for name, transform in transforms.items():
        if name not in volumes or reports[name]["transform"] == "given":
            continue
        node = mrml.add_transform(slicer.mrmlScene, transform, f"{name} to {reference}")
        node.SetAttribute(attributes.ROLE, attributes.REGISTRATION)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetAttribute(attributes.AGREEMENT, _agreement(reports[name]))
        node.SetAndObserveTransformNodeID(outer)
        _place(volumes[name], node.GetID())


def remove_alignment(volumes: Mapping[str, Any]) -> None:
    """Take volumes out of all transforms of ours, back to where they lay before."""
    from LiverLesionAI import mrml

    for volume in volumes.values():
        nodes = own_transforms(volume)
        if nodes:
            _place(volume, nodes[-1].GetTransformNodeID())
            mrml.remove_nodes(slicer.mrmlScene, nodes)


def agreement(volume: Any) -> tuple[str, float | None, float | None] | None:
    """Return a registration's last stage, and the agreement before and after; None without one."""
    from LiverLesionAI.mrml import attributes

    node = _own(volume, attributes.REGISTRATION)
    if node is None:
        return None
    stage, *numbers = (node.GetAttribute(attributes.AGREEMENT) or "").split()
    before, after = map(float, numbers) if len(numbers) == 2 else (None, None)
    return stage, before, after


def nudge_of(volume: Any) -> Nudge:
    """Return how a volume was moved by hand."""
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    node = _own(volume, attributes.NUDGE)
    return mrml.Nudge() if node is None else mrml.read_nudge(node)


def set_nudge(volume: Any, sequence: str, nudge: Nudge, centre_lps_mm: tuple[float, float, float]) -> None:
    """Move a volume by hand, on top of its registration if it has one.

    Parameters
    ----------
    volume
        Volume node.
    sequence
        The sequence that it is.
    nudge
        In the place of an earlier nudge; none at all takes the nudge away.
    centre_lps_mm
        Point of the world that a first nudge turns about.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    node = _own(volume, attributes.NUDGE)
    if nudge != mrml.Nudge():
        mrml.write_nudge(node or _add_nudge_node(volume, sequence, centre_lps_mm), nudge)
    elif node is not None:
        _place_registered(volume, node.GetTransformNodeID())
        mrml.remove_nodes(slicer.mrmlScene, [node])


def _add_nudge_node(volume: Any, sequence: str, centre_lps_mm: tuple[float, float, float]) -> Any:
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    node = mrml.add_node(slicer.mrmlScene, "vtkMRMLLinearTransformNode", f"{sequence} nudge")
    node.AddDefaultStorageNode()
    node.SetAttribute(attributes.ROLE, attributes.NUDGE)
    node.SetAttribute(attributes.SEQUENCE, sequence)
    mrml.set_nudge_centre(node, centre_lps_mm)
    registration = _own(volume, attributes.REGISTRATION)
    node.SetAndObserveTransformNodeID((registration or volume).GetTransformNodeID())
    _place_registered(volume, node.GetID())
    return node


def _place_registered(volume: Any, transform_id: str | None) -> None:
    """Put a volume, with its registration where it has one, under a transform node."""
    from LiverLesionAI.mrml import attributes

    registration = _own(volume, attributes.REGISTRATION)
    if registration is None:
        _place(volume, transform_id)
    else:
        registration.SetAndObserveTransformNodeID(transform_id)


def _place(volume: Any, transform_id: str | None) -> None:
    """Put a volume under a transform node, and what is outlined on it with it."""
    from LiverLesionLib.outlines import outlines_on

    for node in (volume, *outlines_on(volume)):
        node.SetAndObserveTransformNodeID(transform_id)


def _own(volume: Any, role: str) -> Any:
    """The transform node of ours with a role above a volume; None where there is none."""
    return next((node for node in own_transforms(volume) if _role(node) == role), None)


def _role(node: Any) -> str | None:
    from LiverLesionAI.mrml import attributes

    return node.GetAttribute(attributes.ROLE)


def _agreement(report: Mapping[str, Any]) -> str:
    numbers = (report["metric_before"], report["metric_after"])
    return " ".join(
        [str(report["transform"]), *(f"{number:.4f}" for number in numbers if number is not None)]
    )
