"""The statistics give the papers' printed figures, R's, and those of statsmodels and scipy."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.optimize import linprog
from scipy.stats import chi2_contingency, fisher_exact
from statsmodels.stats import contingency_tables, proportion

from LiverLesionAI.evaluation.agreement import cohen_kappa, fleiss_kappa
from LiverLesionAI.evaluation.comparison import by_subgroup, mcnemar
from LiverLesionAI.evaluation.intervals import (
    Counts,
    clopper_pearson_interval,
    modified_wilson_interval,
    wilson_interval,
)
from LiverLesionAI.evaluation.metrics import absence_metrics
from LiverLesionAI.evaluation.roc import (
    area_under_curve,
    delong_auc,
    delong_test,
    resampled,
    roc_curve,
    youden_threshold,
)
from LiverLesionAI.writers.evaluation import _ratio_text

WANG_TABLE_3 = {
    "two-way": Counts(40, 8, 3, 62),
    "cyst": Counts(16, 1, 0, 96),
    "FNH": Counts(10, 3, 1, 99),
    "haemangioma": Counts(21, 4, 1, 87),
    "abscess": Counts(21, 13, 0, 79),
    "HCC": Counts(15, 1, 0, 97),
    "ICC": Counts(10, 6, 1, 96),
    "metastasis": Counts(16, 21, 1, 75),
}
"""Counts that give the printed sensitivities and specificities of Wang et al. 2021, 113 lesions."""

WANG_PRINTED = {
    "accuracy": "0.903 0.834 0.945 | 0.991 0.951 1.000 | 0.965 0.913 0.986 | 0.956 0.901 0.981 | "
    "0.885 0.813 0.932 | 0.991 0.952 1.000 | 0.938 0.878 0.970 | 0.805 0.723 0.868",
    "sensitivity": "0.930 0.814 0.976 | 1.000 0.806 1.000 | 0.909 0.623 0.995 | 0.955 0.782 0.998 | "
    "1.000 0.845 1.000 | 1.000 0.796 1.000 | 0.909 0.623 0.995 | 0.941 0.730 0.997",
    "specificity": "0.886 0.790 0.941 | 0.990 0.944 0.999 | 0.971 0.917 0.990 | 0.956 0.892 0.983 | "
    "0.859 0.773 0.916 | 0.990 0.944 0.999 | 0.941 0.878 0.973 | 0.781 0.689 0.852",
    "ppv": "0.833 0.704 0.913 | 0.941 0.730 0.997 | 0.769 0.497 0.918 | 0.840 0.653 0.936 | "
    "0.618 0.450 0.761 | 0.938 0.717 0.997 | 0.625 0.386 0.815 | 0.432 0.287 0.591",
    "npv": "0.954 0.873 0.984 | 1.000 0.962 1.000 | 0.990 0.946 0.999 | 0.989 0.938 0.999 | "
    "1.000 0.954 1.000 | 1.000 0.962 1.000 | 0.990 0.944 0.999 | 0.987 0.929 0.999",
    "plr": "8.140 4.218 15.706 | 97.000 13.802 681.695 | 30.909 9.981 95.722 | 21.716 8.294 56.860 | "
    "7.077 4.076 11.712 | 98.000 13.943 688.794 | 15.455 60.955 340.342 | 4.303 2.895 6.395",
    "nlr": "0.079 0.026 0.235 | 0.000 | 0.094 0.014 0.607 | 0.048 0.007 0.323 | 0.000 | 0.000 | "
    "0.097 0.015 0.626 | 0.075 0.011 0.506",
}

WANG_MISPRINTS = {
    ("accuracy", "cyst", 1): 0.952,
    ("plr", "abscess", 1): 4.276,
    ("plr", "ICC", 1): 6.955,
    ("plr", "ICC", 2): 34.342,
}
"""Figure, column and position of what no count gives, and what the counts give. The accuracy of HCC, of the
same counts as that of cysts, has the right bound."""


@pytest.mark.parametrize("figure", WANG_PRINTED)
@pytest.mark.parametrize("column", WANG_TABLE_3)
def test_table_3_of_wang_is_printed_again(figure: str, column: str) -> None:
    printed = WANG_PRINTED[figure].split(" | ")[list(WANG_TABLE_3).index(column)]
    found = getattr(WANG_TABLE_3[column], figure)
    interval = found.interval if figure in ("plr", "nlr") else found.modified_wilson
    values = (found.value, *(interval or ()))
    wanted = [float(text) for text in printed.split()]
    for position, right in ((p, v) for (f, c, p), v in WANG_MISPRINTS.items() if (f, c) == (figure, column)):
        assert wanted[position] != pytest.approx(values[position], abs=PRINTED_P)
        wanted[position] = right
    assert values == pytest.approx(wanted, abs=PRINTED_P)


@pytest.mark.parametrize(
    ("counts", "plr", "nlr"),
    [
        (Counts(3, 0, 1, 4), (math.inf, "∞"), (0.25, "0.25 (0.05–1.36)")),
        (Counts(4, 3, 0, 0), (1.0, "1.00 (1.00–1.00)"), (None, "–")),
        (Counts(1, 2, 3, 0), (0.25, "0.25 (0.05–1.36)"), (math.inf, "∞")),
        (Counts(0, 0, 3, 4), (None, "–"), (1.0, "1.00 (1.00–1.00)")),
        (Counts(0, 3, 0, 4), (None, "–"), (None, "–")),
    ],
)
def test_a_ratio_that_is_not_defined_is_not_infinite(
    counts: Counts, plr: tuple[float | None, str], nlr: tuple[float | None, str]
) -> None:
    for ratio, (value, said) in ((counts.plr, plr), (counts.nlr, nlr)):
        assert ratio.value == value and _ratio_text(ratio) == said
        assert ratio.finite == (value if value != math.inf else None)


ZHEN_CASES = {"cyst": 38, "haemangioma": 46, "FNH": 9, "nodules": 9, "HCC": 47, "metastasis": 37, "other": 15}

ZHEN_TABLES = {
    "A": "89.5 75.2 97.1 96.9 93.0 99.0 | 82.6 68.6 92.2 95.5 90.9 98.2 | 100 66.4 100 95.8 92.0 98.2 | "
    "77.8 40.0 97.2 99.5 97.1 100 | 87.2 74.3 95.2 91.6 86.0 95.4 | 59.5 42.1 75.3 97.6 93.9 99.3 | "
    "53.3 26.6 78.7 97.9 94.6 99.4",
    "B": "89.5 75.2 97.1 96.9 93.0 99.0 | 87.0 73.7 95.1 93.6 88.5 96.9 | 66.7 29.9 92.5 94.8 90.6 97.5 | "
    "66.7 29.9 92.5 99.5 97.1 100 | 74.5 59.7 86.1 86.4 79.9 91.4 | 40.5 24.8 57.9 97.0 93.0 99.0 | "
    "46.7 21.3 73.4 96.8 93.1 98.8",
    "consensus": "94.7 82.3 99.4 98.2 94.7 99.6 | 89.1 76.4 96.4 98.1 94.5 99.6 | "
    "88.9 51.8 99.7 100 98.1 100 | 55.6 21.2 86.3 98.4 95.5 99.7 | 87.2 74.3 95.2 94.8 90.0 97.7 | "
    "89.2 74.6 97.0 97.6 93.9 99.3 | 60.0 32.3 83.7 96.2 92.4 98.5",
    "E": "93.6 82.5 98.7 67.3 52.9 79.7 | 59.5 42.1 75.3 93.6 84.3 98.2 | 53.3 26.6 78.7 95.2 88.3 98.7",
    "F": "95.7 85.5 99.5 96.2 86.8 99.5 | 100 90.5 100 96.8 88.8 99.6 | 86.7 59.5 98.3 100 95.7 100",
    "G": "95.7 85.5 99.5 90.4 79.0 96.8 | 94.6 81.8 99.3 100 94.2 100 | 73.3 44.9 92.2 96.4 89.9 99.3",
}
"""Sensitivity and specificity with their intervals, %, per class, of Zhen et al. 2020, Tables 1 and 3.

