"""The lesions that a network is trained on: where they come from and how they are divided into folds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LiverLesionAI.cohort import CohortRow, path_in, read_rows, row_error
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.config import PhantomSource, TrainingConfig

TASKS = {"malignancy": "binary", "type": "W7"}
"""Task to taxonomy, in the order of the network's heads."""


@dataclass(frozen=True)
class TrainingLesion:
    """One lesion with its diagnosis.

    Attributes
    ----------
    key
        Unique, fit for a file name.
    patient
        Lesions of one patient stay in one fold.
    truth
        Class of taxonomy W7.
    source
        Seed of a phantom or path of a study.
    lesion
        Label within the study.
    mask
        Lesion mask to use instead of the study's own.
    """

    key: str
    patient: str
    truth: str
    source: int | Path
    lesion: int = 1
    mask: Path | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Class index for each of :data:`TASKS`."""
        index = TAXONOMIES["W7"].index(self.truth)
        return int(bool(TAXONOMIES["W7"].classes[index].malignant)), index


def training_lesions(config: TrainingConfig) -> tuple[TrainingLesion, ...]:
    """List the lesions of a configuration.

    Raises
    ------
    ConfigError
        If the cohort's CSV cannot be read or one of its rows cannot be used.
    """
    if config.phantom is not None:
        return tuple(_phantom_lesions(config.phantom))
    assert config.cohort is not None
    return tuple(_cohort_lesions(config.cohort))


def _phantom_lesions(source: PhantomSource) -> Iterator[TrainingLesion]:
    for i in range(source.lesions):
        seed = source.first_seed + i
        truth = source.classes[i % len(source.classes)]
        yield TrainingLesion(f"phantom_{seed}", f"phantom_{seed}", truth, seed)


def _cohort_lesions(table: Path) -> Iterator[TrainingLesion]:
    required = ("study_id", "path", "lesion", "truth")
    for number, row in enumerate(read_rows(table, TAXONOMIES["W7"], required)):
        yield _cohort_lesion(table, number, row)


def _cohort_lesion(table: Path, number: int, row: CohortRow) -> TrainingLesion:
    if row.lesion is None:
        raise row_error(table, row.line, "lesion '' is not a label (1, 2, …).")
    study = path_in(table, row.path)
    if not study.exists():
        raise row_error(table, row.line, f"there is no study {study}.")
    mask = path_in(table, row.mask) if row.mask else None
    if mask is not None and not mask.exists():
        raise row_error(table, row.line, f"there is no mask {mask}.")
    return TrainingLesion(f"lesion_{number:05d}", row.patient, row.truth, study, row.lesion, mask)


def open_study(lesion: TrainingLesion, config: TrainingConfig) -> Study:
    """Read a lesion's study, or make its phantom.

    Whether a phantom is atypical is drawn from its own seed, so that a lesion is the same in every
    configuration with the same fraction.
    """
    if isinstance(lesion.source, Path):
        from LiverLesionAI.readers.folder import read_study_folder

        return read_study_folder(lesion.source, lesion.mask)
    from LiverLesionAI.phantom import generate_lesion

    assert config.phantom is not None
    atypical = bool(np.random.default_rng(lesion.source).random() < config.phantom.atypical_fraction)
    return generate_lesion(
        lesion.source,
        lesion.truth,
        atypical=atypical,
        misalign_mm=config.phantom.misalign_mm,
        sequences=phantom_sequences(config.sequences),
    ).study


def phantom_sequences(sequences: Sequence[str]) -> tuple[str, ...]:
    """Sequences to ask the phantom for: T2WI, which it outlines its lesions on, and those wanted."""
    return tuple(dict.fromkeys(("T2WI", *sequences)))


def by_study(lesions: Sequence[TrainingLesion]) -> list[list[TrainingLesion]]:
    """Group lesions by the study and mask that hold them, in the order of their first lesion."""
    groups: dict[tuple[int | Path, Path | None], list[TrainingLesion]] = defaultdict(list)
    for lesion in lesions:
        groups[lesion.source, lesion.mask].append(lesion)
    return list(groups.values())


def validation_fold(lesions: Sequence[TrainingLesion], fold_count: int, seed: int) -> np.ndarray:
    """Divide lesions into folds, stratified by class and grouped by patient.

    Returns
    -------
    numpy.ndarray
        For each lesion the fold that it is validated in, ``[N]``.

    Raises
    ------
    ConfigError
        If a class has fewer lesions, or the cohort fewer patients, than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    truths = [lesion.truth for lesion in lesions]
    patients = [lesion.patient for lesion in lesions]
    rarest, count = min(Counter(truths).items(), key=lambda item: item[1])
    if count < fold_count or len(set(patients)) < fold_count:
        raise ConfigError(
            f"{len(set(patients))} patients with {count} lesions of class {rarest} cannot be divided into "
            f"{fold_count} folds; give more lesions or a smaller fold_count."
        )
    folds = np.empty(len(lesions), dtype=int)
    splitter = StratifiedGroupKFold(fold_count, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(truths, truths, patients)):
        folds[held_out] = fold
    return folds
