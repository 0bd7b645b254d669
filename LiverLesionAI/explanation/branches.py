"""A branch of the network cut in two at a stage: the cells below, what is made of them above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

STAGES: dict[str, int] = {"stem": 2, "layer1": 4, "layer2": 8}
"""Stages fine enough to show where the network looked, and the voxels of the patch per cell.

A patch of 64 voxels a side has 32 cells a side after the first convolution (``stem``), 16 at the end of
``layer1`` and 8 at the end of ``layer2``.
"""

_PARTS = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
_ENDS = {"stem": "act", "layer1": "layer1", "layer2": "layer2"}


def cells(branch: nn.Module, x: Tensor, stage: str) -> Tensor:
    """Run a branch up to the end of a stage: ``[B, 2, D, H, W]`` to ``[B, C, d, h, w]``."""
    for name in _PARTS[: _PARTS.index(_ENDS[stage]) + 1]:
        x = getattr(branch, name)(x)
    return x


def features_of(branch: nn.Module, found: Tensor, stage: str) -> Tensor:
    """Run the rest of a branch: ``[B, C, d, h, w]`` to ``[B, F]``, float32."""
    for name in _PARTS[_PARTS.index(_ENDS[stage]) + 1 :]:
        found = getattr(branch, name)(found)
    return found.flatten(1).float()


def on_voxels(maps: NDArray[np.float64], size: int, step: int) -> NDArray[np.float64]:
    """Interpolate maps from a stage's cells to the voxels of the patch, linearly.

    Every stride-2 layer of the network is centred on every second element of its input, so that cell `i` is
    centred on voxel `step` · `i`, not on the middle of the block of voxels that starts there; beyond the last
    cell its value is held.

    Parameters
    ----------
    maps
        ``[…, d, h, w]``.
    size
        Voxels per side of the patch.
    step
        Voxels per cell.

    Returns
    -------
    numpy.ndarray
        ``[…, size, size, size]``.
    """
    weights = _interpolation(maps.shape[-1], size, step)
    return np.einsum("...def,zd,ye,xf->...zyx", maps, weights, weights, weights, optimize=True)


def _interpolation(count: int, size: int, step: int) -> NDArray[np.float64]:
    """Weight of each cell for each voxel, ``[size, count]``."""
    place = np.minimum(np.arange(size) / step, count - 1)
    return np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(count)))
