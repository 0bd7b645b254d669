"""A table of answers, as ``classify`` writes it: ``results.csv`` with the truth filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.spreadsheet import UNREADABLE, read_table
from LiverLesionAI.taxonomy import lesion_class

PREDICTED, PROBABILITY, READER, GROUP = "pred", "prob_", "reader_", "group_"
REPEAT = "repeat"
BINARY = ("benign", "malignant")

Unit = tuple[str, str, str]
"""What an answer is about: study, lesion (empty for a patient's answer), slice (empty for none)."""


@dataclass(frozen=True)
class TaskAnswers:
    """The answers to one question.

    Attributes
    ----------
    task
        Name of the question; empty where the table has one that it does not name.
    classes
        Names, in the order of the table's columns.
    truth, predicted
        Class indices ``[N]``; −1 where the table says none.
    probabilities
        ``[N, classes]``, not a number where the table says none; None where it has none at all.
    """

    task: str
    classes: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None

    @property
    def is_answered(self) -> np.ndarray:
        """Which cases have both a truth and an answer ``[N]``."""
        return (self.truth >= 0) & (self.predicted >= 0)

    @property
    def is_scored(self) -> np.ndarray:
        """Which cases have a probability of every class ``[N]``."""
        if self.probabilities is None:
            return np.zeros(len(self.truth), bool)
        return np.asarray(np.isfinite(self.probabilities).all(axis=1))

    def at(self, rows: np.ndarray) -> TaskAnswers:
        """The answers of these rows alone, in their order."""
        return replace(
            self,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            probabilities=None if self.probabilities is None else self.probabilities[rows],
        )


@dataclass(frozen=True)
class Predictions:
    """A table of answers.

    Attributes
    ----------
    file
        Where it was read.
    units
        What each row is about.
    patients
        Each row's patient, by default its study.
    tasks
        The question to its answers, the one with most classes first.
    readers
        Reader to the class named for each row; empty where none was.
    groups
        Column to the subgroup of each row; empty where none was given.
    """

    file: Path
    units: tuple[Unit, ...]
    patients: tuple[str, ...]
    tasks: Mapping[str, TaskAnswers]
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, rows: Sequence[int]) -> Predictions:
        """The same table with these rows alone, in their order."""

        def chosen(values: Sequence[str]) -> tuple[str, ...]:
            return tuple(values[row] for row in rows)

        return replace(
            self,
            units=tuple(self.units[row] for row in rows),
            patients=chosen(self.patients),
            tasks={name: answers.at(np.array(rows, int)) for name, answers in self.tasks.items()},
            readers={name: chosen(said) for name, said in self.readers.items()},
            groups={name: chosen(given) for name, given in self.groups.items()},
        )


def read_predictions(file: Path, truth_from: Predictions | None = None) -> Predictions:
    """Read a table of answers.

    Parameters
    ----------
    file
        A CSV file in UTF-8 with ``study_id`` and ``truth``, for each task ``pred_<task>`` and
        ``prob_<task>_<class>`` (``pred`` and ``prob_<class>`` where there is one), and where wanted
        ``patient_id``, ``lesion``, ``slice``, ``reader_<name>`` and ``group_<name>``. Classes are those of
        the columns, or those that occur. Without ``pred`` the most probable class is the answer.
    truth_from
        Takes the truth from another table of the same cases where this one has none.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks a column, has a row twice, or has a value that cannot be used; the
        line is named.
    """
    repeats = read_repeats(file, truth_from)
    if len(repeats) > 1:
        raise ConfigError(f"{file} has {len(repeats)} repeats; give a table of one.")
    return next(iter(repeats.values()))


