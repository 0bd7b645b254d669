"""Registration on nodes: waiting until it is done, and the registered volumes for looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from LiverLesionAI import mrml
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.registration import LastStage, Scope, register_study
from LiverLesionAI.scenes.alignment import add_alignment, aligned_sequences, own_transforms
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.read import study_of
from LiverLesionAI.scenes.words import Translate, in_english
from LiverLesionAI.study import Study
from LiverLesionAI.writers.volumes import registered


def register_volumes(
    scene: Node,
    nodes: ChosenNodes,
    *,
    transform: LastStage = "bspline",
    scope: Scope = "volume",
    progress: Progress = silent,
) -> dict[str, Node]:
    """Register volumes to one of them and put them under the transforms found; waits until it is done.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    nodes
        The study; earlier alignments of ours are replaced. Scope ``"lesion"`` needs its segmentation.
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
    study = without_alignment(study_of(scene, nodes), nodes.volumes)
    done = register_study(study, transform=transform, scope=scope, progress=progress)
    images = done.study.images.items()
    transforms = {name: image.transform for name, image in images if image.transform is not None}
    reports = {name: asdict(report) for name, report in done.sequences.items()}
    add_alignment(scene, nodes, transforms, reports)
    return {name: own_transforms(nodes.volumes[name])[0] for name in aligned_sequences(nodes.volumes)}


def without_alignment(study: Study, volumes: Mapping[str, Node]) -> Study:
    """Return a study as it was before we aligned it; transforms of the reader's own stay."""
    own = aligned_sequences(volumes)
    images = {n: replace(image, transform=None) if n in own else image for n, image in study.images.items()}
    return replace(study, images=images)


def add_registered_volumes(
    scene: Node, nodes: ChosenNodes, translate: Translate = in_english
) -> dict[str, Node]:
    """Resample every sequence on the reference's grid, in the place of earlier ones; for looking.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    nodes
        The study.
    translate
        For the names of the volumes.

    Returns
    -------
    dict
        Sequence to volume node, ``<SEQ> registered``.
    """
    study = study_of(scene, replace(nodes, segmentation=None))
    made = {}
    for name, volume in nodes.volumes.items():
        if name == nodes.reference:
            continue
        mrml.remove_nodes(scene, _registered_before(scene, volume))
        title = translate("{sequence} registered").format(sequence=name)
        node = mrml.add_volume(scene, registered(study, name), title)
        node.SetAttribute(attributes.ROLE, attributes.RESAMPLED)
        node.SetAttribute(attributes.SEQUENCE, name)
        node.SetNodeReferenceID(attributes.RESAMPLED, volume.GetID())
        node.SetAndObserveTransformNodeID(nodes.anchor.GetTransformNodeID())
        display = volume.GetDisplayNode()
        mrml.set_window(node, display.GetWindowLevelMin(), display.GetWindowLevelMax())
        made[name] = node
    return made


def _registered_before(scene: Node, volume: Node) -> list[Node]:
    nodes = mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetNodeReference(attributes.RESAMPLED) is volume]
