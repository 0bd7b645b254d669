"""Reader studies: the published example of the method comes out to the printed digit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.multireader import MultireaderAnalysis, analyse_readers
from LiverLesionAI.evaluation.roc import delong_auc, delong_test

VAN_DYKE = Path(__file__).with_name("data") / "van_dyke.csv"
"""Ratings of 114 MR examinations, 45 with aortic dissection, by five readers from cine and from spin-echo
images (Van Dyke et al. 1993), the example of the method's literature. The figures below are those that R's
MRMCaov (Smith, Hillis and Pesce, doi:10.1117/12.2549075) prints for them with DeLong's covariances."""

READERS, WAYS = ("1", "2", "3", "4", "5"), ("cine", "spin echo")


@pytest.fixture(scope="module")
def ratings() -> tuple[np.ndarray, np.ndarray]:
    with VAN_DYKE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [
        [[float(row[f"way_{way}_reader_{reader}"]) for row in rows] for reader in READERS] for way in "12"
    ]
    return np.array(scores), np.array([row["truth"] == "1" for row in rows])


@pytest.fixture(scope="module")
def found(ratings: tuple[np.ndarray, np.ndarray]) -> MultireaderAnalysis:
    return analyse_readers(*ratings, WAYS, READERS)


def printed(value: float) -> object:
    """As many digits as R prints."""
    return pytest.approx(value, rel=2e-6)


def test_variance_components_are_those_published(found: MultireaderAnalysis) -> None:
    covariances = found.covariances
    assert covariances.error == printed(0.0007921325)
    assert covariances.same_reader == printed(0.0003420090)
    assert covariances.same_way == printed(0.0003395265)
    assert covariances.neither == printed(0.0002358497)
    assert found.reader_variance == printed(0.0015364254)
    assert found.interaction_variance == printed(0.0002045840)
    assert found.mean_square_ways == printed(0.004796171)
    assert found.mean_square_interaction == printed(0.0005510306)


def test_other_readers_and_cases(found: MultireaderAnalysis) -> None:
    inference = found.random_readers
    assert (inference.statistic, inference.df_numerator) == (printed(4.484854), 1)
    assert inference.df_denominator == pytest.approx(15.06611, abs=5e-5)
    assert inference.p == pytest.approx(0.05123303, abs=5e-7)
    (difference,) = inference.differences.values()
    assert difference.value == pytest.approx(-0.04380032, abs=5e-9)
    assert difference.interval == pytest.approx((-0.0878671960, 0.0002665519), abs=5e-8)
    assert difference.p == pytest.approx(0.05123303, abs=5e-7)
    assert found.means["cine"] == (
        pytest.approx(0.8970370, abs=5e-8),
        pytest.approx((0.8253461, 0.9687280), abs=5e-7),
    )
    assert found.means["spin echo"][1] == pytest.approx((0.8942155, 0.9874592), abs=5e-7)


def test_these_readers_and_these_cases(found: MultireaderAnalysis) -> None:
    """By the formulas: with readers fixed chi-square, with cases fixed the interaction is the error."""
    covariances = found.covariances
    error = covariances.error - covariances.same_reader + 4 * (covariances.same_way - covariances.neither)
    assert found.fixed_readers.statistic == pytest.approx(found.mean_square_ways / error)
    assert found.fixed_readers.df_denominator == np.inf
    assert found.fixed_readers.p == pytest.approx(0.01928, abs=1e-3), "as printed for jackknife covariances"
    assert found.fixed_cases.statistic == pytest.approx(0.004796171 / 0.0005510306, rel=1e-5)
    assert (found.fixed_cases.df_numerator, found.fixed_cases.df_denominator) == (1, 4)
    for inference in (found.fixed_readers, found.fixed_cases):
        (difference,) = inference.differences.values()
        assert difference.p == pytest.approx(inference.p)
        low, high = difference.interval
        assert low < difference.value < high < 0 or inference.p > 0.05


def test_areas_and_their_covariances_are_delongs(
    found: MultireaderAnalysis, ratings: tuple[np.ndarray, np.ndarray]
) -> None:
    scores, positive = ratings
    area, _, _ = delong_auc(scores[0, 2, positive], scores[0, 2, ~positive])
    assert found.areas[0, 2] == pytest.approx(area)
    pair = analyse_readers(scores[:, [0, 0]], positive, WAYS, ("1", "1 again"))
    z, _ = delong_test(scores[0, 0], scores[1, 0], positive)
    variance = 2 * (pair.covariances.error - pair.covariances.same_reader)
    assert (pair.areas[0, 0] - pair.areas[1, 0]) / np.sqrt(variance) == pytest.approx(z)


def test_readers_who_agree_in_everything_do_not_differ(ratings: tuple[np.ndarray, np.ndarray]) -> None:
    _, positive = ratings
    perfect = np.broadcast_to(positive.astype(float), (2, 5, len(positive)))
    same = analyse_readers(perfect, positive, WAYS, READERS)
    for inference in (same.random_readers, same.fixed_readers, same.fixed_cases):
        assert inference.p == 1 and inference.differences["cine", "spin echo"].p == 1


def test_a_difference_without_the_model_is_found_only_where_there_is_one() -> None:
    """Under no difference the test rejects about as often as it says."""
    random, rejected, rounds = np.random.default_rng(1), 0, 200
    positive = np.arange(80) < 40
    for _ in range(rounds):
        case, reader = random.normal(size=80) + positive, random.normal(size=(1, 4, 1)) * 0.2
        scores = case + reader * positive + random.normal(size=(2, 4, 80))
        rejected += analyse_readers(scores, positive, WAYS, READERS[:4]).random_readers.p < 0.05
    assert rejected <= 0.1 * rounds


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, p: (s[:1], p, WAYS[:1], READERS), "two ways of reading"),
        (lambda s, p: (s[:, :1], p, WAYS, READERS[:1]), "two readers"),
        (lambda s, p: (s, np.arange(len(p)) < 1, WAYS, READERS), "two cases"),
        (lambda s, p: (np.where(s == 3, np.nan, s), p, WAYS, READERS), "every reader's score"),
        (lambda s, p: (s[..., 1:], p, WAYS, READERS), "a value for each"),
    ],
)
def test_what_is_no_reader_study_is_refused(
    ratings: tuple[np.ndarray, np.ndarray], change, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        analyse_readers(*change(*ratings))
