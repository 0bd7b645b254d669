"""Every slice of a series, whole, as a network for slices sees it (Kim et al. 2020).

Training and inference both come through :func:`whole_slices`, so they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inputs.bounds import refuse_outside
from LiverLesionAI.inputs.intensity import intensity_limits
from LiverLesionAI.inputs.resizing import resizing
from LiverLesionAI.registration.outlines import inverse_within
from LiverLesionAI.study import Study

SMALLEST_SIZE, LARGEST_SIZE = 32, 1024
"""Pixels along the side of a slice."""
COARSEST_MM = 2.6
"""Pixels of axial slices are no coarser than this; a series cut along another axis is, as a rule."""
MOST_TILT_DEG = 30.0
"""Slices that are tilted further are no axial ones."""


@dataclass(frozen=True)
class SeriesParameters:
    """How slices are shown to a network, and what is learned from; stored whole in a bundle's metadata.

    Attributes
    ----------
    size
        Pixels along the side of a slice; 320 in the paper.
    intensity
        ``"percentile"``: the whole volume's `percentiles` become 0 and 1 and what lies beyond is clipped.
        ``"minmax"``: its minimum and maximum do.
    percentiles
        Lower and upper percentile.
    operating_point
        A slice of this probability or more is taken to show a lesion.
    region_share
        Where the map of a slice reaches this share of its highest value, it belongs to a candidate.
    training_step
        Of the slices without a lesion every how many-th is learned from; neighbours are much alike.
    training_least_mm2
        Slices that show less of a lesion, but some, are not learned from.
    """

    size: int = 320
    intensity: Literal["minmax", "percentile"] = "percentile"
    percentiles: tuple[float, float] = (0.5, 99.5)
    operating_point: float = 0.5
    region_share: float = 0.5
    training_step: int = 1
    training_least_mm2: float = 0.0

    def __post_init__(self) -> None:
        lower, upper = self.percentiles
        refuse_outside(
            {
                "size": not SMALLEST_SIZE <= self.size <= LARGEST_SIZE,
                "percentiles": not 0 <= lower < upper <= 100,
                "operating_point": not 0 < self.operating_point < 1,
                "region_share": not 0 < self.region_share < 1,
                "training_step": not 1 <= self.training_step <= 1000,
                "training_least_mm2": not 0 <= self.training_least_mm2 <= 10_000,
            },
            "a series",
        )


@dataclass(frozen=True)
class Series:
    """A series whose slices are looked at one by one.

    Attributes
    ----------
    sequence
        Its name.
    image
        Its voxels, the axes turned and flipped so that they run to the patient's left, back and head as
        nearly as they can; slices are numbered from the feet.
    limits
        Intensities that become 0 and 1.
    size
        Pixels along the side of a slice as the network sees it.
    """

    sequence: str
    image: sitk.Image
    limits: tuple[float, float]
    size: int

    @cached_property
    def voxels(self) -> NDArray[np.generic]:
        """``[slice, y, x]``."""
        return sitk.GetArrayViewFromImage(self.image)

    @property
    def count(self) -> int:
        """How many slices there are."""
        return int(self.image.GetSize()[2])

    @property
    def side_mm(self) -> float:
        """Side of the square that a slice fills, or a slice that is no square lies in the middle of."""
        return max(self._extent_mm)

    @property
    def _extent_mm(self) -> tuple[float, float]:
        (nx, ny, _), (sx, sy, _) = self.image.GetSize(), self.image.GetSpacing()
        return nx * sx, ny * sy

    def pixels(self, index: int) -> NDArray[np.float32]:
        """One slice as the network sees it, float32 ``[size, size]`` in [0, 1]."""
        lower, upper = self.limits
        scaled = (self.voxels[index].astype(np.float32) - np.float32(lower)) / np.float32(upper - lower)
        height, width = scaled.shape
        across, down = (extent / self.side_mm for extent in self._extent_mm)
        rows, columns = resizing(height, self.size, down), resizing(width, self.size, across)
        return np.clip(rows @ np.clip(scaled, 0, 1) @ columns.T, 0, 1)

    def placed(self, cells: NDArray[np.generic]) -> sitk.Image:
        """Put values of equal cells of every slice's square, ``[slice, y, x]``, into the patient's space."""
        size, spacing = np.array(self.image.GetSize()), np.array(self.image.GetSpacing())
        step = np.array([self.side_mm / cells.shape[2], self.side_mm / cells.shape[1], spacing[2]])
        middle = self.image.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist())
        axes = np.reshape(self.image.GetDirection(), (3, 3))
        image = sitk.GetImageFromArray(cells)
        image.SetSpacing(step.tolist())
        image.SetDirection(self.image.GetDirection())
        reach = (np.array(image.GetSize()) - 1) / 2 * step
        image.SetOrigin((np.array(middle) - axes @ reach).tolist())
        return image


@dataclass(frozen=True)
class WholeSlice:
    """One slice of a series."""

    series: Series
    index: int
    warnings: tuple[str, ...] = ()
    lesion_id: int | None = None
    geometry: LesionGeometry | None = None
    crop_mm: float | None = None
    centre_lps_mm: tuple[float, float, float] | None = None
    clinical: tuple[str, ...] = ()
    present: tuple[bool, ...] = (True,)

    @property
    def name(self) -> str:
        """The slice, for people, counted from 1 at the feet."""
        return f"slice {self.index + 1} of {self.series.count}"

    @property
    def slice_number(self) -> int:
        """Number of the slice, counted from 1 at the feet."""
        return self.index + 1

    @property
    def sequences(self) -> tuple[str, ...]:
        """The series."""
        return (self.series.sequence,)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Image ``[1, y, x]``."""
        return (self.series.pixels(self.index)[None],)


