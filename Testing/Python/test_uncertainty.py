"""Temperature, prediction sets and unfamiliar inputs, on made numbers whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.uncertainty.calibration import fit_temperature, reliability, tempered
from LiverLesionAI.uncertainty.conformal import (
    fit_fold_prediction_sets,
    fit_prediction_sets,
    sets_from_dict,
)
from LiverLesionAI.uncertainty.out_of_distribution import (
    CONTRAST,
    JOINT,
    SEQUENCES,
    TOGETHER,
    fit_familiarity,
)

CLASSES = 7


def _made(count: int, seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true probability of each class, and classes drawn from it."""
    random = np.random.default_rng(seed)
    logits = sharpness * random.normal(size=(count, CLASSES))
    p = softmax(logits, axis=1)
    labels = (p.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits, np.minimum(labels, CLASSES - 1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    logits, labels = _made(20_000, 1)
    found = fit_temperature(softmax(logits * temperature, axis=1), labels)
    assert found == pytest.approx(temperature, rel=0.05)


def test_a_temperature_mends_what_it_can() -> None:
    logits, labels = _made(4000, 2)
    sure = softmax(3 * logits, axis=1)
    other, truth = _made(20_000, 3)
    mended = tempered(softmax(3 * other, axis=1), fit_temperature(sure, labels))
    assert reliability(softmax(3 * other, axis=1), truth).ece > 0.1
    assert reliability(mended, truth).ece < 0.015
    assert (mended.argmax(axis=1) == other.argmax(axis=1)).all()
    assert np.allclose(mended.sum(axis=1), 1)


def test_the_calibration_error_is_what_it_is_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    found = reliability(probabilities, np.array([0, 1, 0, 1]))
    assert found.ece == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)
    assert (found.n, found.accuracy) == ((2, 2), (1.0, 0.5))


@pytest.mark.parametrize("values", [np.array([[np.nan, 0.5]]), np.array([[-0.1, 1.1]]), np.zeros((0, 2))])
def test_what_is_no_probability_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ConfigError):
        fit_temperature(values, np.zeros(len(values), int))


def test_sets_hold_the_truth_in_every_class() -> None:
    """Also where the probabilities are wrong and one class is rare."""
    logits, labels = _made(6000, 4)
    wrong = softmax(2 * logits + np.arange(CLASSES) / 3, axis=1)
    keep = (labels != 6) | (np.arange(len(labels)) % 8 == 0)
    sets = fit_prediction_sets(wrong[keep], labels[keep])
    other, truth = _made(20_000, 5)
    inside = sets.contains(softmax(2 * other + np.arange(CLASSES) / 3, axis=1))
    held = inside[np.arange(len(truth)), truth]
    assert held.mean() == pytest.approx(0.9, abs=0.02)
    for index in range(CLASSES):
        assert held[truth == index].mean() > 0.86
    assert inside.any(axis=1).all() and 1 < inside.sum(axis=1).mean() < CLASSES


@given(st.integers(0, 30), st.sampled_from([0.5, 0.8, 0.9]))
def test_the_threshold_is_the_promised_rank(count: int, coverage: float) -> None:
    """Of n cases the floor((1 − coverage)(n + 1)) least probable truths may fall out; with few none."""
    truths = np.linspace(0.1, 0.9, count)
    probabilities = np.stack([truths, 1 - truths], axis=1)
    sets = fit_prediction_sets(probabilities, np.zeros(count, int), coverage)
    lost = int((1 - coverage) * (count + 1) + 1e-9)
    assert sets.thresholds[0] == (truths[lost - 1] if lost else 0.0)
    assert sets.thresholds[1] == 0.0


def test_folds_calibrate_their_ensemble() -> None:
    """Networks of five folds that differ, each case held out by one: the ensemble's sets hold the truth."""
    random = np.random.default_rng(6)
    members = 0.7 * random.normal(size=(5, CLASSES, CLASSES))

    def said(logits: np.ndarray) -> np.ndarray:
        mixed = np.stack([logits + 0.5 * logits @ member for member in members])
        return softmax(1.5 * mixed, axis=2)

    logits, labels = _made(3000, 7)
    folds = np.arange(len(labels)) % 5
    out_of_fold = said(logits)[folds, np.arange(len(labels))]
    sets = fit_fold_prediction_sets(out_of_fold, labels, folds)
    other, truth = _made(1500, 8)
    by_member = said(other)
    inside = np.stack([sets.of_members(by_member[:, case]) for case in range(len(truth))])
    held = inside[np.arange(len(truth)), truth]
    assert held.mean() > 0.88 and inside.any(axis=1).all()
    assert min(held[truth == index].mean() for index in range(CLASSES)) > 0.83


def test_sets_are_stored_and_told() -> None:
    probabilities, labels = np.array([[0.8, 0.2], [0.3, 0.7]] * 20), np.array([0, 1] * 20)
    for sets in (
        fit_prediction_sets(probabilities, labels),
        fit_fold_prediction_sets(probabilities, labels, np.arange(40) % 2),
    ):
        assert sets_from_dict(json.loads(json.dumps(sets.to_dict()))) == sets
    with pytest.raises(ConfigError):
        sets_from_dict({"coverage": 0.9})


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0])
def test_a_coverage_that_is_none_is_refused(coverage: float) -> None:
    with pytest.raises(ConfigError, match="coverage"):
        fit_prediction_sets(np.full((4, 2), 0.5), np.zeros(4, int), coverage)


