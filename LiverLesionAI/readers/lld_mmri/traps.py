"""What is wrong with volumes of LLD-MMRI: found from the voxels, mended only where the voxels prove it.

Arrays are ``[z, y, x]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.readers.lld_mmri.annotation import Box

_HALF_SIDE_MM = (48.0, 48.0, 36.0)
_STEP_MM = (2.0, 2.0, 3.0)
_SURELY_BETTER = 0.15
"""By so much must the images correlate better upside down, around the lesion, to be taken for it."""

_ALIKE = 0.25
"""Images that correlate less than this either way tell nothing."""

_LARGEST_SHIFT = 0.45
"""Of a side: farther a slice is not looked for."""

Shift = tuple[int, int]
"""Voxels, (y, x)."""


@dataclass(frozen=True)
class Unrepeated:
    """A volume without its repeated slices.

    Attributes
    ----------
    voxels
        ``[z, y, x]``.
    place
        Slice of the volume as it was to slice of this one ``[z]``.
    dropped
        How many were dropped.
    """

    voxels: np.ndarray
    place: np.ndarray
    dropped: int


def without_repeats(voxels: np.ndarray) -> Unrepeated:
    """Drop slices that repeat the one before, or the whole stack that repeats itself, to the last voxel."""
    count = len(voxels)
    half = count // 2
    if count >= 4 and count % 2 == 0 and np.array_equal(voxels[:half], voxels[half:]):
        return Unrepeated(voxels[:half], np.arange(count) % half, half)
    differs = np.array([True, *(not np.array_equal(a, b) for a, b in pairwise(voxels))])
    place = np.cumsum(differs) - 1
    return Unrepeated(voxels[differs], place, int((~differs).sum()))


@dataclass(frozen=True)
class Shifted:
    """A slice that lies beside its place.

    Attributes
    ----------
    index
        Which.
    shift
        By how many voxels it was rolled, (y, x).
    is_proven
        Whether what left on one side came in on the other, so that rolling it back mends it.
    """

    index: int
    shift: Shift
    is_proven: bool


def shifted_slices(voxels: np.ndarray) -> tuple[Shifted, ...]:
    """Find slices that are rolled in their plane against the slices above and below, which agree."""
    spectra = [np.fft.rfft2(plane - plane.mean()) for plane in voxels.astype(float)]
    shape = voxels.shape[1:]
    steps = [_shift(a, b, shape) for a, b in pairwise(spectra)]
    found = []
    for index in _candidates(steps, spectra, shape):
        beside = [voxels[k] for k in (index - 1, index + 1) if 0 <= k < len(voxels)]
        shift = steps[index - 1] if index else _negative(steps[0])
        mended = np.roll(voxels[index], _negative(shift), axis=(0, 1))
        better = [_correlation(each, mended) - _correlation(each, voxels[index]) for each in beside]
        if min(better) > _SURELY_BETTER:
            found.append(Shifted(index, shift, _seam_closes(voxels[index], shift)))
    return tuple(found)


def _candidates(steps: list[Shift], spectra: list[np.ndarray], shape: tuple[int, ...]) -> list[int]:
    """Slices that the step to them takes aside and the step from them back, their neighbours agreeing."""
    last = len(spectra) - 1
    found = []
    for index in range(1, last):
        moved = steps[index - 1] != (0, 0) and steps[index] == _negative(steps[index - 1])
        if moved and _shift(spectra[index - 1], spectra[index + 1], shape) == (0, 0):
            found.append(index)
    if last >= 2:
        found += [0] if steps[0] != (0, 0) and steps[1] == (0, 0) else []
        found += [last] if steps[-1] != (0, 0) and steps[-2] == (0, 0) else []
    return sorted(found)


def _negative(shift: Shift) -> Shift:
    return -shift[0], -shift[1]


def rolled_back(voxels: np.ndarray, shifted: tuple[Shifted, ...]) -> np.ndarray:
    """Roll slices back to where they belong; those that are not proven stay."""
    mended = voxels.copy()
    for each in shifted:
        if each.is_proven:
            mended[each.index] = np.roll(voxels[each.index], _negative(each.shift), axis=(0, 1))
    return mended


@dataclass(frozen=True)
class UpsideDown:
    """How a phase's slices run against those of another phase.

    Attributes
    ----------
    straight, turned
        Correlation of the gradients around the lesion, as stored and upside down.
    """

    straight: float
    turned: float

    @property
    def is_turned(self) -> bool | None:
        """Whether it is upside down; None where the images do not tell."""
        if max(self.straight, self.turned) < _ALIKE or abs(self.turned - self.straight) < _SURELY_BETTER:
            return None
        return self.turned > self.straight


@dataclass(frozen=True)
class Placed:
    """A volume and its lesion's box.

    Attributes
    ----------
    voxels
        ``[z, y, x]``.
    box
        Counted along these voxels.
    spacing
        Of voxels, (x, y, z), mm.
    """

    voxels: np.ndarray
    box: Box
    spacing: np.ndarray


def upside_down(reference: Placed, stored: Placed, turned: Placed) -> UpsideDown:
    """Compare a phase, as stored and upside down, with another around their lesion."""
    fixed = _around(reference)
    return UpsideDown(_likeness(fixed, _around(stored)), _likeness(fixed, _around(turned)))


def turned_phases(comparisons: Mapping[str, UpsideDown]) -> tuple[frozenset[str], bool]:
    """Which phases run against the rest.

    Parameters
    ----------
    comparisons
        Phase to its comparison with the reference.

    Returns
    -------
    turned : frozenset
        Phases that the images show to be upside down against the reference.
    reference_is_odd : bool
        Whether most phases are, so that rather the reference is.
    """
    turned = frozenset(name for name, each in comparisons.items() if each.is_turned)
    straight = sum(each.is_turned is False for each in comparisons.values())
    return turned, len(turned) > straight


def box_stands_out(voxels: np.ndarray, box: Box) -> float:
    """How far the mean within a box lies from that of a shell around it, in the shell's spreads."""
    low, high = _voxel_range(box, voxels.shape)
    margin = np.maximum((high - low) // 2, 1)
    outer_low, outer_high = np.maximum(low - margin, 0), np.minimum(high + margin, voxels.shape)
    outer = voxels[tuple(map(slice, outer_low, outer_high))].astype(float)
    inside = np.zeros(outer.shape, bool)
    inside[tuple(map(slice, low - outer_low, high - outer_low))] = True
    if inside.all() or not inside.any():
        return 0.0
    spread = outer[~inside].std()
    return float(abs(outer[inside].mean() - outer[~inside].mean()) / spread) if spread > 0 else 0.0


def box_of(mask: np.ndarray) -> Box:
    """The box around a mask ``[z, y, x]`` that is not empty."""
    voxels = np.argwhere(mask)[:, ::-1]
    low, high = (tuple(float(part) for part in end) for end in (voxels.min(axis=0), voxels.max(axis=0)))
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def mirrored_box(box: Box, slices: int) -> Box:
    """A box in the same volume with its slices in the other order."""
    z = (slices - 1 - box.high[2], slices - 1 - box.low[2])
    return Box((*box.low[:2], z[0]), (*box.high[:2], z[1]))


def ellipsoid(shape: tuple[int, ...], box: Box) -> np.ndarray:
    """Voxels of the ellipsoid that a box holds, ``[z, y, x]``; at least the voxel in its middle."""
    low, high = (np.array(corner[::-1]) for corner in (box.low, box.high))
    centre, radius = (low + high) / 2, np.maximum((high - low + 1) / 2, 0.5)
    axes = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(shape, centre, radius, strict=True)]
    inside = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] <= 1
    middle = np.clip(np.round(centre).astype(int), 0, np.array(shape) - 1)
    inside[tuple(middle)] = True
    return np.asarray(inside)


