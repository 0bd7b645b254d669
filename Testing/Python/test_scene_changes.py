"""What a classification rests on, noted in a scene and compared later; no window is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import made_result, made_study, rigid

from LiverLesionAI import mrml
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.mrml.frames import voxels_of
from LiverLesionAI.scenes.changes import Basis, Change, alignment_warning, basis_of, changes_since
from LiverLesionAI.scenes.logic import lesion_rows
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.show import show_study
from LiverLesionAI.worker.commands import _changes

pytest.importorskip("slicer", reason="slicer-core is not installed")


def shown() -> tuple[Any, ChosenNodes]:
    """A scene with a study whose sequences lie under transforms of their own."""
    scene, study = mrml.new_scene(), made_study(transform=rigid((0.1, 0, 0), (1, 2, 3)))
    nodes = show_study(scene, study)
    return scene, ChosenNodes(nodes.volumes, nodes.segmentation, study.reference)


def noted(scene: Any, nodes: ChosenNodes) -> Basis:
    """The basis as a saved scene brings it back."""
    return Basis.from_json(basis_of(scene, nodes, lesion_rows(nodes.segmentation)).to_json())


def changes(scene: Any, before: Basis, nodes: ChosenNodes) -> tuple[Change, ...]:
    return changes_since(scene, before, nodes, lesion_rows(nodes.segmentation))


def bent(grid: sitk.Image) -> sitk.Transform:
    transform = sitk.BSplineTransformInitializer(grid, [4, 4, 4], 3)
    numbers = np.random.default_rng(5).uniform(-3, 3, len(transform.GetParameters()))
    transform.SetParameters(numbers.tolist())
    return transform


def test_what_has_not_changed_is_not_told() -> None:
    scene, nodes = shown()
    before = noted(scene, nodes)
    assert set(before.places) == set(before.images) == set(nodes.volumes) and len(before.points) == 7 * 2
    assert changes(scene, before, nodes) == ()


def test_a_patient_who_is_turned_as_a_whole_has_not_changed() -> None:
    """What counts is how sequences and lesions lie to each other."""
    scene, nodes = shown()
    before = noted(scene, nodes)
    outer = mrml.add_transform(scene, rigid((0.3, -0.2, 0.1), (20, -30, 10)), "turned patient")
    for node in nodes.present:
        outermost = [node, *mrml.parent_transforms(node)][-1]
        if outermost is not outer:
            outermost.SetAndObserveTransformNodeID(outer.GetID())
    assert changes(scene, before, nodes) == ()


@pytest.mark.parametrize("kind", ["shift", "bend"])
def test_a_sequence_that_lies_elsewhere_is_told(kind: str) -> None:
    scene, nodes = shown()
    before = noted(scene, nodes)
    reference = mrml.image_from_volume(nodes.anchor)
    moved = sitk.TranslationTransform(3, (0.0, 0.1, 0.0)) if kind == "shift" else bent(reference)
    node = mrml.add_transform(scene, moved, "moved")
    node.SetAndObserveTransformNodeID(nodes.volumes["LAP"].GetTransformNodeID())
    nodes.volumes["LAP"].SetAndObserveTransformNodeID(node.GetID())
    found = changes(scene, before, nodes)
    assert found == (Change("moved", "LAP"),)
    assert alignment_warning(found)[0].startswith("LAP moved after")


def test_without_lesions_a_sequence_that_lies_elsewhere_is_told_too() -> None:
    scene, nodes = shown()
    nodes = replace(nodes, segmentation=None)
    before = Basis.from_json(basis_of(scene, nodes, []).to_json())
    assert len(before.points) == 9 and changes_since(scene, before, nodes, []) == ()
    node = mrml.add_transform(scene, sitk.TranslationTransform(3, (0.0, 0.1, 0.0)), "moved")
    node.SetAndObserveTransformNodeID(nodes.volumes["LAP"].GetTransformNodeID())
    nodes.volumes["LAP"].SetAndObserveTransformNodeID(node.GetID())
    assert changes_since(scene, before, nodes, []) == (Change("moved", "LAP"),)


def test_other_voxels_and_another_grid_are_another_volume() -> None:
    scene, nodes = shown()
    before, volume = noted(scene, nodes), nodes.volumes["LAP"]
    first = mrml.volume_fingerprint(volume)
    voxels_of(volume.GetImageData())[:, :, 3:9] += 1
    assert changes(scene, before, nodes) == (Change("replaced", "LAP"),)
    voxels_of(volume.GetImageData())[:, :, 3:9] -= 1
    assert mrml.volume_fingerprint(volume) == first
    volume.SetOrigin(*np.add(volume.GetOrigin(), (0.0, 0.0, 0.5)).tolist())
    assert changes(scene, before, nodes) == (Change("replaced", "LAP"),)


def test_segments_count_by_voxels_not_by_name() -> None:
    scene, nodes = shown()
    before, segmentation = noted(scene, nodes), nodes.segmentation.GetSegmentation()
    segmentation.GetNthSegment(0).SetName("renamed")
    assert changes(scene, before, nodes) == ()
    segmentation.RemoveSegment(segmentation.GetNthSegmentID(1))
    assert [change.kind for change in changes(scene, before, nodes)] == ["removed"]
    assert alignment_warning(changes(scene, before, nodes)) == ()


def test_another_reference_is_told_alone() -> None:
    scene, nodes = shown()
    before = noted(scene, nodes)
    assert changes(scene, before, replace(nodes, reference="LAP")) == (Change("reference", nodes.reference),)
    volumes = {name: node for name, node in nodes.volumes.items() if name != "LAP"}
    assert changes(scene, before, replace(nodes, volumes=volumes)) == (Change("removed", "LAP"),)


def test_what_was_added_after_the_answer_is_told_when_it_is_saved() -> None:
    study = made_study()
    images = {name: image for name, image in study.images.items() if name != "LAP"}
    result = made_result(study)
    inputs = input_fingerprints(replace(study, images=images, lesions=None))
    result = replace(result, provenance=replace(result.provenance, inputs=inputs))
    (told,) = _changes(study, result)
    assert told.startswith("LAP, lesions changed after")
    assert _changes(replace(study, images=images, lesions=None), result) == []
