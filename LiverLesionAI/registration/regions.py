"""Where registration looks: around the lesions or in the whole volume, and the images prepared there.

All grids here lie in the reference frame (LPS mm) along the axes of the reference image.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.study import Study

SEARCH_MM = (60.0, 60.0, 45.0)
"""How much around a lesion is searched, along the reference grid's axes (x, y, z)."""
CLOSE_MM = (25.0, 25.0, 25.0)
"""How much around a lesion counts in the end. The border of the liver, where fat and partial volume differ
from sequence to sequence and pull an alignment by millimetres, mostly lies farther away."""
WHOLE = "the whole volume"
BODY_SPACING_MM = (6.0, 6.0, 6.0)
AIR_BELOW = 0.08
"""Air lies below this part of the way from the darkest to the bright voxels."""
_RANKED_SAMPLES, _LEVELS = 100_000, 65_536
FINEST_MM = 2.0
"""Detail finer than this is not needed to align to 2 mm."""


@dataclass(frozen=True)
class Box:
    """A box along the axes of the reference image.

    Attributes
    ----------
    low, high
        Corners in mm along the axes, measured from the reference image's origin.
    origin, direction
        Of the reference image: LPS mm, and direction cosines row-major.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def size_mm(self) -> NDArray[np.float64]:
        """Length of the sides."""
        return np.subtract(self.high, self.low)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre, LPS mm."""
        return self.point(np.add(self.low, self.high) / 2)

    def point(self, along_axes: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
        """LPS point of a position along the axes."""
        axes = np.reshape(self.direction, (3, 3))
        x, y, z = (np.asarray(self.origin) + axes @ np.asarray(along_axes)).tolist()
        return x, y, z

    def grown(self, margin_mm: float | Sequence[float]) -> Box:
        """The box with a margin on every side."""
        low, high = np.subtract(self.low, margin_mm), np.add(self.high, margin_mm)
        return Box(tuple(low.tolist()), tuple(high.tolist()), self.origin, self.direction)

    def clipped(self, other: Box) -> Box:
        """What both boxes, along the same axes, have in common."""
        low, high = np.maximum(self.low, other.low), np.minimum(self.high, other.high)
        return Box(tuple(low.tolist()), tuple(np.maximum(low, high).tolist()), self.origin, self.direction)

    def grid(self, spacing_mm: Sequence[float]) -> sitk.Image:
        """Empty image that fills the box with about this spacing; its voxels' centres lie within the box."""
        count = np.maximum(np.round(self.size_mm / spacing_mm).astype(int), 1)
        step = np.maximum(self.size_mm / count, 1e-3)
        image = sitk.Image(count.tolist(), sitk.sitkFloat32)
        image.SetSpacing(step.tolist())
        image.SetDirection(self.direction)
        image.SetOrigin(self.point(np.asarray(self.low) + step / 2))
        return image

    def inside(self, grid: sitk.Image) -> NDArray[np.bool_]:
        """Which voxels of a grid along the same axes lie in the box, ``[z, y, x]``."""
        axes = np.reshape(self.direction, (3, 3))
        first = axes.T @ np.subtract(grid.GetOrigin(), self.origin)
        within = []
        for axis in range(3):
            along = first[axis] + np.arange(grid.GetSize()[axis]) * grid.GetSpacing()[axis]
            within.append((along >= self.low[axis]) & (along <= self.high[axis]))
        return within[2][:, None, None] & within[1][:, None] & within[0]


@dataclass(frozen=True)
class Region:
    """What is to be aligned.

    Attributes
    ----------
    box
        Everything that is looked at.
    focuses
        The neighbourhoods that each must not become worse, by what they are called; their union is what the
        similarity is measured in.
    body
        Label image of the body; None where everything in the box counts.
    """

    box: Box
    focuses: Mapping[str, Box]
    body: sitk.Image | None = None

    def mask(self, grid: sitk.Image) -> NDArray[np.bool_]:
        """Voxels of a grid in any focus and in the body, ``[z, y, x]``."""
        inside = np.logical_or.reduce([focus.inside(grid) for focus in self.focuses.values()])
        return inside if self.body is None else inside & _labelled(self.body, grid)

    def focus_masks(self, grid: sitk.Image) -> dict[str, NDArray[np.bool_]]:
        """Voxels of a grid in each focus and in the body, ``[z, y, x]``."""
        masks = {name: focus.inside(grid) for name, focus in self.focuses.items()}
        if self.body is None:
            return masks
        body = _labelled(self.body, grid)
        return {name: mask & body for name, mask in masks.items()}

    def spacing_mm(self, finest_mm: float, voxels: int) -> tuple[float, float, float]:
        """Isotropic spacing, not finer than needed, that fills the box with at most about so many voxels."""
        spacing = max(finest_mm, float(np.prod(self.box.size_mm) / voxels) ** (1 / 3))
        return spacing, spacing, spacing


def image_box(image: sitk.Image, axes_of: sitk.Image) -> Box:
    """The box along another image's axes that holds an image, whole voxels included."""
    direction = np.reshape(axes_of.GetDirection(), (3, 3))
    indices = product(*((-0.5, n - 0.5) for n in image.GetSize()))
    points = [image.TransformContinuousIndexToPhysicalPoint(index) for index in indices]
    along = np.subtract(points, axes_of.GetOrigin()) @ direction
    low, high = along.min(axis=0), along.max(axis=0)
    return Box(tuple(low.tolist()), tuple(high.tolist()), axes_of.GetOrigin(), axes_of.GetDirection())


def volume_region(study: Study) -> Region:
    """The body in the reference image; its lesions' neighbourhoods, where outlined, must not become worse."""
    reference = study.images[study.reference].image
    whole = image_box(reference, reference)
    body = body_mask(reference, whole)
    filled = np.argwhere(sitk.GetArrayViewFromImage(body) > 0)[:, ::-1]
    step, axes = np.asarray(body.GetSpacing()), np.reshape(whole.direction, (3, 3))
    first = axes.T @ np.subtract(body.GetOrigin(), whole.origin)
    low, high = first + (filled.min(axis=0) - 0.5) * step, first + (filled.max(axis=0) + 0.5) * step
    box = Box(tuple(low.tolist()), tuple(high.tolist()), whole.origin, whole.direction)
    focuses = {WHOLE: box}
    if study.lesions is not None:
        focuses |= lesion_boxes(study, SEARCH_MM)
    return Region(box, focuses, body)


def body_mask(image: sitk.Image, box: Box) -> sitk.Image:
    """The body in an image of any contrast: the largest connected part that is brighter than air, filled."""
    grid = box.grid(BODY_SPACING_MM)
    smooth = sitk.Resample(
        sitk.Cast(image, sitk.sitkFloat32), grid, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear
    )
    darkest, bright = np.percentile(sitk.GetArrayViewFromImage(smooth), (1, 95))
    above_air = smooth > float(darkest + AIR_BELOW * (bright - darkest))
    parts = sitk.RelabelComponent(
        sitk.ConnectedComponent(sitk.BinaryMorphologicalOpening(above_air, [1, 1, 0]))
    )
    body = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(parts == 1, [2, 2, 1]))
    if not sitk.GetArrayViewFromImage(body).any():
        body = sitk.Cast(smooth >= float(darkest), sitk.sitkUInt8)
    return body


