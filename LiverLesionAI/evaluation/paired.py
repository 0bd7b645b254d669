"""Two sets of answers to the same cases, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.comparison import McNemar, mcnemar
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers, Unit
from LiverLesionAI.evaluation.roc import delong_test


@dataclass(frozen=True)
class Comparison:
    """Two sets of answers to the same cases: this table's first, another's or a reader's second.

    Attributes
    ----------
    n
        Cases that both answered.
    mcnemar
        Of right and wrong answers.
    sensitivity, specificity
        Class to the test among the cases that have it, and among those that do not.
    delong
        Class to z and p of the difference of areas; empty without probabilities of both.
    """

    n: int
    mcnemar: McNemar
    sensitivity: Mapping[str, McNemar]
    specificity: Mapping[str, McNemar]
    delong: Mapping[str, tuple[float, float]]


def compare_answers(first: TaskAnswers, second: TaskAnswers) -> Comparison:
    """Compare two sets of answers to one question, with the first's truth and classes in one order."""
    both = first.is_answered & (second.predicted >= 0)
    truth = first.truth[both]
    a, b = first.predicted[both], second.predicted[both]
    sensitivity, specificity, delong = {}, {}, {}
    for index, name in enumerate(first.classes):
        has_class = truth == index
        sensitivity[name] = mcnemar((a == index)[has_class], (b == index)[has_class])
        specificity[name] = mcnemar((a != index)[~has_class], (b != index)[~has_class])
        scores = [t.probabilities[both, index] for t in (first, second) if t.probabilities is not None]
        is_scored = len(scores) == 2 and not np.isnan(scores).any()
        if is_scored and min(has_class.sum(), (~has_class).sum()) > 1:
            delong[name] = delong_test(scores[0], scores[1], has_class)
    return Comparison(int(both.sum()), mcnemar(a == truth, b == truth), sensitivity, specificity, delong)


def compare_tables(first: Predictions, second: Predictions) -> dict[str, Comparison]:
    """Compare the questions that two tables share, on the cases that both have.

    Raises
    ------
    ConfigError
        If they have no question or no case in common, or disagree about the classes or a truth.
    """
    place = {unit: row for row, unit in enumerate(second.units)}
    shared = [task for task in first.tasks if task in second.tasks]
    rows = [(row, place[unit]) for row, unit in enumerate(first.units) if unit in place]
    if not shared or not rows:
        what = "question" if rows else "case"
        raise ConfigError(f"{second.file} and {first.file} have no {what} in common; compare like with like.")
    here, there = (np.array(column) for column in zip(*rows, strict=True))
    result = {}
    for task in shared:
        a, b = first.tasks[task].at(here), second.tasks[task].at(there)
        b = _in_classes(b, a.classes, second.file)
        _check_truths_agree(first, second, (a, b), [first.units[row] for row in here])
        result[task] = compare_answers(a, b)
    return result


def _check_truths_agree(
    first: Predictions, second: Predictions, answers: tuple[TaskAnswers, TaskAnswers], units: Sequence[Unit]
) -> None:
    a, b = answers
    for unit, mine, other in zip(units, a.truth, b.truth, strict=True):
        if mine >= 0 and other >= 0 and a.classes[mine] != b.classes[other]:
            where = " ".join(part for part in unit if part)
            raise ConfigError(
                f"{first.file} and {second.file} give case {where} different truths; correct one of them."
            )


def _in_classes(answers: TaskAnswers, classes: Sequence[str], file: Path) -> TaskAnswers:
    """The same answers with the classes in another order."""
    if set(answers.classes) - set(classes):
        raise ConfigError(
            f"{file} has other classes ({', '.join(answers.classes)}) than {', '.join(classes)}."
        )
    position = np.array([*(tuple(classes).index(name) for name in answers.classes), -1])
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.zeros((len(answers.truth), len(classes)))
        probabilities[:, position[:-1]] = answers.probabilities
    return TaskAnswers(
        answers.task,
        tuple(classes),
        position[answers.truth],
        position[answers.predicted],
        probabilities,
    )
