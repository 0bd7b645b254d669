"""The lesions that a network is trained on: where they come from and how they are divided into folds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from LiverLesionAI.cohort import CohortRow, clinical_data, path_in, read_rows, row_error
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.study import ClinicalValue, Study
from LiverLesionAI.systems.base import can_label, label_of
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.config import PhantomSource, TrainingConfig

FOLD = "fold"
"""Column that says which fold validates a row."""

_FOLD_DIGITS = 4


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
    mask
        Lesion mask to use instead of the study's own.
    clinical
        Clinical data beside the study's own, field and value; not shown where the case is printed.
    labels
        Class index for each task, in the order of the network's heads.
    fold
        The fold that it is validated in, where the cohort says so.
    """

    key: str
    patient: str
    truth: str
    source: int | Path
    lesion: int | None = 1
    mask: Path | None = None
    clinical: tuple[tuple[str, ClinicalValue], ...] = field(default=(), repr=False)
    labels: tuple[int, ...] = ()
    fold: int | None = None


def training_cases(config: TrainingConfig) -> tuple[TrainingCase, ...]:
    """List the cases of a configuration whose classes its model is asked for.

    Raises
    ------
    ConfigError
        If the cohort's CSV cannot be read, has no row, or one of its rows cannot be used.
    """
    if config.phantom is not None:
        cases = _phantom_cases(config.phantom, config)
    else:
        assert config.cohort is not None
        cases = _cohort_cases(config.cohort, config)
    found = tuple(cases)
    if not found:
        raise ConfigError(f"{config.cohort} has no row; give a lesion with its truth in each.")
    asked = _first_of_patients([case for case in found if _is_asked_of(case.truth, config)], config)
    if not asked:
        wanted = ", ".join(TAXONOMIES[task.taxonomy].name for task in config.tasks.values())
        raise ConfigError(f"No case of the run has a class of {wanted}; give cases of the model's classes.")
    return tuple(replace(case, labels=labels_of(case.truth, config)) for case in asked)


def _first_of_patients(cases: list[TrainingCase], config: TrainingConfig) -> list[TrainingCase]:
    """As many cases of each patient as the recipe takes, in the cohort's order."""
    most = config.recipe.most_lesions
    if most is None:
        return cases
    counts: Counter[str] = Counter()
    kept = []
    for case in cases:
        counts[case.patient] += 1
        if counts[case.patient] <= most:
            kept.append(case)
    return kept


def _is_asked_of(truth: str, config: TrainingConfig) -> bool:
    """Whether every task can answer with a diagnosis: a model of malignant classes learns from no others."""
    truths = TAXONOMIES[config.recipe.truths]
    return all(can_label(truths, truth, TAXONOMIES[task.taxonomy]) for task in config.tasks.values())


def labels_of(truth: str, config: TrainingConfig) -> tuple[int, ...]:
    """Class index of a diagnosis for each task."""
    truths = TAXONOMIES[config.recipe.truths]
    return tuple(label_of(truths, truth, TAXONOMIES[task.taxonomy]) for task in config.tasks.values())


def _phantom_cases(source: PhantomSource, config: TrainingConfig) -> Iterator[TrainingCase]:
    lesion = 1 if config.answers.unit == "lesion" else None
    for i in range(source.lesions):
        seed = source.first_seed + i
        truth = source.classes[i % len(source.classes)]
        yield TrainingCase(f"phantom_{seed}", f"phantom_{seed}", truth, seed, lesion)


def _cohort_cases(table: Path, config: TrainingConfig) -> Iterator[TrainingCase]:
    required = ("study_id", "path", "lesion", "truth")
    rows = read_rows(table, TAXONOMIES[config.recipe.truths], required)
    clinical = clinical_data(table, rows)
    for case in _rows_cases(table, rows, config):
        assert isinstance(case.source, Path)
        yield replace(case, clinical=tuple(clinical[case.source].items()))


def _rows_cases(table: Path, rows: Sequence[CohortRow], config: TrainingConfig) -> Iterator[TrainingCase]:
    if config.answers.unit == "lesion":
        for number, row in enumerate(rows):
            yield _lesion_case(table, number, row)
        return
    studies: dict[tuple[str, str], list[CohortRow]] = defaultdict(list)
    for row in rows:
        studies[row.path, row.mask].append(row)
    for number, own in enumerate(studies.values()):
        yield _study_case(table, number, own, config)


def _lesion_case(table: Path, number: int, row: CohortRow) -> TrainingCase:
    if row.lesion is None:
        raise row_error(table, row.line, "lesion '' is not a label (1, 2, …).")
    return _case(table, f"lesion_{number:05d}", row, row.lesion)