def lesion_region(study: Study, around_mm: Sequence[float]) -> Region:
    """The neighbourhood of each lesion, so far around its box, within the reference image.

    Several lesions are aligned by one transform over the box that holds all their neighbourhoods, so that
    what lies between them stays smooth; only the neighbourhoods themselves count.
    """
    reference = study.images[study.reference].image
    focuses = lesion_boxes(study, around_mm)
    low = np.min([focus.low for focus in focuses.values()], axis=0)
    high = np.max([focus.high for focus in focuses.values()], axis=0)
    box = Box(tuple(low.tolist()), tuple(high.tolist()), reference.GetOrigin(), reference.GetDirection())
    return Region(box, focuses)


def lesion_boxes(study: Study, around_mm: Sequence[float]) -> dict[str, Box]:
    """Neighbourhood of each lesion, so far around it along the reference's axes, by its label."""
    reference = study.images[study.reference].image
    whole = image_box(reference, reference)
    lesions = study.outlined_lesions
    boxes = {}
    for lesion_id in study.lesion_ids:
        lower, upper = np.asarray(lesion_geometry(lesions, lesion_id).box_index)
        corners = product(*zip(lower.tolist(), upper.tolist(), strict=True))
        points = [lesions.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners]
        along = np.subtract(points, reference.GetOrigin()) @ np.reshape(reference.GetDirection(), (3, 3))
        low, high = along.min(axis=0).tolist(), along.max(axis=0).tolist()
        box = replace(whole, low=tuple(low), high=tuple(high)).grown(around_mm).clipped(whole)
        if np.all(box.size_mm > 0):
            boxes[f"lesion {lesion_id}"] = box
    return boxes or {WHOLE: whole}


def common_resolution_mm(box: Box, *images: sitk.Image) -> NDArray[np.float64]:
    """The coarsest spacing of several images along each axis of a box, and at least `FINEST_MM`."""
    spacing = [np.asarray(image.GetSpacing())[_axes_along(image, box)] for image in images]
    return np.maximum(np.max(spacing, axis=0), FINEST_MM)


def _axes_along(image: sitk.Image, box: Box) -> NDArray[np.intp]:
    """For each axis of a box, the index axis of an image that runs closest to it."""
    axes = np.reshape(box.direction, (3, 3)).T @ np.reshape(image.GetDirection(), (3, 3))
    order = sorted(permutations(range(3)), key=lambda p: -sum(abs(axes[row, p[row]]) for row in range(3)))
    return np.asarray(order[0])


