"""A data set for ``train``: study folders beside the table of their lesions, ``cohort.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import output_folder, whole_file
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.writers.study_folder import write_study_folder

COHORT_FILE = "cohort.csv"
COLUMNS = ("study_id", "path", "patient_id", "lesion", "truth")
_FORBIDDEN = set('/\\:*?"<>|')


def add_to_dataset(
    study: Study, diagnoses: Mapping[int, str], folder: Path, patient: str = ""
) -> Iterator[Path]:
    """Add a study with the classes of its lesions to a data set.

    The study appears complete or not at all, its folder first and then its rows; ending the iteration early
    takes everything back.

    Parameters
    ----------
    study
        The study; its id names its folder.
    diagnoses
        Lesion to class of taxonomy W7. Lesions without one stay in the mask and get no row.
    folder
        The data set's folder: new, empty, or an earlier data set.
    patient
        Pseudonym of the patient, whose lesions training keeps together; by default the study's id.

    Yields
    ------
    pathlib.Path
        Each file once it is written, the table last.

    Raises
    ------
    OutputError
        If the data set holds the study already, its table is of another form, there is no class to be
        written or one is unknown, or something cannot be written.
    """
    _check(study, diagnoses)
    table = folder / COHORT_FILE
    rows = _rows(table)
    if (folder / study.id).exists() or any(row["study_id"] == study.id for row in rows):
        raise OutputError(f"{folder} holds a study {study.id} already; give this one another name.")
    with output_folder(folder / study.id, ()) as partial:
        for file in write_study_folder(study, partial):
            yield folder / study.id / file.relative_to(partial)
    patient = patient or study.id
    rows += [
        dict(zip(COLUMNS, (study.id, study.id, patient, str(lesion), truth), strict=True))
        for lesion, truth in sorted(diagnoses.items())
    ]
    _write(table, rows)
    yield table


def free_name(name: str, folder: Path) -> str:
    """Return a study's name, with a number where a data set has it already."""
    taken = {row["study_id"] for row in _rows(folder / COHORT_FILE)}
    number, free = 2, name
    while free in taken or (folder / free).exists():
        number, free = number + 1, f"{name}-{number}"
    return free


def _check(study: Study, diagnoses: Mapping[int, str]) -> None:
    if not study.id or study.id.startswith(".") or _FORBIDDEN & set(study.id):
        raise OutputError(f"{study.id!r} cannot be the name of a folder; use letters, digits, - and _.")
    if not diagnoses:
        raise OutputError(f"No lesion of study {study.id} has a class; choose one for at least one lesion.")
    known = TAXONOMIES["W7"].names
    for lesion, truth in diagnoses.items():
        if truth not in known:
            raise OutputError(f"Class {truth!r} of lesion {lesion} is not one of {', '.join(known)}.")
        if lesion not in study.lesion_ids:
            raise OutputError(f"Study {study.id} has no lesion {lesion} to be of class {truth}.")


def _rows(table: Path) -> list[dict[str, str]]:
    """The rows of a data set's table; none where there is no table yet."""
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{table} cannot be read ({error}); choose another folder.") from None
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise OutputError(f"{table} lacks columns of {', '.join(COLUMNS)}; choose another folder.")
    return rows


def _write(table: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in (*COLUMNS, *row)))
    with whole_file(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
