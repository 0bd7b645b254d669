"""A data set for ``train``: study folders beside the table of their lesions, ``cohort.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from LiverLesionAI.cohort import COHORT_FILE, COLUMNS, CohortRow, append_rows, read_rows
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.files import output_folder
from LiverLesionAI.sequences import modality_of
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import diagnoses_on
from LiverLesionAI.writers.study_folder import write_study_folder

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
        Lesion to one of the classes of :func:`~LiverLesionAI.taxonomy.diagnoses_on` the study's modality,
        which training takes where its recipe knows them. Lesions without one stay in the mask and get no
        row.
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
    if (folder / study.id).exists() or any(row.study_id == study.id for row in _rows(table)):
        raise OutputError(f"{folder} holds a study {study.id} already; give this one another name.")
    with output_folder(folder / study.id, ()) as partial:
        for file in write_study_folder(study, partial):
            yield folder / study.id / file.relative_to(partial)
    patient = patient or study.id
    rows = [
        CohortRow(study.id, study.id, patient, lesion=lesion, truth=truth)
        for lesion, truth in sorted(diagnoses.items())
    ]
    append_rows(table, rows)
    yield table


def free_name(name: str, folder: Path) -> str:
    """Return a study's name, with a number where a data set has it already."""
    taken = {row.study_id for row in _rows(folder / COHORT_FILE)}
    number, free = 2, name
    while free in taken or (folder / free).exists():
        number, free = number + 1, f"{name}-{number}"
    return free


def _check(study: Study, diagnoses: Mapping[int, str]) -> None:
    if not study.id or study.id.startswith(".") or _FORBIDDEN & set(study.id):
        raise OutputError(f"{study.id!r} cannot be the name of a folder; use letters, digits, - and _.")
    if not diagnoses:
        raise OutputError(f"No lesion of study {study.id} has a class; choose one for at least one lesion.")
    known = diagnoses_on(modality_of(study.images))
    for lesion, truth in diagnoses.items():
        if truth not in known:
            raise OutputError(f"Class {truth!r} of lesion {lesion} is not one of {', '.join(known)}.")
        if lesion not in study.lesion_ids:
            raise OutputError(f"Study {study.id} has no lesion {lesion} to be of class {truth}.")


def _rows(table: Path) -> tuple[CohortRow, ...]:
    """The rows of a data set's table; none where there is no table yet."""
    if not table.is_file():
        return ()
    try:
        return read_rows(table, required=COLUMNS)
    except ConfigError as error:
        raise OutputError(f"Nothing can be added to {table.parent}: {error}") from None
