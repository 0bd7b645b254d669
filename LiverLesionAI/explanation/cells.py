"""From the cells of a network's stage to the voxels of the patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    planes = weights @ (maps @ weights.T)
    found = weights @ planes.reshape(*planes.shape[:-2], size * size)
    return found.reshape(*found.shape[:-1], size, size)


def _interpolation(count: int, size: int, step: int) -> NDArray[np.float64]:
    """Weight of each cell for each voxel, ``[size, count]``."""
    place = np.minimum(np.arange(size) / step, count - 1)
    return np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(count)))
