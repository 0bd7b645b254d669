"""Answers to the test part of LLD-MMRI, as its challenge takes them."""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.cohort import COHORT_FILE, CohortRow, path_in, read_rows
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import write_json
from LiverLesionAI.pipeline import classify_study, read_study
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers.lld_mmri.annotation import CLASSES
from LiverLesionAI.spreadsheet import Cell, write_table

TASK = "type"


def answer_test_part(
    cohort: Path, bundle: Path, out: Path, team: str = "LiverLesionAI", progress: Progress = silent
) -> tuple[Path, Path] | None:
    """Classify the cases of the official test part.

    Parameters
    ----------
    cohort
        Folder that :func:`LiverLesionAI.training.lld.prepare_lld` wrote.
    bundle
        The model.
    out
        Folder that exists; it receives ``<team>.json``, the submission, and ``test_results.csv``, a table for
        ``evaluate`` whose truth is filled in as far as the copy says it.
    team
        Name of the submission.
    progress
        Told how many cases are done; may cancel by raising.

    Returns
    -------
    tuple of Path or None
        Submission and table; None where the copy has no test part.

    Raises
    ------
    LiverLesionError
        If a case cannot be read or classified, or the model does not name the dataset's classes.
    """
    table = cohort / COHORT_FILE
    rows = [row for row in read_rows(table) if row.split == "test"]
    if not rows:
        return None
    model = load_bundle(bundle)
    answers = []
    for number, row in enumerate(rows):
        progress("answer the test part", number / len(rows))
        result = classify_study(read_study(path_in(table, row.path)), model)
        tasks = result.lesions[0].tasks if result.lesions else {}
        if TASK not in tasks or set(tasks[TASK].probabilities) != set(CLASSES):
            raise ConfigError(f"{bundle} does not name the classes of LLD-MMRI for case {row.study_id}.")
        probabilities = tasks[TASK].probabilities
        answers.append([float(probabilities[name]) for name in CLASSES])
    progress("answer the test part", 1.0)
    submission = out / f"{team}.json"
    write_json(submission, [_entry(row, scores) for row, scores in zip(rows, answers, strict=True)])
    return submission, _results(rows, answers, out / "test_results.csv")


def _entry(row: CohortRow, scores: list[float]) -> dict[str, object]:
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"image_id": row.study_id, "prediction": best, "score": scores}


def _results(rows: list[CohortRow], answers: list[list[float]], file: Path) -> Path:
    columns = ("study_id", "patient_id", "lesion", "truth", "pred", *(f"prob_{name}" for name in CLASSES))
    table: list[tuple[Cell, ...]] = []
    for row, scores in zip(rows, answers, strict=True):
        best = CLASSES[max(range(len(scores)), key=scores.__getitem__)]
        table.append((row.study_id, row.patient, row.lesion, row.truth, best, *scores))
    write_table(file, columns, table)
    return file
