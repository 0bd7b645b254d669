"""What networks see of each case, made once with geometric variants, and read thousands of times.

A case is one ``.npy`` file for each group of its images, as the system's recipe packs them, and a record that
tells which sequences are there and what each group shows. Which class of its tasks that is, each run says for
itself: models that are asked different questions share what was cut. Variant 0 is the case as inference sees
it, the others are turned, scaled and shifted in the sampling grid.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from LiverLesionAI.errors import PatchError, StudyError
from LiverLesionAI.files import remove_abandoned, whole_file, write_json
from LiverLesionAI.inference.familiar import Appearance, appearance_of
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.training.cases import (
    TrainingCase,
    by_study,
    labels_of,
    open_study,
    training_cases,
    validation_fold,
)
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.training.processes import working

FORMAT = "4"


@dataclass(frozen=True)
class CachedCase:
    """What a network sees of a case, or of one group of its images, on disk.

    Attributes
    ----------
    case
        The case.
    path
        Its ``.npy`` file.
    present
        Which sequences the study has.
    labels
        Class index for each task, in the order of the network's heads.
    appearance
        What its unvaried pictures look like; None where they show no lesion.
    """

    case: TrainingCase
    path: Path
    present: tuple[bool, ...]
    labels: tuple[int, ...]
    appearance: Appearance | None = field(default=None, repr=False, compare=False)

    @cached_property
    def packed(self) -> np.ndarray:
        """Memory-mapped variants of the case, the first axis being the variant (:meth:`Recipe.packed`)."""
        return np.load(self.path, mmap_mode="r")


@dataclass(frozen=True)
class CaseCache:
    """The cached cases of a training run and what could not be cached.

    The groups of a case follow each other.
    """

    cases: tuple[CachedCase, ...]
    warnings: tuple[str, ...] = ()


def case_folds(config: TrainingConfig, cache: CaseCache) -> np.ndarray:
    """The fold that holds out each cached case ``[N]``; −1 where no fold is trained.

    Raises
    ------
    ConfigError
        See :func:`~LiverLesionAI.training.cases.validation_fold`.
    """
    if not config.selected_folds:
        return np.full(len(cache.cases), -1)
    return validation_fold([each.case for each in cache.cases], config.fold_count, config.seed)


def cache_name(config: TrainingConfig) -> str:
    """Name of the folder that holds a configuration's patches, as the present code makes them."""
    return f"v{FORMAT}-{config.patches_digest()[:16]}"


def build_cache(
    config: TrainingConfig,
    folder: Path,
    *,
    workers: int | None = None,
    try_again: bool = False,
    progress: Progress = silent,
) -> CaseCache:
    """Make what networks see of every case that is not yet in the cache.

    A case is in the cache once its files stand there complete, so that an interrupted run goes on where
    it stopped.

    Parameters
    ----------
    config
        The training run.
    folder
        Folder of the cache, by custom called :func:`cache_name`.
    workers
        Processes; as many as there are cores by default.
    try_again
        Also make the cases that could not be used when they were tried before; their files may have been
        mended. A run that goes on must not: its folds were divided without them.
    progress
        Told the fraction of cases done.

    Returns
    -------
    CaseCache
        The cases in the configuration's order; one that cannot be cropped is left out with a warning.
    """
    cases = training_cases(config)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    missing = [case for case in cases if not _is_made(_record(folder, case), try_again=try_again)]
    jobs = [(study, config, folder) for study in by_study(missing)]
    done = len(cases) - len(missing)
    progress("patches", done / len(cases))
    if jobs:
        with working(_cache_study, jobs, workers or os.cpu_count() or 1, _one_thread) as futures:
            for future in as_completed(futures):
                future.result()
                done += len(jobs[futures[future]][0])
                progress("patches", done / len(cases))
    return _open_cache(folder, cases, config)


def _is_made(record: Path, *, try_again: bool) -> bool:
    """Whether a case need not be tried."""
    return record.exists() and not (try_again and json.loads(record.read_text(encoding="utf-8"))["error"])


def _one_thread() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _record(folder: Path, case: TrainingCase) -> Path:
    return folder / f"{case.key}.json"


def _open_cache(folder: Path, cases: Sequence[TrainingCase], config: TrainingConfig) -> CaseCache:
    cached, warnings = [], []
    for case in cases:
        record = json.loads(_record(folder, case).read_text(encoding="utf-8"))
        if record["error"]:
            warnings.append(record["error"])
        looks = record.get("appearance") or [None] * len(record["present"])
        groups = zip(record["present"], record["truths"], looks, strict=True)
        for number, (present, truth, look) in enumerate(groups):
            file, labels = _file(folder, case, number), labels_of(truth, config)
            cached.append(CachedCase(case, file, tuple(present), labels, _read_look(look)))
    return CaseCache(tuple(cached), tuple(warnings))


def _file(folder: Path, case: TrainingCase, group: int) -> Path:
    return folder / f"{case.key}-{group}.npy"


def _cache_study(cases: Sequence[TrainingCase], config: TrainingConfig, folder: Path) -> None:
    system = config.answers
    try:
        study = system.prepared(open_study(cases[0], config), config)
    except StudyError as error:
        for case in cases:
            _write_record(folder, case, present=[], truths=[], error=str(error))
        return
    for case in cases:
        try:
            poses = (None, *random_poses(case.key, config))
            variants = system.variants(study, case.lesion, config, poses)
            shown = config.recipe.truths_of(study, variants[0], case.truth, config)
            every = zip(shown, zip(*variants, strict=True), strict=True)
            learned = [(truth, group) for truth, group in every if truth is not None]
            truths, groups = [truth for truth, _ in learned], [group for _, group in learned]
            packed = [config.recipe.packed(group) for group in groups]
        except (PatchError, StudyError) as error:
            _write_record(folder, case, present=[], truths=[], error=str(error))
            continue
        present, looks = [], []
        for number, group in enumerate(groups):
            with whole_file(_file(folder, case, number)) as file:
                np.save(file, packed[number])
            present.append(np.all([given.present for given in group], axis=0).tolist())
            looks.append(_written_look(appearance_of(system, group[0])))
        _write_record(folder, case, present=present, truths=truths, error="", looks=looks)


def _write_record(
    folder: Path,
    case: TrainingCase,
    *,
    present: list[list[bool]],
    truths: list[str],
    error: str,
    looks: Sequence[Any] = (),
) -> None:
    content = {"present": present, "truths": truths, "error": error, "appearance": list(looks)}
    write_json(_record(folder, case), content)


def _written_look(look: Appearance | None) -> list[Any] | None:
    """An appearance in JSON, null standing for what is not a number."""
    return None if look is None else [_with_nulls(part).tolist() for part in look]


def _with_nulls(values: np.ndarray) -> np.ndarray:
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    return found


def _read_look(look: Sequence[Any] | None) -> Appearance | None:
    if look is None:
        return None
    each, together = (np.array(part, np.float64) for part in look)
    return each, together


def random_poses(key: str, config: TrainingConfig) -> list[Any]:
    """Draw a case's geometric variants from the run's seed and the case's key."""
    rng = np.random.default_rng([config.seed, *key.encode()])
    return config.recipe.poses(rng, config.variants, config.patches)