def read_repeats(file: Path, truth_from: Predictions | None = None) -> dict[str, Predictions]:
    """Read a table of answers of a model that was trained several times.

    Parameters
    ----------
    file, truth_from
        See :func:`read_predictions`; a column ``repeat`` may name which training each row is of.

    Returns
    -------
    dict
        Name of the repeat, empty where there is none, to its answers, in the order of the table.

    Raises
    ------
    ConfigError
        As :func:`read_predictions`.
    """
    table, repeats = _whole_table(file, truth_from)
    of_repeat: dict[str, list[int]] = {}
    for row, name in enumerate(repeats):
        of_repeat.setdefault(name, []).append(row)
    return {name: table.at(rows) for name, rows in of_repeat.items()}


def _whole_table(file: Path, truth_from: Predictions | None) -> tuple[Predictions, tuple[str, ...]]:
    """Every row, and each row's repeat."""
    lines, rows = _rows(file)
    units = tuple((row["study_id"], row.get("lesion", ""), row.get("slice", "")) for row in rows)
    repeats = tuple(row.get(REPEAT, "") for row in rows)
    _check_units_differ(file, lines, tuple(zip(repeats, units, strict=True)))
    truth = _truth(file, rows, units, truth_from)
    columns = tuple(rows[0])
    classes = {task: _classes(rows, task, truth) for task in _task_names(file, columns)}
    ordered = sorted(classes.items(), key=lambda item: -len(item[1]))
    table = Predictions(
        file=file,
        units=units,
        patients=tuple(row.get("patient_id", "") or row["study_id"] for row in rows),
        tasks={task: _task(file, lines, rows, (task, names), truth) for task, names in ordered},
        readers=_prefixed(rows, columns, READER),
        groups=_prefixed(rows, columns, GROUP),
    )
    return table, repeats


def label_in(classes: Sequence[str], name: str) -> int | None:
    """Position of a diagnosis among classes: by name, else as benign or malignant; None where unknown."""
    if name in classes:
        return tuple(classes).index(name)
    if set(classes) != set(BINARY):
        return None
    known = lesion_class(name)
    if known is None or known.malignant is None:
        return None
    return tuple(classes).index(BINARY[known.malignant])


def _rows(file: Path) -> tuple[tuple[int, ...], list[dict[str, str]]]:
    """Line and content of each row."""
    try:
        read = read_table(file)
    except UNREADABLE as error:
        raise ConfigError(
            f"{file} cannot be read as a table of answers ({error}); give a CSV file."
        ) from None
    columns = [name for name in read.columns if name]
    rows = [{name: row[name].strip() for name in columns} for _, row in read.rows]
    if "study_id" not in columns:
        raise ConfigError(f"{file} lacks the column study_id; give a table like results.csv of classify.")
    if len(set(columns)) < len(columns):
        raise ConfigError(f"{file} has two columns of one name; rename one of them.")
    if not rows:
        raise ConfigError(f"{file} has no row; give a table with a row per lesion or patient.")
    for line, row in read.rows:
        if isinstance(row.get(""), list) and any(row[""]):
            raise ConfigError(
                f"{file}, line {line}: there is a value without a column; put values with commas in quotes."
            )
    return tuple(line for line, _ in read.rows), rows


def _check_units_differ(file: Path, lines: Sequence[int], units: Sequence[tuple[str, Unit]]) -> None:
    seen: dict[tuple[str, Unit], int] = {}
    for line, unit in zip(lines, units, strict=True):
        if unit in seen:
            raise ConfigError(f"{file}, line {line}: the same case stands in line {seen[unit]}; remove one.")
        seen[unit] = line


def _truth(
    file: Path, rows: Sequence[Mapping[str, str]], units: Sequence[Unit], other: Predictions | None
) -> list[str]:
    own = [row.get("truth", "") for row in rows]
    if any(own):
        return own
    if other is None:
        raise ConfigError(f"{file} says no truth; fill in the column truth with the class of each case.")
    known = _named_truth(other)
    return [known.get(unit, "") for unit in units]


