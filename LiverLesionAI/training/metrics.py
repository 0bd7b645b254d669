"""Figures of a validation with their 95% confidence intervals, for a bundle's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import norm, rankdata

from LiverLesionAI.bundle_metadata import Metric
from LiverLesionAI.taxonomy import TAXONOMIES

Z95 = float(norm.ppf(0.975))


def validation_metrics(
    labels: Mapping[str, np.ndarray], probabilities: Mapping[str, np.ndarray], cohort: str
) -> tuple[Metric, ...]:
    """Accuracy of both tasks, sensitivity for each type, and the area under the ROC curve of malignancy.

    Parameters
    ----------
    labels
        Task to class indices ``[N]``.
    probabilities
        Task to probabilities ``[N, classes]``.
    cohort
        What the lesions are.
    """
    return tuple(_metrics(labels, probabilities, cohort))


def _metrics(
    labels: Mapping[str, np.ndarray], probabilities: Mapping[str, np.ndarray], cohort: str
) -> Iterator[Metric]:
    correct = {task: probabilities[task].argmax(axis=1) == labels[task] for task in labels}
    for task, hits in correct.items():
        yield _proportion(f"{task}_accuracy", hits, cohort)
    for index, name in enumerate(TAXONOMIES["W7"].names):
        yield _proportion(f"sensitivity_{name}", correct["type"][labels["type"] == index], cohort)
    malignant = labels["malignancy"] == 1
    score = probabilities["malignancy"][:, 1]
    value, lower, upper = delong_auc(score[malignant], score[~malignant])
    yield Metric(
        name="malignancy_auc",
        value=value,
        lower=lower,
        upper=upper,
        n=len(score),
        method="DeLong",
        cohort=cohort,
    )


def _proportion(name: str, hits: Sequence[bool] | np.ndarray, cohort: str) -> Metric:
    lower, upper = wilson_interval(int(np.sum(hits)), len(hits))
    value = float(np.mean(hits))
    return Metric(
        name=name, value=value, lower=lower, upper=upper, n=len(hits), method="Wilson", cohort=cohort
    )


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