As printed but for three slips of the press: A's sensitivity for metastases is printed as 59.6 (22 of 37 is
59.5, as in Table 3), B's lower bound for FNH with a digit more, G's lower bound for other primaries as "44.".
"""

ZHEN_TABLE_2 = {"C": "91.9 84.7 96.5 94.1 87.6 97.8", "D": "90.9 83.4 95.8 94.1 87.6 97.8"}

ZHEN_READERS_OF_TABLE_3 = (
    "89.1 76.4 96.4 90.4 79.0 96.8 | 89.2 74.6 97.0 95.1 86.3 99.0 | 60.0 32.3 83.7 91.6 83.4 96.5"
)
"""Only 98 patients, 46 of them with HCC, give these; Table 1 has 41 of 47 for the same readers."""

ZHEN_TABLE_4 = {
    "A": (79.1, 72.8, 84.5, 0.744, 22.9),
    "B": (71.1, 64.4, 77.3, 0.649, 20.0),
    "C": (93.5, 89.2, 96.5, 0.861, 12.2),
    "D": (93.0, 88.6, 96.1, 0.851, 12.1),
    "E": (72.7, 62.9, 81.2, 0.541, 7.31),
    "F": (93.9, 87.3, 97.7, 0.901, 11.8),
    "G": (91.9, 84.7, 96.5, 0.867, 11.4),
    "consensus": (86.1, 80.5, 90.5, 0.829, 25.1),
}
"""Accuracy (%) with its interval, kappa and z."""

ZHEN_FITS_NO_COUNT = {
    "B": {3: 0.645, 4: 19.8},
    "C": {0: 93.0, 1: 88.6, 2: 96.1},
    "D": {0: 92.5, 1: 88.0, 2: 95.8},
    "E": {0: 74.7, 1: 65.0, 2: 82.9, 3: 0.573, 4: 7.73},
    "F": {0: 96.0, 1: 90.0, 2: 98.9, 3: 0.934, 4: 12.25},
}
"""Positions in Table 4 that do not follow from the counts of Tables 1 to 3, and what does."""

PRINTED_DIGIT = 0.06
PRINTED_P = 5.1e-4


def _zhen_counts(system: str) -> list[Counts]:
    """True and false positives of each class, from the printed percentages."""
    if system in ZHEN_TABLE_2:
        sizes, cells = [99], [ZHEN_TABLE_2[system]]
        total = 201
    else:
        cells = ZHEN_TABLES[system].split(" | ")
        sizes = list(ZHEN_CASES.values())[-len(cells) :]
        total = sum(sizes)
    counts = []
    for n, cell in zip(sizes, cells, strict=True):
        sensitivity, *_, specificity, _, _ = map(float, cell.split())
        tp, tn = round(sensitivity * n / 100), round(specificity * (total - n) / 100)
        counts.append(Counts(tp, total - n - tn, n - tp, tn))
    return counts


@pytest.mark.parametrize("system", [*ZHEN_TABLES, *ZHEN_TABLE_2])
def test_tables_1_to_3_of_zhen_are_printed_again(system: str) -> None:
    printed = (ZHEN_TABLES.get(system) or ZHEN_TABLE_2[system]).split(" | ")
    for counts, cell in zip(_zhen_counts(system), printed, strict=True):
        found = [
            100 * value
            for proportion in (counts.sensitivity, counts.specificity)
            for value in (proportion.value, *(proportion.clopper_pearson or ()))
        ]
        assert found == pytest.approx([float(text) for text in cell.split()], abs=PRINTED_DIGIT)


def test_the_readers_of_zhens_table_3_judged_98_patients() -> None:
    counts = (Counts(41, 5, 5, 47), Counts(33, 3, 4, 58), Counts(9, 7, 6, 76))
    for found, cell in zip(counts, ZHEN_READERS_OF_TABLE_3.split(" | "), strict=True):
        values = [
            100 * value
            for each in (found.sensitivity, found.specificity)
            for value in (each.value, *(each.clopper_pearson or ()))
        ]
        assert values == pytest.approx([float(text) for text in cell.split()], abs=PRINTED_DIGIT)


@pytest.mark.parametrize("system", ZHEN_TABLE_4)
def test_table_4_of_zhen_is_printed_again_where_it_follows_from_counts(system: str) -> None:
    table = _table_with(_zhen_counts(system))
    right, total = int(np.trace(table)), int(table.sum())
    kappa = cohen_kappa(table)
    assert kappa is not None
    accuracy = [100 * value for value in (right / total, *clopper_pearson_interval(right, total))]
    found = [*accuracy, kappa.value, kappa.z]
    wanted = list(ZHEN_TABLE_4[system])
    tolerances = [PRINTED_DIGIT] * 3 + [6e-4, 0.06]
    for position, value in ZHEN_FITS_NO_COUNT.get(system, {}).items():
        assert abs(found[position] - wanted[position]) > tolerances[position]
        wanted[position] = value
    for value, printed, tolerance in zip(found, wanted, tolerances, strict=True):
        assert value == pytest.approx(printed, abs=tolerance)
    assert kappa.p < 0.01


def _table_with(counts: list[Counts]) -> np.ndarray:
    """Any confusion matrix of these true positives and margins: kappa and its z depend on nothing else."""
    if len(counts) == 1:
        (of,) = counts
        return np.array([[of.tp, of.fn], [of.fp, of.tn]])
    n = len(counts)
    off = ~np.eye(n, dtype=bool)
    rows, columns = np.nonzero(off)
    equal = np.zeros((2 * n, len(rows)))
    equal[rows, np.arange(len(rows))] = 1
    equal[n + columns, np.arange(len(rows))] = 1
    found = linprog(
        np.ones(len(rows)), A_eq=equal, b_eq=[*(c.fn for c in counts), *(c.fp for c in counts)], integrality=1
    )
    assert found.success, found.message
    table = np.diag([c.tp for c in counts])
    table[off] = np.round(found.x).astype(int)
    return table


ASAH = Path(__file__).with_name("data") / "asah.csv"
"""Markers and outcome of 113 patients with subarachnoid haemorrhage (Turck et al. 2010,
doi:10.1007/s00134-009-1641-y), the published example of R's pROC (Robin et al. 2011,
doi:10.1186/1471-2105-12-77)."""

PROC_AREAS = {
    "s100b": (0.731368563685637, 0.630118211761623, 0.832618915609651),
    "ndka": (0.611957994579946, 0.501244999271703, 0.722670989888189),
    "wfns": (0.823678861788618, 0.748534887819453, 0.898822835757783),
}
PROC_TESTS = {
    ("s100b", "ndka"): (1.39077002573558, 0.164295175223054),
    ("s100b", "wfns"): (-2.20898359144091, 0.0271757822291882),
    ("ndka", "wfns"): (-2.79777591868904, 0.00514557970691098),
}
"""Of pROC 1.18.0: ``ci.auc(method = "delong")`` and ``roc.test(method = "delong", paired = TRUE)``."""

PROC_YOUDEN = {
    "s100b": (0.805555555555556, 0.634146341463415),
    "ndka": (0.513888888888889, 0.707317073170732),
    "wfns": (0.833333333333333, 0.634146341463415),
}
"""Specificity and sensitivity of ``coords("best", best.method = "youden")``."""


@pytest.fixture(scope="module")
def asah() -> dict[str, np.ndarray]:
    with ASAH.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {name: np.array([float(row[name]) for row in rows]) for name in PROC_AREAS}
    return {**found, "poor": np.array([row["outcome"] == "Poor" for row in rows])}


@pytest.mark.parametrize("marker", PROC_AREAS)
def test_areas_are_those_of_proc(asah: dict[str, np.ndarray], marker: str) -> None:
    scores, poor = asah[marker], asah["poor"]
    assert delong_auc(scores[poor], scores[~poor]) == pytest.approx(PROC_AREAS[marker], abs=1e-9)


@pytest.mark.parametrize("markers", PROC_TESTS)
def test_the_delong_test_is_that_of_proc(asah: dict[str, np.ndarray], markers: tuple[str, str]) -> None:
    a, b = (asah[marker] for marker in markers)
    assert delong_test(a, b, asah["poor"]) == pytest.approx(PROC_TESTS[markers], abs=1e-9)


@pytest.mark.parametrize("marker", PROC_YOUDEN)
def test_the_youden_point_is_that_of_proc(asah: dict[str, np.ndarray], marker: str) -> None:
    scores, poor = asah[marker], asah["poor"]
    called = scores >= youden_threshold(scores, poor)
    assert ((~called)[~poor].mean(), called[poor].mean()) == pytest.approx(PROC_YOUDEN[marker])


def test_a_score_does_not_differ_from_itself(asah: dict[str, np.ndarray]) -> None:
    assert delong_test(asah["ndka"], asah["ndka"], asah["poor"]) == (0.0, 1.0)
    assert delong_test(asah["ndka"], 3 * asah["ndka"] + 1, asah["poor"]) == (0.0, 1.0)


def test_the_curve_encloses_its_area_and_lies_in_its_band(asah: dict[str, np.ndarray]) -> None:
    patients = [str(number) for number in range(len(asah["poor"]))]
    curve = roc_curve(asah["ndka"], asah["poor"], resampled(patients))
    assert (np.diff(curve.sensitivity) >= 0).all() and curve.sensitivity[-1] == 1
    assert (curve.lower <= curve.sensitivity).all() and (curve.sensitivity <= curve.upper).all()
    assert trapezoid(curve.sensitivity, curve.false_positive_rate) == pytest.approx(0.612, abs=0.02)


def test_lesions_of_one_patient_are_resampled_together(asah: dict[str, np.ndarray]) -> None:
    """Every patient given four times: DeLong's interval shrinks to half, that over patients does not."""
    scores, poor = np.repeat(asah["ndka"], 4), np.repeat(asah["poor"], 4)
    patients = np.repeat(np.arange(len(asah["poor"])), 4).astype(str)
    area = area_under_curve(scores, poor, resampled(patients.tolist()))
    alone = area_under_curve(asah["ndka"], asah["poor"], resampled(np.unique(patients).tolist()))
    assert area is not None and alone is not None
    width = {name: np.diff(getattr(area, name))[0] for name in ("delong", "bootstrap")}
    single = {name: np.diff(getattr(alone, name))[0] for name in ("delong", "bootstrap")}
    assert width["delong"] == pytest.approx(single["delong"] / 2, rel=0.05)
    assert width["bootstrap"] == pytest.approx(single["bootstrap"], rel=0.1)
    assert single["bootstrap"] == pytest.approx(single["delong"], rel=0.1)


