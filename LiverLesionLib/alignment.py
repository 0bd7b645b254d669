"""The alignment of sequences as transform nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer

_ROLE = "registration"


def own_transform(node: Any) -> Any:
    """Return the transform node that the panel put a volume under; None where there is none."""
    from LiverLesionAI.mrml import attributes

    parent = node.GetParentTransformNode()
    return parent if parent is not None and parent.GetAttribute(attributes.ROLE) == _ROLE else None


def add_alignment(volumes: Mapping[str, Any], reference: str, files: Mapping[str, str]) -> None:
    """Put sequences under the transforms that were found, in the place of earlier ones.

    Parameters
    ----------
    volumes
        Sequence to volume node.
    reference
        The reference sequence.
    files
        Sequence to a ``.tfm`` file that maps points of the reference frame to the sequence, LPS mm.
    """
    import SimpleITK as sitk

    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    remove_alignment(volumes)
    outer = volumes[reference].GetTransformNodeID()
    for name, file in files.items():
        if name not in volumes or not Path(file).is_file():
            continue
        node = mrml.add_transform(slicer.mrmlScene, sitk.ReadTransform(file), f"{name} to {reference}")
        node.SetAttribute(attributes.ROLE, _ROLE)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetAndObserveTransformNodeID(outer)
        volumes[name].SetAndObserveTransformNodeID(node.GetID())


def remove_alignment(volumes: Mapping[str, Any]) -> None:
    """Take volumes out of the panel's transforms, back to where they lay before."""
    from LiverLesionAI import mrml

    for volume in volumes.values():
        node = own_transform(volume)
        if node is not None:
            volume.SetAndObserveTransformNodeID(node.GetTransformNodeID())
            mrml.remove_nodes(slicer.mrmlScene, [node])
