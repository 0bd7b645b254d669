"""What a model's last hidden layer sees of a cohort: tables that ``evaluate --embed`` lays out in a plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.cohort import (
    NOT_IN_MASK,
    CohortRow,
    clinical_data,
    lesions_beyond,
    path_in,
    read_rows,
)
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.embedding import FEATURE, FEATURES_FILE
from LiverLesionAI.files import write_json
from LiverLesionAI.inference import Classifier
from LiverLesionAI.inference.predictions import TaskPrediction, UnitInputs
from LiverLesionAI.inference.units import cut_units
from LiverLesionAI.options import DEFAULTS, Options
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import FEATURES_SCHEMA
from LiverLesionAI.spreadsheet import Cell, write_table
from LiverLesionAI.study import ClinicalValue, Study
from LiverLesionAI.taxonomy import TAXONOMIES

PREDICTIONS_FILE, RECORD_FILE = "predictions.csv", "features.json"
FEATURE_NAMES = frozenset({PREDICTIONS_FILE, FEATURES_FILE, RECORD_FILE})
"""What :func:`features_path` writes."""


@dataclass(frozen=True)
class _Row:
    """A lesion, or one of the slices that a study's answer was joined from."""

    study: str
    patient: str
    lesion: int | None
    slice: int | None
    truth: str
    answers: tuple[Cell, ...]
    features: np.ndarray

    @property
    def case(self) -> tuple[Cell, ...]:
        """What names it in both tables."""
        return self.study, self.lesion, self.slice


def features_path(
    cohort: str | Path, out: str | Path, options: Options = DEFAULTS, *, progress: Progress = silent
) -> tuple[Path, ...]:
    """Write what a model answers, and what its last hidden layer sees, of every case of a cohort.

    Parameters
    ----------
    cohort
        ``cohort.csv``.
    out
        Folder of ``predictions.csv`` and ``features.csv``: a row per lesion, or per slice where the model
        joins slices into an answer for the patient; and of ``features.json``, which names the model and the
        lesions that are in no mask or could not be cropped. It appears complete or not at all.
    options
        The model (one bundle), device, precision, engine, and whether sequences are registered first.
    progress
        Told the fraction of the studies that is done.

    Returns
    -------
    tuple of Path
        The three files.

    Raises
    ------
    LiverLesionError
        If the cohort, one of its studies, the model or the folder cannot be used; nothing is written then.

    Notes
    -----
    Features are those of the model's first member: members see other things in the same place.
    """
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.files import output_folder

    bundle = load_bundle(options.model)
    table = Path(cohort)
    rows = read_rows(table, TAXONOMIES[bundle.system.recipe.truths])
    clinical = clinical_data(table, rows)
    classifier = Classifier(
        bundle,
        device=options.device,
        precision=options.precision,
        engine=options.engine,
        keep_loaded=True,
    )
    found: list[_Row] = []
    left_out: list[str] = []
    studies = _by_study(rows)
    with output_folder(out, FEATURE_NAMES) as folder:
        for done, own in enumerate(studies):
            progress("features", done / len(studies))
            study = _opened(table, own[0], clinical, options)
            units, failures = cut_units(study, bundle)
            if bundle.system.unit == "lesion":
                failures |= dict.fromkeys(
                    lesions_beyond([row.lesion for row in own], study.lesion_ids), NOT_IN_MASK
                )
            left_out += (f"{own[0].study_id}, lesion {lesion}: {why}" for lesion, why in failures.items())
            found += _rows_of(units, own, classifier)
        progress("features", 1.0)
        if len({len(row.features) for row in found}) > 1:
            raise ConfigError(f"Model {bundle.name} does not see all cases of {table} in the same features.")
        _write(folder, found, bundle, left_out)
    return tuple(Path(out) / name for name in (PREDICTIONS_FILE, FEATURES_FILE, RECORD_FILE))


def _by_study(rows: Sequence[CohortRow]) -> list[list[CohortRow]]:
    studies: dict[tuple[str, str], list[CohortRow]] = {}
    for row in rows:
        studies.setdefault((row.path, row.mask), []).append(row)
    return list(studies.values())


def _opened(
    table: Path, row: CohortRow, clinical: Mapping[Path, Mapping[str, ClinicalValue]], options: Options
) -> Study:
    """A row's study, with what the table says of the patient, registered where that is asked for."""
    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.registration import register_study

    path = path_in(table, row.path)
    study = read_study(path, path_in(table, row.mask) if row.mask else None)
    study = replace(study, clinical={**study.clinical, **clinical[path]})
    if options.register:
        study = register_study(study, scope="lesion" if study.lesion_ids else "volume").study
    return study


def _rows_of(
    units: Sequence[UnitInputs], rows: Sequence[CohortRow], classifier: Classifier
) -> Iterator[_Row]:
    first, truths = rows[0], {row.lesion: row.truth for row in rows}
    for unit, prediction in zip(units, classifier.predict(units), strict=True):
        features = classifier.features(unit)
        for position, group in enumerate(unit.groups):
            label = group.lesion_id
            yield _Row(
                first.study_id,
                first.patient,
                label,
                group.slice_number,
                truths.get(label) or truths.get(None) or "",
                tuple(cell for task in prediction.tasks.values() for cell in _answer(task, position)),
                features[position],
            )


def _answer(task: TaskPrediction, position: int) -> list[Cell]:
    """Class and probabilities of a group, or of the unit where it is one group."""
    names = task.taxonomy.names
    values = task.mean
    if task.groups:
        values = np.array([task.groups[position].probabilities[name] for name in names])
    return [names[int(values.argmax())], *(f"{value:.6f}" for value in values)]


def _write(folder: Path, rows: Sequence[_Row], bundle: Bundle, left_out: Sequence[str]) -> None:
    record = {
        "schema": FEATURES_SCHEMA,
        "model": bundle.name,
        "version": bundle.metadata.version,
        "sha256": bundle.sha256,
        "intended_use": bundle.spec.intended_use,
        "rows": len(rows),
        "left_out": list(left_out),
    }
    write_json(folder / RECORD_FILE, record)
    head = ("study_id", "lesion", "slice")
    answers = [
        column
        for task, taxonomy in bundle.taxonomies.items()
        for column in (f"pred_{task}", *(f"prob_{task}_{name}" for name in taxonomy.names))
    ]
    write_table(
        folder / PREDICTIONS_FILE,
        (*head, "patient_id", "truth", *answers),
        ((*row.case, row.patient, row.truth, *row.answers) for row in rows),
    )
    count = len(rows[0].features)
    write_table(
        folder / FEATURES_FILE,
        (*head, *(f"{FEATURE}{number}" for number in range(count))),
        ((*row.case, *(f"{value:.5g}" for value in row.features)) for row in rows),
    )
