"""Bringing whole slices to a fixed size: bicubic up, area down, as matrices that a slice is multiplied with.

A slice ``[y, x]`` becomes ``rows @ slice @ columns.T``. Both ways keep the middle of the image in the middle:
pixel *i* of *n* lies at (i + ½) / n of the side.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SHARPNESS = -0.75
"""Of the cubic kernel, as in OpenCV and torch (Keys 1981 derives −0.5)."""


@lru_cache(maxsize=64)
def resizing(pixels: int, size: int, share: float = 1.0) -> NDArray[np.float32]:
    """Weights that bring one axis of an image to another number of pixels.

    Parameters
    ----------
    pixels
        How many there are.
    size
        How many are wanted.
    share
        Part of the wanted side that the image covers, in its middle; there is nothing (0) beside it.

    Returns
    -------
    numpy.ndarray
        float32 ``[size, pixels]``: cubic where a wanted pixel is no larger than one at hand, with the last
        pixel repeated beyond the image's ends, else the share of its area that each pixel covers.
    """
    ends = (np.arange(size + 1) / size - (1 - share) / 2) / share * pixels
    step = pixels / (share * size)
    weights = _cubic(ends[:-1] + step / 2 - 0.5, pixels) if step <= 1 else _area(ends, pixels)
    weights.setflags(write=False)
    return weights


def _area(ends: NDArray[np.float64], pixels: int) -> NDArray[np.float32]:
    low = np.maximum(ends[:-1, None], np.arange(pixels))
    high = np.minimum(ends[1:, None], np.arange(1, pixels + 1))
    return (np.clip(high - low, 0, None) / np.diff(ends)[:, None]).astype(np.float32)


def _cubic(places: NDArray[np.float64], pixels: int) -> NDArray[np.float32]:
    first = np.floor(places).astype(int) - 1
    weights = np.zeros((len(places), pixels))
    for tap in range(4):
        index = first + tap
        np.add.at(
            weights,
            (np.arange(len(places)), np.clip(index, 0, pixels - 1)),
            _kernel(np.abs(places - index)),
        )
    weights[(places < -0.5) | (places > pixels - 0.5)] = 0
    return weights.astype(np.float32)


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    d, a = distance, _SHARPNESS
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
