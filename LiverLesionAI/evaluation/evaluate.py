"""Everything that is said of a table of answers: ``evaluation.json``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.comparison import by_subgroup
from LiverLesionAI.evaluation.embedding import Embedding, embed
from LiverLesionAI.evaluation.figures import ClassFigures, TaskEvaluation, task_figures
from LiverLesionAI.evaluation.intervals import LikelihoodRatio, Proportion
from LiverLesionAI.evaluation.multireader import Inference, MultireaderAnalysis
from LiverLesionAI.evaluation.operating_point import ARGMAX, YOUDEN, Thresholds, thresholds
from LiverLesionAI.evaluation.paired import Comparison, compare_answers, compare_tables
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers, read_repeats
from LiverLesionAI.evaluation.reader_study import ReaderStudy, study_readers
from LiverLesionAI.evaluation.reader_table import is_reader_table, read_reader_table
from LiverLesionAI.evaluation.readers import all_readers_kappa, pairs_kappa, readers_answers
from LiverLesionAI.evaluation.repeats import RepeatStudy, Spread, median_repeat, study_repeats
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
    reader_studies
        Question to the name of a table of readers to what is said of it.
    repeats
        Question to its models that were trained several times; questions without are left out.
    embedding
        Cases laid out by what the network's last hidden layer sees; None where not asked for.
    """

    source: str
    operating_point: str
    tasks: Mapping[str, TaskEvaluation]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    reader_studies: Mapping[str, Mapping[str, ReaderStudy]] = field(default_factory=dict)
    repeats: Mapping[str, RepeatStudy] = field(default_factory=dict)
    embedding: Embedding | None = None

    @property
    def primary(self) -> TaskEvaluation:
        """The question with most classes."""
        return next(iter(self.tasks.values()))

    def to_json(self) -> str:
        """Text of ``evaluation.json``: the primary question's figures at the top, all in ``tasks``."""
        tasks = {
            name: {
                **_task_dict(task),
                "comparisons": _comparisons_dict(self.comparisons[name]),
                "reader_studies": {
                    table: _reader_study_dict(study)
                    for table, study in self.reader_studies.get(name, {}).items()
                },
                "repeats": _plain(self.repeats.get(name)),
            }
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


def evaluate_file(
    file: Path, others: Sequence[Path] = (), operating_point: str = "argmax", embedded: bool = False
) -> Evaluation:
    """Evaluate a table of answers, alone and against others.

    Parameters
    ----------
    file
        See :func:`LiverLesionAI.evaluation.predictions.read_predictions`.
    others
        Tables of answers to the same cases; where they say no truth it is taken from the first. Tables of
        readers (:func:`LiverLesionAI.evaluation.reader_table.read_reader_table`) too.
    operating_point
        How a case is called a class against the rest: ``"argmax"``, the most probable class;
        ``"youden"``, the threshold of the largest sensitivity + specificity on these cases; else a JSON file
        of ``{"<class>": threshold}`` or ``{"<task>": {"<class>": threshold}}``. Accuracy, kappa and confusion
        matrix are always those of the most probable class.
    embedded
        Lay out the features beside the table (:func:`LiverLesionAI.evaluation.embedding.embed`).

    Raises
    ------
    ConfigError
        If a table or the thresholds cannot be used, no case has both a truth and an answer, two tables have
        no case or no question in common, or statsmodels is missing.
    """
    repeats = read_repeats(file)
    predictions = median_repeat(repeats)
    points = thresholds(predictions.tasks, operating_point)
    tasks = {
        name: _evaluated(predictions, answers, points[name])
        for name, answers in predictions.tasks.items()
        if answers.is_answered.any()
    }
    if not tasks:
        raise ConfigError(f"{file} has no case with both a truth and an answer; fill in the column truth.")
    point = operating_point if operating_point in (ARGMAX, YOUDEN) else Path(operating_point).name
    of_readers = {other: is_reader_table(other) for other in others}
    names = _names(others, file, predictions)
    tables = {names[other]: read_repeats(other, predictions) for other in others if not of_readers[other]}
    studies = {
        names[other]: study_readers(predictions, read_reader_table(other))
        for other in others
        if of_readers[other]
    }
    repeated = {task: study_repeats({file.stem: repeats, **tables}, task) for task in tasks}
    return Evaluation(
        source=file.name,
        operating_point=point,
        tasks=tasks,
        comparisons=_comparisons(predictions, tables, tasks),
        reader_studies={
            task: {name: found[task] for name, found in studies.items() if task in found} for task in tasks
        },
        repeats={task: study for task, study in repeated.items() if study is not None},
        embedding=embed(predictions) if embedded else None,
    )


def _names(others: Sequence[Path], file: Path, predictions: Predictions) -> dict[Path, str]:
    """What tables are called: by their names, in full where these are taken."""
    readers = {reader for task in predictions.tasks for reader in readers_answers(predictions, task)}
    taken = Counter([file.stem, *readers, *(other.stem for other in others)])
    return {other: other.stem if taken[other.stem] == 1 else str(other) for other in others}


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
    predictions: Predictions, others: Mapping[str, Mapping[str, Predictions]], tasks: Collection[str]
) -> dict[str, dict[str, Comparison]]:
    found: dict[str, dict[str, Comparison]] = {
        task: {
            reader: compare_answers(predictions.tasks[task], said)
            for reader, said in readers_answers(predictions, task).items()
        }
        for task in tasks
    }
    for name, repeats in others.items():
        for task, comparison in compare_tables(predictions, median_repeat(repeats)).items():
            if task in found:
                found[task][name] = comparison
    return found


