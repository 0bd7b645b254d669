"""Where the network looked: maps, their place, their scale, what they sum to, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_explanations import made_explanation
from made_studies import made_study, rigid
from test_inference import lesion
from tiny_bundles import tiny_bundle

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.explanation.cells import on_voxels
from LiverLesionAI.explanation.explain import explain, unit_maps
from LiverLesionAI.explanation.gradcam import GradCam, spread
from LiverLesionAI.explanation.gradients import IntegratedGradients
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.method import Question, parenchyma, without_lesion
from LiverLesionAI.explanation.methods import TABLE
from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.inference import Classifier, Predictions, UnitInputs
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.networks.resnet3d import cells, features_of, resnet18_branch
from LiverLesionAI.options import Options
from LiverLesionAI.pipeline import analyse_study
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study
from LiverLesionAI.systems import system_named
from LiverLesionAI.writers.saliency import write_saliency

PRESENT = (True, True, True)
STAGES = system_named("wang2021").stages


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    bundle = load_bundle(tiny_bundle(tmp_path_factory.mktemp("made") / "tiny"))
    return Classifier(bundle, device="cpu", precision="fp32", keep_loaded=True)


@pytest.fixture(scope="module")
def explained(classifier: Classifier) -> tuple[LesionExplanation, ...]:
    inputs = [outlined(1), outlined(2, present=(True, False, True))]
    return explain(classifier, inputs, predicted(classifier, inputs))


def predicted(classifier: Classifier, inputs: Sequence[LesionInput]) -> Predictions:
    return classifier.predict([UnitInputs(each.lesion_id, (each,)) for each in inputs])


def outlined(seed: int, **changes):
    """A lesion of random voxels with a ball for an outline."""
    made = lesion(seed, **changes)
    z, y, x = np.indices((32, 32, 32)) - 15.5
    ball = (z**2 + y**2 + x**2 < 64).astype(np.float32)
    patches = made.patches.copy()
    patches[np.array(made.present), 1] = ball
    return replace(made, patches=patches)


def tensor(seed: int) -> torch.Tensor:
    """The same as a tensor, the lesion brighter than what is around it."""
    patches = torch.from_numpy(outlined(seed).patches)
    patches[:, 0] += 2 * patches[:, 1]
    return patches


# --- maps


def test_maps_are_numbers_from_0_to_1_for_each_sequence_at_hand(explained) -> None:
    for explanation in explained:
        maps = explanation.maps
        assert maps.dtype == np.float32 and maps.shape == (3, 32, 32, 32)
        assert maps.min() >= 0
        assert set(maps.max(axis=(1, 2, 3)).tolist()) <= {0.0, 1.0}
    assert explained[1].sequences == ("T2WI", "LAP")
    assert not explained[1].maps[1].any() and explained[1].maps.any()


def test_the_whole_is_what_was_predicted(classifier, explained) -> None:
    predictions = predicted(classifier, [each.lesion for each in explained])
    for prediction, explanation in zip(predictions, explained, strict=True):
        assert explanation.target == prediction.tasks["type"].predicted
        for task, weights in explanation.weights.items():
            p = prediction.tasks[task].mean.max()
            assert weights.worth[-1] == pytest.approx(np.log(p / (1 - p)), abs=1e-4)
            assert weights.shapley.sum() == pytest.approx(weights.worth[-1] - weights.worth[0], abs=1e-9)


@pytest.mark.parametrize("stage", STAGES)
def test_a_branch_cut_in_two_gives_its_features(stage: str) -> None:
    torch.manual_seed(0)
    branch = resnet18_branch(2).eval()
    patch = torch.rand(1, 2, 64, 64, 64)
    with torch.no_grad():
        found = cells(branch, patch, stage)
        torch.testing.assert_close(features_of(branch, found, stage), branch(patch))
    assert found.shape[2:] == (64 // STAGES[stage],) * 3 and min(found.shape[2:]) >= 8


@pytest.mark.parametrize("stage", STAGES)
def test_a_cell_lies_on_the_voxel_that_its_gradient_is_centred_on(stage: str) -> None:
    torch.manual_seed(1)
    branch, step = resnet18_branch(16).eval(), STAGES[stage]
    middle = 32 // step
    patch = torch.rand(1, 2, 64, 64, 64, requires_grad=True)
    cells(branch, patch, stage)[0, :, middle, middle, middle].abs().sum().backward()
    weight = patch.grad.abs().sum(dim=(0, 1)).numpy()
    centre = [np.average(np.arange(64), weights=weight.sum(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    np.testing.assert_allclose(centre, 32, atol=step / 4)
    cell = np.zeros([64 // step] * 3)
    cell[middle, middle, middle] = 1
    voxels = on_voxels(cell, 64, step)
    assert np.unravel_index(voxels.argmax(), voxels.shape) == (32, 32, 32)
    assert voxels[32, 32, 32] == 1 and voxels[32, 32, 32 + step] == 0
    assert voxels[32, 32, 32 + step // 2] == pytest.approx(0.5)
    assert np.allclose(on_voxels(np.ones((8, 8, 8)), 64, 8), 1)


def question(classifier: Classifier, patches: torch.Tensor, index: int, **changes: Any) -> Question:
    """Why the first member says of a lesion that it is of a class, by its place, of the task ``type``."""
    asked = {"present": PRESENT, "task": "type", "autocast": classifier.autocast, **changes}
    asked.setdefault("prepared", parenchyma(patches.numpy()))
    network = classifier.network(0)
    with torch.no_grad():
        (features,) = network.features(patches[None])
    return Question(network=network, patches=patches, features=features, index=index, **asked)


@pytest.mark.parametrize("stage", ["stem", "layer1"])
def test_the_cells_sum_to_what_the_lesion_changes(classifier, stage: str) -> None:
    patches = tensor(3)
    asked = question(classifier, patches, 2, stage=stage)
    maps = GradCam(steps=64).maps(asked)
    both = torch.stack([patches, without_lesion(patches)])
    with torch.no_grad():
        here, there = asked.log_odds(asked.network.features(both)).tolist()
    assert abs(maps.sum() - (here - there)) < 0.01 * np.abs(maps).sum()
    assert spread(maps).sum() == pytest.approx(maps.sum(), rel=1e-6)
    assert abs(here - there) > 0.05 * np.abs(maps).sum()


def test_integrated_gradients_sum_to_what_the_lesion_changes(classifier) -> None:
    patches, ticks, method = tensor(4), [], IntegratedGradients(steps=48)
    asked = question(classifier, patches, 5, tick=lambda: ticks.append(1))
    found = method.maps(asked)
    both = torch.stack([patches, without_lesion(patches)])
    with torch.no_grad():
        here, there = asked.log_odds(asked.network.features(both)).tolist()
    assert found.sum() == pytest.approx(here - there, rel=0.03)
    assert len(ticks) == method.ticks(len(PRESENT)) == 48


def test_a_map_is_clear_where_a_sequence_shows_nothing_but_liver(classifier) -> None:
    patches = np.full((3, 2, 64, 64, 64), 0.3, np.float32)
    patches[:, 1] = 0
    patches[:, 0, 2:8, 2:8, 2:8] = 0.9
    patches[:, 1, 2:8, 2:8, 2:8] = 1
    maps = GradCam().maps(question(classifier, torch.from_numpy(patches), 0, stage="layer1"))
    reach = np.abs(maps).max(axis=0)
    assert reach[:8, :8, :8].max() > 0
    assert reach[12:].max() == reach[:, 12:].max() == reach[:, :, 12:].max() == 0


def test_without_the_lesion_there_is_the_liver_around_it() -> None:
    patches = tensor(1)
    patches[1, 0][patches[1, 1] == 0] = 0.25
    empty = without_lesion(patches)
    assert (empty[1, 0] == 0.25).all()
    assert torch.equal(empty[:, 1], patches[:, 1]) and not torch.equal(empty, patches)


@pytest.mark.parametrize("method", TABLE)
def test_every_method_can_be_asked_for_and_tells_its_progress(classifier, method, monkeypatch) -> None:
    for name, size in (("integrated-gradients", "steps"), ("smoothgrad", "copies")):
        monkeypatch.setitem(TABLE, name, replace(TABLE[name], **{size: 3}))
    inputs, told = [outlined(5)], []
    wanted = Settings(method=method, seed=3)
    first, again = (
        explain(classifier, inputs, predicted(classifier, inputs), wanted, lambda *step: told.append(step))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first[0].maps, again[0].maps)
    assert first[0].method == method and first[0].maps.max() == 1
    fractions = [fraction for step, fraction in told if step == "explain"]
    half = fractions[: len(fractions) // 2]
    assert half == sorted(set(half)) and half[-1] == 1
    assert len(half) == 2 * (1 if "grad-cam" in method else 4)


def test_bf16_says_nearly_the_same(classifier) -> None:
    half = Classifier(classifier.bundle, device="cpu", precision="bf16")
    inputs = [outlined(7)]
    exact, rough = (explain(each, inputs, predicted(each, inputs))[0] for each in (classifier, half))
    np.testing.assert_allclose(
        rough.weights["type"].shapley, exact.weights["type"].shapley, atol=0.02, rtol=0
    )
    assert np.abs(rough.maps - exact.maps).mean() < 0.05 and rough.maps.max() == 1


def test_another_class_and_task_on_request(classifier) -> None:
    inputs = [outlined(6)]
    predictions = predicted(classifier, inputs)
    said = predictions[0].tasks["type"].predicted
    other = "ICC" if said != "ICC" else "HCC"
    usual = explain(classifier, inputs, predictions)[0]
    asked = explain(classifier, inputs, predictions, Settings(target=other))[0]
    assert (usual.target, asked.target) == (said, other)
    assert asked.weights["type"].worth[-1] < usual.weights["type"].worth[-1]
    assert not np.array_equal(asked.maps, usual.maps)
    assert asked.weights["malignancy"].target == usual.weights["malignancy"].target
    for wanted in (Settings(task="malignancy"), Settings(target="benign")):
        assert explain(classifier, inputs, predictions, wanted)[0].task == "malignancy"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Settings(method="lime"), "lime"),  # type: ignore[arg-type]
        (Settings(stage="layer4"), "layer4"),
        (Settings(task="grade"), "grade"),
        (Settings(target="HCA"), "HCA.*knows.*FNH"),
        (Settings(task="malignancy", target="HCC"), "HCC.*benign"),
    ],
)
def test_what_there_is_not_is_refused(classifier, wanted, says) -> None:
    inputs = [outlined(1)]
    with pytest.raises(ConfigError, match=says):
        explain(classifier, inputs, predicted(classifier, inputs), wanted)


def test_what_speaks_against_the_class_is_left_out() -> None:
    signed = np.zeros((3, 4, 4, 4))
    signed[0, 1, 1, 1], signed[0, 2, 2, 2] = 5.0, -9.0
    signed[1] = -1.0
    maps = unit_maps(signed)
    assert maps[0, 1, 1, 1] == 1 and maps.sum() == 1


def test_single_voxels_do_not_set_the_scale_of_a_map() -> None:
    signed = np.zeros((2, 20, 20, 20))
    signed[0, :10] = 0.5
    signed[0, 3, 3, 3] = 50.0
    signed[1, 3, 3, 3] = 50.0
    maps = unit_maps(signed)
    assert (maps[0, :10] == 1).all() and not maps[0, 10:].any()
    assert maps[1, 3, 3, 3] == 1 and maps[1].sum() == 1


# --- what follows from map and weights


def test_emphasis_is_the_positive_weight_over_the_largest() -> None:
    explanation = made_explanation(made_study())
    weights = dict(zip(explanation.sequences, explanation.weights["type"].shapley, strict=True))
    assert weights == pytest.approx({"T2WI": 1.0, "T1WI": -0.4, "LAP": 2.5})
    assert explanation.emphasis == pytest.approx({"T2WI": 0.4, "T1WI": 0.0, "LAP": 1.0})
    assert explanation.strongest == "LAP"
    np.testing.assert_allclose(explanation.weighted_map("T2WI"), 0.4 * explanation.feature_map("T2WI"))
    np.testing.assert_array_equal(explanation.weighted_map("LAP"), explanation.feature_map("LAP"))
    assert not explanation.weighted_map("T1WI").any()


def test_no_weight_for_the_class_leaves_the_weighted_maps_clear() -> None:
    explanation = made_explanation(made_study())
    against = replace(explanation.weights["type"], worth=-np.arange(8.0))
    explanation = replace(explanation, weights={"type": against})
    assert set(explanation.emphasis.values()) == {0.0}
    assert explanation.strongest_slice == explanation.largest_slice


def test_slices_are_the_largest_area_and_the_strongest_saliency() -> None:
    explanation = made_explanation(made_study())
    assert explanation.strongest_slice == 20
    areas = explanation.outline.sum(axis=(1, 2))
    assert areas[explanation.largest_slice] == areas.max()
    assert abs(explanation.largest_slice - 15.5) <= 2.5, "the middle of equal ones"


def test_a_lesion_of_a_few_voxels_has_an_outline_too() -> None:
    explanation = made_explanation(made_study())
    patches = explanation.lesion.patches.copy()
    patches[:, 1] = 0
    patches[0, 1, 9, 10, 11], patches[0, 1, 9, 10, 12] = 0.06, 0.02
    tiny = replace(explanation, lesion=replace(explanation.lesion, patches=patches))
    assert np.argwhere(tiny.outline).tolist() == [[9, 10, 11]]
    assert tiny.largest_slice == 9


def test_slices_have_places_in_the_patient() -> None:
    turned = np.reshape(rigid((0.2, -0.1, 0.3), (0, 0, 0)).GetMatrix(), (3, 3))
    explanation = made_explanation(made_study(turned))
    image = explanation.image("LAP")
    for index in (0, 20, 31):
        _, _, z = image.TransformContinuousIndexToPhysicalPoint((15.5, 15.5, float(index)))
        assert explanation.slice_position_mm(index) == pytest.approx(z, abs=1e-4)
    point = explanation.slice_centre_lps_mm(explanation.largest_slice)
    inside = image.TransformPhysicalPointToIndex(point)
    assert explanation.outline[inside[::-1]]


def test_files_lie_on_the_patch_s_grid(tmp_path: Path) -> None:
    turned = np.reshape(rigid((0.2, -0.1, 0.3), (0, 0, 0)).GetMatrix(), (3, 3))
    explanation = made_explanation(made_study(turned), 2)
    files = write_saliency([explanation], tmp_path / "saliency")
    assert sorted(each.file.name for each in files) == sorted(
        f"2_{name}{suffix}.nii.gz" for name in ("T2WI", "T1WI", "LAP") for suffix in ("", "_weighted")
    )
    written = sitk.ReadImage(tmp_path / "saliency" / "2_T2WI_weighted.nii.gz")
    assert written.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), explanation.weighted_map("T2WI"))
    grid = explanation.lesion.grid
    for corner in ((0, 0, 0), (31, 31, 31), (31, 0, 5)):
        expected = grid.image(np.zeros([32] * 3)).TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(written.TransformIndexToPhysicalPoint(corner), expected, atol=1e-3)


# --- the road


@pytest.fixture
def study(ball_study) -> Iterator[Study]:
    return ball_study(sequences=("T2WI", "LAP"))


def test_results_hold_the_weights_and_say_how(classifier, study) -> None:
    stopwatch = Stopwatch()
    analysis = analyse_study(study, classifier.bundle, Options(device="cpu"), stopwatch=stopwatch)
    (found,), (explanation,) = analysis.result.lesions, analysis.explanations
    assert found.sequence_weights["type"] == explanation.weights["type"].to_dict()
    assert set(found.sequence_weights) == {"type", "malignancy"}
    assert [pair[:2] for pair in found.sequence_interactions["malignancy"]] == [("T2WI", "LAP")]
    provenance = analysis.result.provenance
    assert provenance.parameters["saliency"]["method"] == "integrated-grad-cam"
    assert stopwatch.seconds["explain"] == provenance.seconds["explain"] > 0
    assert set(provenance.inputs) == {"T2WI", "LAP", "lesions"}
    assert all(len(each["sha256"]) == 64 for each in provenance.inputs.values())


def test_nothing_is_explained_where_it_was_not_asked_for(classifier, study) -> None:
    analysis = analyse_study(study, classifier.bundle, Options(device="cpu", explain=False))
    assert analysis.explanations == ()
    assert analysis.result.lesions[0].sequence_weights == {}
    assert "saliency" not in analysis.result.provenance.parameters
