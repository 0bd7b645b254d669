"""What the ledger holds, as values: answers, finished studies, failures, and studies as rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.batch.settings import STUDIES_FOLDER
from LiverLesionAI.batch.studies import CohortStudy, KnownRow
from LiverLesionAI.results import StudyResult


@dataclass(frozen=True)
class Answer:
    """What the ledger says of a study and a model, but for the result itself.

    Attributes
    ----------
    status
        ``"done"`` or ``"failed"``.
    key
        Hash of model and parameters.
    glance, input_sha256
        What the study's files looked like, and their content (:mod:`LiverLesionAI.batch.inputs`).
    outputs
        What was written of it.
    kind, reason
        Why it failed.
    """

    study: str
    model: str
    status: str
    key: str
    glance: str
    input_sha256: str
    outputs: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """A study that is done with a model.

    Attributes
    ----------
    study
        As the cohort has it.
    result
        What the model answered.
    folder
        Where its outputs are, relative to the run; empty where none were written.
    """

    study: CohortStudy
    result: StudyResult
    folder: str


@dataclass(frozen=True)
class Failure:
    """A study that failed with a model, and why."""

    study: CohortStudy
    model: str
    kind: str
    reason: str


def outputs_of(study: CohortStudy) -> str:
    """Where a study's outputs are, relative to the run; those of a joined run are in its shards."""
    return study.folder if "/" in study.folder else f"{STUDIES_FOLDER}/{study.folder}"


def cells_of(study: CohortStudy, position: int) -> tuple[Any, ...]:
    """A study as a row of the table ``studies``."""
    return (
        study.id, position, str(study.path), str(study.mask or ""), study.patient,
        json.dumps(dict(study.clinical)), json.dumps([asdict(row) for row in study.rows]), study.folder,
    )  # fmt: skip


def study_of(cells: tuple[Any, ...]) -> CohortStudy:
    """A row of the table ``studies`` as a study."""
    name, _, path, mask, patient, clinical, rows, folder = cells
    known = tuple(KnownRow(**row) for row in json.loads(rows))
    return CohortStudy(
        name, Path(path), Path(mask) if mask else None, patient, json.loads(clinical), known, folder
    )
