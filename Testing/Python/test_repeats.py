"""Models trained several times, and diagnoses as ranks: Yasaka et al. 2018."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import combinations_with_replacement as draws
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kruskal, mannwhitneyu, multivariate_normal, norm
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.evaluate import evaluate_file
from LiverLesionAI.evaluation.ordinal import malignancy_score
from LiverLesionAI.evaluation.predictions import read_predictions, read_repeats
from LiverLesionAI.evaluation.rank_tests import kruskal_wallis, largest_of_several_p, steel_test
from LiverLesionAI.evaluation.repeats import Spread, median_repeat
from LiverLesionAI.taxonomy import TAXONOMIES

Y5 = TAXONOMIES["Y5"].names
CASES = (21, 9, 35, 20, 15)
"""Test cases of Yasaka et al. 2018, categories A to E."""

TABLE_3 = {
    "triphasic": (15, 3, 33, 18, 15),
    "art/del": (15, 2, 32, 18, 15),
    "unenhanced": (7, 2, 19, 5, 15),
    "arterial": (11, 1, 24, 15, 15),
    "delayed": (11, 3, 26, 16, 15),
}
"""Rightly named cases of each category, medians over five trainings."""

TABLE_2 = {
    "triphasic": (82, 82, 84, 87, 90),
    "art/del": (75, 80, 81, 84, 86),
    "unenhanced": (39, 45, 48, 55, 60),
    "arterial": (63, 65, 66, 68, 70),
    "delayed": (67, 70, 71, 73, 74),
}
"""Accuracies (%) of five trainings with the medians and ranges that the paper prints; the two between the
median and the ends, which it does not print, are chosen."""


@pytest.mark.parametrize(
    ("comparisons", "z"), [(1, 1.960), (2, 2.212), (3, 2.349), (4, 2.442), (5, 2.511), (9, 2.686)]
)
def test_dunnetts_table_is_met(comparisons: int, z: float) -> None:
    """Two-sided 5% points for groups of one size and no end of degrees of freedom (Dunnett 1964)."""
    assert largest_of_several_p(z, [np.sqrt(0.5)] * comparisons) == pytest.approx(0.05, abs=2e-4)


@given(st.floats(0.1, 4), st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4))
def test_the_probability_is_that_of_the_normal_distribution_in_several_dimensions(
    z: float, weights: list[float]
) -> None:
    correlation = np.outer(weights, weights)
    np.fill_diagonal(correlation, 1)
    count = len(weights)
    inside = multivariate_normal(np.zeros(count), correlation).cdf(
        np.full(count, z), lower_limit=np.full(count, -z)
    )
    assert largest_of_several_p(z, weights) == pytest.approx(1 - inside, abs=2e-4)


@given(
    st.lists(st.integers(0, 30), min_size=3, max_size=9), st.lists(st.integers(0, 30), min_size=3, max_size=9)
)
def test_with_one_comparison_steel_is_mann_whitney(control: list[int], sample: list[int]) -> None:
    if len({*control, *sample}) < 2:
        return
    (found,) = steel_test(control, {"other": sample}).values()
    expected = mannwhitneyu(sample, control, method="asymptotic", use_continuity=False)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)


def test_the_papers_probabilities_of_steels_test_come_out() -> None:
    """R integrates by chance, to ±0.001: .384 is printed where ranks give .382 or .385."""
    accuracies = dict(TABLE_2)
    found = steel_test(accuracies.pop("triphasic"), accuracies)
    assert found["art/del"].p == pytest.approx(0.384, abs=0.0015)
    for model, printed in (("unenhanced", 0.031), ("arterial", 0.031), ("delayed", 0.030)):
        assert found[model].p == pytest.approx(printed, abs=0.0018) and found[model].statistic < 0
    assert kruskal_wallis(list(TABLE_2.values())).p < 0.001


def test_no_other_accuracies_with_the_papers_medians_and_ranges_give_its_probability_for_art_del() -> None:
    """Of all five integers with the printed median and range the nearest give .382 and .385, never .384."""

    def fitting(low: int, middle: int, high: int) -> list[tuple[int, ...]]:
        return [x for x in draws(range(low, high + 1), 5) if (x[0], x[2], x[4]) == (low, middle, high)]

    statistics = {
        round(abs(steel_z(a, b)), 6): (a, b) for a in fitting(82, 84, 90) for b in fitting(75, 81, 86)
    }
    possible = {round(largest_of_several_p(z, [np.sqrt(0.5)] * 4), 3) for z in statistics}
    assert 0.384 not in possible and {0.382, 0.385} <= possible


def steel_z(control: Sequence[float], sample: Sequence[float]) -> float:
    found = mannwhitneyu(sample, control, method="asymptotic", use_continuity=False)
    ranks = found.statistic - 12.5
    return float(np.copysign(norm.isf(found.pvalue / 2), ranks)) if ranks else 0.0


@given(st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=6), min_size=2, max_size=4))
def test_kruskal_wallis_is_scipys_and_bears_equal_values(samples: list[list[int]]) -> None:
    found = kruskal_wallis(samples)
    if len({value for sample in samples for value in sample}) == 1:
        assert (found.statistic, found.p) == (0.0, 1.0)
    else:
        assert (found.statistic, found.p) == pytest.approx(tuple(kruskal(*samples)))


def test_the_papers_sensitivities_and_accuracies_follow_from_its_counts() -> None:
    """Table 3; art/del adds up to 82 where Table 2 prints 81: medians of five trainings do not add."""
    printed = {
        "triphasic": ((0.71, 0.33, 0.94, 0.90, 1.00), 0.84),
        "art/del": ((0.71, 0.22, 0.91, 0.90, 1.00), 0.82),
        "unenhanced": ((0.33, 0.22, 0.54, 0.25, 1.00), 0.48),
        "arterial": ((0.52, 0.11, 0.69, 0.75, 1.00), 0.66),
        "delayed": ((0.52, 0.33, 0.74, 0.80, 1.00), 0.71),
    }
    for model, right in TABLE_3.items():
        sensitivities, accuracy = printed[model]
        assert tuple(round(hits / n, 2) for hits, n in zip(right, CASES, strict=True)) == sensitivities
        assert sum(right) / sum(CASES) == accuracy


@pytest.mark.parametrize(
    ("model", "area"), [("triphasic", 0.92), ("art/del", 0.88), ("unenhanced", 0.61), ("delayed", 0.81)]
)
def test_the_papers_areas_can_follow_from_its_counts(model: str, area: float, tmp_path: Path) -> None:
    """Where the wrongly named cases went is not printed: the area must lie between the best and the worst."""
    ends = [
        evaluate_file(_write(tmp_path / "y.csv", _rows_of(TABLE_3[model], malignant, other))).primary
        for malignant, other in (("other_malignant", "cyst"), ("cyst", "HCC"))
    ]
    best, worst = (task.malignancy_auc.value for task in ends if task.malignancy_auc is not None)
    assert worst < area < best


def test_ranks_are_those_of_the_paper() -> None:
    assert [malignancy_score(name) for name in Y5] == [4, 4, 3, 2, 1]
    assert [malignancy_score(name) for name in TAXONOMIES["W7"].names] == [1, 3, 2, 3, 4, 4, 4]
    assert malignancy_score("benign") is None and malignancy_score("unheard of") is None


def test_the_area_by_rank_is_sklearns(tmp_path: Path) -> None:
    rows = _trained("1", 0.7, 5)
    task = evaluate_file(_write(tmp_path / "y.csv", rows)).primary
    scores = [malignancy_score(row["pred"]) for row in rows]
    truth = [malignancy_score(row["truth"]) == 4 for row in rows]
    assert task.malignancy_auc is not None
    assert task.malignancy_auc.value == pytest.approx(roc_auc_score(truth, scores))


def test_repeats_are_judged_by_their_median_and_compared(tmp_path: Path) -> None:
    first = [row for n in range(5) for row in _trained(str(n), 0.84, n)]
    other = [row for n in range(5) for row in _trained(str(n), 0.5, 10 + n)]
    once = _trained("", 0.6, 20)
    files = [
        _write(tmp_path / f"{name}.csv", rows)
        for name, rows in (("triphasic", first), ("arterial", other), ("once", once))
    ]
    arguments = ["evaluate", str(files[0]), "--out", str(tmp_path / "out")]
    for file in files[1:]:
        arguments += ["--compare", str(file)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "triphasic: median accuracy" in done.stdout and "Steel p" in done.stdout
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    repeats = content["repeats"]
    assert set(repeats["models"]) == {"triphasic", "arterial"}
    accuracy = repeats["models"]["triphasic"]["accuracy"]
    by_hand = sorted(
        np.mean([row["truth"] == row["pred"] for row in first if row["repeat"] == str(n)]) for n in range(5)
    )
    assert accuracy["median"] == by_hand[2] == content["accuracy"]["value"]
    assert accuracy["range"] == [by_hand[0], by_hand[-1]] and content["n"] == 100
    assert repeats["kruskal_wallis"]["p"] < 0.05
    assert repeats["steel"]["arterial"]["p"] == pytest.approx(0.009, abs=0.002)
    assert set(content["comparisons"]) == {"arterial", "once"}
    with (tmp_path / "out" / "tables" / "repeats.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["figure"] for row in rows} == {"accuracy", "sensitivity", "malignancy_auc"}
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "Kruskal–Wallis" in page and "Repeated trainings" in page


def test_one_table_of_several_repeats_is_no_single_one(tmp_path: Path) -> None:
    file = _write(tmp_path / "y.csv", [*_trained("1", 0.8, 1), *_trained("2", 0.8, 2)])
    with pytest.raises(ConfigError, match="2 repeats"):
        read_predictions(file)


def test_of_two_repeats_in_the_middle_the_worse_is_taken(tmp_path: Path) -> None:
    rows = [row for n, right in enumerate((0.9, 0.4)) for row in _trained(str(n), right, n)]
    repeats = read_repeats(_write(tmp_path / "y.csv", rows))
    assert median_repeat(repeats) is repeats["1"]
    assert Spread((0.9, 0.4)).median == pytest.approx(0.65)


def _trained(repeat: str, right: float, seed: int) -> list[dict[str, str]]:
    """Answers to the paper's cases, of which a part is right."""
    random = np.random.default_rng(seed)
    rows = []
    for name, count in zip(Y5, CASES, strict=True):
        for _ in range(count):
            said = name if random.random() < right else Y5[random.integers(len(Y5))]
            row = {"study_id": f"S{len(rows)}", "truth": name, "pred": said}
            rows.append(row | ({"repeat": repeat} if repeat else {}))
    return rows


def _rows_of(right: Sequence[int], malignant: str, other: str) -> list[dict[str, str]]:
    """Answers of which so many are right; wrong ones go where they are told to."""
    rows = []
    for name, hits, count in zip(Y5, right, CASES, strict=True):
        wrong = malignant if malignancy_score(name) == 4 else other
        for number in range(count):
            rows.append(
                {"study_id": f"S{len(rows)}", "truth": name, "pred": name if number < hits else wrong}
            )
    return rows


def _write(file: Path, rows: Sequence[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_the_macro_f1_has_an_interval_around_it(tmp_path: Path) -> None:
    task = evaluate_file(_write(tmp_path / "y.csv", _trained("", 0.7, 5))).primary
    assert task.macro_f1 is not None and task.macro_f1_interval is not None
    low, high = task.macro_f1_interval
    assert low < task.macro_f1 < high and 0.1 < high - low < 0.3
    sure = evaluate_file(_write(tmp_path / "y.csv", _trained("", 1.0, 5))).primary
    assert sure.macro_f1_interval == (1.0, 1.0)
