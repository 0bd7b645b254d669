"""The lesions that a network is trained on: where they come from and how they are divided into folds."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.study import Study
from LiverLesionAI.systems.base import label_of
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.config import PhantomSource, TrainingConfig


@dataclass(frozen=True)
class TrainingCase:
    """One lesion, or one study where the system answers for studies, with its diagnosis.

    Attributes
    ----------
    key
        Unique, fit for a file name.
    patient
        Cases of one patient stay in one fold.
    truth
        Class of the recipe's taxonomy of diagnoses.
    source
        Seed of a phantom or path of a study.
    lesion
        Label within the study; None for the study as a whole.
    labels
        Class index for each task, in the order of the network's heads.
    """

    key: str
    patient: str
    truth: str
    source: int | Path
    lesion: int | None = 1
    labels: tuple[int, ...] = ()


def training_cases(config: TrainingConfig) -> tuple[TrainingCase, ...]:
    """List the lesions of a configuration.

    Raises
    ------
    ConfigError
        If the cohort's CSV cannot be read or one of its rows cannot be used.
    """
    if config.phantom is not None:
        cases = _phantom_lesions(config.phantom)
    else:
        assert config.cohort is not None
        cases = _cohort_lesions(config.cohort)
    return tuple(replace(case, labels=_labels(case.truth, config)) for case in cases)


def _labels(truth: str, config: TrainingConfig) -> tuple[int, ...]:
    """Class index of a diagnosis for each task."""
    truths = TAXONOMIES[config.recipe.truths]
    return tuple(label_of(truths, truth, TAXONOMIES[task.taxonomy]) for task in config.tasks.values())


def _phantom_lesions(source: PhantomSource) -> Iterator[TrainingCase]:
    for i in range(source.lesions):
        seed = source.first_seed + i
        truth = source.classes[i % len(source.classes)]
        yield TrainingCase(f"phantom_{seed}", f"phantom_{seed}", truth, seed)


def _cohort_lesions(path: Path) -> Iterator[TrainingCase]:
    required = ("study_id", "path", "lesion", "truth")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(f"{path} lacks the column {', '.join(missing)}; see docs/training.md.")
            for number, row in enumerate(reader):
                yield _cohort_lesion(path, number, row)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a cohort ({error}); give a CSV file.") from None


def _cohort_lesion(path: Path, number: int, row: dict[str, str]) -> TrainingCase:
    line = number + 2
    if row["truth"] not in TAXONOMIES["W7"].names:
        names = ", ".join(TAXONOMIES["W7"].names)
        raise ConfigError(f"{path}, line {line}: truth {row['truth']!r} is not one of {names}.")
    if not row["lesion"].isdecimal() or int(row["lesion"]) == 0:
        raise ConfigError(f"{path}, line {line}: lesion {row['lesion']!r} is not a label (1, 2, …).")
    study = (path.parent / row["path"]).resolve()
    if not study.exists():
        raise ConfigError(f"{path}, line {line}: there is no study {study}.")
    patient = row.get("patient_id") or row["study_id"]
    return TrainingCase(f"lesion_{number:05d}", patient, row["truth"], study, int(row["lesion"]))


def open_study(lesion: TrainingCase, config: TrainingConfig) -> Study:
    """Read a lesion's study, or make its phantom.

    Whether a phantom is atypical is drawn from its own seed, so that a lesion is the same in every
    configuration with the same fraction.
    """
    if isinstance(lesion.source, Path):
        from LiverLesionAI.readers.folder import read_study

        return read_study(lesion.source)
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


def by_study(lesions: Sequence[TrainingCase]) -> list[list[TrainingCase]]:
    """Group lesions by the study that holds them, in the order of their first lesion."""
    groups: dict[int | Path, list[TrainingCase]] = defaultdict(list)
    for lesion in lesions:
        groups[lesion.source].append(lesion)
    return list(groups.values())


def validation_fold(lesions: Sequence[TrainingCase], fold_count: int, seed: int) -> np.ndarray:
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
