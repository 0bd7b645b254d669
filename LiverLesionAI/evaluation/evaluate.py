"""Everything that is said of a table of answers: ``evaluation.json``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.comparison import by_subgroup
from LiverLesionAI.evaluation.figures import ClassFigures, TaskEvaluation, task_figures
from LiverLesionAI.evaluation.intervals import LikelihoodRatio, Proportion
from LiverLesionAI.evaluation.operating_point import ARGMAX, YOUDEN, Thresholds, thresholds
from LiverLesionAI.evaluation.paired import Comparison, compare_answers, compare_tables
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers, read_predictions
from LiverLesionAI.evaluation.readers import all_readers_kappa, pairs_kappa, readers_answers
from LiverLesionAI.results import EVALUATION_SCHEMA


@dataclass(frozen=True)
class Evaluation:
    """What is said of a table of answers.

    Attributes
    ----------
    source
        Name of the table's file.
    operating_point
        ``"argmax"``, ``"youden"`` or the name of the file of thresholds.
    tasks
        Question to its figures; the one with most classes first.
    comparisons
        Question to the name of what it was compared with to the comparison.
    """

    source: str
    operating_point: str
    tasks: Mapping[str, TaskEvaluation]
    comparisons: Mapping[str, Mapping[str, Comparison]]

    @property
    def primary(self) -> TaskEvaluation:
        """The question with most classes."""
        return next(iter(self.tasks.values()))

    def to_json(self) -> str:
        """Text of ``evaluation.json``: the primary question's figures at the top, all in ``tasks``."""
        tasks = {
            name: {**_task_dict(task), "comparisons": _comparisons_dict(self.comparisons[name])}
            for name, task in self.tasks.items()
        }
        content = {
            "schema": EVALUATION_SCHEMA,
            "source": self.source,
            "operating_point": self.operating_point,
            **tasks[self.primary.task],
            "tasks": tasks,
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def evaluate_file(file: Path, others: Sequence[Path] = (), operating_point: str = "argmax") -> Evaluation:
    """Evaluate a table of answers, alone and against others.

    Parameters
    ----------
    file
        See :func:`LiverLesionAI.evaluation.predictions.read_predictions`.
    others
        Tables of answers to the same cases; where they say no truth it is taken from the first.
    operating_point
        How a case is called a class against the rest: ``"argmax"``, the most probable class;
        ``"youden"``, the threshold of the largest sensitivity + specificity on these cases; else a JSON file
        of ``{"<class>": threshold}`` or ``{"<task>": {"<class>": threshold}}``. Accuracy, kappa and confusion
        matrix are always those of the most probable class.

    Raises
    ------
    ConfigError
        If a table or the thresholds cannot be used, no case has both a truth and an answer, two tables have
        no case or no question in common, or statsmodels is missing.
    """
    predictions = read_predictions(file)
    points = thresholds(predictions.tasks, operating_point)
    tasks = {
        name: _evaluated(predictions, answers, points[name])
        for name, answers in predictions.tasks.items()
        if answers.is_answered.any()
    }
    if not tasks:
        raise ConfigError(f"{file} has no case with both a truth and an answer; fill in the column truth.")
    point = operating_point if operating_point in (ARGMAX, YOUDEN) else Path(operating_point).name
    tables = [read_predictions(other, predictions) for other in others]
    return Evaluation(file.name, point, tasks, _comparisons(predictions, tables, tasks))


def _evaluated(predictions: Predictions, answers: TaskAnswers, operating: Thresholds) -> TaskEvaluation:
    answered = np.flatnonzero(answers.is_answered)
    correct = (answers.truth == answers.predicted)[answered]
    readers = readers_answers(predictions, answers.task)
    return replace(
        task_figures(answers, predictions.patients, operating),
        subgroups={
            name: by_subgroup(correct, [groups[row] for row in answered])
            for name, groups in predictions.groups.items()
        },
        readers={
            name: task_figures(said, predictions.patients, {})
            for name, said in readers.items()
            if said.is_answered.any()
        },
        agreement=pairs_kappa(readers),
        all_readers_kappa=all_readers_kappa(readers),
    )


def _comparisons(
    predictions: Predictions, others: Sequence[Predictions], tasks: Collection[str]
) -> dict[str, dict[str, Comparison]]:
    found: dict[str, dict[str, Comparison]] = {
        task: {
            reader: compare_answers(predictions.tasks[task], said)
            for reader, said in readers_answers(predictions, task).items()
        }
        for task in tasks
    }
    for other in others:
        name = other.file.stem if other.file.stem != predictions.file.stem else str(other.file)
        for task, comparison in compare_tables(predictions, other).items():
            if task in found:
                found[task][name] = comparison
    return found


def _task_dict(task: TaskEvaluation) -> dict[str, Any]:
    return {
        "task": task.task,
        "n": task.n,
        "left_out": task.left_out,
        "classes": {name: _class_dict(figures) for name, figures in task.classes.items()},
        "accuracy": _plain(task.accuracy),
        "kappa": _plain(task.kappa),
        "macro_f1": task.macro_f1,
        "confusion": _plain(task.confusion),
        "calibration": _plain(task.calibration),
        "subgroups": _plain(task.subgroups),
        "readers": {name: _task_dict(reader) for name, reader in task.readers.items()},
        "agreement": _plain(task.agreement),
        "all_readers_kappa": task.all_readers_kappa,
    }


def _class_dict(figures: ClassFigures) -> dict[str, Any]:
    counts = figures.counts
    names = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "plr", "nlr", "f1")
    return {
        **_plain(counts),
        "threshold": figures.threshold,
        **{name: _plain(getattr(counts, name)) for name in names},
        "auc": _plain(figures.auc),
    }


def _comparisons_dict(compared: Mapping[str, Comparison]) -> dict[str, Any]:
    return {
        name: {
            "n": each.n,
            "mcnemar_exact_p": each.mcnemar.exact_p,
            "mcnemar_chi_square_p": each.mcnemar.chi_square_p,
            "only_this_right": each.mcnemar.first_only,
            "only_other_right": each.mcnemar.second_only,
            "delong_p": {task: p for task, (_, p) in each.delong.items()},
            "sensitivity_p": {task: test.exact_p for task, test in each.sensitivity.items()},
            "specificity_p": {task: test.exact_p for task, test in each.specificity.items()},
        }
        for name, each in compared.items()
    }


def _plain(value: Any) -> Any:
    """Value objects as JSON has them; a proportion is its value, counts and intervals."""
    if isinstance(value, Proportion):
        names = ("value", "successes", "n", "modified_wilson", "wilson", "clopper_pearson")
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, LikelihoodRatio):
        return {"value": value.value, "log": _plain(value.interval)}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
