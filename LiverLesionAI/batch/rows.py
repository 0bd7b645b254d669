"""A cohort's studies as rows for people: what each lacks before a run, what came of it after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from LiverLesionAI.answers import TaskResult, primary_answer
from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.batch.studies import CohortStudy
from LiverLesionAI.batch.task import StudyAnswer
from LiverLesionAI.results import StudyResult

SURE_ENOUGH = 0.5
"""A class that is less probable than this is doubtful."""


@dataclass(frozen=True)
class StudyRow:
    """A study of a cohort.

    Attributes
    ----------
    study
        As the cohort has it.
    state
        ``"waiting"``, ``"done"`` or ``"failed"``.
    lacking
        Sequences that the model reads and the study has not, and ``lesions``; None where only reading tells.
    classes
        Primary answers: of the study, or of its lesions in their order.
    probability
        Of the least sure of them; None without an answer.
    doubtful
        Whether a lesion was not classified, an answer is not :data:`SURE_ENOUGH`, or answers disagree.
    note
        Why it failed.
    """

    study: CohortStudy
    state: Literal["waiting", "done", "failed"] = "waiting"
    lacking: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    probability: float | None = None
    doubtful: bool = False
    note: str = ""


def rows_before(
    studies: Collection[CohortStudy], out: Path, model: str, sequences: Collection[str], needs_lesions: bool
) -> list[StudyRow]:
    """Rows of a cohort as a run that may have been begun left them.

    Parameters
    ----------
    studies
        The cohort.
    out
        Folder of the run, which need not exist.
    model, sequences, needs_lesions
        Name of the model, what it reads, and whether it answers for lesions.
    """
    rows: dict[str, StudyRow] = {}
    for each in studies:
        absent = lacking(each, sequences, needs_lesions=needs_lesions)
        rows[each.id] = StudyRow(each, lacking=absent)
    if (out / LEDGER_FILE).is_file():
        with Ledger(out) as ledger:
            for done in ledger.finished(model):
                if done.study.id in rows:
                    rows[done.study.id] = row_of_result(rows[done.study.id], done.result)
            for failure in ledger.failures(model):
                if failure.study.id in rows:
                    row = rows[failure.study.id]
                    rows[failure.study.id] = replace(row, state="failed", note=failure.reason)
    return list(rows.values())


def row_after(row: StudyRow, answer: StudyAnswer) -> StudyRow:
    """The row of a study after something came of it in a run with one model."""
    if answer.status == "failed":
        return replace(row, state="failed", note=answer.reason)
    result = answer.answers[0].result
    return row if result is None else row_of_result(row, result)


def row_of_result(row: StudyRow, result: StudyResult) -> StudyRow:
    """The row of a study with its result."""
    units = [result.study_tasks] if result.study_tasks else [lesion.tasks for lesion in result.lesions]
    answers = [primary_answer(tasks) for tasks in units]
    found: list[TaskResult] = [answer for answer in answers if answer is not None]
    warnings = (*result.warnings, *(text for lesion in result.lesions for text in lesion.warnings))
    doubtful = len(found) < len(units) or any("disagree" in text for text in warnings)
    return replace(
        row,
        state="done",
        classes=tuple(answer.predicted for answer in found),
        probability=min((answer.probability for answer in found), default=None),
        doubtful=doubtful or any(answer.probability < SURE_ENOUGH for answer in found),
        note="",
    )


def result_of(out: Path, study: CohortStudy, model: str) -> StudyResult | None:
    """What a model answered about a study of a run; None where it has not."""
    with Ledger(out, read_only=True) as ledger:
        return ledger.result(study.id, model)


def lacking(study: CohortStudy, sequences: Collection[str], *, needs_lesions: bool) -> tuple[str, ...] | None:
    """What a study folder lacks, by the names of its files; None for DICOM and scenes, which must be read."""
    from LiverLesionAI.readers.folder import MASK_STEM, is_study_folder
    from LiverLesionAI.readers.images import image_stem
    from LiverLesionAI.sequences import sequence_named

    if not study.path.is_dir() or not is_study_folder(study.path):
        return None
    stems = [stem for file in study.path.iterdir() if (stem := image_stem(file)) is not None]
    there = {sequence_named(stem) for stem in stems}
    absent = [name for name in sequences if name not in there]
    outlined = study.mask is not None or any(stem.casefold().startswith(MASK_STEM) for stem in stems)
    return (*absent, *(() if outlined or not needs_lesions else (MASK_STEM,)))
