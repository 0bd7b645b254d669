"""The connected parts of one label: what belongs together, what lies apart and what is a stray speck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

MOST_PARTS = 1000
"""A label in more parts is noise: a threshold's, or an image's grey value."""

SPECK_VOXELS, SPECK_ML, SPECK_SHARE = 4, 0.05, 0.05
"""A speck has fewer voxels than this or is smaller (a ball of 4.6 mm), and at most this part of the largest
part: what is outlined by itself is never one."""

SPECK_GAP_MM = 5.0
"""Specks so near do little to a lesion's box; they are ragged edges, and stay."""

PART_GAP_MM, PART_GAP_VOXELS = 20.0, 2
"""Parts that are nearer are one lesion (satellites of an HCC lie within 2 cm; thick slices are skipped)."""


@dataclass(frozen=True)
class Parts:
    """Connected parts (26 neighbours) of one label.

    Attributes
    ----------
    box
        Where the label lies in the label array, [z, y, x].
    numbers
        Number of the part that each voxel of the box belongs to, counted from 1; 0 elsewhere.
    specks
        Numbers of stray specks.
    groups
        Numbers of the other parts, those near each other together, from large to small.
    """

    box: tuple[slice, slice, slice]
    numbers: np.ndarray
    specks: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def parts_of(voxels: np.ndarray, label: int, box: tuple[slice, ...], spacing_mm: np.ndarray) -> Parts | None:
    """Find the parts of one label.

    Parameters
    ----------
    voxels
        Label array, [z, y, x].
    label
        The label.
    box
        Where it lies in the array.
    spacing_mm
        Of the array's axes, [z, y, x].

    Returns
    -------
    Parts
        None where there are more than :data:`MOST_PARTS`.
    """
    numbers, count = ndimage.label(voxels[box] == label, np.ones((3, 3, 3)))
    if count > MOST_PARTS:
        return None
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(numbers)
    lower = np.array([[edge.start for edge in found] for found in boxes])
    upper = np.array([[edge.stop for edge in found] for found in boxes])
    speck = _is_speck(sizes, float(np.prod(spacing_mm)) / 1000)
    gaps_mm = np.maximum(lower[:, None] - upper[None], lower[None] - upper[:, None]) * spacing_mm
    near_body = (gaps_mm[:, ~speck] <= np.maximum(SPECK_GAP_MM, spacing_mm)).all(axis=2).any(axis=1)
    stray = speck & ~near_body
    kept = np.flatnonzero(~stray)
    together = (gaps_mm <= np.maximum(PART_GAP_MM, PART_GAP_VOXELS * spacing_mm)).all(axis=2)
    _, group_of = connected_components(together[np.ix_(kept, kept)], directed=False)
    groups = [kept[group_of == group] for group in range(group_of.max() + 1)]
    groups.sort(key=lambda group: -int(sizes[group].sum()))
    return Parts(
        (box[0], box[1], box[2]),
        numbers,
        tuple((np.flatnonzero(stray) + 1).tolist()),
        tuple(tuple((group + 1).tolist()) for group in groups),
    )


def _is_speck(sizes: np.ndarray, voxel_ml: float) -> np.ndarray:
    """Which parts are so small that they are specks, given their sizes in voxels; never the largest one."""
    small = (sizes < SPECK_VOXELS) | (sizes * voxel_ml < SPECK_ML)
    return small & (sizes <= SPECK_SHARE * sizes.max())
