"""A reader study on disk: its plan, a list for each reader, their journals, and the key that unblinds it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from LiverLesionAI.cohort import CohortRow, path_in, read_rows
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.evaluation.predictions import Predictions, read_predictions
from LiverLesionAI.files import output_folder, write_json
from LiverLesionAI.limits import check_text_size
from LiverLesionAI.reader_study.design import DESIGNS, WITH, Case, Design, Item, case_codes, reading_lists
from LiverLesionAI.reader_study.journal import Journal
from LiverLesionAI.spreadsheet import UNREADABLE, Cell, read_table, write_table

SCHEMA = "liverlesionai.reader_study.v1"
PLAN, LISTS, JOURNALS, KEY, MODEL = "study.json", "lists", "answers", "key.csv", "model.csv"
NAMES = frozenset({PLAN, LISTS, KEY, MODEL})

_READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class ListedItem:
    """An item as the reader gets it.

    Attributes
    ----------
    item
        What is read when and how.
    path, mask
        Where the study is, and its lesion mask if it is not the study's own; None for the study's own.
    lesion
        Label within the mask; empty where the study is judged.
    answer, probabilities
        The model's, where the item is read with it; else empty.
    """

    item: Item
    path: Path
    mask: Path | None
    lesion: str
    answer: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class StudyPlan:
    """A reader study.

    Attributes
    ----------
    folder
        Where it is.
    task, classes
        The question, and what it can be answered with.
    readers
        Names.
    design, seed
        See :func:`LiverLesionAI.reader_study.design.reading_lists`.
    """

    folder: Path
    task: str
    classes: tuple[str, ...]
    readers: tuple[str, ...]
    design: Design
    seed: int

    def journal(self, reader: str) -> Journal:
        """A reader's journal.

        Raises
        ------
        ConfigError
            If the study has no such reader.
        """
        self.check_reader(reader)
        return Journal(self.folder / JOURNALS / f"{reader}.jsonl")

    def list_file(self, reader: str) -> Path:
        """A reader's list."""
        self.check_reader(reader)
        return self.folder / LISTS / f"{reader}.csv"

    def check_reader(self, reader: str) -> None:
        """Refuse a reader whom the study does not have."""
        if reader not in self.readers:
            raise ConfigError(
                f"{self.folder} has no reader {reader!r}; its readers are {', '.join(self.readers)}."
            )


def make_reader_study(
    cohort: Path, predictions: Path, out: Path, readers: Sequence[str], design: Design, seed: int
) -> StudyPlan:
    """Make a reader study of the cases that a cohort and a table of answers share.

    Parameters
    ----------
    cohort
        ``cohort.csv``: where each study is.
    predictions
        Table of the model's answers with the truth; the question is that with most classes.
    out
        New folder.
    readers
        Names: letters, digits, ``-`` and ``_``. Take pseudonyms.
    design, seed
        See :func:`LiverLesionAI.reader_study.design.reading_lists`.

    Raises
    ------
    ConfigError
        If a table or a name cannot be used, or the tables share no case with both truth and answer.
    OutputError
        If the folder exists and is not empty, or cannot be written.
    """
    _check_readers(readers)
    answers = read_predictions(predictions)
    task = next(iter(answers.tasks))
    cases = _cases(cohort, answers, task)
    if not cases:
        raise ConfigError(f"{cohort} and {predictions} share no case with a truth and an answer.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not empty; name a new folder, so that no answer is lost.")
    plan = StudyPlan(out, task, answers.tasks[task].classes, tuple(readers), design, seed)
    codes = case_codes(cases, seed)
    lists = reading_lists(cases, readers, design, seed)
    with output_folder(out, NAMES) as folder:
        (folder / LISTS).mkdir()
        (folder / JOURNALS).mkdir()
        of_code = dict(zip(codes, cases, strict=True))
        for reader, items in lists.items():
            _write_list(folder / LISTS / f"{reader}.csv", out, plan.classes, items, of_code)
        columns = ("case", "study_id", "patient_id", "lesion", "truth")
        key: list[tuple[Cell, ...]] = [
            (code, case.study_id, case.patient, case.lesion, case.truth)
            for code, case in sorted(of_code.items())
        ]
        write_table(folder / KEY, columns, key)
        _write_model(folder / MODEL, plan.classes, cases)
        write_json(folder / PLAN, _plan_dict(plan))
    return plan


