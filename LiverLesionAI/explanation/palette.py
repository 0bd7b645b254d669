"""The one colour scale of all saliency maps: from nothing over yellow to red, which marks the most."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLD = 0.1
"""Saliency up to this is not drawn."""

DENSE = 0.6
"""From this on saliency has its full opacity; in between it fades in, so that no edge shows that is none."""

CUT = 0.25
"""Where Slicer's slice views cut, since they cannot fade by value: there saliency has a fifth of its opacity.

To a display node of scalar volumes the opacity of a colour is yes or no (vtkMRMLScalarVolumeDisplayNode).
"""

OPACITY = 0.65
"""Opacity of dense saliency over the image."""

_ANCHORS = ((255, 255, 178), (254, 204, 92), (253, 141, 60), (240, 59, 32), (189, 0, 38))
"""ColorBrewer's YlOrRd, which stays ordered for colour-blind readers and in grey print."""


def colours(values: ArrayLike) -> NDArray[np.float64]:
    """Colour of saliency values in [0, 1], ``[…, 3]`` in [0, 1]."""
    values = np.asarray(values, float)
    places = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(values, places, channel) for channel in np.transpose(_ANCHORS) / 255]
    return np.stack(channels, axis=-1)


def density(values: ArrayLike) -> NDArray[np.float64]:
    """Part of the full opacity: 0 up to the threshold, then smoothly to 1 where saliency is dense."""
    rising = np.clip((np.asarray(values, float) - THRESHOLD) / (DENSE - THRESHOLD), 0.0, 1.0)
    return rising * rising * (3.0 - 2.0 * rising)


def overlay(values: ArrayLike) -> NDArray[np.float64]:
    """Colour and opacity of saliency values, ``[…, 4]`` in [0, 1]."""
    return np.concatenate([colours(values), OPACITY * density(values)[..., None]], axis=-1)
