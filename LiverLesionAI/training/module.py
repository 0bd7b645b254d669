"""The Lightning module: losses, metrics, optimiser and schedule of the multitask network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from LiverLesionAI.networks.recompute import recompute_blocks
from LiverLesionAI.systems.base import outputs
from LiverLesionAI.systems.spec import Task
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.batches import Batch, Epoch, training_batches, validation_batches
from LiverLesionAI.training.cache import CachedCase
from LiverLesionAI.training.config import Optimisation, TrainingConfig
from LiverLesionAI.training.start import start_network

_ADAPTIVE: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}

LOSS_WEIGHT_IN_SCORE = 1e-5
"""So small that, in a cohort of fewer than 10,000 lesions, the loss only breaks ties of accuracy."""


LOWEST_WHOLE_SCORE = -10 * LOSS_WEIGHT_IN_SCORE
"""No epoch on whole patches scores lower, and every one on their centre does."""


class LesionTraining(pl.LightningModule):
    """Trains the network of one fold.

    Parameters
    ----------
    config
        The training run.
    fold
        Index of the fold; it determines the first weights, with the run's seed or with ``start_from``.
    class_weights
        For each task the weight of each class in its loss, None for equal weights.
    steps
        Optimiser steps of the whole run.
    """

    def __init__(
        self, config: TrainingConfig, fold: int, class_weights: Sequence[Tensor] | None, steps: int
    ) -> None:
        super().__init__()
        self.config = config
        self.tasks = config.tasks
        self.steps = steps
        self._seeds = config.seeds(fold)
        with torch.random.fork_rng():
            torch.manual_seed(_seed_of(self._seeds))
            network = config.answers.network(config)
        start_network(network, config, fold)
        self.network = network
        config.recipe.begin(self.network, shared_kernels=config.optimisation.shared_kernels)
        if config.optimisation.recompute:
            recompute_blocks(self.network)
        self.class_weights = nn.ParameterList(class_weights or []).requires_grad_(False)
        self._seen: list[tuple[Tensor, Tensor, float]] = []

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Sum of the tasks' cross-entropies.

        What dropout leaves out hangs on the number of the step and the part of the batch, so that a run that
        was interrupted learns as one that was not.
        """
        parts = self.config.optimisation.micro_batches
        part = self.global_rank * parts + number % parts
        torch.manual_seed(_seed_of([*self._seeds, self.global_step + 1, *([part] if part else [])]))
        loss = self._loss(self._logits(batch), batch.labels)
        size = len(batch.labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=self._shared)
        return loss

    @property
    def _shared(self) -> bool:
        return self.trainer.world_size > 1

    def on_validation_epoch_start(self) -> None:
        """Let all processes validate the first one's network: each kept statistics of its own batches."""
        if self._shared:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Collect the predictions of a validation batch."""
        logits = self._logits(batch)
        loss = float(self._loss(logits, batch.labels, smoothing=0.0))
        predicted = torch.stack([logits[task].argmax(dim=1) for task in self.tasks], dim=1)
        self._seen.append((predicted == batch.labels, batch.labels, loss))

    def on_validation_epoch_end(self) -> None:
        """Log accuracy and loss, and the score by which the best epoch is chosen."""
        correct = torch.cat([seen for seen, _, _ in self._seen]).double().mean(dim=0)
        sizes = [len(labels) for _, labels, _ in self._seen]
        loss = float(np.average([loss for _, _, loss in self._seen], weights=sizes))
        self._seen.clear()
        for task, accuracy in zip(self.tasks, correct, strict=True):
            self.log(f"val_{task}_accuracy", accuracy.float(), sync_dist=self._shared)
        self.log("val_loss", loss, sync_dist=self._shared)
        accuracy = float(correct[list(self.tasks).index(self.config.primary_task)])
        settings = self.config.optimisation
        score = validation_score(accuracy, loss, self.current_epoch, settings)
        self.log("val_score", score, sync_dist=self._shared)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, without decay of biases and normalisation, and the schedule per step."""
        settings = self.config.optimisation
        parameters = list(self.network.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser: torch.optim.Optimizer
        if settings.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
        else:
            optimiser = _ADAPTIVE[settings.optimiser](groups, lr=settings.learning_rate)
        factor = partial(learning_rate_factor, steps=self.steps, settings=settings)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _logits(self, batch: Batch) -> dict[str, Tensor]:
        return outputs(self.network, batch.inputs)

    def _loss(self, logits: dict[str, Tensor], labels: Tensor, smoothing: float | None = None) -> Tensor:
        if smoothing is None:
            smoothing = self.config.optimisation.label_smoothing
        weights = list(self.class_weights) or [None] * len(self.tasks)
        losses = [
            F.cross_entropy(logits[task].float(), labels[:, i], weights[i], label_smoothing=smoothing)
            for i, task in enumerate(self.tasks)
        ]
        return torch.stack(losses).sum()


class FoldData(pl.LightningDataModule):
    """Training and validation cases of one fold; every epoch has its own variants and draws."""

    def __init__(
        self,
        config: TrainingConfig,
        fold: int,
        training: Sequence[CachedCase],
        held_out: Sequence[CachedCase],
    ) -> None:
        super().__init__()
        self.config = config
        self.fold = fold
        self.training = training
        self.held_out = held_out

    def train_dataloader(self) -> Any:
        """Batches of the current epoch."""
        assert self.trainer is not None
        seed = int(np.random.SeedSequence(self.config.seeds(self.fold)).generate_state(1)[0])
        settings, epoch = self.config.optimisation, self.trainer.current_epoch
        central = epoch < settings.central_epochs
        shown = Epoch(self.training, self.config.recipe, self.config.augmentation, epoch, seed, central)
        each, rank = settings.micro_batches, self.trainer.global_rank
        own = range(rank * each, (rank + 1) * each)
        return training_batches(shown, settings.batch_size, self.trainer.world_size * each, own)

    def val_dataloader(self) -> Any:
        """The held-out cases as inference sees them."""
        assert self.trainer is not None
        settings = self.config.optimisation
        central = self.trainer.current_epoch < settings.central_epochs
        return validation_batches(
            Epoch(self.held_out, self.config.recipe, central=central), settings.batch_size
        )


def validation_score(accuracy: float, loss: float, epoch: int, settings: Optimisation) -> float:
    """Score by which the best epoch is chosen.

    On whole patches the accuracy of the primary task; the lower loss is better where it is the same. On their
    centre a number below all of those that rises from epoch to epoch.
    """
    if epoch < settings.central_epochs:
        return float(epoch - settings.epochs)
    return accuracy - LOSS_WEIGHT_IN_SCORE * min(loss, 10.0)


def balanced_weights(cases: Sequence[CachedCase], tasks: Mapping[str, Task]) -> list[Tensor]:
    """For each task, class weights inverse to the class's frequency, 1 on average over cases."""
    labels = np.array([cached.labels for cached in cases])
    weights = []
    for column, task in zip(labels.T, tasks.values(), strict=True):
        counts = np.bincount(column, minlength=len(TAXONOMIES[task.taxonomy].classes))
        present = np.maximum(counts, 1)
        weights.append(torch.from_numpy((len(column) / ((counts > 0).sum() * present)).astype(np.float32)))
    return weights


def learning_rate_factor(step: int, steps: int, settings: Optimisation) -> float:
    """Share of the highest learning rate at a step.

    ``"one_cycle"`` and ``"cosine"`` fall to 0 along a cosine; the former first rises linearly over a quarter
    of the steps (Smith & Topin 2018, arXiv:1708.07120). ``"step"`` falls by a factor every few epochs.
    """
    if settings.schedule == "step":
        epoch = step * settings.epochs // max(1, steps)
        return settings.step_factor ** (epoch // settings.step_epochs)
    rising = max(1, steps // 4) if settings.schedule == "one_cycle" else 0
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _seed_of(numbers: Sequence[int]) -> int:
    """A seed for torch's random numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
