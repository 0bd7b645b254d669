"""Whole slices for training: bytes to batches, some of them turned, shifted and zoomed (Kim et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Augmentation(Protocol):
    """How far slices are varied; see :class:`LiverLesionAI.systems.kim2020.Augmentation`."""

    @property
    def share(self) -> float: ...
    @property
    def rotation_deg(self) -> float: ...
    @property
    def shift(self) -> float: ...
    @property
    def zoom(self) -> tuple[float, float]: ...


class Draw(Protocol):
    """How a slice is varied; see :class:`LiverLesionAI.systems.recipe.Draw`."""

    @property
    def rng(self) -> np.random.Generator | None: ...


def batch(
    cases: Sequence[np.ndarray], draws: Sequence[Draw | None], augmentation: Augmentation | None
) -> Tensor:
    """Unpack slices, and vary those that have a draw.

    Parameters
    ----------
    cases
        uint8 ``[1, y, x]`` of each, 255 for 1.
    draws
        None for a slice that is shown as it is.
    augmentation
        How far they are varied; None where nothing is.

    Returns
    -------
    Tensor
        float32 ``[B, 1, H, W]`` in [0, 1].
    """
    images = torch.from_numpy(np.stack([np.array(case[:1]) for case in cases])).float() / 255
    if augmentation is None:
        return images
    for position, draw in enumerate(draws):
        rng = draw.rng if draw else None
        if rng is not None and rng.random() < augmentation.share:
            way = torch.from_numpy(_way(rng, augmentation))[None]
            image = images[position : position + 1]
            grid = F.affine_grid(way, list(image.shape), align_corners=False)
            images[position] = F.grid_sample(image, grid, align_corners=False)[0]
    return images


def _way(rng: np.random.Generator, augmentation: Augmentation) -> np.ndarray:
    """Where each pixel comes from: float32 ``[2, 3]`` in halves of the side, from the middle."""
    turn = np.radians(augmentation.rotation_deg) * rng.uniform(-1, 1)
    zoom = np.exp(rng.uniform(*np.log(augmentation.zoom)))
    shift = 2 * augmentation.shift * rng.uniform(-1, 1, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
    return np.column_stack([rotation, shift]).astype(np.float32)
