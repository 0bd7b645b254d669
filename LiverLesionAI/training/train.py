"""A whole training run: patches, folds, bundle."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

import numpy as np

import LiverLesionAI.inference.execution  # noqa: F401  (sets how OpenMP waits, before torch is loaded)
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.files import errors_of_disk, write_json, write_text_whole
from LiverLesionAI.inference.execution import resolve_training_execution
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.training.cache import CachedCase, CaseCache, build_cache, cache_name, case_folds
from LiverLesionAI.training.calibrate import kept_cases
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.processes import working
from LiverLesionAI.training.start import start_sha256
from LiverLesionAI.training.together import Together, together

CONFIG, RUN = "config.yaml", "run.json"


def train(
    config_path: str | Path,
    out_dir: str | Path,
    *,
    resume: bool = False,
    cache_dir: str | Path | None = None,
    in_process: bool = False,
    progress: Progress = silent,
) -> Path:
    """Train a classifier and write its bundle.

    Parameters
    ----------
    config_path
        YAML file (:class:`~LiverLesionAI.training.config.TrainingConfig`).
    out_dir
        Folder of the run, new or empty. It receives ``config.yaml``, ``patches/``, ``folds/fold_<k>/`` with
        ``epochs.csv`` and, at the end, the bundle in a folder of its name and ``left_out.txt``, which says
        why cases could not be used.
    resume
        Go on with the run in `out_dir`: finished folds are kept, a begun fold goes on at its last finished
        epoch, and the result is the same as that of an uninterrupted run.
    cache_dir
        Where patches are kept instead of ``out_dir/patches``, to share them between runs.
    in_process
        Train the folds in this process, one after the other, on the threads that it has: many short runs then
        do not start a process each. So do processes that were started to train together
        (:mod:`LiverLesionAI.training.together`).
    progress
        Told what is being done and how much of it.

    Returns
    -------
    pathlib.Path
        The bundle.

    Raises
    ------
    ConfigError
        If the configuration or the cohort cannot be used, or is not that of the run to resume.
    OutputError
        If `out_dir` already holds a run and `resume` is not set, holds anything else, or cannot be written.
    TrainingError
        If a process of the run is ended from outside.
    """
    from LiverLesionAI.training.export import export_bundle

    config_path, out_dir = Path(config_path), Path(out_dir)
    config = read_config(config_path)
    resolve_training_execution(config.optimisation.precision)
    if config.calibration is not None:
        kept_cases(config)
    caches = Path(cache_dir) if cache_dir else out_dir / "patches"
    with together() as ranks:
        with errors_of_disk(out_dir, out_dir):
            is_new = ranks.led(lambda: not (out_dir / RUN).exists())
            name = ranks.led(lambda: _open_run(config, config_path, out_dir, resume, ranks.count))
        with errors_of_disk(caches, caches):
            cache = _cached(config, caches / name, progress, ranks, try_again=is_new)
        if not cache.cases:
            raise ConfigError(f"{config_path}: none of its lesions can be used; for one, {cache.warnings[0]}")
        with errors_of_disk(out_dir, out_dir):
            if in_process or ranks.count > 1:
                _train_here(config, cache, out_dir / "folds", ranks, progress)
            else:
                _train_folds(config, cache, out_dir / "folds", progress)
            return ranks.led(lambda: export_bundle(config, cache, out_dir))


def _cached(
    config: TrainingConfig, folder: Path, progress: Progress, ranks: Together, *, try_again: bool
) -> CaseCache:
    """The patches, made by the first of the processes."""
    if ranks.count == 1:
        return build_cache(config, folder, try_again=try_again, progress=progress)
    ranks.led(lambda: len(build_cache(config, folder, try_again=try_again, progress=progress).cases))
    return build_cache(config, folder)


def export_finished_folds(out_dir: str | Path, *, cache_dir: str | Path | None = None) -> Path:
    """Write the bundle of the folds that a run has finished so far, while it goes on or after it stopped.

    Parameters
    ----------
    out_dir, cache_dir
        As given to :func:`train`.

    Returns
    -------
    pathlib.Path
        The bundle; the end of the run replaces it.

    Raises
    ------
    OutputError
        If `out_dir` holds no run or the run has finished no fold.
    """
    from LiverLesionAI.training.export import export_bundle

    out_dir = Path(out_dir)
    if not (out_dir / RUN).exists():
        raise OutputError(f"{out_dir} holds no training run; give the folder that was given to train.")
    config = read_config(out_dir / CONFIG)
    patches = _read_run(out_dir / RUN)["patches"]
    cache = build_cache(config, (Path(cache_dir) if cache_dir else out_dir / "patches") / patches)
    return export_bundle(config, cache, out_dir)


def _open_run(config: TrainingConfig, config_path: Path, out_dir: Path, resume: bool, processes: int) -> str:
    """Begin a run or go on with it; return the name of its patch cache."""
    record, start = out_dir / RUN, start_sha256(config)
    if record.exists():
        if not resume:
            raise OutputError(f"{out_dir} holds a training run; add --resume or choose another folder.")
        run = _read_run(record)
        if run["config_sha256"] != config.digest() or run["start_sha256"] != start:
            raise ConfigError(
                f"{config_path} differs from that of the run in {out_dir}; choose another folder."
            )
        if int(run["processes"]) != processes:
            raise ConfigError(
                f"The run in {out_dir} was begun by {run['processes']} processes together, not {processes}; "
                "go on with as many, or choose another folder."
            )
        return run["patches"]
    out_dir.mkdir(parents=True, exist_ok=True)
    _check_is_new(out_dir, config)
    write_text_whole(out_dir / CONFIG, config.to_yaml())
    patches = cache_name(config)
    run = {"config_sha256": config.digest(), "start_sha256": start, "patches": patches}
    write_json(record, {**run, **({"processes": processes} if processes > 1 else {})})
    return patches


def _check_is_new(out_dir: Path, config: TrainingConfig) -> None:
    """Refuse a folder with files of others; a run that was killed at its start left its configuration."""
    for file in sorted(out_dir.iterdir()):
        begun = file.name == CONFIG and file.is_file() and file.read_bytes() == config.to_yaml().encode()
        if not begun and not file.name.startswith("."):
            raise OutputError(
                f"{out_dir} holds {file.name}, which is of no training run; choose another folder."
            )


def _read_run(record: Path) -> dict[str, str]:
    try:
        run = json.loads(record.read_text(encoding="utf-8"))
        return {
            "start_sha256": "",
            "processes": "1",
            **{key: str(run[key]) for key in ("config_sha256", "patches")},
            **run,
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise OutputError(f"{record} is damaged; choose another folder for the run.") from None


@dataclass(frozen=True)
class FoldJob:
    """What a worker needs to train one fold, or the final network, which holds out no case."""

    fold: int
    training: tuple[CachedCase, ...]
    held_out: tuple[CachedCase, ...]
    folder: Path
    threads: int
    position: int


def _train_folds(config: TrainingConfig, cache: CaseCache, folder: Path, progress: Progress) -> None:
    from LiverLesionAI.training.finish import fold_is_finished

    jobs = _fold_jobs(config, cache, folder)
    fractions = get_context("spawn").Array("d", config.fold_count + 1)
    waiting = [job for job in jobs if not fold_is_finished(job.folder)]
    for job in jobs:
        fractions[job.fold] = float(job not in waiting)
    progress("training", float(np.sum(fractions[:])) / len(jobs))
    work = [(config, job) for job in waiting]
    with working(_work, work, _parallel_folds(config), _begin_worker, fractions) as pending:
        left = set(pending)
        while left:
            done, left = wait(left, timeout=1.0, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            progress("training", float(np.sum(fractions[:])) / len(jobs))


def _train_here(
    config: TrainingConfig, cache: CaseCache, folder: Path, ranks: Together, progress: Progress
) -> None:
    from LiverLesionAI.training.finish import fold_is_finished
    from LiverLesionAI.training.fold import train_fold

    jobs = _fold_jobs(config, cache, folder)
    finished = ranks.led(lambda: [fold_is_finished(job.folder) for job in jobs])
    for number, (job, done) in enumerate(zip(jobs, finished, strict=True)):
        if not done:
            report = partial(_tell, progress, number, len(jobs))
            train_fold(config, job.fold, job.training, job.held_out, job.folder, report, ranks)


def _tell(progress: Progress, number: int, count: int, fraction: float) -> None:
    progress("training", (number + fraction) / count)


def _fold_jobs(config: TrainingConfig, cache: CaseCache, folder: Path) -> list[FoldJob]:
    from LiverLesionAI.training.finish import FINAL

    numbers = [*config.selected_folds, *([config.fold_count] if config.final else [])]
    own_fold = case_folds(config, cache)
    jobs = []
    for position, fold in enumerate(numbers):
        training = tuple(cached for cached, own in zip(cache.cases, own_fold, strict=True) if own != fold)
        held_out = tuple(cached for cached, own in zip(cache.cases, own_fold, strict=True) if own == fold)
        threads = _threads(position, len(numbers), _parallel_folds(config))
        name = FINAL if fold == config.fold_count else f"fold_{fold}"
        jobs.append(FoldJob(fold, training, held_out, folder / name, threads, position))
    return jobs


def _parallel_folds(config: TrainingConfig) -> int:
    """Folds side by side, a core each, use cores better than one fold on all of them; each GPU takes one."""
    import torch

    by_default = torch.cuda.device_count() if torch.cuda.is_available() else os.cpu_count() or 1
    return min(config.parallel_folds or by_default, len(config.selected_folds) + config.final)


def _threads(position: int, folds: int, parallel: int) -> int:
    """Share the cores among the folds of the same round; the same for a fold however often it is resumed."""
    last_round = folds - folds % parallel
    beside = folds % parallel if position >= last_round else parallel
    return max(1, (os.cpu_count() or 1) // beside)


_fractions: SynchronizedArray


def _begin_worker(fractions: SynchronizedArray) -> None:
    global _fractions
    _fractions = fractions
    reuse_freed_memory()


def _work(config: TrainingConfig, job: FoldJob) -> None:
    import torch

    from LiverLesionAI.training.fold import train_fold

    torch.set_num_threads(job.threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(job.position % torch.cuda.device_count())
    train_fold(config, job.fold, job.training, job.held_out, job.folder, _reporter(job.fold))
    _fractions[job.fold] = 1.0


def _reporter(fold: int) -> Callable[[float], None]:
    def report(fraction: float) -> None:
        _fractions[fold] = fraction

    return report


def reuse_freed_memory() -> None:
    """Let glibc keep freed memory instead of giving it back to the system.

    A training step frees and takes gigabytes; fresh pages from the kernel, each zeroed, cost a fifth of the
    step on a processor.
    """
    if sys.platform != "linux":
        return
    trim_threshold, mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, np.iinfo(np.int32).max)
