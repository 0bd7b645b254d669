"""From probabilities to answers of one class against the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.predictions import TaskAnswers
from LiverLesionAI.evaluation.roc import youden_threshold

ARGMAX, YOUDEN = "argmax", "youden"

Thresholds = Mapping[str, float]
"""Class to the probability at or above which the answer is this class, against the rest."""


def thresholds(tasks: Mapping[str, TaskAnswers], operating_point: str) -> dict[str, Thresholds]:
    """Return the operating points of every question.

    Parameters
    ----------
    tasks
        Question to its answers.
    operating_point
        See :func:`LiverLesionAI.evaluation.evaluate.evaluate_file`.

    Raises
    ------
    ConfigError
        If it is a file that cannot be read or gives no thresholds of these questions' classes, or some
        answers have probabilities and some have none.
    """
    if operating_point == ARGMAX:
        return {task: {} for task in tasks}
    for task, answers in tasks.items():
        _check_scored(task, answers)
    if operating_point == YOUDEN:
        return {task: _best(answers) for task, answers in tasks.items()}
    return _from_file(Path(operating_point), tasks)


def _check_scored(task: str, answers: TaskAnswers) -> None:
    """Refuse answers of which a threshold could decide some only."""
    answered = answers.is_answered
    without = int((answered & ~answers.is_scored).sum())
    if 0 < without < answered.sum():
        raise ConfigError(
            f"{without} answers to {task} have no probabilities, which an operating point decides by; fill "
            "them in, leave these cases out, or take argmax."
        )


def _best(answers: TaskAnswers) -> Thresholds:
    answered = answers.is_answered
    if answers.probabilities is None or not answers.is_scored[answered].any():
        return {}
    scores, truth = answers.probabilities[answered], answers.truth[answered]
    return {
        name: youden_threshold(scores[:, index], truth == index)
        for index, name in enumerate(answers.classes)
        if 0 < (truth == index).sum() < len(truth)
    }


def _from_file(file: Path, tasks: Mapping[str, TaskAnswers]) -> dict[str, Thresholds]:
    """Thresholds by class, or by question and class; a class of two questions stands for both."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read ({error.strerror}); give argmax, youden or a file."
        ) from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f'{file} is no JSON object of thresholds, such as {{"HCC": 0.4}}; mend it.')
    found: dict[str, dict[str, float]] = {task: {} for task in tasks}
    for name, value in content.items():
        if isinstance(value, dict) and name in tasks:
            found[name].update({each: _threshold(file, each, p) for each, p in value.items()})
            continue
        asking = [task for task, answers in tasks.items() if name in answers.classes]
        if not asking:
            known = ", ".join(dict.fromkeys(each for answers in tasks.values() for each in answers.classes))
            raise ConfigError(f"{file} names {name!r}, which is none of the classes {known}.")
        for task in asking:
            found[task][name] = _threshold(file, name, value)
    return dict(found)


def _threshold(file: Path, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{file} gives {name} no threshold between 0 and 1; mend it.")
    return float(value)
