"""The one colour scale of all saliency maps: from nothing over yellow to red, which marks the most."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLD = 0.2
"""Saliency below this is not drawn."""

OPACITY = 0.65
"""Opacity of the strongest saliency."""

_ANCHORS = ((255, 255, 178), (254, 204, 92), (253, 141, 60), (240, 59, 32), (189, 0, 38))
"""ColorBrewer's YlOrRd, which stays ordered for colour-blind readers and in grey print."""


def colours(values: ArrayLike) -> NDArray[np.float64]:
    """Colour of saliency values in [0, 1], ``[…, 3]`` in [0, 1]."""
    values = np.asarray(values, float)
    places = np.linspace(0, 1, len(_ANCHORS))
    channels = [np.interp(values, places, channel) for channel in np.transpose(_ANCHORS) / 255]
    return np.stack(channels, axis=-1)


def overlay(values: ArrayLike) -> NDArray[np.float64]:
    """Colour and opacity of saliency values, ``[…, 4]``: clear below the threshold, then ever denser."""
    values = np.asarray(values, float)
    opacity = np.where(values < THRESHOLD, 0.0, OPACITY * (0.4 + 0.6 * values))
    return np.concatenate([colours(values), opacity[..., None]], axis=-1)