def test_an_area_needs_two_cases_of_either_kind() -> None:
    scores, positive = np.array([0.1, 0.5, 0.9]), np.array([False, False, True])
    assert area_under_curve(scores, positive, resampled(["a", "b", "c"])) is None


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_those_of_statsmodels(counts: tuple[int, int]) -> None:
    successes, n = counts
    wilson = proportion.proportion_confint(successes, n, method="wilson")
    exact = proportion.proportion_confint(successes, n, method="beta")
    assert wilson_interval(successes, n) == pytest.approx(wilson, abs=1e-9)
    assert clopper_pearson_interval(successes, n) == pytest.approx(exact, abs=1e-9)
    low, high = modified_wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    if successes not in (1, n - 1):
        assert (low, high) == wilson_interval(successes, n)


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3))
def test_kappa_is_that_of_the_definition(rows: list[list[int]]) -> None:
    table = np.array(rows)
    total = table.sum()
    kappa = cohen_kappa(table)
    if min(np.count_nonzero(table.sum(axis=axis)) for axis in (0, 1)) <= 1:
        assert kappa is None
        return
    by_chance = (table.sum(axis=0) @ table.sum(axis=1)) / total**2
    assert kappa is not None
    assert kappa.value == pytest.approx((np.trace(table) / total - by_chance) / (1 - by_chance), abs=1e-9)