def _named_truth(predictions: Predictions) -> dict[Unit, str]:
    answers = next(iter(predictions.tasks.values()))
    return {
        unit: answers.classes[index]
        for unit, index in zip(predictions.units, answers.truth, strict=True)
        if index >= 0
    }


def _task_names(file: Path, columns: Sequence[str]) -> tuple[str, ...]:
    named = [name.removeprefix("pred_") for name in columns if name.startswith("pred_")]
    if PREDICTED in columns and named:
        raise ConfigError(f"{file} has pred and pred_{named[0]}; name every task or none.")
    if named:
        return tuple(named)
    if PREDICTED in columns or any(name.startswith(PROBABILITY) for name in columns):
        return ("",)
    raise ConfigError(f"{file} has no answers; give columns pred and prob_<class>, or pred_<task> and so on.")


def _columns_of(task: str) -> tuple[str, str]:
    """The column of a task's answer, and what its probabilities' columns begin with."""
    return (f"pred_{task}", f"prob_{task}_") if task else (PREDICTED, PROBABILITY)


def _classes(rows: Sequence[Mapping[str, str]], task: str, truth: Sequence[str]) -> tuple[str, ...]:
    """Classes of a task: those of its columns, or those that occur."""
    answer, prefix = _columns_of(task)
    classes = tuple(name.removeprefix(prefix) for name in rows[0] if name.startswith(prefix))
    return classes or tuple(sorted({*(row.get(answer, "") for row in rows), *truth} - {""}))


def _task(
    file: Path,
    lines: Sequence[int],
    rows: Sequence[Mapping[str, str]],
    asked: tuple[str, tuple[str, ...]],
    truth: Sequence[str],
) -> TaskAnswers:
    """Answers to a task, which is asked for by its name and classes."""
    task, classes = asked
    answer, prefix = _columns_of(task)
    said = [row.get(answer, "") for row in rows]
    is_scored = any(name.startswith(prefix) for name in rows[0])
    probabilities = _probabilities(file, lines, rows, prefix, classes) if is_scored else None
    predicted = _labels(file, lines, said, classes, answer)
    if answer not in rows[0] and probabilities is not None:
        predicted = np.where(np.isnan(probabilities).any(axis=1), -1, probabilities.argmax(axis=1))
    labels = _labels(file, lines, truth, classes, "truth")
    return TaskAnswers(task, classes, labels, predicted, probabilities)


def _labels(
    file: Path, lines: Sequence[int], names: Sequence[str], classes: Sequence[str], column: str
) -> np.ndarray:
    labels = []
    for line, name in zip(lines, names, strict=True):
        label = label_in(classes, name) if name else -1
        if label is None and not _is_neither(classes, name):
            known = ", ".join(classes)
            raise ConfigError(
                f"{file}, line {line}: {column} {name!r} is none of the classes {known}; correct it, or "
                "leave it empty to leave the case out."
            )
        labels.append(-1 if label is None else label)
    return np.array(labels)


def _is_neither(classes: Sequence[str], name: str) -> bool:
    """Whether a diagnosis is known to be neither benign nor malignant by itself, where that is asked."""
    known = lesion_class(name)
    return set(classes) == set(BINARY) and known is not None and known.malignant is None


def _probabilities(
    file: Path,
    lines: Sequence[int],
    rows: Sequence[Mapping[str, str]],
    prefix: str,
    classes: Sequence[str],
) -> np.ndarray:
    table = np.full((len(rows), len(classes)), np.nan)
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        for position, name in enumerate(classes):
            value = row[prefix + name]
            if value:
                table[number, position] = _probability(file, line, prefix + name, value)
    return table


def _probability(file: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise ConfigError(f"{file}, line {line}: {column} is {text[:20]!r}, no probability between 0 and 1.")
    return value


def _prefixed(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], prefix: str
) -> dict[str, tuple[str, ...]]:
    names = [name for name in columns if name.startswith(prefix) and name != prefix]
    return {name.removeprefix(prefix): tuple(row[name] for row in rows) for name in names}
