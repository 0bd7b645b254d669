"""Journals into the table that is judged; tables filled in by hand into journals."""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.reader_study.folder import StudyPlan, read_key, read_list
from LiverLesionAI.reader_study.session import ReadingSession
from LiverLesionAI.spreadsheet import UNREADABLE, Cell, read_table, write_table

COLUMNS = (
    *("study_id", "patient_id", "lesion", "reader", "modality", "answer", "confidence", "seconds"),
    *("session", "item", "case", "openings", "at"),
)
_NEEDED = ("item", "case", "answer")


def write_answers(plan: StudyPlan, file: Path) -> int:
    """Write what all readers said so far as a table of readers for ``evaluate --compare``.

    The time of a case that was interrupted is left out.

    Returns
    -------
    int
        Answers written.

    Raises
    ------
    ConfigError
        If a list, a journal or the key cannot be read.
    OutputError
        If the table cannot be written.
    """
    rows = [row for reader in plan.readers for row in _rows(plan, reader)]
    write_table(file, COLUMNS, rows)
    return len(rows)


def take_answers(folder: Path, reader: str, table: Path) -> int:
    """Take answers from a reader's list that was filled in by hand.

    Parameters
    ----------
    folder
        The reader study.
    reader
        Whose list it is.
    table
        The list with ``answer``, and where wanted ``confidence`` (0 to 100) and ``seconds``, filled in; rows
        without an answer are left for later. What the journal has already is not taken again.

    Returns
    -------
    int
        Answers taken.

    Raises
    ------
    ConfigError
        If the table cannot be read or lacks a column, or an answer is none; the line is named, and those
        before it are taken.
    """
    try:
        read = read_table(table)
    except UNREADABLE as error:
        raise ConfigError(f"{table} cannot be read ({error}); give the reader's list.") from None
    lacking = [name for name in _NEEDED if name not in read.columns]
    if lacking:
        raise ConfigError(f"{table} lacks columns ({', '.join(lacking)}); give the reader's list, filled in.")
    session = ReadingSession(folder, reader)
    codes = {each.item.number: each.item.code for each in session.items}
    known = session.plan.journal(reader).answers()
    taken = 0
    try:
        for line, row in read.rows:
            said = row.get("answer", "").strip()
            if not said:
                continue
            try:
                number = int(row["item"])
                if codes.get(number) != row["case"]:
                    raise ConfigError(f"item {number} is another case in the list of {reader}.")
                if number not in known:
                    session.take(number, said, _number(row, "confidence"), _number(row, "seconds"))
                    taken += 1
            except (KeyError, ValueError):
                raise ConfigError(
                    f"{table}, line {line}: item, confidence and seconds are numbers."
                ) from None
            except ConfigError as error:
                raise ConfigError(f"{table}, line {line}: {error}") from None
    finally:
        session.close()
    return taken


def _number(row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "").strip()
    return float(text) if text else None


def _rows(plan: StudyPlan, reader: str) -> list[tuple[Cell, ...]]:
    answers, key = plan.journal(reader).answers(), read_key(plan)
    rows: list[tuple[Cell, ...]] = []
    for listed in read_list(plan, reader):
        item = listed.item
        given = answers.get(item.number)
        if given is None:
            continue
        case = key.get(item.code)
        if case is None:
            raise ConfigError(f"{plan.folder} has no case {item.code} in its key.")
        seconds = given.seconds if given.openings <= 1 else None
        who = (case["study_id"], case["patient_id"], case["lesion"], reader, item.way)
        said = (given.diagnosis, given.confidence, seconds)
        rows.append((*who, *said, item.session, item.number, item.code, given.openings, given.at))
    return rows
