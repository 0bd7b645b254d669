"""``cohort.csv``, the table of a cohort's lesions or studies: its one definition, rows in and rows out.

A row stands for a lesion, or for a whole study where ``lesion`` is empty. The columns are ``study_id`` and
``path``, where wanted ``patient_id``, ``mask``, ``lesion``, ``truth`` and ``split``, and free ones. The names
of these begin with ``group_`` (a subgroup), ``reader_`` (a reader's answer) or ``clinical_`` (a field of
``clinical.json``); columns of other names are kept and mean nothing. Paths are relative to the table's
folder.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.spreadsheet import UNREADABLE, read_table, write_table
from LiverLesionAI.study import ClinicalValue, is_finite
from LiverLesionAI.taxonomy import Taxonomy

COHORT_FILE = "cohort.csv"
COLUMNS = ("study_id", "path", "patient_id", "lesion", "truth")
"""Columns that every written table has; ``mask`` and ``split`` it has where a row does."""

CLINICAL_PREFIX = "clinical_"
"""Begins the names of columns that give a field of clinical data."""

NOT_IN_MASK = "It stands in the cohort's table, but not in the study's mask; correct one of them."
"""Why a lesion of a table (:func:`lesions_beyond`) has no answer."""

_TRUTH_VALUES = {"true": True, "false": False}
_LABEL_DIGITS = 9
_SHOWN = 20
_REQUIRED = ("study_id", "path")
_TEXTS = ("study_id", "path", "patient_id", "mask", "truth", "split")
_ORDER = ("study_id", "path", "patient_id", "mask", "lesion", "truth", "split")


@dataclass(frozen=True)
class CohortRow:
    """One lesion of a cohort, or one study.

    Attributes
    ----------
    study_id
        Name of the study.
    path
        Where the study is, as the table says it: relative to the table's folder, or absolute.
    patient_id
        Pseudonym of the patient; empty where the study counts as a patient.
    mask
        Lesion mask to use instead of the study's own, said as `path` is; empty for the study's own.
    lesion
        Label within the study; None where the row stands for the study.
    truth
        Class; empty where it is not known.
    split
        Name of the part of the cohort; empty where it is not divided.
    free
        Further columns, name to value; not shown where the row is printed.
    line
        Line of the table that the row was read from; 0 where it was not read. It does not count in
        comparisons.
    """

    study_id: str
    path: str
    patient_id: str = ""
    mask: str = ""
    lesion: int | None = None
    truth: str = ""
    split: str = ""
    free: Mapping[str, str] = field(default_factory=dict, repr=False)
    line: int = field(default=0, compare=False)

    @property
    def patient(self) -> str:
        """The patient, whose rows belong together: by default the study."""
        return self.patient_id or self.study_id


def lesions_beyond(named: Iterable[int | None], there: Collection[int]) -> tuple[int, ...]:
    """Lesions that a study's rows name, None standing for the study, and that its mask lacks."""
    return tuple(lesion for lesion in named if lesion is not None and lesion not in there)


def read_rows(
    table: Path, taxonomy: Taxonomy | None = None, required: Collection[str] = _REQUIRED
) -> tuple[CohortRow, ...]:
    """Read a cohort's table.

    Parameters
    ----------
    table
        The CSV file, in UTF-8.
    taxonomy
        What every `truth` must be a class of; None to take it as it is.
    required
        Columns that the table must have.

    Raises
    ------
    ConfigError
        If the file cannot be read, lacks a column, or has a row that cannot be used, whose line is named.
    """
    try:
        read = read_table(table)
    except UNREADABLE as error:
        raise ConfigError(f"{table} cannot be read as a cohort ({error}); give a CSV file.") from None
    _check_columns(table, read.columns, required)
    rows = tuple(_row(table, line, values, taxonomy) for line, values in read.rows)
    _check_studies_are_one(table, rows)
    _check_lesions_differ(table, rows)
    return rows


def write_rows(table: Path, rows: Iterable[CohortRow]) -> None:
    """Write a cohort's table, whole or not at all; an earlier one is replaced.

    Raises
    ------
    OutputError
        If the table cannot be written.
    """
    rows = tuple(rows)
    known = [name for name in _ORDER if name in COLUMNS or any(getattr(row, name) for row in rows)]
    free = dict.fromkeys(name for row in rows for name in row.free)
    cells = (
        [*(getattr(row, name) for name in known), *(row.free.get(name) for name in free)] for row in rows
    )
    write_table(table, (*known, *free), cells)


