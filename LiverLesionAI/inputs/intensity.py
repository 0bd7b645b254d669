"""Which intensities of a sequence become 0 and 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.finite import spans_something
from LiverLesionAI.study import SequenceImage, Study


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
        lower, upper = np.percentile(voxels, parameters.percentiles)
        if spans_something(lower, upper):
            return float(lower), float(upper)
    return float(voxels.min()), float(voxels.max())


def with_intensity_limits(study: Study, parameters: IntensityParameters) -> Study:
    """Return the study with every sequence's intensity limits measured, once for all of its lesions."""
    images = {
        name: replace(image, intensity_limits=intensity_limits(image, parameters))
        for name, image in study.images.items()
    }
    return replace(study, images=images)
