"""What is said of a cohort as a whole, gathered from one result after the other."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from LiverLesionAI.answers import TaskResult, task_title
from LiverLesionAI.results import LesionResult, StudyResult

BANDS = ((0.9, "0.9 and more"), (0.7, "0.7 to 0.9"), (0.5, "0.5 to 0.7"), (0.0, "below 0.5"))
"""Probabilities of the predicted class, from the surest answers to the least sure ones."""


@dataclass
class MeanWeights:
    """Mean Shapley values of sequences per explained class, summed up lesion by lesion."""

    task: str | None = None
    _sums: dict[str, dict[str, tuple[float, int]]] = field(default_factory=dict)
    _order: tuple[str, ...] = ()

    def add(self, result: StudyResult) -> None:
        """Count a result's lesions in; where the study is answered for as a whole, its own weights."""
        explained: list[StudyResult | LesionResult] = [result] if result.study_tasks else [*result.lesions]
        for each in explained:
            tasks = each.study_tasks if isinstance(each, StudyResult) else each.tasks
            asked = self.task or primary_task(tasks)
            if asked is None or asked not in each.explained:
                continue
            self._order = tuple(tasks[asked].probabilities)
            columns = self._sums.setdefault(each.explained[asked], {})
            for name, weight in each.sequence_weights[asked].items():
                total, count = columns.get(name, (0.0, 0))
                columns[name] = (total + weight["shapley"], count + 1)

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """Class, in the taxonomy's order, to sequence to mean."""
        return {
            name: {sequence: total / count for sequence, (total, count) in self._sums[name].items()}
            for name in self._order
            if name in self._sums
        }


@dataclass
class CohortSummary:
    """Counts, classes, sureness, times and weights of a cohort.

    Attributes
    ----------
    studies, lesions
        How many there were.
    tasks
        Questions, those asked first before the others.
    weights
        Mean weights of the sequences.
    software
        What computed the results.
    is_phantom
        Whether a model was trained on phantoms.
    """

    studies: int = 0
    lesions: int = 0
    weights: MeanWeights = field(default_factory=MeanWeights)
    software: set[str] = field(default_factory=set)
    is_phantom: bool = False
    _classes: dict[str, Counter[str]] = field(default_factory=dict)
    _titles: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    _bands: Counter[str] = field(default_factory=Counter)
    _primary: set[str] = field(default_factory=set)
    _seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, result: StudyResult) -> None:
        """Count a result in."""
        self.studies += 1
        self.lesions += len(result.lesions)
        self.software.add(result.provenance.software)
        self.is_phantom = self.is_phantom or result.is_phantom_trained
        self.weights.add(result)
        for step, seconds in result.provenance.seconds.items():
            self._seconds.setdefault(step, []).append(seconds)
        units = [result.study_tasks] if result.study_tasks else [lesion.tasks for lesion in result.lesions]
        for tasks in units:
            for name, answer in tasks.items():
                self._count(name, answer)
        for lesion in result.lesions:
            for name in lesion.tasks:
                self._classes.setdefault(name, Counter())

    def _count(self, name: str, answer: TaskResult) -> None:
        counts = self._classes.setdefault(name, Counter())
        for each in answer.probabilities:
            counts.setdefault(each, 0)
            known = answer.class_named(each)
            self._titles[name, each] = (known.title, "#{:02x}{:02x}{:02x}".format(*known.colour))
        counts[answer.predicted] += 1
        if answer.primary:
            self._primary.add(name)
            self._bands[next(words for least, words in BANDS if answer.probability >= least)] += 1

    @property
    def tasks(self) -> list[str]:
        """Questions that were answered, primary ones first."""
        return sorted(self._classes, key=lambda name: name not in self._primary)

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Per question how often each class was answered, with its title, colour and share."""
        shown = []
        for task in self.tasks:
            counts = self._classes[task]
            total = sum(counts.values())
            rows = [
                {
                    "name": name,
                    "title": self._titles[task, name][0],
                    "colour": self._titles[task, name][1],
                    "count": count,
                    "share": count / total,
                }
                for name, count in counts.items()
            ]
            if total:
                shown.append({"title": task_title(task), "rows": rows})
        return shown

    @property
    def sureness(self) -> list[tuple[str, int, float]]:
        """Bands of the predicted class's probability: words, count, share."""
        total = sum(self._bands.values())
        return (
            [(words, self._bands[words], self._bands[words] / total) for _, words in BANDS] if total else []
        )

    @property
    def times(self) -> list[tuple[str, float, float]]:
        """Step to median and 95th percentile of its seconds, for steps that took any time."""
        found = []
        for step, values in self._seconds.items():
            if max(values) > 0:
                ordered = sorted(values)
                found.append((step, statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))]))
        return found


def primary_task(tasks: Mapping[str, TaskResult]) -> str | None:
    """The question that a model is asked first; None without an answer to it."""
    return next((name for name, answer in tasks.items() if answer.primary), None)


def mean_sequence_weights(
    results: Iterable[StudyResult], task: str | None = None
) -> dict[str, dict[str, float]]:
    """Mean Shapley value of each sequence per explained class, as in Figure 6 of Wang et al. 2021.

    Parameters
    ----------
    results
        The cohort.
    task
        The task; by default each model's primary one.

    Returns
    -------
    dict
        Class, in the taxonomy's order, to sequence to the mean over the lesions, or studies, explained as
        that class that have the sequence.
    """
    weights = MeanWeights(task)
    for result in results:
        weights.add(result)
    return weights.means
