"""Confidence intervals of proportions and of areas under the ROC curve."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

Z95 = float(norm.ppf(0.975))


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    p, z2 = successes / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if successes == 0 else max(0.0, float(centre - half))
    return low, 1.0 if successes == n else min(1.0, float(centre + half))


def delong_auc(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve with its interval (DeLong et al. 1988, doi:10.2307/2531595).

    Parameters
    ----------
    positive, negative
        Scores of the two groups, at least two each.
    """
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above_negatives = (ranks[:m] - rankdata(positive)) / n
    below_positives = 1 - (ranks[m:] - rankdata(negative)) / m
    area = float(above_negatives.mean())
    variance = above_negatives.var(ddof=1) / m + below_positives.var(ddof=1) / n
    half = Z95 * float(np.sqrt(variance))
    return area, max(0.0, area - half), min(1.0, area + half)
