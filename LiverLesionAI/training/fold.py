"""Training of one fold: from cached patches to a file of weights and out-of-fold predictions."""

from __future__ import annotations

import csv
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from LiverLesionAI.files import whole_file, write_text_whole
from LiverLesionAI.inference.execution import resolve_execution, resolve_training_execution
from LiverLesionAI.networks.resnet3d import MultitaskResNet3D
from LiverLesionAI.networks.weights import load_weights, save_weights
from LiverLesionAI.training.batches import Batch, validation_batches
from LiverLesionAI.training.cache import CachedLesion
from LiverLesionAI.training.config import Optimisation, TrainingConfig
from LiverLesionAI.training.module import FoldData, LesionTraining, balanced_weights

WEIGHTS, PREDICTIONS, EPOCHS = "weights.safetensors", "out_of_fold.json", "epochs.csv"
_COLUMNS = (
    "epoch", "train_loss", "val_loss", "val_type_accuracy", "val_malignancy_accuracy", "val_score",
)  # fmt: skip


def fold_is_finished(folder: Path) -> bool:
    """Whether a fold's folder holds its weights and predictions."""
    return (folder / PREDICTIONS).exists()


def train_fold(
    config: TrainingConfig,
    fold: int,
    training: Sequence[CachedLesion],
    held_out: Sequence[CachedLesion],
    folder: Path,
    report: Callable[[float], None],
) -> None:
    """Train one fold, going on from its last finished epoch if there is one.

    The weights of the epoch with the best validation score are kept. Over the training lesions as inference
    sees them, the statistics of batch normalisation and the stand-ins for absent sequences are then computed
    anew, and the held-out lesions predicted with the weights as stored.

    Parameters
    ----------
    config
        The training run.
    fold
        The fold's index.
    training, held_out
        Lesions to train and to validate on.
    folder
        Where checkpoints, ``epochs.csv``, weights and predictions are written.
    report
        Told the fraction of the fold that is done, after each step; it may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _quieten_lightning()
    settings = config.optimisation
    steps = settings.epochs * -(-len(training) // settings.batch_size)
    weights = balanced_weights(training) if settings.class_weights else None
    module = LesionTraining(config, fold, weights, steps)
    stopping = EarlyStopping("val_score", mode="max", patience=settings.patience)
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor="val_score",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    latest = ModelCheckpoint(
        folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    execution = resolve_training_execution(settings.precision)
    trainer = pl.Trainer(
        accelerator="gpu" if execution.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if execution.precision == "bf16" else "32-true",
        max_epochs=settings.epochs,
        callbacks=[stopping, _EpochLog(folder / EPOCHS, settings, steps, stopping, report), best, latest],
        gradient_clip_val=5.0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    data = FoldData(config, fold, training, held_out)
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    _finish(module.network, config, training, held_out, folder)


class _EpochLog(Callback):
    """Keeps a table of epochs, which travels in the checkpoint, and tells the progress after every step."""

    def __init__(
        self,
        path: Path,
        settings: Optimisation,
        steps: int,
        stopping: EarlyStopping,
        report: Callable[[float], None],
    ) -> None:
        self.path = path
        self.settings = settings
        self.steps = steps
        self.stopping = stopping
        self.report = report
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopping.stopped_epoch:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.report(_share_of_work(trainer.global_step / self.steps, self.settings))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({name: values.get(name, trainer.current_epoch) for name in _COLUMNS})
        with whole_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)


def _share_of_work(share_of_steps: float, settings: Optimisation) -> float:
    """A step on the centre of the patches costs as much less as they have fewer voxels."""
    cost = (3 / 4) ** 3
    central, done = settings.central_epochs, share_of_steps * settings.epochs
    return (min(done, central) * cost + max(done - central, 0)) / (central * cost + settings.epochs - central)


def _finish(
    network: MultitaskResNet3D,
    config: TrainingConfig,
    training: Sequence[CachedLesion],
    held_out: Sequence[CachedLesion],
    folder: Path,
) -> None:
    """Settle the statistics, store the weights, predict the held-out lesions with them."""
    device = torch.device(resolve_execution().device)
    network.to(device)
    size = config.optimisation.batch_size
    with torch.no_grad():
        _settle_normalisation(network, training, size, device)
        network.set_mean_features(*_features(network, training, size, device))
    save_weights(network, folder / WEIGHTS)
    load_weights(network, folder / WEIGHTS, device.type)
    with torch.inference_mode():
        batches = validation_batches(held_out, size)
        found = [_probabilities(network, batch.to(device)) for batch in batches]
    probabilities = {task: torch.cat([part[task] for part in found]).tolist() for task in found[0]}
    content = {
        "keys": [lesion.lesion.key for lesion in held_out],
        "labels": {
            task: [lesion.lesion.labels[i] for lesion in held_out] for i, task in enumerate(probabilities)
        },
        "probabilities": probabilities,
    }
    write_text_whole(folder / PREDICTIONS, json.dumps(content))


def _settle_normalisation(
    network: MultitaskResNet3D, lesions: Sequence[CachedLesion], batch_size: int, device: torch.device
) -> None:
    """Average the statistics of batch normalisation over all lesions instead of the last few batches.

    What a fold learns with is a moving average over small, augmented batches, which lags behind the weights.
    """
    layers = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    network.train()
    for batch in validation_batches(lesions, batch_size):
        batch = batch.to(device)
        network.features(batch.patches, batch.present)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def _features(
    network: MultitaskResNet3D, lesions: Sequence[CachedLesion], batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    features, present = [], []
    for batch in validation_batches(lesions, batch_size):
        batch = batch.to(device)
        features.append(network.features(batch.patches, batch.present))
        present.append(batch.present)
    return torch.cat(features), torch.cat(present)


def _probabilities(network: MultitaskResNet3D, batch: Batch) -> Mapping[str, torch.Tensor]:
    logits = network(batch.patches, batch.present)
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
