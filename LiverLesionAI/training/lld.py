"""A copy of LLD-MMRI as a cohort: study folders, official splits, an audit page, a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from LiverLesionAI.cohort import COHORT_FILE, CohortRow, read_rows, write_rows
from LiverLesionAI.errors import ConfigError, LiverLesionError
from LiverLesionAI.files import errors_of_disk, write_text_whole
from LiverLesionAI.limits import check_text_size
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.readers.lld_mmri import ATTRIBUTION, LldPatient, find_layout, read_patient
from LiverLesionAI.study import Study
from LiverLesionAI.training.cases import FOLD
from LiverLesionAI.writers.lld_audit import write_audit, write_picture
from LiverLesionAI.writers.study_folder import write_study_folder

STUDIES, TRAINING_TABLE, CONFIG, LICENCE_FILE = "studies", "training.csv", "config.yaml", "LICENSE"

SEQUENCES = ("T2WI", "DWI", "T1WI", "LAP", "PVP", "DP")
"""Those of Wang et al. 2021 that the dataset has; it has no ADC."""

DIXON = ("INPHASE", "OUTPHASE")
FEWEST_FOLDS = 2

LICENCE_TEXT = f"""Data: {ATTRIBUTION}.

Creative Commons Attribution-NonCommercial 4.0 International, https://creativecommons.org/licenses/by-nc/4.0/.
Whatever is trained on these data may not be used commercially, and names where they come from.
"""


@dataclass(frozen=True)
class LldCohort:
    """What was made of a copy.

    Attributes
    ----------
    folder
        Where it is.
    table, training_table
        All cases, and those to train on.
    audit
        The page.
    config
        The training configuration.
    patients
        What was read; their studies' images are let go.
    failures
        Case to why it could not be read.
    """

    folder: Path
    table: Path
    training_table: Path
    audit: Path
    config: Path
    patients: tuple[LldPatient, ...]
    failures: Mapping[str, str]


def prepare_lld(
    folder: Path,
    out: Path,
    *,
    template: Path | None = None,
    dixon: bool = False,
    progress: Progress = silent,
) -> LldCohort:
    """Read a copy of LLD-MMRI, mend what can be proven, and write it as a cohort.

    Cases that cannot be read are named on the audit page and left out.

    Parameters
    ----------
    folder
        The copy, in any of its layouts (:mod:`LiverLesionAI.readers.lld_mmri`).
    out
        New or empty folder. It receives ``studies/``, ``cohort.csv`` with the official splits,
        ``training.csv``, ``config.yaml``, ``audit.html`` with ``audit/``, ``audit.csv`` and ``LICENSE``.
    template
        Training configuration to take instead of our own; its cohort is replaced.
    dixon
        Train on in- and out-phase too; without a template.
    progress
        Told how many cases are done; may cancel by raising.

    Raises
    ------
    ConfigError
        If the folder is no copy of the dataset, none of its cases can be read, or `out` holds anything.
    OutputError
        If a file cannot be written.
    """
    found = find_layout(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; name a new folder.")
    patients: list[LldPatient] = []
    failures: dict[str, str] = {}
    with errors_of_disk(out, out):
        (out / STUDIES).mkdir(parents=True)
        for number, case in enumerate(found.files):
            progress("read LLD-MMRI", number / len(found.files))
            try:
                patient = read_patient(found, case)
                _write_study(patient.study, out / STUDIES / case)
            except ConfigError:
                raise
            except LiverLesionError as error:
                failures[case] = str(error)
                continue
            write_picture(patient, out)
            patients.append(_without_images(patient))
        progress("read LLD-MMRI", 1.0)
        if not patients:
            raise ConfigError(f"{folder}: no case can be read; for one, {next(iter(failures.values()))}")
        audit, _ = write_audit(patients, failures, out, f"LLD-MMRI, layout {found.layout}")
        table, training_table = _write_tables(patients, out)
        write_text_whole(out / LICENCE_FILE, LICENCE_TEXT)
        write_text_whole(out / CONFIG, _config(training_table, template, dixon=dixon))
    return LldCohort(out, table, training_table, audit, out / CONFIG, tuple(patients), failures)


def _write_study(study: Study, folder: Path) -> None:
    folder.mkdir()
    for _ in write_study_folder(study, folder):
        pass


def _without_images(patient: LldPatient) -> LldPatient:
    """A case that takes no memory."""
    return replace(patient, study=replace(patient.study, images={}, lesions=None, outlines={}))


def _write_tables(patients: Sequence[LldPatient], out: Path) -> tuple[Path, Path]:
    rows = [
        CohortRow(
            each.case,
            f"{STUDIES}/{each.case}",
            each.patient,
            lesion=1,
            truth=each.truth,
            split="test" if each.is_test else "train",
            free={"official_fold": "" if each.fold is None else str(each.fold)},
        )
        for each in patients
    ]
    write_rows(out / COHORT_FILE, rows)
    training = [row for row in rows if row.split == "train" and row.truth]
    official = _official_folds(training)
    if official:
        training = [replace(row, free={**row.free, FOLD: str(official[row.study_id])}) for row in training]
    write_rows(out / TRAINING_TABLE, training)
    return out / COHORT_FILE, out / TRAINING_TABLE


def _official_folds(rows: Sequence[CohortRow]) -> dict[str, int]:
    """Case to its official fold, counted from 0; empty unless every case has one and there are several."""
    named = {row.study_id: row.free["official_fold"] for row in rows}
    if not all(named.values()) or len(set(named.values())) < FEWEST_FOLDS:
        return {}
    ordered = sorted(set(map(int, named.values())))
    return {case: ordered.index(int(fold)) for case, fold in named.items()}


def _config(training: Path, template: Path | None, *, dixon: bool) -> str:
    """The configuration: the template's, or one of our own, for this cohort and its folds."""
    folds = {row.free[FOLD] for row in read_rows(training) if row.free.get(FOLD)}
    if template is not None:
        return _filled_template(template, len(folds))
    sequences = ", ".join((*SEQUENCES, *(DIXON if dixon else ())))
    count = f"\nfold_count: {len(folds)}" if folds else ""
    return f"""# Trained on LLD-MMRI (CC BY-NC 4.0): not for commercial use.
name: wang2021-lld-mmri
seed: 2023
sequences: [{sequences}]
network: {{width: 64, head_hidden: 64}}
patches: {{intensity: percentile}}
cohort: {TRAINING_TABLE}
optimisation: {{epochs: 100, batch_size: 8, patience: 20, class_weights: balanced}}{count}
"""


def _filled_template(template: Path, folds: int) -> str:
    import yaml

    try:
        check_text_size(template)
        content = yaml.safe_load(template.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{template} cannot be read as a training configuration ({error}).") from None
    if not isinstance(content, dict) or "phantom" in content:
        raise ConfigError(f"{template} is no configuration for a cohort; see docs/training.md.")
    content |= {"cohort": TRAINING_TABLE, **({"fold_count": folds} if folds else {})}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