def _task_dict(task: TaskEvaluation) -> dict[str, Any]:
    return {
        "task": task.task,
        "n": task.n,
        "left_out": task.left_out,
        "scored": task.scored,
        "classes": {name: _class_dict(figures) for name, figures in task.classes.items()},
        "accuracy": _plain(task.accuracy),
        "kappa": _plain(task.kappa),
        "macro_f1": task.macro_f1,
        "macro_f1_bootstrap": _plain(task.macro_f1_interval),
        "confusion": _plain(task.confusion),
        "calibration": _plain(task.calibration),
        "subgroups": _plain(task.subgroups),
        "readers": {name: _task_dict(reader) for name, reader in task.readers.items()},
        "agreement": _plain(task.agreement),
        "all_readers_kappa": task.all_readers_kappa,
        "malignancy_auc": _plain(task.malignancy_auc),
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


def _reader_study_dict(study: ReaderStudy) -> dict[str, Any]:
    """A pair of ways of reading is named ``"first – second"``."""
    return {
        "ways": {
            way: {
                "readers": {name: _task_dict(each) for name, each in figures.readers.items()},
                "consensus": None if figures.consensus is None else _task_dict(figures.consensus),
                "against_model": _comparisons_dict(figures.against_model),
                "agreement": _plain(figures.agreement),
                "all_readers_kappa": figures.all_readers_kappa,
                "seconds": _plain(figures.seconds),
            }
            for way, figures in study.ways.items()
        },
        "pairs": {
            _pair_name(pair): {
                "readers": _comparisons_dict(compared.readers),
                "seconds_p": _plain(compared.seconds_p),
            }
            for pair, compared in study.pairs.items()
        },
        "multireader": {name: _multireader_dict(found) for name, found in study.multireader.items()},
        "multireader_cases": study.multireader_cases,
        "left_out": study.left_out,
    }


def _multireader_dict(found: MultireaderAnalysis) -> dict[str, Any]:
    inferences = ("random_readers", "fixed_readers", "fixed_cases")
    return {
        "areas": {
            way: dict(zip(found.readers, map(float, row), strict=True))
            for way, row in zip(found.ways, found.areas, strict=True)
        },
        "means": {
            way: {"value": mean, "interval": _plain(ends)} for way, (mean, ends) in found.means.items()
        },
        "mean_square_ways": found.mean_square_ways,
        "mean_square_interaction": found.mean_square_interaction,
        "covariances": _plain(found.covariances),
        "reader_variance": found.reader_variance,
        "interaction_variance": found.interaction_variance,
        **{name: _inference_dict(getattr(found, name)) for name in inferences},
    }


def _inference_dict(found: Inference) -> dict[str, Any]:
    """Degrees of freedom without end are null, since JSON has no infinity."""
    return {
        "statistic": found.statistic,
        "df_numerator": found.df_numerator,
        "df_denominator": found.df_denominator if math.isfinite(found.df_denominator) else None,
        "p": found.p,
        "differences": {_pair_name(pair): _plain(each) for pair, each in found.differences.items()},
    }


def _pair_name(pair: tuple[str, str]) -> str:
    return " – ".join(pair)


def _plain(value: Any) -> Any:
    """Value objects as JSON has them; a proportion is its value, counts and intervals."""
    if isinstance(value, Spread):
        return {"median": value.median, "range": list(value.range), "values": list(value.values)}
    if isinstance(value, Proportion):
        names = ("value", "successes", "n", "modified_wilson", "wilson", "clopper_pearson")
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, LikelihoodRatio):
        return {"value": value.finite, "log": _plain(value.interval)}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
