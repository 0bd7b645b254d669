"""What a model's probabilities are worth: stored in its bundle, measured by its training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_training import settings, write_cohort, write_config
from test_bundles import list_file
from test_inference import all_probabilities, unit
from tiny_bundles import tiny_bundle

from LiverLesionAI.answers import OutOfDistribution
from LiverLesionAI.bundles import Bundle, load_bundle, verify_bundle
from LiverLesionAI.bundles.calibration import CALIBRATION, FAMILIAR
from LiverLesionAI.bundles.write import record_calibration, record_metrics
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inputs.appearance import CONTRAST_COUNT, Pictures, appearance
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.calibrate import calibration, see
from LiverLesionAI.training.export import LEFT_OUT
from LiverLesionAI.training.train import train
from LiverLesionAI.uncertainty.conformal import PredictionSets

W7 = TAXONOMIES["W7"].names


@pytest.fixture(scope="module")
def uncalibrated(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("made") / "tiny"))


@pytest.fixture(scope="module")
def calibrated(uncalibrated: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that was calibrated with noise, half of it without DWI."""
    own = Classifier(uncalibrated, keep_loaded=True)
    seen = [see(own, unit(seed, (True, seed % 2 == 0, True)), W7[seed % 7]) for seed in range(32)]
    copy = load_bundle(shutil.copytree(uncalibrated.path, tmp_path_factory.mktemp("calibrated") / "tiny"))
    found = calibration(copy, seen[:16], [each.parts for each in seen[16:]], "16 patches of noise")
    return load_bundle(record_calibration(copy, found))


def test_it_is_stored_with_the_bundle_and_told_by_the_card(calibrated: Bundle, uncalibrated: Bundle) -> None:
    opened = verify_bundle(calibrated.path)
    assert {CALIBRATION, FAMILIAR} <= set(opened.spec.files)
    known = opened.calibration
    assert known is not None and known.familiarity is not None and set(known.tasks) == set(opened.spec.tasks)
    assert known.tasks["type"].cases == 16 and known.tasks["type"].sets.coverage == 0.9
    assert set(known.familiarity.parts) == {"T2WI", "LAP", "joint", "contrast", "network", "DWI"}
    cards = [
        (each.path / "docs" / "README.md").read_text(encoding="utf-8") for each in (opened, uncalibrated)
    ]
    assert "16 patches of noise" in cards[0] and f"{known.tasks['type'].temperature:.2f}" in cards[0]
    assert "Not calibrated" in cards[1] and uncalibrated.calibration is None
    again = verify_bundle(record_metrics(opened, []))
    assert again.spec.files == opened.spec.files


def test_the_network_s_answer_stays_what_it_was(calibrated: Bundle, uncalibrated: Bundle) -> None:
    units = [unit(3), unit(4, (True, False, True))]
    before, after = (Classifier(each).predict(units) for each in (uncalibrated, calibrated))
    np.testing.assert_array_equal(all_probabilities(before), all_probabilities(after))
    for old, new in zip(before, after, strict=True):
        for name, task in new.tasks.items():
            result, plain = task.result(), old.tasks[name].result()
            assert result.probabilities == plain.probabilities and result.predicted == plain.predicted
            assert plain.calibrated is None and plain.prediction_set is None and plain.set_in_words == ""
            assert result.calibrated is not None and sum(result.calibrated.values()) == pytest.approx(1)
            assert max(result.calibrated, key=result.calibrated.__getitem__) == result.predicted
            assert result.prediction_set is not None and result.predicted in result.prediction_set
            assert result.shown is result.calibrated and plain.shown is plain.probabilities
            assert result.set_in_words.endswith("(90%)")
        assert old.out_of_distribution is None
        assert new.out_of_distribution is not None and not new.out_of_distribution.is_unlike


def test_what_is_unlike_is_said(calibrated: Bundle) -> None:
    """Patches of noise are known; a flat one is not."""
    (odd,) = Classifier(calibrated).predict([flat(unit(5))])
    assert odd.out_of_distribution is not None and odd.out_of_distribution.is_unlike
    assert {"T2WI", "LAP"} <= set(odd.out_of_distribution.sequences)
    (said,) = odd.out_of_distribution.in_words
    assert said in odd.warnings and said.startswith("unlike what the model was trained on, most of all in")
    assert OutOfDistribution(1.0, 1.2, ("LAP",)).in_words == ()


def flat(given: UnitInputs) -> UnitInputs:
    for group in given.groups:
        group.arrays()[0][:, 0] = 0.9
    return given


def _thresholds(content: dict[str, Any]) -> None:
    content["tasks"]["type"]["sets"]["thresholds"] = [0.1, 0.2]


def _coverage(content: dict[str, Any]) -> None:
    content["tasks"]["type"]["sets"]["coverage"] = 1.5


def _cold(content: dict[str, Any]) -> None:
    content["tasks"]["type"]["temperature"] = 0.0


def _stranger(content: dict[str, Any]) -> None:
    content["tasks"]["size"] = content["tasks"]["type"]


def _folds(content: dict[str, Any]) -> None:
    content["tasks"]["type"]["sets"] = {"coverage": 0.9, "truths": [[[0.5]] * 7] * 3}


def _unjudged(content: dict[str, Any]) -> None:
    del content["familiarity"]["thresholds"]["together"]


def _nonsense(content: dict[str, Any]) -> None:
    content["familiarity"]["thresholds"]["together"] = float("nan")