def _features(count: int, seed: int) -> dict[str, np.ndarray]:
    """Features of 64 dimensions that vary in ten, with a little noise in all."""
    random = np.random.default_rng(seed)
    found = {}
    for name, mixing in (("T2WI", 1), ("LAP", 2)):
        basis = np.random.default_rng(mixing).normal(size=(10, 64))
        found[name] = random.normal(size=(count, 10)) @ basis + 0.3 * random.normal(size=(count, 64))
    return found


def test_what_is_unlike_is_told_from_what_is_not() -> None:
    familiar = fit_familiarity(_features(200, 1), _features(200, 2))
    usual, seen = _features(400, 3), {}
    for name, change in (
        ("shifted", lambda values: values + 4),
        ("other directions", lambda values: values[:, ::-1]),
        ("flat", lambda values: np.zeros_like(values) + 3),
        ("larger", lambda values: 2.5 * values),
    ):
        odd = {key: change(values) for key, values in _features(400, 4).items()}
        scores = np.concatenate([familiar.scores(each)[TOGETHER] for each in (usual, odd)])
        seen[name] = roc_auc_score(np.repeat([0, 1], 400), scores)
    assert min(seen.values()) > 0.95, seen
    alarms = familiar.is_unlike(usual)
    assert 0.01 < alarms[TOGETHER].mean() < 0.11 and 0.01 < alarms["T2WI"].mean() < 0.11
    assert np.median(familiar.scores(usual)[SEQUENCES]) == pytest.approx(0, abs=0.1)


def test_one_strange_sequence_is_named() -> None:
    familiar = fit_familiarity(_features(200, 1), _features(200, 2))
    case = _features(50, 5)
    case["LAP"] = case["LAP"] + 6
    found = familiar.is_unlike(case)
    assert found["LAP"].mean() > 0.95 and found["T2WI"].mean() < 0.2


def test_the_worst_part_decides() -> None:
    """A lesion that does not stand out is unlike the training however usual its sequences look."""
    random = np.random.default_rng(9)
    parts = [{**_features(200, seed), CONTRAST: random.normal(2, 0.2, (200, 6))} for seed in (1, 2, 3)]
    familiar = fit_familiarity(parts[0], parts[1])
    assert 0.01 < familiar.is_unlike(parts[2])[TOGETHER].mean() < 0.13
    faint = {**parts[2], CONTRAST: random.normal(0, 0.2, (200, 6))}
    assert familiar.is_unlike(faint)[TOGETHER].all()
    bright = {**parts[2], CONTRAST: random.normal(9, 0.2, (200, 6))}
    assert (familiar.scores(bright)[TOGETHER] <= familiar.scores(parts[2])[TOGETHER]).all()
    assert np.array_equal(familiar.scores(faint)[SEQUENCES], familiar.scores(parts[2])[SEQUENCES])
    unknown = {CONTRAST: np.full((1, 6), np.nan)}
    assert np.isnan(familiar.scores(unknown)[TOGETHER][0])
    with pytest.raises(ConfigError, match="features of contrast"):
        familiar.scores({CONTRAST: np.zeros((1, 5))})


def test_sequences_side_by_side_stand_for_their_mean_where_all_are_there() -> None:
    parts = [_features(200, seed) for seed in (1, 2, 3)]
    for each in parts:
        each[JOINT] = np.hstack([each["T2WI"], each["LAP"]])
    familiar = fit_familiarity(parts[0], parts[1])
    odd = {name: values if name == JOINT else values + 6 for name, values in parts[2].items()}
    assert familiar.is_unlike(odd)[SEQUENCES].all()
    assert familiar.is_unlike(odd)[TOGETHER].mean() < 0.13
    odd[JOINT][:100] = np.nan
    assert familiar.is_unlike(odd)[TOGETHER][:100].all()


def test_missing_sequences_are_left_out() -> None:
    training = _features(100, 1)
    training["LAP"][:20] = np.nan
    familiar = fit_familiarity(training, _features(100, 2))
    case = _features(5, 3)
    case["LAP"][2] = np.nan
    scores = familiar.scores(case)
    assert np.isnan(scores["LAP"][2]) and scores[SEQUENCES][2] == scores["T2WI"][2]
    only = familiar.scores({"T2WI": case["T2WI"]})
    assert np.array_equal(only[SEQUENCES], only["T2WI"])
    assert np.allclose(only[TOGETHER], only[SEQUENCES] / familiar.thresholds[SEQUENCES])
    with pytest.raises(ConfigError, match="None of the model's sequences"):
        familiar.scores({"DWI": case["T2WI"]})


def test_too_few_cases_say_nothing() -> None:
    with pytest.raises(ConfigError, match="T2WI has features of too few cases"):
        fit_familiarity(_features(7, 1), _features(100, 2))
