"""Areas under ROC curves, their comparison, curves and thresholds.

Scores are probabilities of one class against the rest; ties count one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from LiverLesionAI.evaluation.intervals import Z95, Interval

RESAMPLES = 2000
_SEED = 20210921
_CURVE_THRESHOLDS = 401


@dataclass(frozen=True)
class Area:
    """An area under a ROC curve.

    Attributes
    ----------
    value
        Probability that a case of the class scores higher than one of the rest.
    delong
        Interval of DeLong et al. 1988; takes every case for independent.
    bootstrap
        Percentiles over resampled patients, whose cases stay together.
    """

    value: float
    delong: Interval
    bootstrap: Interval


@dataclass(frozen=True)
class Curve:
    """A ROC curve and the band in which it lies with 95%, point by point over resampled patients.

    Attributes
    ----------
    false_positive_rate, sensitivity, lower, upper
        Of equal length, rising.
    """

    false_positive_rate: np.ndarray
    sensitivity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def delong_auc(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve with its interval (DeLong et al. 1988, doi:10.2307/2531595).

    Parameters
    ----------
    positive, negative
        Scores of the two groups, at least two each.
    """
    above, below = placements(positive, negative)
    area = float(above.mean())
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    half = Z95 * float(np.sqrt(variance))
    return area, max(0.0, area - half), min(1.0, area + half)


def delong_test(scores: np.ndarray, others: np.ndarray, is_positive: np.ndarray) -> tuple[float, float]:
    """Compare the areas of two scores of the same cases (DeLong et al. 1988).

    Parameters
    ----------
    scores, others
        Two scores of each case ``[N]``.
    is_positive
        Which cases have the class ``[N]``; at least two have it and two do not.

    Returns
    -------
    z : float
        0 where the scores order the cases alike.
    p : float
        Two-sided.
    """
    a_above, a_below = placements(scores[is_positive], scores[~is_positive])
    b_above, b_below = placements(others[is_positive], others[~is_positive])
    difference = float(a_above.mean() - b_above.mean())
    variance = (a_above - b_above).var(ddof=1) / len(a_above) + (a_below - b_below).var(ddof=1) / len(a_below)
    if variance == 0:
        return (0.0, 1.0) if difference == 0 else (float(np.copysign(np.inf, difference)), 0.0)
    z = difference / float(np.sqrt(variance))
    return z, float(2 * norm.sf(abs(z)))


def area_under_curve(scores: np.ndarray, is_positive: np.ndarray, patients: Sequence[str]) -> Area | None:
    """Measure the area under a ROC curve, both intervals; None with less than two cases of either kind."""
    if min(is_positive.sum(), (~is_positive).sum()) < 2:
        return None
    value, lower, upper = delong_auc(scores[is_positive], scores[~is_positive])
    return Area(value, (lower, upper), _bootstrap(scores, is_positive, patients))


def roc_curve(scores: np.ndarray, is_positive: np.ndarray, patients: Sequence[str]) -> Curve:
    """Draw a ROC curve with a band over resampled patients; there must be cases of both kinds."""
    grid = np.linspace(0, 1, 101)
    thresholds = np.unique(scores)[::-1]
    if len(thresholds) > _CURVE_THRESHOLDS:
        thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, _CURVE_THRESHOLDS)))[::-1]
    called = scores[:, None] >= thresholds
    curves = [
        _sensitivities(called, is_positive, row, grid)
        for row in resampled(patients)
        if row[is_positive].sum() and row[~is_positive].sum()
    ]
    lower, upper = np.percentile(curves, (2.5, 97.5), axis=0)
    return Curve(grid, _sensitivities(called, is_positive, np.ones(len(scores)), grid), lower, upper)


def youden_threshold(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Score, from which on an answer is positive, of the largest sensitivity + specificity − 1.

    Of several the highest: the most specific. Chosen on the cases that it is judged by, it flatters.
    """
    thresholds = np.unique(scores)[::-1]
    called = scores[:, None] >= thresholds
    index = called[is_positive].mean(axis=0) - called[~is_positive].mean(axis=0)
    return float(thresholds[int(np.argmax(index))])


def placements(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part of the negatives below each positive, and of the positives above each negative."""
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def resampled(patients: Sequence[str]) -> np.ndarray:
    """How often each case is drawn when patients are drawn with replacement ``[RESAMPLES, N]``."""
    _, of_case = np.unique(np.asarray(patients), return_inverse=True)
    count = int(of_case.max()) + 1
    drawn = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn[:, of_case].astype(float)


def _bootstrap(scores: np.ndarray, is_positive: np.ndarray, patients: Sequence[str]) -> Interval:
    weights = resampled(patients)
    positive, negative = scores[is_positive], scores[~is_positive]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    of_positive, of_negative = weights[:, is_positive], weights[:, ~is_positive]
    pairs = of_positive.sum(axis=1) * of_negative.sum(axis=1)
    areas = ((of_positive @ above) * of_negative).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    lower, upper = np.percentile(areas, (2.5, 97.5))
    return float(lower), float(upper)


def _sensitivities(
    called: np.ndarray, is_positive: np.ndarray, weights: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Largest sensitivity at each false-positive rate of the grid."""
    of_positive, of_negative = weights[is_positive], weights[~is_positive]
    sensitivity = np.append(0.0, of_positive @ called[is_positive] / of_positive.sum())
    false_positive = np.append(0.0, of_negative @ called[~is_positive] / of_negative.sum())
    reached = np.searchsorted(false_positive, grid + 1e-12, side="right") - 1
    return sensitivity[reached]
