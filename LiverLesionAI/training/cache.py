"""Patches made once, with geometric variants, and read thousands of times.

Each lesion is one ``.npy`` file, uint8 ``[variant, channel, z, y, x]``: variant 0 is the patch as inference
sees it, the others are turned, scaled and shifted in the sampling grid. The channels are the images of the
sequences followed by one annotation, or by one per sequence where they differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import PatchError, StudyError
from LiverLesionAI.files import whole_file, write_text_whole
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchParameters, PatchPose
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.training.cases import TrainingLesion, by_study, open_study, training_lesions
from LiverLesionAI.training.config import TrainingConfig, Variants

FORMAT = "1"


@dataclass(frozen=True)
class CachedLesion:
    """A lesion's patches on disk.

    Attributes
    ----------
    lesion
        The lesion.
    path
        Its ``.npy`` file.
    present
        Which sequences the study has.
    """

    lesion: TrainingLesion
    path: Path
    present: tuple[bool, ...]

    @cached_property
    def patches(self) -> np.ndarray:
        """Memory-mapped uint8 ``[variant, channel, z, y, x]``; 255 stands for 1."""
        return np.load(self.path, mmap_mode="r")


@dataclass(frozen=True)
class PatchCache:
    """The cached lesions of a training run and what could not be cached."""

    lesions: tuple[CachedLesion, ...]
    warnings: tuple[str, ...] = ()


def cache_name(config: TrainingConfig) -> str:
    """Name of the folder that holds a configuration's patches, as the present code makes them."""
    return f"v{FORMAT}-{config.patches_digest()[:16]}"


def build_cache(
    config: TrainingConfig, folder: Path, *, workers: int | None = None, progress: Progress = silent
) -> PatchCache:
    """Make the patches of every lesion that is not yet in the cache.

    A lesion is in the cache once its two files stand there complete, so that an interrupted run goes on where
    it stopped.

    Parameters
    ----------
    config
        The training run.
    folder
        Folder of the cache, by custom called :func:`cache_name`.
    workers
        Processes; as many as there are cores by default.
    progress
        Told the fraction of lesions done.

    Returns
    -------
    PatchCache
        The lesions in the configuration's order; a lesion that cannot be cropped is left out with a warning.
    """
    lesions = training_lesions(config)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [lesion for lesion in lesions if not _record(folder, lesion).exists()]
    jobs = by_study(missing)
    done = len(lesions) - len(missing)
    progress("patches", done / len(lesions))
    if jobs:
        with ProcessPoolExecutor(workers or os.cpu_count(), get_context("spawn"), _one_thread) as pool:
            futures = {pool.submit(_cache_study, job, config, folder): len(job) for job in jobs}
            try:
                for future in as_completed(futures):
                    future.result()
                    done += futures[future]
                    progress("patches", done / len(lesions))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return _open_cache(folder, lesions)


def _one_thread() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _record(folder: Path, lesion: TrainingLesion) -> Path:
    return folder / f"{lesion.key}.json"


def _open_cache(folder: Path, lesions: Sequence[TrainingLesion]) -> PatchCache:
    cached, warnings = [], []
    for lesion in lesions:
        record = json.loads(_record(folder, lesion).read_text(encoding="utf-8"))
        if record["error"]:
            warnings.append(record["error"])
        else:
            cached.append(CachedLesion(lesion, folder / f"{lesion.key}.npy", tuple(record["present"])))
    return PatchCache(tuple(cached), tuple(warnings))


def _cache_study(lesions: Sequence[TrainingLesion], config: TrainingConfig, folder: Path) -> None:
    study = with_intensity_limits(open_study(lesions[0], config), config.patches)
    for lesion in lesions:
        poses = [None, *random_poses(lesion.key, config)]
        try:
            inputs = [
                extract_patches(study, lesion.lesion, config.sequences, config.patches, pose)
                for pose in poses
            ]
        except (PatchError, StudyError) as error:
            _write_record(folder, lesion, present=[], error=str(error))
            continue
        patches = np.stack([_quantised(lesion_input.patches) for lesion_input in inputs])
        with whole_file(folder / f"{lesion.key}.npy") as file:
            np.save(file, _without_copies(patches))
        present = np.all([lesion_input.present for lesion_input in inputs], axis=0).tolist()
        _write_record(folder, lesion, present=present, error="")


def _write_record(folder: Path, lesion: TrainingLesion, *, present: list[bool], error: str) -> None:
    write_text_whole(_record(folder, lesion), json.dumps({"present": present, "error": error}))


def random_poses(key: str, config: TrainingConfig) -> list[PatchPose]:
    """Draw a lesion's geometric variants from the run's seed and the lesion's key."""
    rng = np.random.default_rng([config.seed, *key.encode()])
    return [_random_pose(rng, config.variants, config.patches) for _ in range(config.variants.count)]


def _random_pose(rng: np.random.Generator, variants: Variants, patches: PatchParameters) -> PatchPose:
    rotation = rng.uniform(-1, 1, 3) * variants.rotation_deg
    return PatchPose(
        rotation_deg=tuple(rotation.tolist()),
        scale=float(variants.scale ** rng.uniform(-1, 1)),
        shift_mm=tuple((rng.uniform(-1, 1, 3) * variants.shift_mm).tolist()),
        margin_mm=float(rng.uniform(*patches.training_margin_mm)),
    )


def _quantised(patches: np.ndarray) -> np.ndarray:
    """``[S, 2, z, y, x]`` in [0, 1] to uint8 ``[2S, z, y, x]``, images before annotations."""
    images_first = patches.swapaxes(0, 1).reshape(-1, *patches.shape[2:])
    return np.rint(images_first * 255).astype(np.uint8)


def _without_copies(patches: np.ndarray) -> np.ndarray:
    """Keep one annotation where all present sequences share it."""
    sequences = patches.shape[1] // 2
    annotations = patches[:, sequences:]
    given = annotations.any(axis=(0, 2, 3, 4))
    shared = annotations[:, given]
    if np.array_equal(shared, np.broadcast_to(shared[:, :1], shared.shape)):
        return np.concatenate([patches[:, :sequences], shared[:, :1]], axis=1)
    return patches
