"""How alike two images are under a transform, and the search for a shift that makes them so.

Normalised mutual information (Studholme et al., Pattern Recognition 1999;32:71–86) is 1 for independent
images and 2 for images that determine each other. Unlike mutual information it does not reward a small
overlap or a place where there is merely more to be seen, which matters in small regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.registration.regions import Prepare, Region, prepared
from LiverLesionAI.side_by_side import Each, one_after_the_other

BINS = 24
GATE_SPACING_MM, GATE_VOXELS = 2.5, 60_000
SEARCH_SPACING_MM, SEARCH_VOXELS = 4.5, 30_000
REACH_MM = 20.0
"""How far the scanner's positions may be wrong in the coarse search; later stages may go further."""
LEAST_OVERLAP = 0.5
_OUTSIDE = -1.0


@dataclass(frozen=True)
class Focus:
    """A neighbourhood in which similarity is measured.

    Attributes
    ----------
    grid
        The part of the region's grid that holds it.
    inside
        Its voxels on the grid, ``[z, y, x]``.
    fixed
        Bins of the reference in these voxels.
    """

    grid: sitk.Image
    inside: NDArray[np.bool_]
    fixed: NDArray[np.int64]


@dataclass(frozen=True)
class Similarity:
    """Similarity of one moving image to the reference in a region.

    Attributes
    ----------
    moving
        The moving image as ranks (:func:`LiverLesionAI.registration.regions.prepared`).
    focuses
        The neighbourhoods, by what they are called.
    """

    moving: sitk.Image
    focuses: Mapping[str, Focus]

    @classmethod
    def of(cls, region: Region, fixed: sitk.Image, moving: sitk.Image) -> Similarity:
        """Similarity of two prepared images."""
        grid = region.box.grid(region.spacing_mm(GATE_SPACING_MM, GATE_VOXELS))
        still = sitk.Transform(3, sitk.sitkIdentity)
        focuses = {}
        for name, mask in region.focus_masks(grid).items():
            part, inside = _trimmed(grid, mask)
            focuses[name] = Focus(part, inside, binned(_on(part, fixed, still)[inside]))
        return cls(moving, focuses)

    def around(self, transform: sitk.Transform) -> dict[str, float]:
        """Normalised mutual information in each neighbourhood; 0 where too little of it is covered."""
        return {
            name: normalised_mutual_information(
                focus.fixed, binned(_on(focus.grid, self.moving, transform)[focus.inside])
            )
            for name, focus in self.focuses.items()
        }


def _trimmed(grid: sitk.Image, mask: NDArray[np.bool_]) -> tuple[sitk.Image, NDArray[np.bool_]]:
    """The smallest part of a grid that holds the voxels of a mask, and the mask on it; one voxel of none."""
    filled = np.argwhere(mask)
    low, high = (
        (filled.min(axis=0), filled.max(axis=0) + 1) if len(filled) else (np.zeros(3, int), np.ones(3, int))
    )
    part = sitk.RegionOfInterest(grid, (high - low)[::-1].tolist(), low[::-1].tolist())
    return part, mask[tuple(slice(*ends) for ends in zip(low, high, strict=True))]


def binned(ranked: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each rank from 0 to 1; `BINS` itself for what is outside of the image."""
    return np.where(ranked < -0.5, BINS, np.minimum(ranked * BINS, BINS - 1)).astype(np.int64)


def normalised_mutual_information(fixed: NDArray[np.int64], moving: NDArray[np.int64]) -> float:
    """Normalised mutual information of two arrays of bins over what both cover.

    Returns 0 where less than `LEAST_OVERLAP` of the voxels is covered by both.
    """
    counts = np.bincount(fixed.ravel() * (BINS + 1) + moving.ravel(), minlength=(BINS + 1) ** 2)
    counts = counts.reshape(BINS + 1, BINS + 1)[:BINS, :BINS]
    covered = counts.sum()
    if covered < max(LEAST_OVERLAP * fixed.size, 1):
        return 0.0
    joint = counts / covered
    both = _entropy(joint)
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / both if both > 0 else 0.0


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _on(grid: sitk.Image, image: sitk.Image, transform: sitk.Transform) -> NDArray[np.float32]:
    return sitk.GetArrayFromImage(
        sitk.Resample(image, grid, transform, sitk.sitkLinear, _OUTSIDE, sitk.sitkFloat32)
    )


def search_shifts(
    region: Region,
    fixed: sitk.Image,
    moving: Sequence[sitk.Image],
    each: Each = one_after_the_other,
    prepare: Prepare = prepared,
) -> list[tuple[float, float, float]]:
    """Find the shift within `REACH_MM` under which two images are most alike, by trying all on a coarse grid.

    Parameters
    ----------
    region
        What is to be aligned.
    fixed
        The image to align with.
    moving
        Images to be aligned, each by itself.
    each
        Does several things side by side.
    prepare
        Prepares images.

    Returns
    -------
    list of tuple of float
        For each moving image the shift from the fixed image to it, LPS mm, to within half of the
        grid's spacing.
    """
    grid = region.box.grid(region.spacing_mm(SEARCH_SPACING_MM, SEARCH_VOXELS))
    spacing = np.asarray(grid.GetSpacing())
    still = sitk.Transform(3, sitk.sitkIdentity)
    reference = binned(_on(grid, prepare(fixed, region.box, spacing), still))
    inside = region.mask(grid)
    steps = np.floor(REACH_MM / spacing).astype(int)
    reach = sitk.ConstantPad(grid, steps.tolist(), steps.tolist())
    axes = np.reshape(grid.GetDirection(), (3, 3))

    def shift(image: sitk.Image) -> tuple[float, float, float]:
        moved = binned(_on(reach, prepare(image, region.box.grown(REACH_MM), spacing), still))
        x, y, z = (axes @ (_best_offset(reference, moved, inside) * spacing)).tolist()
        return x, y, z

    return each(shift, moving)


def _best_offset(
    reference: NDArray[np.int64], moved: NDArray[np.int64], inside: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Offset (x, y, z) in voxels from the middle at which a window of `moved` is most like `reference`."""
    z, y, x = reference.shape
    windows = np.lib.stride_tricks.sliding_window_view(moved, (z, y, x))
    everywhere = bool(inside.all())
    seen = reference if everywhere else reference[inside]
    scores = {
        index: normalised_mutual_information(seen, window if everywhere else window[inside])
        for index in np.ndindex(windows.shape[:3])
        for window in (windows[index],)
    }
    middle = np.asarray(windows.shape[:3]) // 2
    best = max(scores, key=lambda index: (scores[index], -np.abs(index - middle).sum()))
    return (np.asarray(best) - middle)[::-1]
