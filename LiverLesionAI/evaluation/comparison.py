"""Two sets of answers to the same cases, and subgroups of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, chi2, chi2_contingency, fisher_exact

from LiverLesionAI.evaluation.intervals import Proportion

FEWEST_EXPECTED = 5
"""From this expected count on, the chi-square test of a 2×2 table needs no correction."""

FEWEST_CASES = 40
"""With fewer cases, or an expected count below 1, a 2×2 table is tested exactly.

With both rules (Cochran 1954, doi:10.2307/3001616) the p-values of the subgroups of Wang et al. 2021 come out
as printed.
"""


@dataclass(frozen=True)
class McNemar:
    """A comparison of paired answers (McNemar 1947, doi:10.1007/BF02295996).

    Attributes
    ----------
    first_only, second_only
        Cases that only one of the two answered rightly.
    exact_p
        Binomial, two-sided.
    chi_square_p
        With continuity correction (Edwards 1948); None without a discordant case.
    """

    first_only: int
    second_only: int
    exact_p: float
    chi_square_p: float | None


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare which cases two answered rightly, as booleans ``[N]``."""
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    if b + c == 0:
        return McNemar(0, 0, 1.0, None)
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    return McNemar(b, c, float(binomtest(b, b + c).pvalue), float(chi2.sf(statistic, 1)))


@dataclass(frozen=True)
class Subgroups:
    """Accuracy in the groups of a cohort.

    Attributes
    ----------
    accuracy
        Group to its accuracy.
    p
        Of no difference between the groups; None where there is one group, or all are right or all wrong.
    test
        ``"chi-square"`` (Pearson), and for two groups with small counts ``"chi-square, corrected"`` (Yates)
        or ``"Fisher"``; empty where there is no p.
    """

    accuracy: dict[str, Proportion]
    p: float | None
    test: str


def by_subgroup(correct: np.ndarray, groups: Sequence[str]) -> Subgroups:
    """Compare the accuracy of the groups of a cohort; cases of no group (an empty text) are left out."""
    names = sorted({group for group in groups if group})
    members = {name: correct[np.asarray(groups) == name] for name in names}
    accuracy = {name: Proportion(int(hits.sum()), len(hits)) for name, hits in members.items()}
    table = np.array([[each.successes, each.n - each.successes] for each in accuracy.values()])
    if len(names) < 2 or not table.sum(axis=0).all():
        return Subgroups(accuracy, None, "")
    p, test = _tested(table)
    return Subgroups(accuracy, p, test)


def _tested(table: np.ndarray) -> tuple[float, str]:
    found = chi2_contingency(table, correction=False)
    smallest = found.expected_freq.min()
    if len(table) > 2 or smallest >= FEWEST_EXPECTED:
        return float(found.pvalue), "chi-square"
    if smallest < 1 or table.sum() < FEWEST_CASES:
        return float(fisher_exact(table).pvalue), "Fisher"
    return float(chi2_contingency(table, correction=True).pvalue), "chi-square, corrected"
