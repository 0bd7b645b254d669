"""Several samples compared by their ranks: all of them, and each with a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.stats import kruskal, norm, rankdata

_FARTHEST = 9.0
"""Beyond so many standard deviations nothing is left of a normal distribution."""


@dataclass(frozen=True)
class RankTest:
    """A test by ranks: its statistic, and the probability of one as large when nothing differs."""

    statistic: float
    p: float


def kruskal_wallis(samples: Sequence[Sequence[float]]) -> RankTest:
    """Compare two samples or more at once (Kruskal and Wallis 1952, doi:10.1080/01621459.1952.10483441).

    The statistic is H, corrected for ties; 0 with a probability of 1 where all values are equal.
    """
    if len({value for sample in samples for value in sample}) < 2:
        return RankTest(0.0, 1.0)
    found = kruskal(*samples)
    return RankTest(float(found.statistic), float(found.pvalue))


def steel_test(control: Sequence[float], others: Mapping[str, Sequence[float]]) -> dict[str, RankTest]:
    """Compare each of several samples with a control (Steel 1959, doi:10.2307/2527654).

    Each is ranked together with the control alone. Rank sums are taken for normal, their variances are
    corrected for ties, and the probabilities, two-sided, are those of the largest of so many comparisons with
    one control (Dunnett 1955, doi:10.1080/01621459.1955.10501294), as in R's EZR.

    Parameters
    ----------
    control
        Values of the control.
    others
        Name to values.

    Returns
    -------
    dict
        Name to its z, negative where its values are lower than the control's, and p.
    """
    weights = [np.sqrt(len(sample) / (len(sample) + len(control))) for sample in others.values()]
    found = {}
    for name, sample in others.items():
        z = _rank_sum_z(control, sample)
        found[name] = RankTest(z, largest_of_several_p(abs(z), weights))
    return found


def largest_of_several_p(z: float, weights: Sequence[float]) -> float:
    """Probability that one at least of several comparisons with one control is as far off as `z`.

    Parameters
    ----------
    z
        Not negative.
    weights
        The correlation of two comparisons is the product of their weights, which lie between 0 and 1:
        √(n / (n + n of the control)).
    """
    below_one = np.asarray(weights, float)
    spread = np.sqrt(1 - below_one**2)

    def none_is_farther(shared: float) -> float:
        centre = below_one * shared
        inside = norm.cdf((centre + z) / spread) - norm.cdf((centre - z) / spread)
        return float(norm.pdf(shared) * inside.prod())

    inside, _ = quad(none_is_farther, -_FARTHEST, _FARTHEST)
    return float(np.clip(1 - inside, 0, 1))


def _rank_sum_z(control: Sequence[float], sample: Sequence[float]) -> float:
    """Rank sum of a sample among itself and the control, minus what is expected, over its spread."""
    ranks = rankdata([*control, *sample])
    n = len(ranks)
    excess = ranks[len(control) :].sum() - len(sample) * (n + 1) / 2
    variance = len(control) * len(sample) / (n * (n - 1)) * ((ranks**2).sum() - n * (n + 1) ** 2 / 4)
    return float(excess / np.sqrt(variance)) if variance > 0 else 0.0
