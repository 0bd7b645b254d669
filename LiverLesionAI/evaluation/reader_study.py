"""A reader study: readers against the model, and readers with it against readers without it.

A diagnosis and how sure the reader was of it make a score of each class: the confidence where the class was
named, minus the confidence where another was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import wilcoxon

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.agreement import Kappa
from LiverLesionAI.evaluation.figures import TaskEvaluation, task_figures
from LiverLesionAI.evaluation.multireader import MultireaderAnalysis, analyse_readers
from LiverLesionAI.evaluation.paired import Comparison, compare_answers
from LiverLesionAI.evaluation.predictions import BINARY, Predictions, TaskAnswers, Unit, label_in
from LiverLesionAI.evaluation.reader_table import ReaderAnswer, ReaderTable
from LiverLesionAI.evaluation.readers import all_readers_kappa, pairs_kappa
from LiverLesionAI.evaluation.repeats import Spread

FEWEST_CASES = 2


@dataclass(frozen=True)
class WayFigures:
    """One way of reading.

    Attributes
    ----------
    readers
        Reader to the figures of their answers.
    consensus
        Figures of what most readers said; cases where no class has most votes are left out. None with fewer
        than three readers.
    against_model
        Reader, and ``"consensus"``, to the comparison of the model with them.
    agreement, all_readers_kappa
        See :class:`LiverLesionAI.evaluation.figures.TaskEvaluation`.
    seconds
        Reader to the time of a case, over the cases; readers without times are left out.
    """

    readers: Mapping[str, TaskEvaluation]
    consensus: TaskEvaluation | None
    against_model: Mapping[str, Comparison]
    agreement: Mapping[str, Kappa]
    all_readers_kappa: float | None
    seconds: Mapping[str, Spread]


@dataclass(frozen=True)
class WaysCompared:
    """Two ways of reading, the first against the second.

    Attributes
    ----------
    readers
        Reader to the comparison of right answers.
    seconds_p
        Reader to Wilcoxon's signed-rank test of the times of the same cases (1945, doi:10.2307/3001968).
    """

    readers: Mapping[str, Comparison]
    seconds_p: Mapping[str, float]


@dataclass(frozen=True)
class ReaderStudy:
    """What is said of a table of readers for one question.

    Attributes
    ----------
    ways
        Way of reading to its figures.
    pairs
        Two ways of reading to their comparison.
    multireader
        Class to the analysis by Obuchowski and Rockette; empty without two ways, two readers and confidences.
    multireader_cases
        Cases that every reader scored in every way, which alone enter it.
    left_out
        Cases of the table of answers that no reader answered.
    """

    ways: Mapping[str, WayFigures]
    pairs: Mapping[tuple[str, str], WaysCompared]
    multireader: Mapping[str, MultireaderAnalysis]
    multireader_cases: int
    left_out: int


def study_readers(predictions: Predictions, table: ReaderTable) -> dict[str, ReaderStudy]:
    """Analyse what readers said of the cases of a table of answers, question by question.

    Questions that no reader's diagnosis answers are left out.

    Raises
    ------
    ConfigError
        If table and answers have no case in common, or a diagnosis answers none of the questions.
    """
    known = set(predictions.units)
    said = [(unit, given) for of_reader in table.answers.values() for unit, given in of_reader.items()]
    if not known & {unit for unit, _ in said}:
        raise ConfigError(
            f"{table.file} and {predictions.file} have no case in common; compare like with like."
        )
    for unit, given in said:
        if all(label_in(task.classes, given.diagnosis) is None for task in predictions.tasks.values()):
            case = " ".join(filter(None, unit))
            raise ConfigError(
                f"{table.file} answers {given.diagnosis!r} for case {case}, no class of {predictions.file}; "
                "correct it."
            )
    found = {task: _study(predictions, answers, table) for task, answers in predictions.tasks.items()}
    return {task: study for task, study in found.items() if study is not None}


def _study(predictions: Predictions, model: TaskAnswers, table: ReaderTable) -> ReaderStudy | None:
    answers = {key: _answers(predictions, model, table, key) for key in table.answers}
    answers = {key: said for key, said in answers.items() if said.is_answered.any()}
    if not answers:
        return None
    by_way = {
        way: {reader: answers[way, reader] for reader in table.readers if (way, reader) in answers}
        for way in table.ways
    }
    multireader, cases = _multireader(predictions, model, table)
    read = np.any([said.predicted >= 0 for said in answers.values()], axis=0)
    return ReaderStudy(
        ways={
            way: _way(predictions, model, table, way, readers) for way, readers in by_way.items() if readers
        },
        pairs={(a, b): _compared(predictions, table, (a, b), by_way) for a, b in combinations(table.ways, 2)},
        multireader=multireader,
        multireader_cases=cases,
        left_out=int((~read & (model.truth >= 0)).sum()),
    )


def _answers(
    predictions: Predictions, model: TaskAnswers, table: ReaderTable, key: tuple[str, str]
) -> TaskAnswers:
    """What one reader answered in one way, as answers to the question; −1 where nothing."""
    given = table.answers[key]
    labels = [
        label_in(model.classes, given[unit].diagnosis) if unit in given else None
        for unit in predictions.units
    ]
    return replace(
        model, predicted=np.array([-1 if label is None else label for label in labels]), probabilities=None
    )


def _way(
    predictions: Predictions,
    model: TaskAnswers,
    table: ReaderTable,
    way: str,
    readers: dict[str, TaskAnswers],
) -> WayFigures:
    against = {reader: compare_answers(model, said) for reader, said in readers.items()}
    consensus = _consensus(model, list(readers.values()))
    if consensus is not None:
        against["consensus"] = compare_answers(model, consensus)
    times = {reader: tuple(_times(predictions, table, (way, reader)).values()) for reader in readers}
    return WayFigures(
        readers={name: task_figures(said, predictions.patients, {}) for name, said in readers.items()},
        consensus=None if consensus is None else task_figures(consensus, predictions.patients, {}),
        against_model=against,
        agreement=pairs_kappa(readers),
        all_readers_kappa=all_readers_kappa(readers),
        seconds={reader: Spread(values) for reader, values in times.items() if values},
    )


def _consensus(model: TaskAnswers, readers: Sequence[TaskAnswers]) -> TaskAnswers | None:
    if len(readers) < 3:
        return None
    votes = np.stack([each.predicted for each in readers], axis=1)
    predicted = np.array([_most(row[row >= 0].tolist()) for row in votes])
    consensus = replace(model, predicted=predicted, probabilities=None)
    return consensus if consensus.is_answered.any() else None


def _most(votes: Sequence[int]) -> int:
    """The class with more votes than any other; −1 where there is none."""
    ranked = Counter(votes).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return -1
    return ranked[0][0]


def _times(predictions: Predictions, table: ReaderTable, key: tuple[str, str]) -> dict[int, float]:
    """Row of the table of answers to the seconds a reader took."""
    given = table.answers.get(key, {})
    found = {row: given[unit].seconds for row, unit in enumerate(predictions.units) if unit in given}
    return {row: seconds for row, seconds in found.items() if seconds is not None}


def _compared(
    predictions: Predictions,
    table: ReaderTable,
    ways: tuple[str, str],
    by_way: Mapping[str, Mapping[str, TaskAnswers]],
) -> WaysCompared:
    first, second = ways
    both = [reader for reader in by_way[first] if reader in by_way[second]]
    tests = {reader: _time_test(predictions, table, ways, reader) for reader in both}
    return WaysCompared(
        readers={reader: compare_answers(by_way[first][reader], by_way[second][reader]) for reader in both},
        seconds_p={reader: p for reader, p in tests.items() if p is not None},
    )


def _time_test(
    predictions: Predictions, table: ReaderTable, ways: tuple[str, str], reader: str
) -> float | None:
    first, second = (_times(predictions, table, (way, reader)) for way in ways)
    differences = np.array([first[row] - second[row] for row in first if row in second])
    if not len(differences):
        return None
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def _multireader(
    predictions: Predictions, model: TaskAnswers, table: ReaderTable
) -> tuple[dict[str, MultireaderAnalysis], int]:
    complete = len(table.answers) == len(table.ways) * len(table.readers)
    if min(len(table.ways), len(table.readers)) < 2 or not complete:
        return {}, 0
    found, cases = {}, 0
    for name in _asked(model.classes):
        index = model.classes.index(name)
        scores = np.array(
            [
                [_scores(predictions, model, table.answers[way, reader], name) for reader in table.readers]
                for way in table.ways
            ]
        )
        scored = np.isfinite(scores).all(axis=(0, 1)) & (model.truth >= 0)
        positive = model.truth[scored] == index
        if min(positive.sum(), (~positive).sum()) >= FEWEST_CASES:
            found[name] = analyse_readers(scores[:, :, scored], positive, table.ways, table.readers)
            cases = int(scored.sum())
    return found, cases


def _asked(classes: Sequence[str]) -> tuple[str, ...]:
    """The classes worth an analysis: of benign and malignant the second says all."""
    return (BINARY[1],) if set(classes) == set(BINARY) else tuple(classes)


def _scores(
    predictions: Predictions, model: TaskAnswers, given: Mapping[Unit, ReaderAnswer], name: str
) -> list[float]:
    return [_score(model, given.get(unit), name) for unit in predictions.units]


def _score(model: TaskAnswers, answer: ReaderAnswer | None, name: str) -> float:
    if answer is None:
        return np.nan
    if name == BINARY[1] and answer.score is not None:
        return answer.score
    label = label_in(model.classes, answer.diagnosis)
    if label is None or answer.confidence is None:
        return np.nan
    return answer.confidence if model.classes[label] == name else -answer.confidence