def whole_slices(study: Study, sequence: str, parameters: SeriesParameters) -> tuple[WholeSlice, ...]:
    """Every slice of one of a study's series, from the feet to the head.

    Raises
    ------
    StudyError
        If the series is not at hand, or was not acquired in axial slices.
    """
    found = study.images.get(sequence)
    if found is None:
        there = ", ".join(study.images) or "no sequence"
        raise StudyError(
            f"Study {study.id} has no {sequence}, in which lesions are looked for; it has {there}. Add the "
            f"series, or name it in the study folder {sequence}.nii.gz."
        )
    image = sitk.DICOMOrient(found.image, "LPS")
    _check_axial(study, sequence, image)
    series = Series(sequence, image, intensity_limits(found, parameters), parameters.size)
    return tuple(WholeSlice(series, index) for index in range(series.count))


def _check_axial(study: Study, sequence: str, image: sitk.Image) -> None:
    tilt = np.degrees(np.arccos(np.clip(abs(np.reshape(image.GetDirection(), (3, 3))[2, 2]), 0, 1)))
    spacing = image.GetSpacing()
    if tilt > MOST_TILT_DEG:
        raise StudyError(
            f"{sequence} of study {study.id} is tilted by {tilt:.0f}° against axial slices, which the model "
            f"was trained on (up to {MOST_TILT_DEG:.0f}°); give an axial series."
        )
    if max(spacing[:2]) > COARSEST_MM:
        raise StudyError(
            f"{sequence} of study {study.id} has pixels of {max(spacing[:2]):.1f} mm in axial slices (up to "
            f"{COARSEST_MM:g} mm can be used), as a series of coronal or sagittal slices has; give an axial "
            "one."
        )


def corners(image: sitk.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest coordinates of an image's voxels, LPS mm."""
    ends = np.stack([np.zeros(3), np.subtract(image.GetSize(), 1)])
    picks = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
    points = [image.TransformContinuousIndexToPhysicalPoint(ends[pick, [0, 1, 2]].tolist()) for pick in picks]
    return np.min(points, axis=0), np.max(points, axis=0)


def lesion_areas(study: Study, series: Series) -> NDArray[np.float64]:
    """Area of outlined lesions on each slice of a series in mm², ``[slice]``; zeros without outlines.

    What was outlined on the series itself counts before the study's outline, which goes through the series'
    transform.
    """
    own = study.outlines.get(series.sequence, study.lesions)
    if own is None:
        return np.zeros(series.count)
    moved = None if series.sequence in study.outlines else study.images[series.sequence].transform
    way = (
        sitk.Transform(3, sitk.sitkIdentity)
        if moved is None
        else inverse_within(moved, *corners(series.image))
    )
    mask = sitk.Resample(own != 0, series.image, way, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    sx, sy, _ = series.image.GetSpacing()
    return sitk.GetArrayViewFromImage(mask).sum(axis=(1, 2), dtype=np.int64) * (sx * sy)
