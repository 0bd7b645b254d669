"""A table of what several readers answered, in one or several ways of reading."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.predictions import Unit
from LiverLesionAI.spreadsheet import UNREADABLE, read_table

READER, WAY, ANSWER = "reader", "modality", "answer"
CONFIDENCE, SCORE, SECONDS = "confidence", "score", "seconds"
COLUMNS = ("study_id", "lesion", "slice", READER, WAY, ANSWER, CONFIDENCE, SCORE, SECONDS)


@dataclass(frozen=True)
class ReaderAnswer:
    """What one reader said of one case in one way of reading.

    Attributes
    ----------
    diagnosis
        A class, or benign or malignant.
    confidence
        How sure of it, on any scale; not negative, larger is surer. None where none was given.
    score
        How likely malignant, on any scale, larger is likelier. None where none was given.
    seconds
        Time it took; None where none was taken.
    """

    diagnosis: str
    confidence: float | None = None
    score: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ReaderTable:
    """What several readers said.

    Attributes
    ----------
    file
        Where it was read.
    ways, readers
        Ways of reading (without and with a model, say) and readers, in the order of the table.
    answers
        Way and reader to the case's answer.
    """

    file: Path
    ways: tuple[str, ...]
    readers: tuple[str, ...]
    answers: Mapping[tuple[str, str], Mapping[Unit, ReaderAnswer]]


def is_reader_table(file: Path) -> bool:
    """Whether a CSV file names a reader and an answer in each row; False where it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            columns = next(csv.reader(stream), [])
    except UNREADABLE:
        return False
    return {READER, ANSWER} <= set(columns)


def read_reader_table(file: Path) -> ReaderTable:
    """Read what readers answered.

    Parameters
    ----------
    file
        A CSV file in UTF-8 with ``study_id``, ``reader``, ``answer`` and where wanted ``lesion``, ``slice``,
        ``modality`` (the way of reading), ``confidence``, ``score`` and ``seconds``: a row for each reader,
        way of reading and case. Rows without an answer are left out.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks a column, has an answer twice, or has a number that is none; the
        line is named.
    """
    try:
        table = read_table(file)
    except UNREADABLE as error:
        raise ConfigError(
            f"{file} cannot be read as a table of readers ({error}); give a CSV file."
        ) from None
    lacking = [name for name in ("study_id", READER, ANSWER) if name not in table.columns]
    if lacking:
        raise ConfigError(
            f"{file} lacks the column {lacking[0]}; a table of readers has {', '.join(COLUMNS)}."
        )
    answers: dict[tuple[str, str], dict[Unit, ReaderAnswer]] = {}
    for line, row in table.rows:
        cells = {name: row.get(name, "").strip() for name in COLUMNS}
        if not cells[ANSWER]:
            continue
        if not cells["study_id"] or not cells[READER]:
            raise ConfigError(f"{file}, line {line}: an answer without study_id or reader; fill them in.")
        of_reader = answers.setdefault((cells[WAY], cells[READER]), {})
        unit = (cells["study_id"], cells["lesion"], cells["slice"])
        if unit in of_reader:
            case = " ".join(filter(None, unit))
            raise ConfigError(
                f"{file}, line {line}: {cells[READER]} has answered case {case} before in the same way of "
                "reading; remove one of the two rows."
            )
        of_reader[unit] = ReaderAnswer(
            cells[ANSWER],
            _number(file, line, CONFIDENCE, cells, lowest=0.0),
            _number(file, line, SCORE, cells),
            _number(file, line, SECONDS, cells, lowest=0.0),
        )
    if not answers:
        raise ConfigError(f"{file} has no answer; give a row for each reader and case.")
    ways, readers = (tuple(dict.fromkeys(key[part] for key in answers)) for part in (0, 1))
    return ReaderTable(file, ways, readers, answers)


def _number(
    file: Path, line: int, column: str, cells: Mapping[str, str], lowest: float = -math.inf
) -> float | None:
    text = cells[column]
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < lowest:
        wanted = "number" if lowest < 0 else "number from 0 on"
        raise ConfigError(f"{file}, line {line}: {column} is {text[:20]!r}, no {wanted}.")
    return value