def _study_case(table: Path, number: int, rows: Sequence[CohortRow], config: TrainingConfig) -> TrainingCase:
    """A study with the truth of its own row where it has one, else that of its lesions."""
    own = [row for row in rows if row.lesion is None] or rows
    for row in own[1:]:
        if not _same_answers(row.truth, own[0].truth, config):
            raise row_error(
                table,
                row.line,
                f"truth {row.truth!r} differs from {own[0].truth!r} of the same study; give it one row.",
            )
    return _case(table, f"study_{number:05d}", own[0], None)


def _same_answers(truth: str, other: str, config: TrainingConfig) -> bool:
    """Whether two diagnoses are one to the model."""
    if truth == other:
        return True
    asked = all(_is_asked_of(each, config) for each in (truth, other))
    return asked and labels_of(truth, config) == labels_of(other, config)


def _case(table: Path, key: str, row: CohortRow, lesion: int | None) -> TrainingCase:
    study = path_in(table, row.path)
    if not study.exists():
        raise row_error(table, row.line, f"there is no study {study}.")
    mask = path_in(table, row.mask) if row.mask else None
    if mask is not None and not mask.exists():
        raise row_error(table, row.line, f"there is no mask {mask}.")
    return TrainingCase(key, row.patient, row.truth, study, lesion, mask, fold=_fold(table, row))


def _fold(table: Path, row: CohortRow) -> int | None:
    text = row.free.get(FOLD, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > _FOLD_DIGITS:
        raise row_error(table, row.line, f"{FOLD} {text[:20]!r} is no number of a fold (0, 1, …).")
    return int(text)


def open_study(case: TrainingCase, config: TrainingConfig) -> Study:
    """Read a case's study, or make its phantom.

    Whether a phantom is atypical is drawn from its own seed, so that a lesion is the same in every
    configuration with the same fraction.
    """
    if isinstance(case.source, Path):
        from LiverLesionAI.readers.folder import read_study_folder

        study = read_study_folder(case.source, case.mask)
        return replace(study, clinical={**study.clinical, **dict(case.clinical)})
    from LiverLesionAI.phantom import generate_lesion, generate_study
    from LiverLesionAI.phantom.modality import modality_of, with_reference

    assert config.phantom is not None
    atypical = bool(np.random.default_rng(case.source).random() < config.phantom.atypical_fraction)
    if config.answers.unit == "slice":
        patterns = modality_of(config.sequences, config.sequences[0]).patterns
        known = (case.truth,) if case.truth in patterns else ()
        return generate_study(
            case.source,
            classes=known,
            atypical=atypical,
            sequences=config.sequences,
            reference=config.sequences[0],
        ).study
    return generate_lesion(
        case.source,
        case.truth,
        atypical=atypical,
        misalign_mm=config.phantom.misalign_mm,
        sequences=with_reference(config.sequences),
    ).study


def by_study(cases: Sequence[TrainingCase]) -> list[list[TrainingCase]]:
    """Group cases by the study and mask that hold them, in the order of their first one."""
    groups: dict[tuple[int | Path, Path | None], list[TrainingCase]] = defaultdict(list)
    for case in cases:
        groups[case.source, case.mask].append(case)
    return list(groups.values())


def validation_fold(lesions: Sequence[TrainingCase], fold_count: int, seed: int) -> np.ndarray:
    """Divide lesions into folds, stratified by class and grouped by patient, or as the cohort says.

    Returns
    -------
    numpy.ndarray
        For each lesion the fold that it is validated in, ``[N]``.

    Raises
    ------
    ConfigError
        If a class has fewer lesions, or the cohort fewer patients, than there are folds, or the cohort's own
        folds are not those of the run.
    """
    if any(lesion.fold is not None for lesion in lesions):
        return _own_folds(lesions, fold_count)
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


def _own_folds(lesions: Sequence[TrainingCase], fold_count: int) -> np.ndarray:
    """The folds that the cohort names."""
    if any(lesion.fold is None for lesion in lesions):
        raise ConfigError(f"The column {FOLD} is filled in for some rows only; fill in all of them or none.")
    folds = np.array([lesion.fold for lesion in lesions])
    if set(folds.tolist()) != set(range(fold_count)):
        named = ", ".join(map(str, sorted(set(folds.tolist()))))
        raise ConfigError(f"The cohort has the folds {named}, not 0 to {fold_count - 1}; correct fold_count.")
    of_patient: dict[str, int] = {}
    for lesion, fold in zip(lesions, folds, strict=True):
        if of_patient.setdefault(lesion.patient, int(fold)) != fold:
            raise ConfigError(f"Patient {lesion.patient} is in two folds of the cohort; leave one.")
    return folds