def append_rows(table: Path, rows: Iterable[CohortRow]) -> None:
    """Add rows to a cohort's table, which is made where there is none.

    Raises
    ------
    ConfigError
        If the table cannot be read.
    OutputError
        If the table cannot be written.
    """
    present = read_rows(table) if table.is_file() else ()
    write_rows(table, (*present, *rows))


def row_error(table: Path, line: int, words: str) -> ConfigError:
    """What is wrong with a row, by the line that it stands on."""
    return ConfigError(f"{table}, line {line}: {words}")


def path_in(table: Path, path: str) -> Path:
    """The absolute path of a study or mask that a table names."""
    return (table.parent / path).resolve()


def clinical_data(table: Path, rows: Iterable[CohortRow]) -> dict[Path, Mapping[str, ClinicalValue]]:
    """Clinical data of each study by its path, from those of its rows that fill ``clinical_<field>``.

    Raises
    ------
    ConfigError
        If a value is no finite number, or rows of one study differ.
    """
    studies: dict[Path, dict[str, ClinicalValue]] = defaultdict(dict)
    for row in rows:
        known = studies[path_in(table, row.path)]
        for name, value in _filled(table, row):
            if known.setdefault(name, value) != value:
                column = f"{CLINICAL_PREFIX}{name}"
                raise row_error(
                    table, row.line, f"{column} differs from that of the same study above; give it one value."
                )
    return dict(studies)


def _filled(table: Path, row: CohortRow) -> Iterator[tuple[str, ClinicalValue]]:
    for column, text in row.free.items():
        if column.startswith(CLINICAL_PREFIX) and text:
            value = _clinical_value(text)
            if isinstance(value, float) and not is_finite(value):
                raise row_error(table, row.line, f"{column} is no finite number; give one or leave it empty.")
            yield column.removeprefix(CLINICAL_PREFIX), value


def _clinical_value(text: str) -> ClinicalValue:
    """A truth value or a number where the text is one, as in ``clinical.json``, else the text."""
    if text in _TRUTH_VALUES:
        return _TRUTH_VALUES[text]
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


def _check_columns(table: Path, columns: Collection[str], required: Collection[str]) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise ConfigError(f"{table} lacks columns ({', '.join(missing)}); see docs/training.md.")
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        raise ConfigError(f"{table} has two columns of one name; rename one of them.")


def _row(table: Path, line: int, values: dict[str, str], taxonomy: Taxonomy | None) -> CohortRow:
    if any(values.pop("", ())):
        raise row_error(table, line, "there is a value without a column; put values with commas in quotes.")
    lesion = values.pop("lesion", "")
    known = {name: values.pop(name, "") for name in _TEXTS}
    if not (known["study_id"] and known["path"]):
        raise row_error(table, line, "study_id or path is empty; give both.")
    if taxonomy is not None and known["truth"] not in taxonomy.names:
        names = ", ".join(taxonomy.names)
        raise row_error(table, line, f"truth {known['truth']!r} is not one of {names}.")
    return CohortRow(**known, lesion=_label(table, line, lesion), free=values, line=line)


def _label(table: Path, line: int, text: str) -> int | None:
    if not text:
        return None
    digits = text.lstrip("0")
    if not text.isdecimal() or not digits or len(digits) > _LABEL_DIGITS or int(digits) == 0:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise row_error(table, line, f"lesion {shown!r} is not a label (1, 2, …).")
    return int(digits)


def _check_studies_are_one(table: Path, rows: Iterable[CohortRow]) -> None:
    """Refuse a name that stands for two studies, or for one of two patients."""
    seen: dict[str, CohortRow] = {}
    for row in rows:
        first = seen.setdefault(row.study_id, row)
        same_place = _normal(table, row.path) == _normal(table, first.path)
        if not same_place or row.patient_id != first.patient_id:
            raise row_error(
                table,
                row.line,
                f"study {row.study_id!r} has another path or patient than in line {first.line}; give each "
                "study a name of its own.",
            )


def _check_lesions_differ(table: Path, rows: Iterable[CohortRow]) -> None:
    """Refuse a lesion that a second row stands for; labels are of a mask, so that each mask counts apart."""
    seen: set[tuple[str, str, int]] = set()
    for row in rows:
        if row.lesion is None:
            continue
        lesion = (_normal(table, row.path), row.mask and _normal(table, row.mask), row.lesion)
        if lesion in seen:
            raise row_error(
                table, row.line, f"lesion {row.lesion} of {row.path} stands above already; remove a row."
            )
        seen.add(lesion)


def _normal(table: Path, path: str) -> str:
    return os.path.normpath(table.parent / path)
