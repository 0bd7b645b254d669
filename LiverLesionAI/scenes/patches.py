"""Patches and annotation channels of lesions as volumes of the scene."""

from __future__ import annotations

from collections.abc import Iterator

import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.errors import PatchError
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import LesionInput, extract_patches
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.study import Study, labels_in


def add_patches(
    scene: Node, study: Study, reference: Node, parameters: PatchParameters | None = None
) -> Iterator[tuple[float, list[Node], str]]:
    """Crop lesion by lesion what a network sees, in the place of earlier patches of the study.

    Nodes come into the scene when all lesions are cropped: ending the iteration early changes nothing.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study
        A study with lesions.
    reference
        Volume node of its reference sequence, whose parent transform the patches share.
    parameters
        How the lesions are cropped; the paper's way by default.

    Yields
    ------
    fraction : float
        How far the work is, 0 to 1.
    nodes : list of vtkMRMLScalarVolumeNode
        With the last fraction: for each lesion the label volume, and for each sequence the patch and its
        Gaussian annotation channel, all on the patch's grid.
    failure : str
        Why a lesion was left out; empty where it was not.

    Raises
    ------
    StudyError
        If nothing is segmented.
    """
    parameters = parameters or PatchParameters()
    lesion_ids = labels_in(study.outlined_lesions)
    study = with_intensity_limits(study, parameters)
    inputs = []
    for done, lesion_id in enumerate(lesion_ids, start=1):
        failure = ""
        try:
            inputs.append(extract_patches(study, lesion_id, study.sequences, parameters))
        except PatchError as error:
            failure = str(error)
        yield done / (len(lesion_ids) + 1), [], failure
    _remove_patches(scene, study.id)
    yield 1.0, [node for lesion in inputs for node in _add_lesion(scene, study, lesion, reference)], ""


def _add_lesion(scene: Node, study: Study, lesion: LesionInput, reference: Node) -> list[Node]:
    name = study.lesion_name(lesion.lesion_id)
    nodes = [mrml.add_volume(scene, _labels(study, lesion), f"{name} label", labels=True)]
    for index, sequence in enumerate(lesion.sequences):
        for channel, kind in enumerate(("patch", "annotation")):
            image = lesion.grid.image(lesion.patches[index, channel])
            nodes.append(mrml.add_volume(scene, image, f"{name} {sequence} {kind}"))
            mrml.set_window(nodes[-1], 0.0, 1.0)
    for node in nodes:
        node.SetAttribute(attributes.ROLE, attributes.PATCH)
        node.SetAttribute(attributes.CUT_FROM, study.id)
        node.SetAttribute(attributes.LESION, str(lesion.lesion_id))
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    folder = mrml.folder_item(scene, study.id, beside=reference)
    mrml.file_under(scene, mrml.subfolder_item(scene, folder, f"{name}: patches"), nodes)
    return nodes


def _labels(study: Study, lesion: LesionInput) -> sitk.Image:
    """The lesion on its patch's grid: its label inside, 0 outside."""
    mask = lesion.grid.sample(
        study.outlined_lesions == lesion.lesion_id, interpolator=sitk.sitkNearestNeighbor
    )
    kind = sitk.sitkUInt8 if lesion.lesion_id < 256 else sitk.sitkUInt16
    return sitk.Cast(mask, kind) * lesion.lesion_id


def _remove_patches(scene: Node, study_id: str) -> None:
    nodes = mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")
    mrml.remove_nodes(scene, [node for node in nodes if node.GetAttribute(attributes.CUT_FROM) == study_id])
