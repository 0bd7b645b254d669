"""Tables as CSV that spreadsheets open without taking a text for a formula.

A text that begins as a formula does is written with an apostrophe before it, which spreadsheets take for the
sign of a text (OWASP, CSV Injection). :func:`read_cell` takes it away again; whatever is written comes back.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.files import whole_file
from LiverLesionAI.limits import check_text_size

Cell = str | int | float | None

UNREADABLE = (OSError, UnicodeDecodeError, csv.Error)
"""What a file that is no readable table raises."""
_OTHER_SEPARATORS = {";": "';'", "\t": "tabs"}
_FORMULA = re.compile(r"'*(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a table as CSV in UTF-8, whole or not at all; nothing stands for None.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in (columns, *rows):
            cells = [_written(cell) for cell in row]
            (quoted if any("\r" in str(cell) for cell in cells) else plain).writerow(cells)


@dataclass(frozen=True)
class ReadTable:
    """A table as it was written.

    Attributes
    ----------
    columns
        Their names, as often as they occur.
    rows
        Line of the file and column to value; what stands beyond the columns is under the empty name.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]


def read_table(path: Path) -> ReadTable:
    """Read a CSV file in UTF-8.

    Raises
    ------
    OSError, UnicodeDecodeError, csv.Error
        If it cannot be read (:data:`UNREADABLE`), or its columns are not separated by commas.
    """
    check_text_size(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", restval="")
        reader.fieldnames = [read_cell(name) for name in reader.fieldnames or ()]
        _check_separator(reader.fieldnames)
        rows = tuple((reader.line_num, _read(values)) for values in reader)
    return ReadTable(tuple(reader.fieldnames), rows)


def _check_separator(columns: Sequence[str]) -> None:
    """Refuse one column whose name is several: what spreadsheets save where the comma stands in numbers."""
    for mark, name in _OTHER_SEPARATORS.items():
        if len(columns) == 1 and mark in columns[0]:
            raise csv.Error(f"its columns are separated by {name}, save the table with commas")


def _read(values: dict[str, Any]) -> dict[str, Any]:
    return {name: read_cell(value) if isinstance(value, str) else value for name, value in values.items()}


def read_cell(text: str) -> str:
    """What a cell said before it was written."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _written(cell: Cell) -> str | int | float:
    if cell is None:
        return ""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