def test_kappa_of_cohens_example() -> None:
    """Cohen 1960, Table 1 (as percentages of 200 cases): kappa 0.492."""
    kappa = cohen_kappa(np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]]))
    assert kappa is not None and kappa.value == pytest.approx(0.492, abs=5e-4)


def test_kappa_of_several_readers() -> None:
    """Ten subjects, fourteen raters, five categories, as widely reprinted from Fleiss: kappa 0.210."""
    counts = """0 0 0 0 14 | 0 2 6 4 2 | 0 0 3 5 6 | 0 3 9 2 0 | 2 2 8 1 1
                7 7 0 0 0 | 3 2 6 3 0 | 2 5 3 2 2 | 6 5 2 1 0 | 0 2 2 3 7"""
    rows = [list(map(int, row.split())) for row in counts.replace("\n", "|").split("|")]
    answers = np.array([np.repeat(np.arange(5), row) for row in rows])
    assert fleiss_kappa(answers) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_that_of_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    table = [
        [(first & second).sum(), (first & ~second).sum()],
        [(~first & second).sum(), (~first & ~second).sum()],
    ]
    found = mcnemar(first, second)
    assert found.exact_p == pytest.approx(contingency_tables.mcnemar(table, exact=True).pvalue, abs=1e-9)
    if found.chi_square_p is not None and found.first_only != found.second_only:
        by_them = contingency_tables.mcnemar(table, exact=False, correction=True).pvalue
        assert found.chi_square_p == pytest.approx(by_them, abs=1e-9)


