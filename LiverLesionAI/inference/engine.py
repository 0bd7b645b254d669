"""Running a network: one member's weights loaded, inputs through it in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from LiverLesionAI.bundles import Bundle, check_file
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inputs.base import NetworkInput

if TYPE_CHECKING:
    import torch
    from torch import nn


FEATURES = "features"
"""Name of the one part, up to the features, of a network that has no branches."""


@dataclass(frozen=True)
class Ran:
    """What came of running a network.

    Attributes
    ----------
    probabilities
        Task to probabilities, float64 ``[inputs, classes]``.
    features
        What its last hidden layer saw, float32 ``[inputs, F]``.
    """

    probabilities: Mapping[str, np.ndarray]
    features: np.ndarray

    @staticmethod
    def joined(parts: Sequence[Ran]) -> Ran:
        """Runs after each other as one."""
        tasks = parts[0].probabilities
        return Ran(
            {task: np.concatenate([part.probabilities[task] for part in parts]) for task in tasks},
            np.concatenate([part.features for part in parts]),
        )


def load_fold(bundle: Bundle, fold: int, device: str = "cpu", blank: nn.Module | None = None) -> nn.Module:
    """Load one member's network, ready to answer; its file is compared with the bundle's hash.

    It is in evaluation mode, and convolutions do the work of the batch normalisation behind them.

    Parameters
    ----------
    bundle
        The model.
    fold
        Position of the member, which in a cross-validated model is a fold.
    device
        Where to.
    blank
        A network of this bundle on device ``"meta"`` that takes the weights; a new one by default.

    Raises
    ------
    BundleError
        If the file is missing, damaged or not of this network.
    """
    from LiverLesionAI.networks.convolutions import fold_normalisation
    from LiverLesionAI.networks.weights import load_weights

    with ThreadPoolExecutor(max_workers=1) as beside:
        check = beside.submit(check_file, bundle, bundle.spec.members[fold])
        network = blank or bundle.system.network(bundle.spec, device="meta")
        load_weights(network, bundle.member_paths[fold], device)
        check.result()
    return fold_normalisation(network)


def run_batches(
    network: nn.Module,
    inputs: Sequence[NetworkInput],
    execution: Execution,
    batch_size: int,
    keep: Callable[[torch.Tensor], None] | None = None,
) -> Ran:
    """Run a network on inputs, of which there is one at least; `keep` is shown the features of each batch."""
    import torch

    autocast = autocast_of(execution)
    parts: list[Ran] = []
    with torch.inference_mode():
        for tensors in _batches(inputs, batch_size, execution.device):
            with autocast:
                features = network.features(*tensors)  # type: ignore[operator]
            found = network.logits(features)  # type: ignore[operator]
            answers = {task: probabilities(logits.cpu().double().numpy()) for task, logits in found.items()}
            if keep is not None:
                keep(features)
            parts.append(Ran(answers, last_layer(features)))
    return Ran.joined(parts)


def last_layer(features: torch.Tensor) -> np.ndarray:
    """What a network's last layer reads, float32 ``[inputs, F]``: images of features by their means."""
    if features.ndim == 4:
        features = features.mean(dim=(2, 3))
    return features.flatten(start_dim=1).float().cpu().numpy()


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the classes, float64 ``[inputs, classes]``; not a number where a logit is not finite.

    Softmax alone turns a logit of minus infinity, which an overflow left, into a probability of 0.
    """
    logits = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True) + 0.0 * logits.sum(axis=1, keepdims=True)


def autocast_of(execution: Execution) -> torch.autocast:
    """The precision in which features are computed, as a context."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[execution.precision]
    return torch.autocast(execution.device, dtype, enabled=dtype is not torch.float32)


def _batches(
    inputs: Sequence[NetworkInput], batch_size: int, device: str
) -> Iterator[tuple[torch.Tensor, ...]]:
    import torch

    for start in range(0, len(inputs), batch_size):
        chosen = [given.arrays() for given in inputs[start : start + batch_size]]
        yield tuple(torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*chosen, strict=True))
