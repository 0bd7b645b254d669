"""Which intensities of a sequence become 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.finite import spans_something
from LiverLesionAI.side_by_side import in_threads
from LiverLesionAI.study import SequenceImage, Study

_SHOWN_SAMPLES = 200_000


class IntensityParameters(Protocol):
    """How intensities are brought to [0, 1].

    Attributes
    ----------
    intensity
        ``"minmax"``: the whole volume's minimum and maximum become 0 and 1. ``"percentile"``: its
        `percentiles` do.
    percentiles
        Lower and upper percentile.
    """

    @property
    def intensity(self) -> Literal["minmax", "percentile"]: ...
    @property
    def percentiles(self) -> tuple[float, float]: ...


def intensity_limits(image: SequenceImage, parameters: IntensityParameters) -> tuple[float, float]:
    """Intensities of a sequence that become 0 and 1.

    Returns
    -------
    tuple of float
        The limits that the sequence carries, else the whole volume's minimum and maximum or percentiles; the
        former too where the percentiles coincide, as in an image that is nearly everywhere constant.
    """
    if image.intensity_limits is not None:
        return image.intensity_limits
    voxels = sitk.GetArrayViewFromImage(image.image)
    if parameters.intensity == "percentile":
        lower, upper = percentiles_of(voxels, parameters.percentiles)
        if spans_something(lower, upper):
            return float(lower), float(upper)
    return float(voxels.min()), float(voxels.max())


def percentiles_of(voxels: NDArray[Any], percentiles: Sequence[float]) -> tuple[float, ...]:
    """Percentiles as :func:`numpy.percentile` gives them; voxels of 8 or 16 bits are counted, not sorted.

    Parameters
    ----------
    voxels
        Of any shape.
    percentiles
        Each in [0, 100].
    """
    if voxels.dtype.kind not in "iu" or voxels.dtype.itemsize > 2:
        return tuple(np.percentile(voxels, percentiles).tolist())
    lowest = min(int(voxels.min()), 0)
    counted = voxels.ravel() if lowest == 0 else np.subtract(voxels, lowest, dtype=np.intp).ravel()
    up_to = np.bincount(counted).cumsum()
    ranks = np.asarray(percentiles) / 100 * (voxels.size - 1)
    below, above = (
        lowest + np.searchsorted(up_to, rank, side="right") for rank in (np.floor(ranks), np.ceil(ranks))
    )
    part = ranks - np.floor(ranks)
    found = np.where(part < 0.5, below + (above - below) * part, above - (above - below) * (1 - part))
    return tuple(found.tolist())


def window_of(voxels: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Percentiles to show an image between: those of some :data:`_SHOWN_SAMPLES` voxels, evenly picked."""
    every = max(1, voxels.size // _SHOWN_SAMPLES) | 1
    low, high = percentiles_of(voxels.ravel()[::every], percentiles)
    return low, high


def with_intensity_limits(study: Study, parameters: IntensityParameters) -> Study:
    """Return the study with every sequence's intensity limits measured, once for all of its lesions."""
    images = list(study.images.values())
    limits = in_threads(lambda image: intensity_limits(image, parameters), images)
    measured = [replace(image, intensity_limits=each) for image, each in zip(images, limits, strict=True)]
    return replace(study, images=dict(zip(study.images, measured, strict=True)))
