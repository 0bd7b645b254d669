"""Training of one fold: from cached patches to a file of weights and out-of-fold predictions."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from LiverLesionAI.errors import ConfigError, TrainingError
from LiverLesionAI.inference.execution import resolve_training_execution
from LiverLesionAI.spreadsheet import write_table
from LiverLesionAI.training.batches import batch_count
from LiverLesionAI.training.cache import CachedCase
from LiverLesionAI.training.config import Optimisation, TrainingConfig
from LiverLesionAI.training.finish import finish_fold
from LiverLesionAI.training.module import (
    LOWEST_WHOLE_SCORE,
    FoldData,
    LesionTraining,
    balanced_weights,
)
from LiverLesionAI.training.together import ALONE, Together

EPOCHS, BOARD = "epochs.csv", "tensorboard"


def train_fold(
    config: TrainingConfig,
    fold: int,
    training: Sequence[CachedCase],
    held_out: Sequence[CachedCase],
    folder: Path,
    report: Callable[[float], None],
    ranks: Together = ALONE,
) -> None:
    """Train one fold, going on from its last finished epoch if there is one.

    The weights of the epoch with the best validation score are kept, or of the last one where no case is held
    out; with ``average_epochs`` the mean of the weights of so many of the best, or last, epochs. Over the
    training cases as inference sees them, the statistics of batch normalisation are then computed anew and
    the system's recipe settles the rest, and the held-out cases are predicted with the weights as stored.
    More than six parameters: the last says who else takes part.

    Parameters
    ----------
    config
        The training run.
    fold
        The fold's index.
    training, held_out
        Cases to train and to validate on.
    folder
        Where checkpoints, ``epochs.csv``, weights and predictions are written.
    report
        Told the fraction of the fold that is done, after each step; it may raise to stop.
    ranks
        The processes that train it together; the first one writes.

    Raises
    ------
    ConfigError
        If batches are too small to be divided.
    """
    _quieten_lightning()
    settings = config.optimisation
    _check_parts(config, len(training), ranks.count)
    steps = settings.epochs * batch_count(len(training), settings.batch_size)
    weights = balanced_weights(training, config.tasks) if settings.class_weights else None
    module = LesionTraining(config, fold, weights, steps)
    log = _EpochLog(folder / EPOCHS, config, steps, report)
    kept = _keeping(settings, folder, bool(held_out))
    stopping = [_Stopping("val_score", mode="max", patience=settings.patience)] if held_out else []
    latest = _Checkpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    execution = resolve_training_execution(settings.precision)
    trainer = pl.Trainer(
        accelerator="gpu" if execution.device == "cuda" else "cpu",
        devices=_devices(execution.device, ranks),
        num_nodes=ranks.machines,
        strategy="auto" if ranks.count == 1 else DDPStrategy(find_unused_parameters=True),
        plugins=ranks.environment and [ranks.environment],
        use_distributed_sampler=False,
        accumulate_grad_batches=settings.micro_batches,
        precision="bf16-mixed" if execution.precision == "bf16" else "32-true",
        max_epochs=settings.epochs,
        callbacks=[*stopping, kept, log, latest],
        gradient_clip_val=5.0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if held_out else 0,
        logger=_board(folder),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = ranks.led(lambda: _checkpoint_of(folder))
    trainer.fit(module, datamodule=FoldData(config, fold, training, held_out), ckpt_path=last)

    def finish() -> None:
        module.load_state_dict(_mean_state(_whole_patches(kept.best_k_models)))
        finish_fold(module.network, config, training, held_out, folder)

    ranks.led(finish)


def _board(folder: Path) -> TensorBoardLogger | bool:
    """Curves for TensorBoard, beside the table of epochs; none where it is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(folder, name=BOARD, version="")


def _check_parts(config: TrainingConfig, cases: int, processes: int) -> None:
    """Refuse parts of batches with a single case, of which batch normalisation makes nothing."""
    settings = config.optimisation
    parts = processes * settings.micro_batches
    smallest = cases // batch_count(cases, settings.batch_size)
    if parts > 1 and smallest < 2 * parts:
        raise ConfigError(
            f"Batches of {smallest} cases cannot be divided into {parts} parts ({processes} processes, "
            f"micro_batches {settings.micro_batches}) of two cases or more; raise batch_size."
        )


