"""Candidates as connected regions of the slices' maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MOST_CANDIDATES = 255
"""Of more, the least suspicious are left out: labels are bytes."""


@dataclass(frozen=True)
class Region:
    """One connected region.

    Attributes
    ----------
    probability
        The highest over its slices of the probability that the slice would have without what other regions
        add to it.
    slices
        First and last.
    centre
        Mean place of its pixels, weighted by their evidence, as indices ``(slice, y, x)``.
    pixels
        How many it has.
    """

    probability: float
    slices: tuple[int, int]
    centre: tuple[float, float, float]
    pixels: int


@dataclass(frozen=True)
class Regions:
    """The regions of a series by falling probability, and their numbers from 1 as an image of labels."""

    found: tuple[Region, ...]
    labels: NDArray[np.uint8]


def find_regions(
    evidence: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    size: int,
    *,
    operating_point: float,
    region_share: float,
) -> Regions:
    """Find the candidates of a series.

    A slice's log-odds are the mean of its map: what a region adds to it can be told exactly, and is taken
    away to ask what the slice would be without it.

    Parameters
    ----------
    evidence
        Map of each slice, in log-odds, ``[slice, h, w]``.
    probabilities
        Of a lesion on each slice.
    size
        Pixels along the side of the labels' slices.
    operating_point
        Slices and regions below this probability show none.
    region_share
        A region is where the map is positive and no lower than this share of the slice's highest value.

    Returns
    -------
    Regions
        Labels ``[slice, size, size]``.
    """
    wide = enlarged(evidence, size)
    highest = wide.max(axis=(1, 2), keepdims=True)
    hot = (probabilities >= operating_point)[:, None, None] & (highest > 0)
    numbers, count = ndimage.label(hot & (wide > 0) & (wide >= region_share * highest))
    found = [
        (number, _region(number, window, numbers, wide, probabilities))
        for number, window in enumerate(ndimage.find_objects(numbers), start=1)
    ]
    kept = sorted(
        (each for each in found if each[1].probability >= operating_point),
        key=lambda each: (each[1].probability, each[1].pixels),
        reverse=True,
    )[:MOST_CANDIDATES]
    table = np.zeros(count + 1, np.uint8)
    for rank, (number, _) in enumerate(kept, start=1):
        table[number] = rank
    return Regions(tuple(region for _, region in kept), table[numbers])


def enlarged(evidence: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Maps interpolated to pixels, ``[slice, size, size]``; a cell's value stands at its middle."""
    import torch

    cells = torch.from_numpy(evidence)[:, None]
    wide = torch.nn.functional.interpolate(cells, (size, size), mode="bilinear", align_corners=False)
    return wide[:, 0].numpy()


def _region(
    number: int,
    window: tuple[slice, slice, slice],
    numbers: NDArray[np.int32],
    wide: NDArray[np.float32],
    probabilities: NDArray[np.float64],
) -> Region:
    slices = window[0]
    own = numbers[window] == number
    weight = np.where(own, wide[window], 0).astype(np.float64)
    others = (numbers[slices] > 0) & (numbers[slices] != number)
    beside = np.where(others, wide[slices], 0).sum(axis=(1, 2), dtype=np.float64) / wide[0].size
    held = np.clip(probabilities[slices], 1e-12, 1 - 1e-12)
    log_odds = np.log(held / (1 - held)) - beside
    z, y, x = (
        float(
            (weight.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(weight.shape[axis])).sum() / weight.sum()
        )
        + window[axis].start
        for axis in range(3)
    )
    return Region(
        probability=float(1 / (1 + np.exp(-log_odds.max()))),
        slices=(slices.start, slices.stop - 1),
        centre=(z, y, x),
        pixels=int(own.sum()),
    )


def inside(regions: Regions, mask: NDArray[np.bool_]) -> Regions:
    """Leave out regions less than half of which lies in a mask ``[slice, size, size]``; ranks close up."""
    counts = np.bincount(regions.labels[mask], minlength=len(regions.found) + 1)
    kept = [i for i, region in enumerate(regions.found) if counts[i + 1] >= region.pixels / 2]
    table = np.zeros(len(regions.found) + 1, np.uint8)
    table[[i + 1 for i in kept]] = np.arange(1, len(kept) + 1)
    return Regions(tuple(regions.found[i] for i in kept), table[regions.labels])
