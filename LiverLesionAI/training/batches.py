"""Batches for training and validation, cut from the cache of cases and augmented online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from LiverLesionAI.systems.recipe import Draw, Recipe
from LiverLesionAI.training.cache import CachedCase


@dataclass(frozen=True)
class Batch:
    """Cases for one step.

    Attributes
    ----------
    inputs
        Arguments of the network's ``features``.
    labels
        int64 ``[B, tasks]``, class indices.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """Return the batch on a device (Lightning moves batches by this method)."""
        inputs = tuple(tensor.to(device, non_blocking=non_blocking) for tensor in self.inputs)
        return Batch(inputs, self.labels.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class Epoch(Dataset[Batch]):
    """The cases of one epoch; indexing it with a list of positions gives a batch.

    Attributes
    ----------
    cases
        The cases.
    recipe
        How the system makes a batch of them.
    augmentation
        Online augmentation; unused where `number` is None.
    number
        The epoch, which chooses the geometric variant; None for the unvaried, unaugmented case of validation.
    seed
        With the epoch and a case's position it determines every random draw, so that a resumed run sees
        exactly what an uninterrupted one sees.
    central
        Take only the centre of the patches.
    """

    cases: Sequence[CachedCase]
    recipe: Recipe
    augmentation: Any = None
    number: int | None = None
    seed: int = 0
    central: bool = False

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        chosen = [self.cases[position] for position in positions]
        inputs = self.recipe.batch(
            [each.packed for each in chosen],
            [each.present for each in chosen],
            [self._draw(position, each) for position, each in zip(positions, chosen, strict=True)],
            self.augmentation,
        )
        return Batch(inputs, torch.tensor([each.labels for each in chosen]))

    def _draw(self, position: int, cached: CachedCase) -> Draw:
        if self.number is None:
            return Draw(central=self.central)
        varied = len(cached.packed) - 1
        variant = 1 + self.number % varied if varied else 0
        rng = np.random.default_rng([self.seed, self.number, position])
        return Draw(variant, rng, self.central, cached.labels)


def training_batches(
    epoch: Epoch, batch_size: int, parts: int = 1, chosen: range = range(1)
) -> DataLoader[Batch]:
    """Return the batches of a training epoch, shuffled; sizes differ by one at most, none is left out.

    Parameters
    ----------
    epoch, batch_size
        The cases, and how many a batch has at most.
    parts, chosen
        Each batch is divided into so many parts of nearly the same size; the chosen ones come one by one.
    """
    assert epoch.number is not None
    order = np.random.default_rng([epoch.seed, epoch.number]).permutation(len(epoch))
    batches = [
        np.array_split(batch, parts) for batch in np.array_split(order, batch_count(len(order), batch_size))
    ]
    return _loader(epoch, [batch[part] for batch in batches for part in chosen])


def batch_count(cases: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-cases // batch_size)


def validation_batches(epoch: Epoch, batch_size: int) -> DataLoader[Batch]:
    """Return the unvaried cases in their order."""
    return _loader(epoch, np.array_split(np.arange(len(epoch)), batch_count(len(epoch), batch_size)))


def _loader(epoch: Epoch, batches: Sequence[np.ndarray]) -> DataLoader[Batch]:
    positions = [batch.tolist() for batch in batches]
    workers = 4 if torch.cuda.is_available() else 0
    return DataLoader(epoch, sampler=positions, batch_size=None, num_workers=workers)
