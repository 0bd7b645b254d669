"""Figures of a validation with their 95% confidence intervals, for a bundle's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.evaluation.intervals import delong_auc, wilson_interval
from LiverLesionAI.taxonomy import TAXONOMIES


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
