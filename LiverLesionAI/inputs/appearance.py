"""What pictures of a lesion look like in a few numbers: grey values inside and around it, edges, contrast.

Networks are trained to see differences between lesions and may not see that a picture shows no liver at all.
These numbers are made for that: they tell a brain, another modality, an artefact or an outline with nothing
in it from the lesions that a model knows (:mod:`LiverLesionAI.uncertainty.out_of_distribution`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PERCENTILES = (2, 25, 50, 75, 98)
CONTRAST_COUNT = 6
_INSIDE, _AROUND, _WIDTH = 0.8, 1.25, 0.35
"""Radius of the ball inside and inner one of the shell, in the lesion's radius; its width in half sides."""
_SMALLEST_RADIUS = 0.1
_FINEST = 32
"""Voxels a side that are enough; finer pictures are thinned out."""
_FLAT, _EDGE = 0.004, 0.003
_LEAST, _NOISE, _LEAST_RATIO = 0.01, 0.01, 0.05


@dataclass(frozen=True)
class Pictures:
    """Square or cubic pictures of a lesion, which lies in their middle.

    Attributes
    ----------
    images
        In [0, 1], ``[sequence, y, x]`` or ``[sequence, z, y, x]``.
    side_mm
        What a side shows.
    """

    images: np.ndarray
    side_mm: float


def appearance(
    lesion: Pictures, surroundings: Pictures, present: np.ndarray, diameter_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Describe what shows a lesion.

    Parameters
    ----------
    lesion
        Tells how much the lesion stands out.
    surroundings
        Tells everything else; may be the same.
    present
        Which sequences are there ``[sequence]``.
    diameter_mm
        Of the lesion.

    Returns
    -------
    each : numpy.ndarray
        ``[sequence, F]``: percentiles of the lesion's inside, its surroundings and the whole picture,
        spreads, edges, parts that are flat, black or white, and contrast. Not a number where absent.
    together : numpy.ndarray
        ``[CONTRAST_COUNT]``: how much the lesion stands out in the sequences where it does most, and in all;
        not a number where none is there.
    """
    wide = _regions(surroundings, diameter_mm)
    thinned, inside, around = wide
    each = np.array([_described(picture, inside, around) for picture in thinned])
    each[~present] = np.nan
    thinned, inside, around = wide if lesion is surroundings else _regions(lesion, diameter_mm)
    contrasts = np.array([_standing_out(picture[inside], picture[around]) for picture in thinned])
    return each, _together(contrasts[present])


def _regions(pictures: Pictures, diameter_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures thinned out, a ball inside the lesion and a shell around it."""
    images = pictures.images
    step = max(1, images.shape[-1] // _FINEST)
    thin = (slice(None), *(slice(step // 2, None, step) for _ in images.shape[1:]))
    thinned = images[thin]
    radius = max(diameter_mm / pictures.side_mm, _SMALLEST_RADIUS)
    axes = [np.linspace(-1, 1, side) for side in thinned.shape[1:]]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    inside = distance <= _INSIDE * radius
    around = (distance > _AROUND * radius) & (distance <= _AROUND * radius + _WIDTH)
    if not inside.any():
        inside = distance <= distance.min()
    return thinned, inside, around if around.any() else ~inside


def _described(picture: np.ndarray, inside: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Numbers of one picture."""
    own, other = picture[inside], picture[around]
    steps = [np.abs(np.diff(picture, axis=axis)) for axis in range(picture.ndim)]
    numbers = [
        *(value for part in (picture, own, other) for value in np.percentile(part, PERCENTILES)),
        *(part.std() for part in (picture, own, other)),
        np.log(np.mean([step.mean() for step in steps]) + _EDGE),
        (steps[-1] < _FLAT).mean(),
        (picture < _LEAST).mean(),
        (picture > 1 - _LEAST).mean(),
        _contrast(own, other),
    ]
    return np.array(numbers, np.float64)


def _standing_out(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Logarithms of the contrast, and of its ratio to the spread of what is around."""
    low, high = np.percentile(other, (25, 75))
    contrast = abs(_contrast(own, other))
    return np.log([contrast + _LEAST, contrast / (high - low + _NOISE) + _LEAST_RATIO])


def _contrast(own: np.ndarray, other: np.ndarray) -> float:
    return float(np.median(own) - np.median(other))


def _together(contrasts: np.ndarray) -> np.ndarray:
    """Largest, second and mean of each column of ``[present, 2]``."""
    if not len(contrasts):
        return np.full(CONTRAST_COUNT, np.nan)
    ordered = np.sort(contrasts, axis=0)[::-1]
    return np.concatenate([ordered[0], ordered[min(1, len(ordered) - 1)], ordered.mean(axis=0)])