def read_reader_study(folder: Path) -> StudyPlan:
    """Read the plan of a reader study.

    Raises
    ------
    ConfigError
        If there is none in the folder, or it cannot be used.
    """
    file = folder / PLAN
    try:
        check_text_size(file)
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or content["design"] not in DESIGNS:
            raise ValueError
        classes, readers = (tuple(map(str, content[name])) for name in ("classes", "readers"))
        _check_readers(readers)
        return StudyPlan(
            folder, str(content["task"]), classes, readers, content["design"], int(content["seed"])
        )
    except OSError as error:
        raise ConfigError(
            f"{folder} holds no reader study ({error.strerror or error}); make one with readers make."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{file} is no plan of a reader study that can be used.") from None


def read_list(plan: StudyPlan, reader: str) -> tuple[ListedItem, ...]:
    """Read a reader's list.

    Raises
    ------
    ConfigError
        If the study has no such reader, or the list cannot be read.
    """
    return tuple(_listed(plan, reader, line, row) for line, row in _rows(plan.list_file(reader)))


def read_key(plan: StudyPlan) -> dict[str, dict[str, str]]:
    """Code of a case to its study, patient, lesion and truth; for the analysis, never for a reader."""
    return {row["case"]: row for _, row in _rows(plan.folder / KEY)}


def _rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        return list(read_table(file).rows)
    except UNREADABLE as error:
        raise ConfigError(f"{file} cannot be read ({error}).") from None


def _check_readers(readers: Sequence[str]) -> None:
    if not readers or len(set(map(str.lower, readers))) < len(readers):
        raise ConfigError("A reader study needs readers, each once; name them with --reader.")
    for name in readers:
        if not _READER.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a reader; take letters, digits, - and _ (40 at most).")


def _cases(cohort: Path, answers: Predictions, task: str) -> list[Case]:
    rows = {(row.study_id, "" if row.lesion is None else str(row.lesion)): row for row in read_rows(cohort)}
    said = answers.tasks[task]
    cases = []
    for index, (study, lesion, place) in enumerate(answers.units):
        row = rows.get((study, lesion))
        if row is None or place or not said.is_answered[index]:
            continue
        table = said.probabilities
        probabilities = (
            dict(zip(said.classes, map(float, table[index]), strict=True))
            if table is not None and said.is_scored[index]
            else {}
        )
        truth, answer = said.classes[said.truth[index]], said.classes[said.predicted[index]]
        cases.append(_case(cohort, row, answers.patients[index], truth, answer, probabilities))
    return cases


def _case(
    cohort: Path, row: CohortRow, patient: str, truth: str, answer: str, probabilities: dict[str, float]
) -> Case:
    path = path_in(cohort, row.path)
    if not path.exists():
        raise ConfigError(f"{cohort}, line {row.line}: there is no study {path}.")
    mask = str(path_in(cohort, row.mask)) if row.mask else ""
    lesion = "" if row.lesion is None else str(row.lesion)
    return Case(row.study_id, lesion, patient, truth, str(path), mask, answer, probabilities)


def _plan_dict(plan: StudyPlan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "task": plan.task,
        "classes": list(plan.classes),
        "readers": list(plan.readers),
        "design": plan.design,
        "seed": plan.seed,
    }


def _write_list(
    file: Path, folder: Path, classes: Sequence[str], items: Sequence[Item], cases: dict[str, Case]
) -> None:
    """A list as the reader gets it; the last three columns are for those who read without the panel."""
    columns = ("item", "session", "modality", "case", "path", "mask", "lesion", "model")
    scores = tuple(f"model_{name}" for name in classes)
    rows: list[tuple[Cell, ...]] = []
    for item in items:
        case = cases[item.code]
        place = (_beside(folder, case.path), _beside(folder, case.mask) if case.mask else "", case.lesion)
        shown: tuple[Cell, ...] = (None,) * (1 + len(classes))
        if item.way == WITH:
            shown = (case.answer, *(case.probabilities.get(name) for name in classes))
        rows.append((item.number, item.session, item.way, item.code, *place, *shown, None, None, None))
    write_table(file, (*columns, *scores, "answer", "confidence", "seconds"), rows)


def _write_model(file: Path, classes: Sequence[str], cases: Sequence[Case]) -> None:
    columns = ("study_id", "patient_id", "lesion", "truth", "pred")
    scored = classes if all(case.probabilities for case in cases) else ()
    rows: list[tuple[Cell, ...]] = []
    for case in cases:
        head = (case.study_id, case.patient, case.lesion, case.truth, case.answer)
        rows.append((*head, *(case.probabilities[name] for name in scored)))
    write_table(file, (*columns, *(f"prob_{name}" for name in scored)), rows)


def _beside(folder: Path, path: str) -> str:
    """A path as seen from the folder, absolute where it is on another drive."""
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return path


def _listed(plan: StudyPlan, reader: str, line: int, row: dict[str, Any]) -> ListedItem:
    try:
        item = Item(int(row["item"]), int(row["session"]), str(row["modality"]), str(row["case"]))
        scores = {name: row[f"model_{name}"] for name in plan.classes}
        probabilities = {name: float(text) for name, text in scores.items() if text}
        path, mask = cast(str, row["path"]), cast(str, row["mask"])
        return ListedItem(
            item,
            (plan.folder / path).resolve(),
            (plan.folder / mask).resolve() if mask else None,
            row["lesion"],
            row["model"],
            probabilities,
        )
    except (KeyError, ValueError):
        raise ConfigError(f"{plan.list_file(reader)}, line {line}: the row cannot be used.") from None
