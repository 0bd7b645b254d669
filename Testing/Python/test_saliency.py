"""Where the network looked: maps, their place, their scale, what they sum to, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
from LiverLesionAI.explanation.branches import STAGES, cells, features_of, on_voxels
from LiverLesionAI.explanation.gradcam import activation_maps, class_log_odds, spread, without_lesion
from LiverLesionAI.explanation.gradients import integrated_gradients
from LiverLesionAI.inference import Classifier
from LiverLesionAI.networks.resnet3d import MultitaskResNet3D, resnet18_branch
from LiverLesionAI.pipeline import analyse_study
from LiverLesionAI.saliency import METHODS, LesionExplanation, Settings, explain, unit_maps
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study
from LiverLesionAI.writers.saliency import write_saliency

PRESENT = (True, True, True)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    bundle = load_bundle(tiny_bundle(tmp_path_factory.mktemp("made") / "tiny"))
    return Classifier(bundle, device="cpu", precision="fp32", keep_loaded=True)


@pytest.fixture(scope="module")
def explained(classifier: Classifier) -> tuple[LesionExplanation, ...]:
    inputs = [outlined(1), outlined(2, present=(True, False, True))]
    return explain(classifier, inputs, classifier.predict(inputs))


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
    predictions = classifier.predict([each.lesion for each in explained])
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


def fold(classifier: Classifier) -> MultitaskResNet3D:
    return classifier.network(0)


@pytest.mark.parametrize("stage", ["stem", "layer1"])
def test_the_cells_sum_to_what_the_lesion_changes(classifier, stage: str) -> None:
    network, patches = fold(classifier), tensor(3)
    maps, features = activation_maps(
        network, patches, PRESENT, "type", 2, stage=stage, autocast=classifier.autocast(), steps=64
    )
    both = torch.stack([patches, without_lesion(patches)])
    with torch.no_grad():
        here, there = class_log_odds(network, network.features(both), "type", 2).tolist()
        torch.testing.assert_close(features, network.features(patches[None])[0])
    assert abs(maps.sum() - (here - there)) < 0.01 * np.abs(maps).sum()
    assert spread(maps).sum() == pytest.approx(maps.sum(), rel=1e-6)
    assert abs(here - there) > 0.05 * np.abs(maps).sum()


def test_integrated_gradients_sum_to_what_the_lesion_changes(classifier) -> None:
    network, patches, ticks = fold(classifier), tensor(4), []
    found = integrated_gradients(network, patches, PRESENT, "type", 5, lambda: ticks.append(1), steps=48)
    both = torch.stack([patches, without_lesion(patches)])
    with torch.no_grad():
        here, there = class_log_odds(network, network.features(both), "type", 5).tolist()
    assert found.sum() == pytest.approx(here - there, rel=0.03)
    assert len(ticks) == 48


def test_a_map_is_clear_where_a_sequence_shows_nothing_but_liver(classifier) -> None:
    patches = np.full((3, 2, 64, 64, 64), 0.3, np.float32)
    patches[:, 1] = 0
    patches[:, 0, 2:8, 2:8, 2:8] = 0.9
    patches[:, 1, 2:8, 2:8, 2:8] = 1
    maps, _ = activation_maps(
        fold(classifier), torch.from_numpy(patches), PRESENT, "type", 0,
        stage="layer1", autocast=classifier.autocast(),
    )  # fmt: skip
    reach = np.abs(maps).max(axis=0)
    assert reach[:8, :8, :8].max() > 0
    assert reach[12:].max() == reach[:, 12:].max() == reach[:, :, 12:].max() == 0


def test_without_the_lesion_there_is_the_liver_around_it() -> None:
    patches = tensor(1)
    patches[1, 0][patches[1, 1] == 0] = 0.25
    empty = without_lesion(patches)
    assert (empty[1, 0] == 0.25).all()
    assert torch.equal(empty[:, 1], patches[:, 1]) and not torch.equal(empty, patches)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_asked_for_and_tells_its_progress(classifier, method, monkeypatch) -> None:
    monkeypatch.setattr("LiverLesionAI.explanation.explain.INTEGRATION_STEPS", 3)
    monkeypatch.setattr("LiverLesionAI.explanation.explain.NOISY_COPIES", 3)
    monkeypatch.setattr(integrated_gradients, "__defaults__", (3,))
    monkeypatch.setattr(
        "LiverLesionAI.explanation.explain.smoothed_gradients.__defaults__", (3,), raising=True
    )
    inputs, told = [outlined(5)], []
    wanted = Settings(method=method, seed=3)
    first, again = (
        explain(classifier, inputs, classifier.predict(inputs), wanted, lambda *step: told.append(step))
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
    exact, rough = (explain(each, inputs, classifier.predict(inputs))[0] for each in (classifier, half))
    np.testing.assert_allclose(
        rough.weights["type"].shapley, exact.weights["type"].shapley, atol=0.02, rtol=0
    )
    assert np.abs(rough.maps - exact.maps).mean() < 0.05 and rough.maps.max() == 1


def test_another_class_and_task_on_request(classifier) -> None:
    inputs = [outlined(6)]
    predictions = classifier.predict(inputs)
    predicted = predictions[0].tasks["type"].predicted
    other = "ICC" if predicted != "ICC" else "HCC"
    usual = explain(classifier, inputs, predictions)[0]
    asked = explain(classifier, inputs, predictions, Settings(target=other))[0]
    assert (usual.target, asked.target) == (predicted, other)
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
        explain(classifier, inputs, classifier.predict(inputs), wanted)


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
    outcome = analyse_study(study, classifier.bundle, device="cpu", stopwatch=stopwatch)
    (found,), (explanation,) = outcome.result.lesions, outcome.explanations
    assert found.sequence_weights["type"] == explanation.weights["type"].to_dict()
    assert set(found.sequence_weights) == {"type", "malignancy"}
    assert [pair[:2] for pair in found.sequence_interactions["malignancy"]] == [("T2WI", "LAP")]
    provenance = outcome.result.provenance
    assert provenance.parameters["saliency"]["method"] == "integrated-grad-cam"
    assert stopwatch.seconds["explain"] == provenance.seconds["explain"] > 0
    assert set(provenance.inputs) == {"T2WI", "LAP", "lesions"}
    assert all(len(each["sha256"]) == 64 for each in provenance.inputs.values())


def test_nothing_is_explained_where_it_was_not_asked_for(classifier, study) -> None:
    outcome = analyse_study(study, classifier.bundle, device="cpu", saliency=False)
    assert outcome.explanations == ()
    assert outcome.result.lesions[0].sequence_weights == {}
    assert "saliency" not in outcome.result.provenance.parameters
