"""Made-up cohorts to train on: what they hold, their configuration, their division into folds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import yaml

from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.cache import CachedCase, CaseCache
from LiverLesionAI.training.cases import validation_fold
from LiverLesionAI.training.config import TrainingConfig

CLASSES = TAXONOMIES["W7"].names
SEQUENCES = ("T2WI", "DWI", "LAP")


def write_study(folder: Path, class_index: int, seed: int, omit: tuple[str, ...] = ()) -> None:
    """A bright or dark cube: the class decides how bright in which sequence, noise does the rest."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 7:13, 7:13] = 1
    for bit, name in enumerate(SEQUENCES):
        voxels = rng.normal(100, 5, mask.shape) + np.where(mask, 90 if class_index >> bit & 1 else -90, 0)
        if name not in omit:
            write_image(folder / f"{name}.nii.gz", voxels.astype(np.float32))
    write_image(folder / "lesions.nii.gz", mask)


def write_image(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path))


def write_cohort(folder: Path) -> Path:
    """Three patients per class, one lesion each, one study without DWI; returns the table."""
    rows = [("study_id", "path", "patient_id", "lesion", "truth")]
    for number in range(21):
        write_study(folder / f"S{number}", number % 7, number, omit=("DWI",) if number == 3 else ())
        rows.append((f"S{number}", f"S{number}", f"P{number}", "1", CLASSES[number % 7]))
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "cohort.csv"


def settings(cohort: Path, **changes: Any) -> dict[str, Any]:
    """Content of a configuration that trains one small fold on a cohort."""
    return {
        "name": "made",
        "seed": 5,
        "sequences": list(SEQUENCES),
        "network": {"width": 2, "head_hidden": 8},
        "patches": {"size": 32},
        "cohort": str(cohort),
        "variants": {"count": 2},
        "optimisation": {"epochs": 4, "batch_size": 7, "learning_rate": 0.01, "central_epochs": 1},
        "fold_count": 3,
        "folds": [0],
        "parallel_folds": 1,
        **changes,
    }


def write_config(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def divided(cache: CaseCache, config: TrainingConfig) -> tuple[list[CachedCase], list[CachedCase]]:
    """The cases that the first fold trains on, and those that it holds out."""
    folds = validation_fold([cached.case for cached in cache.cases], config.fold_count, config.seed)
    training = [cached for cached, fold in zip(cache.cases, folds, strict=True) if fold]
    return training, [cached for cached, fold in zip(cache.cases, folds, strict=True) if not fold]
