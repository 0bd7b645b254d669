"""Training of one fold: from cached patches to a file of weights and out-of-fold predictions."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from LiverLesionAI.errors import ConfigError, TrainingError
from LiverLesionAI.files import write_json
from LiverLesionAI.inference.execution import resolve_execution, resolve_training_execution
from LiverLesionAI.networks.weights import load_weights, save_weights
from LiverLesionAI.spreadsheet import write_table
from LiverLesionAI.systems.base import outputs
from LiverLesionAI.training.batches import Epoch, batch_count, validation_batches
from LiverLesionAI.training.cache import CachedCase
from LiverLesionAI.training.config import Optimisation, TrainingConfig
from LiverLesionAI.training.module import (
    LOWEST_WHOLE_SCORE,
    FoldData,
    LesionTraining,
    balanced_weights,
)
from LiverLesionAI.training.together import ALONE, Together

WEIGHTS, PREDICTIONS, EPOCHS, BOARD = "weights.safetensors", "out_of_fold.json", "epochs.csv", "tensorboard"


FINAL = "final"
"""Folder, beside those of the folds, of the network that learns from all cases."""


def fold_is_finished(folder: Path) -> bool:
    """Whether a fold's folder holds its weights and predictions."""
    return (folder / PREDICTIONS).exists()


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
        _finish(module.network, config, training, held_out, folder)

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


def _finish(
    network: torch.nn.Module,
    config: TrainingConfig,
    training: Sequence[CachedCase],
    held_out: Sequence[CachedCase],
    folder: Path,
) -> None:
    """Settle the statistics, store the weights, predict the held-out cases with them."""
    device = torch.device(resolve_execution().device)
    network.to(device)
    size, recipe = config.optimisation.batch_size, config.recipe
    seen = _Shown(Epoch(training, recipe), size, device)
    with torch.no_grad():
        _settle_normalisation(network, seen)
        recipe.finish(network, seen)
    save_weights(network, folder / WEIGHTS)
    load_weights(network, folder / WEIGHTS, device.type)
    groups = _groups(held_out, apart=config.answers.unit == "slice")
    cases = [held_out[positions[0]].case for positions in groups]
    shown = _Shown(Epoch(held_out, recipe), size, device)
    joined = _joined(network, config, shown, groups) if held_out else {}
    content = {
        "keys": [case.key for case in cases],
        "labels": {
            task: [held_out[own[0]].labels[i] for own in groups] for i, task in enumerate(config.tasks)
        },
        "probabilities": {task: rows.tolist() for task, rows in joined.items()},
        "without": _without_each(network, config, held_out, shown, groups) if held_out else {},
    }
    write_json(folder / PREDICTIONS, content)


def _joined(
    network: torch.nn.Module,
    config: TrainingConfig,
    shown: Iterable[tuple[torch.Tensor, ...]],
    groups: Sequence[Sequence[int]],
) -> dict[str, np.ndarray]:
    """Task to the probabilities of each case, ``[N, classes]``."""
    with torch.inference_mode():
        found = [_probabilities(network, inputs) for inputs in shown]
    rows = {task: torch.cat([part[task] for part in found]).numpy() for task in config.tasks}
    return {
        task: np.concatenate([config.answers.joined(each[None, positions]) for positions in groups])
        for task, each in rows.items()
    }


def _without_each(
    network: torch.nn.Module,
    config: TrainingConfig,
    held_out: Sequence[CachedCase],
    shown: Iterable[tuple[torch.Tensor, ...]],
    groups: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Predicted classes of cases without one of their sequences, and which cases had it and another one.

    Nothing for systems that read one sequence, nor of sequences that a model cannot do without.
    """
    if len(config.sequences) < 2:
        return {}
    present = np.array([np.any([held_out[position].present for position in own], axis=0) for own in groups])
    answers = {}
    for index, name in enumerate(config.sequences):
        if name in config.required_sequences:
            continue
        joined = _joined(network, config, (_taken_away(inputs, index) for inputs in shown), groups)
        answers[name] = {
            "had": (present[:, index] & (present.sum(axis=1) > 1)).tolist(),
            "predicted": {task: rows.argmax(axis=1).tolist() for task, rows in joined.items()},
        }
    return answers


def _taken_away(inputs: tuple[torch.Tensor, ...], sequence: int) -> tuple[torch.Tensor, ...]:
    """Inputs as if all cases that have another sequence lacked one; the second input says which are there."""
    images, present, *others = inputs
    left = present.clone()
    left[:, sequence] = False
    return images, torch.where(left.any(dim=1, keepdim=True), left, present), *others


@dataclass(frozen=True)
class _Shown:
    """The inputs of cases as inference sees them, batch by batch, as often as they are asked for."""

    epoch: Epoch
    batch_size: int
    device: torch.device

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for batch in validation_batches(self.epoch, self.batch_size):
            yield batch.to(self.device).inputs


def _groups(cases: Sequence[CachedCase], *, apart: bool) -> list[list[int]]:
    """Positions of the groups of each case; each by itself where groups get answers of their own."""
    if apart:
        return [[position] for position in range(len(cases))]
    found: dict[str, list[int]] = {}
    for position, cached in enumerate(cases):
        found.setdefault(cached.case.key, []).append(position)
    return list(found.values())


def _settle_normalisation(network: torch.nn.Module, seen: _Shown) -> None:
    """Average the statistics of batch normalisation over all cases instead of the last few batches.

    What a fold learns with is a moving average over small, augmented batches, which lags behind the weights.
    """
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    network.train()
    for inputs in seen:
        network.features(*inputs)  # type: ignore[operator]
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _probabilities(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Mapping[str, torch.Tensor]:
    logits = outputs(network, inputs)
    return {task: values.softmax(dim=1).cpu() for task, values in logits.items()}


def _quieten_lightning() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for about in (
        "does not have many workers",
        "Checkpoint directory",
        "number of training batches",
        "LeafSpec",
    ):
        warnings.filterwarnings("ignore", f".*{about}.*")
