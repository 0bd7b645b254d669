"""Figures of a validation with their 95% confidence intervals, for a bundle's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.evaluation.intervals import wilson_interval
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.taxonomy import Taxonomy


def validation_metrics(
    tasks: Mapping[str, Taxonomy],
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    cohort: str,
) -> tuple[Metric, ...]:
    """Accuracy of every task, sensitivity for each class, area under the ROC curve of tasks of two classes.

    Parameters
    ----------
    tasks
        Task to its classes. Sensitivities are those of tasks of more than two classes, named after their task
        where there are several such; areas are those of tasks of two.
    labels
        Task to class indices ``[N]``.
    probabilities
        Task to probabilities ``[N, classes]``.
    cohort
        What the cases are.
    """
    return tuple(_metrics(tasks, labels, probabilities, cohort))


def absence_metrics(
    labels: Mapping[str, np.ndarray],
    predicted: Mapping[str, Mapping[str, np.ndarray]],
    had: Mapping[str, np.ndarray],
    cohort: str,
) -> tuple[Metric, ...]:
    """Accuracy of every task where one sequence is taken away.

    Parameters
    ----------
    labels
        Task to class indices ``[N]``.
    predicted
        Sequence to task to predicted class indices ``[N]`` without that sequence.
    had
        Sequence to whether a case has it, and another one ``[N]``; only such cases count.
    cohort
        What the cases are.
    """
    return tuple(
        _proportion(f"{task}_accuracy_without_{name}", (found == labels[task])[had[name]], cohort)
        for name, tasks in predicted.items()
        for task, found in tasks.items()
        if had[name].any()
    )


def _metrics(
    tasks: Mapping[str, Taxonomy],
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    cohort: str,
) -> Iterator[Metric]:
    correct = {task: probabilities[task].argmax(axis=1) == labels[task] for task in tasks}
    for task, hits in correct.items():
        yield _proportion(f"{task}_accuracy", hits, cohort)
    several = sum(len(taxonomy) > 2 for taxonomy in tasks.values()) > 1
    for task, taxonomy in tasks.items():
        if len(taxonomy) > 2:
            for index, name in enumerate(taxonomy.names):
                hits = correct[task][labels[task] == index]
                if len(hits):
                    figure = f"{task}_sensitivity_{name}" if several else f"sensitivity_{name}"
                    yield _proportion(figure, hits, cohort)
    for task, taxonomy in tasks.items():
        positive = labels[task] == 1
        if len(taxonomy) == 2 and min(positive.sum(), (~positive).sum()) > 1:
            yield _area(f"{task}_auc", probabilities[task][:, 1], positive, cohort)


def _area(name: str, score: np.ndarray, positive: np.ndarray, cohort: str) -> Metric:
    value, lower, upper = delong_auc(score[positive], score[~positive])
    return Metric(
        name=name, value=value, lower=lower, upper=upper, n=len(score), method="DeLong", cohort=cohort
    )


def _proportion(name: str, hits: Sequence[bool] | np.ndarray, cohort: str) -> Metric:
    lower, upper = wilson_interval(int(np.sum(hits)), len(hits))
    value = float(np.mean(hits))
    return Metric(
        name=name, value=value, lower=lower, upper=upper, n=len(hits), method="Wilson", cohort=cohort
    )
