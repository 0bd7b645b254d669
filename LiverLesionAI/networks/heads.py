"""The heads of a network with a branch per sequence as arrays: what explanations ask again and again.

Branches are run once; heads are small, and are asked for every coalition of sequences and every point of a
way. In float64, on the processor, whatever engine ran the branches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Dense:
    """A layer that reads everything: ``weight`` ``[out, in]`` and ``bias`` ``[out]``."""

    weight: Values
    bias: Values

    def __call__(self, x: Values) -> Values:
        """Run it: ``[…, in]`` to ``[…, out]``."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True)
class TaskHead:
    """One task's head.

    Attributes
    ----------
    leading
        Positions of the sequences whose features come first, before those of all.
    layers
        Its layers; negative values between them become 0.
    """

    leading: tuple[int, ...]
    layers: tuple[Dense, ...]

    def logits_of_coalitions(self, features: Values, without: Values, members: NDArray[np.bool_]) -> Values:
        """Run it for coalitions of sequences.

        Parameters
        ----------
        features, without
            ``[S, F]``: what stands for a sequence that takes part, and for one that does not.
        members
            Who takes part, ``[B, S]``.

        Returns
        -------
        numpy.ndarray
            ``[B, classes]``; the first layer, which adds what sequences say, is run once for each of them.
        """
        first, *later = self.layers
        blocks = first.weight.reshape(len(first.bias), -1, features.shape[-1])
        own = blocks[:, len(self.leading) :].copy()
        for block, place in enumerate(self.leading):
            own[:, place] += blocks[:, block]
        said, unsaid = (np.einsum("osf,sf->so", own, seen) for seen in (features, without))
        start = first.bias + np.where(members[..., None], said, unsaid).sum(axis=1)
        return reduce(_after_rectifying, later, start)

    def log_odds_slopes(self, features: Values, index: int) -> Values:
        """Gradient of a class's log-odds in the features: ``[B, S, F]`` to ``[B, S, F]``."""
        seen = [self.layers[0](self._read(features))]
        for layer in self.layers[1:]:
            seen.append(_after_rectifying(seen[-1], layer))
        slopes = -_softmax_of_others(seen.pop(), index) @ self.layers[-1].weight
        for layer, before in zip(self.layers[-2::-1], reversed(seen), strict=True):
            slopes = np.where(before > 0, slopes, 0.0) @ layer.weight
        blocks = slopes.reshape(len(features), -1, features.shape[-1])
        total = blocks[:, len(self.leading) :].copy()
        for block, place in enumerate(self.leading):
            total[:, place] += blocks[:, block]
        return total

    def linear_shares(self, change: Values) -> tuple[Values, Values] | None:
        """What changed features ``[S, F]`` add to the logits; None unless there is one layer only.

        Returns
        -------
        tuple of numpy.ndarray or None
            Two of ``[classes, S]``: through the blocks of the leading sequences, and through that of all.
        """
        if len(self.layers) > 1:
            return None
        weight = self.layers[0].weight
        blocks = weight.reshape(len(weight), -1, change.shape[-1])
        everything = (blocks[:, len(self.leading) :] * change).sum(-1)
        own = np.zeros_like(everything)
        own[:, list(self.leading)] = (blocks[:, : len(self.leading)] * change[list(self.leading)]).sum(-1)
        return own, everything

    def _read(self, features: Values) -> Values:
        count = len(features)
        leading = features[:, list(self.leading)].reshape(count, -1)
        return np.concatenate([leading, features.reshape(count, -1)], axis=1)


@dataclass(frozen=True)
class Heads:
    """All heads of one network.

    Attributes
    ----------
    tasks
        Task to its head.
    mean_features
        ``[S, F]``: what stands for an absent sequence.
    """

    tasks: Mapping[str, TaskHead]
    mean_features: Values


def heads_of(tensors: Mapping[str, np.ndarray], leading: Mapping[str, Sequence[int]]) -> Heads:
    """Pick the heads out of the tensors of a :class:`~LiverLesionAI.networks.resnet3d.MultitaskResNet3D`.

    Parameters
    ----------
    tensors
        By their names in the network; others are passed over.
    leading
        Task to the positions of its leading sequences.
    """
    tasks = {}
    for task, places in leading.items():
        prefix = f"heads.{task}_head."
        weights = sorted(name for name in tensors if name.startswith(prefix) and name.endswith("weight"))
        layers = tuple(
            Dense(*(tensors[each].astype(np.float64) for each in (name, f"{name[:-6]}bias")))
            for name in weights
        )
        tasks[task] = TaskHead(tuple(places), layers)
    return Heads(tasks, tensors["mean_features"].astype(np.float64))


def _after_rectifying(x: Values, layer: Dense) -> Values:
    return layer(np.maximum(x, 0.0))


def _softmax_of_others(logits: Values, index: int) -> Values:
    """Softmax over the classes but one, whose place holds −1: the negative slope of its log-odds."""
    others = np.delete(logits, index, axis=1)
    shares = np.exp(others - others.max(axis=1, keepdims=True))
    return np.insert(shares / shares.sum(axis=1, keepdims=True), index, -1.0, axis=1)