Prepare = Callable[[sitk.Image, "Box", NDArray[np.float64]], sitk.Image]
"""What :func:`prepared` does."""


def remembering_prepared(images: Iterable[sitk.Image]) -> Prepare:
    """Return :func:`prepared` with a memory for some images, of which several alignments ask the same.

    It holds what it remembers, and the images, as long as it is held itself. Threads may share it.
    """
    numbers = {id(image): (number, image) for number, image in enumerate(images)}
    known: dict[Hashable, sitk.Image] = {}

    def prepare(image: sitk.Image, box: Box, resolution_mm: NDArray[np.float64]) -> sitk.Image:
        if id(image) not in numbers:
            return prepared(image, box, resolution_mm)
        key = (numbers[id(image)][0], box, *resolution_mm.tolist())
        if key not in known:
            known[key] = prepared(image, box, resolution_mm)
        return known[key]

    return prepare


def prepared(image: sitk.Image, box: Box, resolution_mm: NDArray[np.float64]) -> sitk.Image:
    """The part of an image in a box, blurred to a resolution along the box's axes, as ranks from 0 to 1.

    Mutual information does not care for monotone changes of intensity; ranks spread the tissues evenly over
    its bins, where bright fluid would otherwise leave one bin to the whole liver.
    """
    axes = _axes_along(image, box).tolist()
    part = _averaged(sitk.Cast(_cropped(image, box), sitk.sitkFloat32), axes, resolution_mm)
    voxels = sitk.GetArrayFromImage(part)
    for axis, wanted in zip(axes, resolution_mm, strict=True):
        variance = (wanted**2 - part.GetSpacing()[axis] ** 2) / 12
        if variance > 0.01:
            voxels = _blurred(voxels, 2 - axis, variance / part.GetSpacing()[axis] ** 2)
    ranked = sitk.GetImageFromArray(ranks(voxels))
    ranked.CopyInformation(part)
    return ranked


def _blurred(voxels: NDArray[np.float32], axis: int, variance: float) -> NDArray[np.float32]:
    """Blur along an axis by neighbours' shares; their variance, in voxels squared, is that of a Gaussian.

    A recursive Gaussian takes five times as long, and does not keep to so small a width.
    """
    passes = int(np.ceil(2 * variance))
    side = variance / passes / 2
    for _ in range(passes):
        voxels = correlate1d(voxels, [side, 1 - 2 * side, side], axis, mode="nearest")
    return voxels


def _averaged(part: sitk.Image, axes: list[int], resolution_mm: NDArray[np.float64]) -> sitk.Image:
    """Join voxels into means that are no larger than half of a resolution: there is less left to blur."""
    joined = [1, 1, 1]
    for axis, wanted in zip(axes, resolution_mm, strict=True):
        joined[axis] = int(min(max(wanted / (2 * part.GetSpacing()[axis]), 1), part.GetSize()[axis]))
    return part if joined == [1, 1, 1] else sitk.BinShrink(part, joined)


def ranks(values: NDArray[np.float32], steps: int = 256) -> NDArray[np.float32]:
    """Each value's rank among all, 0 to 1; equal values share the lowest rank.

    Quantiles are those of at most about `_RANKED_SAMPLES` values, evenly picked, and values are looked up in
    `_LEVELS` levels between the smallest and the largest: an image of millions of voxels takes milliseconds.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values, np.float32)
    every = max(1, values.size // _RANKED_SAMPLES)
    levels = np.linspace(0, 1, steps + 1)
    quantiles, first = np.unique(np.quantile(values.ravel()[::every], levels), return_index=True)
    table = np.interp(np.linspace(low, high, _LEVELS), quantiles, levels[first]).astype(np.float32)
    return table[((values - low) * ((_LEVELS - 1) / (high - low)) + 0.5).astype(np.int32)]


def _cropped(image: sitk.Image, box: Box) -> sitk.Image:
    corners = [box.point(corner) for corner in product(*zip(box.low, box.high, strict=True))]
    indices = np.array([image.TransformPhysicalPointToContinuousIndex(corner) for corner in corners])
    size = np.asarray(image.GetSize())
    low = np.clip(np.floor(indices.min(axis=0)).astype(int), 0, size - 1)
    high = np.clip(np.ceil(indices.max(axis=0)).astype(int), low, size - 1)
    return sitk.RegionOfInterest(image, (high - low + 1).tolist(), low.tolist())


def _labelled(labels: sitk.Image, grid: sitk.Image) -> NDArray[np.bool_]:
    still = sitk.Transform(3, sitk.sitkIdentity)
    return sitk.GetArrayFromImage(sitk.Resample(labels, grid, still, sitk.sitkNearestNeighbor)) > 0