@pytest.mark.parametrize(
    ("with_it", "without", "printed"),
    [
        ((13, 13), (77, 100), 0.116),
        ((15, 23), (75, 90), 0.102),
        ((13, 13), (87, 100), 0.358),
        ((22, 23), (78, 90), 0.401),
    ],
)
def test_subgroups_of_wang_are_printed_again(
    with_it: tuple[int, int], without: tuple[int, int], printed: float
) -> None:
    """Lesions that were right, with and without cirrhosis or fatty liver, seven-way and two-way."""
    right, cases = zip(with_it, without, strict=True)
    correct = np.concatenate([np.arange(n) < k for k, n in zip(right, cases, strict=True)])
    found = by_subgroup(correct, ["yes"] * cases[0] + ["no"] * cases[1])
    assert found.p == pytest.approx(printed, abs=PRINTED_P)
    assert found.test == "chi-square, corrected"


def test_the_test_of_subgroups_follows_their_size() -> None:
    correct = np.array([True] * 13 + [True] * 77 + [False] * 23)
    large = by_subgroup(np.tile(correct, 10), (["yes"] * 13 + ["no"] * 100) * 10)
    assert large.test == "chi-square"
    assert large.p == pytest.approx(chi2_contingency([[130, 0], [770, 230]], correction=False).pvalue)
    small = by_subgroup(np.array([True, True, True, False, False, True]), list("aaabbb"))
    assert small.test == "Fisher"
    assert small.p == pytest.approx(fisher_exact([[3, 0], [1, 2]]).pvalue)
    assert by_subgroup(correct, ["a", "b", "c"] * 37 + ["c"] * 2).test == "chi-square"


def test_subgroups_that_do_not_differ_or_are_one_are_not_tested() -> None:
    assert by_subgroup(np.array([True, True, True]), ["a", "b", "b"]).p is None
    assert by_subgroup(np.array([True, False, True]), ["a", "a", ""]).p is None


def test_only_cases_that_had_a_sequence_say_what_it_costs_to_lack_it() -> None:
    labels = {"type": np.array([0, 1, 2, 1])}
    predicted = {"LAP": {"type": np.array([0, 2, 2, 0])}, "DWI": {"type": np.array([0, 1, 2, 1])}}
    had = {"LAP": np.array([True, True, True, False]), "DWI": np.zeros(4, bool)}
    (found,) = absence_metrics(labels, predicted, had, "four cases")
    assert (found.name, found.n) == ("type_accuracy_without_LAP", 3)
    assert found.value == pytest.approx(2 / 3)
