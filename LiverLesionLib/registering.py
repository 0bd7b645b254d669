"""Registration on nodes: in the console's thread, and the registered volumes for looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.alignment import add_alignment, aligned_sequences, own_transforms
from LiverLesionLib.scene_study import study_of

if TYPE_CHECKING:
    from LiverLesionAI.progress import Progress


def register_volumes(
    volumes: Mapping[str, Any],
    reference: str,
    segmentation: Any = None,
    *,
    transform: str = "bspline",
    scope: str = "volume",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Register volumes to one of them and put them under the transforms found; waits until it is done.

    Parameters
    ----------
    volumes
        Sequence to volume node. Earlier alignments of ours are replaced.
    reference
        The sequence that the others are registered to.
    segmentation
        Segmentation node of the lesions; needed for scope ``"lesion"``.
    transform
        The last stage: ``"rigid"``, ``"affine"`` or ``"bspline"``.
    scope
        ``"lesion"``: only around the lesions. ``"volume"``: the whole reference image.
    progress
        Told ``"register <SEQ>"`` and a fraction; by raising it cancels.

    Returns
    -------
    dict
        Sequence to transform node.

    Raises
    ------
    StudyError
        If the volumes cannot be used, or there are no lesions for scope ``"lesion"``.
    """
    from LiverLesionAI.progress import silent
    from LiverLesionAI.registration import register_study

    study = without_alignment(study_of(volumes, segmentation, reference), volumes)
    registered = register_study(study, transform=transform, scope=scope, progress=progress or silent)
    images = registered.study.images.items()
    transforms = {name: image.transform for name, image in images if image.transform is not None}
    reports = {name: asdict(report) for name, report in registered.sequences.items()}
    add_alignment(volumes, reference, transforms, reports)
    return {name: own_transforms(volumes[name])[0] for name in aligned_sequences(volumes)}


def without_alignment(study: Any, volumes: Mapping[str, Any]) -> Any:
    """Return a study as it was before we aligned it; transforms of the reader's own stay."""
    from dataclasses import replace

    own = aligned_sequences(volumes)
    images = {n: replace(image, transform=None) if n in own else image for n, image in study.images.items()}
    return replace(study, images=images)


def add_registered_volumes(volumes: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Resample every sequence on the reference's grid, in the place of earlier ones; for looking.

    Returns
    -------
    dict
        Sequence to volume node, ``<SEQ> registered``.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes
    from LiverLesionAI.writers.volumes import registered

    study = study_of(volumes, None, reference)
    made = {}
    for name, volume in volumes.items():
        if name == reference:
            continue
        mrml.remove_nodes(slicer.mrmlScene, _registered_before(volume))
        title = _("{sequence} registered").format(sequence=name)
        node = mrml.add_volume(slicer.mrmlScene, registered(study, name), title)
        node.SetAttribute(attributes.ROLE, attributes.RESAMPLED)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetNodeReferenceID(attributes.RESAMPLED, volume.GetID())
        node.SetAndObserveTransformNodeID(volumes[reference].GetTransformNodeID())
        display = volume.GetDisplayNode()
        mrml.set_window(node, display.GetWindowLevelMin(), display.GetWindowLevelMax())
        made[name] = node
    return made


def _registered_before(volume: Any) -> list[Any]:
    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    nodes = mrml.nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetNodeReference(attributes.RESAMPLED) is volume]
