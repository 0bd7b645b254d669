"""Proportions and likelihood ratios of a 2×2 table, with their 95% confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import binomtest, chi2, norm

Interval = tuple[float, float]

Z95 = float(norm.ppf(0.975))
_SIMEL_Z = 1.96
_ONE_SIDED_POISSON = float(chi2.ppf(0.05, 2) / 2)


def wilson_interval(successes: int, n: int) -> Interval:
    """Score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    low, high = binomtest(successes, n).proportion_ci(method="wilson")
    return float(low), float(high)


def modified_wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's interval with a Poisson correction (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286).

    Corrected are the lower limit at one success and the upper one at one failure, as in Wang et al. 2021.
    """
    low, high = wilson_interval(successes, n)
    if successes == 1:
        low = _ONE_SIDED_POISSON / n
    if successes == n - 1:
        high = 1 - _ONE_SIDED_POISSON / n
    return low, high


def clopper_pearson_interval(successes: int, n: int) -> Interval:
    """Exact interval of a proportion (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404)."""
    low, high = binomtest(successes, n).proportion_ci(method="exact")
    return float(low), float(high)


@dataclass(frozen=True)
class Proportion:
    """A proportion: sensitivity, accuracy and the like.

    Attributes
    ----------
    successes, n
        Counts; where `n` is 0 there is no proportion, and value and intervals are None.
    """

    successes: int
    n: int

    @property
    def value(self) -> float | None:
        """Successes per case."""
        return self.successes / self.n if self.n else None

    @property
    def wilson(self) -> Interval | None:
        """See :func:`wilson_interval`."""
        return wilson_interval(self.successes, self.n) if self.n else None

    @property
    def modified_wilson(self) -> Interval | None:
        """See :func:`modified_wilson_interval`."""
        return modified_wilson_interval(self.successes, self.n) if self.n else None

    @property
    def clopper_pearson(self) -> Interval | None:
        """See :func:`clopper_pearson_interval`."""
        return clopper_pearson_interval(self.successes, self.n) if self.n else None


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood ratio with its log-method interval (Simel et al. 1991, doi:10.1016/0895-4356(91)90128-V).

    As there, and in Wang et al. 2021, the interval is 1.96 standard errors wide on either side.

    Attributes
    ----------
    value
        Infinite where a count of 0 divides; None where it is not defined: 0 / 0, or a kind without a case.
    interval
        None where a count of 0 leaves none.
    """

    value: float | None
    interval: Interval | None

    @property
    def finite(self) -> float | None:
        """The value where it is a number, as files have it."""
        return None if self.value == math.inf else self.value


@dataclass(frozen=True)
class Counts:
    """One class against the rest: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def accuracy(self) -> Proportion:
        """Right answers of all."""
        return Proportion(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def sensitivity(self) -> Proportion:
        """Found of those that have the class."""
        return Proportion(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> Proportion:
        """Left alone of those that do not have it."""
        return Proportion(self.tn, self.tn + self.fp)

    @property
    def ppv(self) -> Proportion:
        """Positive predictive value, at the prevalence of these cases."""
        return Proportion(self.tp, self.tp + self.fp)

    @property
    def npv(self) -> Proportion:
        """Negative predictive value, at the prevalence of these cases."""
        return Proportion(self.tn, self.tn + self.fn)

    @property
    def plr(self) -> LikelihoodRatio:
        """Positive likelihood ratio: sensitivity / (1 − specificity)."""
        return _ratio(self.tp, self.tp + self.fn, self.fp, self.fp + self.tn)

    @property
    def nlr(self) -> LikelihoodRatio:
        """Negative likelihood ratio: (1 − sensitivity) / specificity."""
        return _ratio(self.fn, self.tp + self.fn, self.tn, self.fp + self.tn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of sensitivity and PPV; None where neither occurs."""
        answered = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / answered if answered else None


def _ratio(a: int, n: int, b: int, m: int) -> LikelihoodRatio:
    """(a / n) / (b / m)."""
    if not (n and m and (a or b)):
        return LikelihoodRatio(None, None)
    if not b:
        return LikelihoodRatio(math.inf, None)
    value = (a / n) / (b / m)
    if not a:
        return LikelihoodRatio(value, None)
    half = _SIMEL_Z * math.sqrt(1 / a - 1 / n + 1 / b - 1 / m)
    return LikelihoodRatio(value, (value * math.exp(-half), value * math.exp(half)))