def _voxel_range(box: Box, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    low = np.clip(np.floor(np.array(box.low[::-1])).astype(int), 0, np.array(shape) - 1)
    high = np.clip(np.ceil(np.array(box.high[::-1])).astype(int) + 1, low + 1, shape)
    return low, high


def _around(placed: Placed) -> np.ndarray:
    """The neighbourhood of a box on a grid of its own, whose middle is the box's."""
    voxels, box = placed.voxels, placed.box
    image = sitk.GetImageFromArray(voxels.astype(np.float32))
    image.SetSpacing([float(side) for side in placed.spacing])
    centre = np.multiply(np.add(box.low, box.high) / 2, placed.spacing)
    size = [int(2 * half / step) + 1 for half, step in zip(_HALF_SIDE_MM, _STEP_MM, strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing(_STEP_MM)
    grid.SetOrigin((centre - np.array(_HALF_SIDE_MM)).tolist())
    fill = float(np.median(voxels))
    return sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, fill))


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of the lengths of gradients: edges lie in the same places whatever is bright."""
    lengths = [np.sqrt(sum(part**2 for part in np.gradient(each))) for each in (first, second)]
    return _correlation(*(np.sqrt(each) for each in lengths))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.ravel().astype(float), second.ravel().astype(float)
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _shift(fixed: np.ndarray, moving: np.ndarray, shape: tuple[int, ...]) -> Shift:
    """Whole voxels by which a slice is rolled against another, (y, x), by phase correlation of spectra."""
    product = np.conj(fixed) * moving
    size = np.abs(product)
    peak = np.fft.irfft2(np.divide(product, size, out=np.zeros_like(product), where=size > 0), shape)
    place = np.unravel_index(int(np.argmax(peak)), shape)
    shift = [int(p) if p <= n // 2 else int(p) - n for p, n in zip(place, shape, strict=True)]
    if any(abs(s) > _LARGEST_SHIFT * n for s, n in zip(shift, shape, strict=True)):
        return 0, 0
    return shift[0], shift[1]


def _seam_closes(plane: np.ndarray, shift: Shift) -> bool:
    """Whether the opposite borders of a slice continue each other where it is rolled."""
    for axis, by in enumerate(shift):
        if by == 0:
            continue
        rows = np.moveaxis(plane.astype(float), axis, 0)
        step = float(np.abs(np.diff(rows, axis=0)).mean())
        across = float(np.abs(rows[0] - rows[-1]).mean())
        if across > 1.5 * step or not rows[: abs(by)].any() or not rows[-abs(by) :].any():
            return False
    return True