def _devices(kind: str, ranks: Together) -> list[int] | int:
    """The GPU of a process by itself; how many devices a machine has for processes that train together."""
    if ranks.count > 1:
        return ranks.count // ranks.machines
    return [torch.cuda.current_device()] if kind == "cuda" else 1


def _checkpoint_of(folder: Path) -> Path | None:
    """The checkpoint that a begun fold goes on from, found harmless."""
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.ckpt"
    if not last.exists():
        return None
    _read_checkpoint(last)
    return last


def _keeping(settings: Optimisation, folder: Path, held_out: bool) -> _Checkpoint:
    """What keeps the best epochs, or the last ones where no case is held out."""
    return _Checkpoint(
        folder,
        filename="best" if settings.average_epochs == 1 else "best-{epoch}",
        monitor="val_score" if held_out else "epoch",
        mode="max",
        save_top_k=settings.average_epochs,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _whole_patches(scores: Mapping[str, Tensor]) -> list[Path]:
    """Checkpoints in the order of their epochs, without those of epochs that saw centres of patches only."""
    best = max(float(score) for score in scores.values())
    whole = [path for path, score in scores.items() if float(score) >= min(best, LOWEST_WHOLE_SCORE)]
    return sorted(map(Path, whole), key=lambda path: (len(path.name), path.name))


def _mean_state(files: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of the weights of several checkpoints; counts are those of the last."""
    states = [_read_checkpoint(file)["state_dict"] for file in files]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[-1].items()
    }


class _Stopping(EarlyStopping):
    """Early stopping that a resumed run, which stopped already, remembers."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped_epoch:
            trainer.should_stop = True


def _read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Lightning itself unpickles whatever a local file holds, so that it is only given files that passed here:
    what a restricted unpickler accepts is harmless to every other one.

    Raises
    ------
    TrainingError
        If it is damaged, or holds more than numbers and texts.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):
        raise TrainingError(
            f"{file} is damaged or no checkpoint of this program, and such a file can run any code; remove "
            f"{file.parent} to begin its fold again."
        ) from None


class _Checkpoint(ModelCheckpoint):
    """A checkpoint that remembers names of files and no folder: a run's folder may be moved or copied."""

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        paths = {key: Path(state[key]).name for key in self._PATHS}
        best = {Path(path).name: score for path, score in state["best_k_models"].items()}
        return {**state, **paths, "best_k_models": best, "dirpath": ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        paths = {key: self._here(state_dict[key]) for key in self._PATHS}
        best = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})

    def _here(self, path: str) -> str:
        """The file of that name beside the checkpoint itself; nothing for nothing."""
        return str(Path(str(self.dirpath), Path(path).name)) if path else ""

    _PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class _EpochLog(Callback):
    """Keeps a table of epochs, which travels in the checkpoint, and tells the progress after every step."""

    def __init__(
        self,
        path: Path,
        config: TrainingConfig,
        steps: int,
        report: Callable[[float], None],
    ) -> None:
        accuracies = sorted(config.tasks, key=lambda task: task != config.primary_task)
        self.columns = (
            "epoch", "train_loss", "val_loss", *(f"val_{task}_accuracy" for task in accuracies), "val_score",
        )  # fmt: skip
        self.path = path
        self.settings = config.optimisation
        self.steps = steps
        self.report = report
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.report(_share_of_work(trainer.global_step / self.steps, self.settings))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values["epoch"] = trainer.current_epoch
        self.rows.append({name: values[name] for name in self.columns if name in values})
        if trainer.is_global_zero:
            write_table(
                self.path, self.columns, ([row.get(name) for name in self.columns] for row in self.rows)
            )


def _share_of_work(share_of_steps: float, settings: Optimisation) -> float:
    """A step on the centre of the patches costs as much less as they have fewer voxels."""
    cost = (3 / 4) ** 3
    central, done = settings.central_epochs, share_of_steps * settings.epochs
    return (min(done, central) * cost + max(done - central, 0)) / (central * cost + settings.epochs - central)


def _quieten_lightning() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for about in (
        "does not have many workers",
        "Checkpoint directory",
        "number of training batches",
        "LeafSpec",
    ):
        warnings.filterwarnings("ignore", f".*{about}.*")
