"""What a fold ends with: statistics settled, weights stored, held-out cases predicted with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from LiverLesionAI.files import write_json
from LiverLesionAI.inference.execution import resolve_execution
from LiverLesionAI.networks.weights import load_weights, save_weights
from LiverLesionAI.systems.base import outputs
from LiverLesionAI.training.batches import Epoch, validation_batches
from LiverLesionAI.training.cache import CachedCase
from LiverLesionAI.training.config import TrainingConfig

WEIGHTS, PREDICTIONS = "weights.safetensors", "out_of_fold.json"
FINAL = "final"
"""Folder, beside those of the folds, of the network that learns from all cases."""


def fold_is_finished(folder: Path) -> bool:
    """Whether a fold's folder holds its weights and predictions."""
    return (folder / PREDICTIONS).exists()


def finish_fold(
    network: torch.nn.Module,
    config: TrainingConfig,
    training: Sequence[CachedCase],
    held_out: Sequence[CachedCase],
    folder: Path,
) -> None:
    """Settle the statistics, store the weights, predict the held-out cases with them.

    Parameters
    ----------
    network
        Trained.
    config
        The training run.
    training, held_out
        Cases that it was trained on, and others.
    folder
        Of the fold; receives ``weights.safetensors`` and ``out_of_fold.json``.
    """
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

    Nothing for systems that read one sequence or are not told which are there, nor of sequences that a model
    cannot do without.
    """
    if len(config.sequences) < 2 or not config.recipe.says_present:
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
    """Inputs as if all cases that have another sequence lacked one (:attr:`Recipe.says_present`)."""
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
    It stays where no batch reaches a layer, as in the branch of a sequence that hardly any case has.
    """
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    before = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    network.train()
    for inputs in seen:
        network.features(*inputs)  # type: ignore[operator]
    for layer, momentum, buffers in zip(layers, momenta, before, strict=True):
        layer.momentum = momentum
        if not layer.num_batches_tracked:
            layer.load_state_dict(buffers, strict=False)
    network.eval()


def _probabilities(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Mapping[str, torch.Tensor]:
    logits = outputs(network, inputs)
    return {task: values.softmax(dim=1).cpu() for task, values in logits.items()}