@pytest.mark.parametrize(
    "spoil",
    [_thresholds, _coverage, _cold, _stranger, _folds, _unjudged, _nonsense],
    ids=lambda each: each.__name__,
)
def test_what_cannot_be_is_refused(
    calibrated: Bundle, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    copy = shutil.copytree(calibrated.path, tmp_path / "tiny")
    content = json.loads((copy / CALIBRATION).read_text(encoding="utf-8"))
    spoil(content)
    (copy / CALIBRATION).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match="damaged or was changed"):
        _ = load_bundle(copy).calibration
    list_file(copy, CALIBRATION)
    with pytest.raises(BundleError, match=r"calibration|familiar"):
        verify_bundle(copy)


@pytest.mark.parametrize("change", ["nan", "shape", "scale"])
def test_features_that_cannot_be_are_refused(calibrated: Bundle, tmp_path: Path, change: str) -> None:
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(calibrated.path, tmp_path / "tiny")
    tensors = load_file(copy / FAMILIAR)
    if change == "shape":
        tensors["network.mean"] = tensors["network.mean"][:-1]
    else:
        tensors[f"network.{'mean' if change == 'nan' else 'scale'}"][0] = np.nan if change == "nan" else 0.0
    save_file(tensors, copy / FAMILIAR)
    list_file(copy, FAMILIAR)
    with pytest.raises(BundleError, match="does not fit"):
        verify_bundle(copy)


def test_training_calibrates_with_cases_kept_for_it(tmp_path: Path) -> None:
    """By the bundle as it is used; folds calibrate with their own cases in ``test_training_runs.py``.

    What cannot be read is left out and named.
    """
    cohort = write_cohort(tmp_path)
    quick = {"epochs": 1, "batch_size": 7, "learning_rate": 0.01}
    same = settings(cohort, optimisation=quick, fold_count=2, calibration={"cohort": "cohort.csv"})
    with pytest.raises(ConfigError, match="21 patients of calibration"):
        train(write_config(tmp_path / "config.yaml", same), tmp_path / "run")
    (tmp_path / "kept").mkdir()
    table = write_cohort(tmp_path / "kept")
    table.write_text(table.read_text().replace(",P", ",Q"))
    for damaged in (tmp_path / "S5" / "T2WI.nii.gz", tmp_path / "kept" / "S4" / "LAP.nii.gz"):
        damaged.write_bytes(b"damaged")
    content = {**same, "calibration": {"cohort": "kept/cohort.csv"}}
    config = write_config(tmp_path / "config.yaml", content)
    bundle = verify_bundle(train(config, tmp_path / "run", in_process=True))
    known = bundle.calibration
    assert known is not None and known.tasks["type"].cases == 20
    cohort_said = bundle.spec.training_cohort
    assert cohort_said.lesions == 20 and "1 more could not be used" in cohort_said.description
    left_out = (tmp_path / "run" / LEFT_OUT).read_text(encoding="utf-8").splitlines()
    assert ["S5" in left_out[0], "S4" in left_out[1], len(left_out)] == [True, True, 2]
    assert isinstance(known.tasks["type"].sets, PredictionSets)
    assert known.familiarity is not None and "LAP" in known.familiarity.parts
    texts = (file for file in bundle.path.rglob("*") if file.is_file() and file.suffix != ".safetensors")
    assert str(tmp_path) not in "".join(file.read_text(encoding="utf-8") for file in texts)


def test_an_outline_with_nothing_in_it_does_not_stand_out() -> None:
    random = np.random.default_rng(1)
    background = random.normal(0.5, 0.02, (2, 32, 32, 32)).astype(np.float32)
    z, y, x = np.mgrid[-1:1:32j, -1:1:32j, -1:1:32j]
    lesion = background + 0.3 * ((z**2 + y**2 + x**2) < 0.25) * np.array([1, 0])[:, None, None, None]
    there = np.array([True, True])

    def described(images, present=there, diameter_mm=20.0):
        pictures = Pictures(images, 40.0)
        return appearance(pictures, pictures, present, diameter_mm)

    _, empty = described(background)
    each, stands_out = described(lesion)
    assert stands_out[0] - empty[0] > 2 and each.shape[0] == 2
    assert stands_out[2] < stands_out[0], "the second sequence does not show it"
    absent, nothing = described(lesion, np.array([True, False]))
    assert np.isnan(absent[1]).all() and not np.isnan(absent[0]).any() and len(nothing) == CONTRAST_COUNT
    slices, _ = described(lesion[:, 16], diameter_mm=0.4)
    assert slices.shape == each.shape and np.isfinite(slices).all()


def test_contrast_is_that_of_the_lesion_and_the_rest_that_of_its_surroundings() -> None:
    random = np.random.default_rng(2)
    near, far = random.normal(0.5, 0.02, (2, 2, 32, 32))
    there = np.array([True, True])
    small, wide, black = Pictures(near, 40.0), Pictures(far, 112.0), Pictures(np.zeros_like(far), 112.0)
    rows, contrast = appearance(small, wide, there, 20.0)
    assert np.array_equal(rows, appearance(wide, wide, there, 20.0)[0])
    assert np.array_equal(contrast, appearance(small, small, there, 20.0)[1])
    assert np.array_equal(contrast, appearance(small, black, there, 20.0)[1])
    assert not np.array_equal(rows, appearance(small, black, there, 20.0)[0])
