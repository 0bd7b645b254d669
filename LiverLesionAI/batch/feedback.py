"""What lesions turned out to be, noted later; the tables judged by it; a training cohort made of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date as calendar
from pathlib import Path, PurePosixPath

from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.batch.studies import CohortStudy
from LiverLesionAI.batch.tables import write_outputs
from LiverLesionAI.cohort import CLINICAL_PREFIX, COHORT_FILE, CohortRow, write_rows
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import output_folder
from LiverLesionAI.progress import Progress, silent

SOURCES = ("pathology", "follow-up", "imaging", "other")


def give_feedback(
    run: str | Path,
    study: str,
    lesion: int | None,
    diagnosis: str,
    source: str = "pathology",
    date: str | None = None,
) -> tuple[Path, ...]:
    """Note the final diagnosis of a lesion of a run, and write the run's tables anew with it as truth.

    Parameters
    ----------
    run
        Folder of the run.
    study
        Its id in the cohort.
    lesion
        Label; None for the study as a whole.
    diagnosis
        A class that the run's models are trained with.
    source
        One of :data:`SOURCES`.
    date
        When it was made, ISO 8601; today by default.

    Returns
    -------
    tuple of Path
        The tables.

    Raises
    ------
    ConfigError
        If the run has no such study or lesion, or diagnosis, source or date are not possible.
    OutputError
        If the run is at work, or cannot be written.
    """
    from LiverLesionAI.batch.folder import locked

    run = Path(run).resolve()
    _check_is_run(run)
    if source not in SOURCES:
        raise ConfigError(f"The source is {source!r}; choose one of {', '.join(SOURCES)}.")
    with locked(run), Ledger(run) as ledger:
        known = ledger.study(study)
        if known is None:
            raise ConfigError(f"{run} has no study {study!r}; give a study_id of its table.")
        _check_lesion(ledger, known, lesion)
        _check_diagnosis(ledger, diagnosis)
        with ledger.transaction():
            ledger.settle(study, lesion or 0, diagnosis, source, _day(date))
        return write_outputs(ledger, run)[0]


def export_cohort(run: str | Path, out: str | Path, *, progress: Progress = silent) -> tuple[Path, int]:
    """Write what is settled of a run as a cohort to train on.

    Parameters
    ----------
    run
        Folder of the run.
    out
        Folder of ``cohort.csv``; it appears complete or not at all. Study folders stay where they are, DICOM
        studies and scenes are written as study folders beside the table.
    progress
        Told the fraction of the studies that is done.

    Returns
    -------
    table : Path
    rows : int
        A row per lesion, or per study, whose diagnosis is known from the cohort or from feedback. One of the
        study as a whole is its lesion's where the run's models answer for lesions.

    Raises
    ------
    ConfigError
        If nothing is settled, or a study of several lesions has one diagnosis alone and models answer for
        lesions.
    OutputError
        If the folder cannot be written.
    """
    run, out = Path(run).resolve(), Path(out).resolve()
    _check_is_run(run)
    with Ledger(run, read_only=True) as ledger:
        of_lesions = _answers_for_lesions(ledger)
        studies = tuple(ledger.studies())
        settled = [(study, truth) for study in studies if (truth := _settled(ledger, study, of_lesions))]
        if not settled:
            raise ConfigError(f"Nothing is settled in {run}; note diagnoses with `liverlesionai feedback`.")
        rows: list[CohortRow] = []
        with output_folder(out, ()) as folder:
            for done, (study, truth) in enumerate(settled):
                progress("export", done / len(settled))
                path = _training_path(study, folder, out)
                rows += _training_rows(study, truth, path, out)
            write_rows(folder / COHORT_FILE, rows)
    return out / COHORT_FILE, len(rows)


def _settled(ledger: Ledger, study: CohortStudy, of_lesions: bool) -> dict[int, str]:
    """Lesion to its diagnosis; that of the study stands under 0, or is its one lesion's where that is asked.

    Raises
    ------
    ConfigError
        If a diagnosis of the whole study cannot be given to a lesion.
    """
    truth = ledger.truth(study)
    if 0 not in truth or not of_lesions:
        return truth
    own = {row.lesion: row.truth for row in study.rows if row.lesion is not None and row.truth}
    if own and truth == study.truth:
        return own
    results = [ledger.result(study.id, model) for model in ledger.models()]
    answered = {lesion.id for result in results if result is not None for lesion in result.lesions}
    lesions = answered or {row.lesion for row in study.rows if row.lesion is not None}
    if len(lesions) != 1:
        raise ConfigError(
            f"Study {study.id} has {len(lesions) or 'no known'} lesions and one diagnosis of the whole; "
            "note what each lesion is with `liverlesionai feedback --lesion`."
        )
    return dict.fromkeys(lesions, truth[0])


def _answers_for_lesions(ledger: Ledger) -> bool:
    """Whether one of the run's models answers for lesions, as its first finished study says."""
    finished = [next(ledger.finished(model), None) for model in ledger.models()]
    return any(done is not None and done.result.unit == "lesion" for done in finished)


def _training_path(study: CohortStudy, folder: Path, out: Path) -> str:
    """Where training finds a study: where it is, or a study folder made of it."""
    from LiverLesionAI.readers.folder import is_study_folder

    if study.path.is_dir() and is_study_folder(study.path):
        return _relative(study.path, out)
    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.writers.study_folder import write_study_folder

    target = folder / _own_folder(study)
    target.mkdir()
    for _ in write_study_folder(read_study(study.path, study.mask), target):
        pass
    return _own_folder(study)


def _own_folder(study: CohortStudy) -> str:
    """What a study's folder is called in the export, whichever run it comes from."""
    return PurePosixPath(study.folder).name


def _training_rows(study: CohortStudy, truth: dict[int, str], path: str, out: Path) -> Iterator[CohortRow]:
    is_own = path == _own_folder(study)
    mask = "" if is_own or study.mask is None else _relative(study.mask, out)
    clinical = {
        f"{CLINICAL_PREFIX}{name}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in study.clinical.items()
        if value is not None
    }
    for lesion, diagnosis in sorted(truth.items()):
        yield CohortRow(study.id, path, study.patient, mask, lesion or None, diagnosis, free=dict(clinical))


def _relative(path: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(path, out)).as_posix()
    except ValueError:
        return str(path)


def _check_is_run(run: Path) -> None:
    if not (run / LEDGER_FILE).is_file():
        raise ConfigError(f"{run} is no run of a batch (it has no {LEDGER_FILE}); give the folder of one.")


def _check_lesion(ledger: Ledger, study: CohortStudy, lesion: int | None) -> None:
    if lesion is None:
        return
    known = {row.lesion for row in study.rows if row.lesion is not None}
    for model in ledger.models():
        result = ledger.result(study.id, model)
        known |= {each.id for each in result.lesions} if result is not None else set()
    if lesion not in known:
        there = ", ".join(map(str, sorted(known))) or "none"
        raise ConfigError(f"Study {study.id!r} has no lesion {lesion} (known: {there}).")


def _check_diagnosis(ledger: Ledger, diagnosis: str) -> None:
    known = dict.fromkeys(name for model in ledger.models() for name in ledger.classes(model))
    if diagnosis not in known:
        raise ConfigError(f"The diagnosis is {diagnosis!r}; choose one of {', '.join(known)}.")


def _day(text: str | None) -> str:
    if text is None:
        return calendar.today().isoformat()
    try:
        return calendar.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(f"The date is {text[:20]!r}; write it as 2026-07-31.") from None
