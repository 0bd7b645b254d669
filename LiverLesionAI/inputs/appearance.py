"""What a lesion's pictures look like in a few numbers: grey values inside and around it, edges, contrast.

Networks are trained to see differences between lesions and may not see that a picture shows no liver at all.
These numbers are made for that: they tell a brain, another modality, an artefact or an outline with nothing
in it from the lesions that a model knows (:mod:`LiverLesionAI.uncertainty.out_of_distribution`).
"""

from __future__ import annotations

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


def appearance(images: np.ndarray, present: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Describe the pictures of one lesion.

    Parameters
    ----------
    images
        In [0, 1], ``[sequence, y, x]`` or ``[sequence, z, y, x]``, the lesion in the middle.
    present
        Which sequences are there ``[sequence]``.
    radius
        Of the lesion, as part of half the side of the pictures.

    Returns
    -------
    each : numpy.ndarray
        ``[sequence, F]``: percentiles of the lesion's inside, its surroundings and the whole picture,
        spreads, edges, parts that are flat, black or white, and contrast. Not a number where absent.
    together : numpy.ndarray
        ``[CONTRAST_COUNT]``: how much the lesion stands out in the sequences where it does most, and in all;
        not a number where none is there.
    """
    size = images.shape[-1]
    step = max(1, size // _FINEST)
    thin = (slice(None), *(slice(step // 2, None, step) for _ in images.shape[1:]))
    thinned = images[thin]
    inside, around = _regions(thinned.shape[1:], max(radius, _SMALLEST_RADIUS))
    rows = [_described(picture, inside, around) for picture in thinned]
    each = np.array([row for row, _ in rows])
    contrasts = np.array([contrast for _, contrast in rows])
    each[~present] = np.nan
    return each, _together(contrasts[present])


def _regions(shape: tuple[int, ...], radius: float) -> tuple[np.ndarray, np.ndarray]:
    axes = [np.linspace(-1, 1, side) for side in shape]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    inside = distance <= _INSIDE * radius
    around = (distance > _AROUND * radius) & (distance <= _AROUND * radius + _WIDTH)
    return inside if inside.any() else distance <= distance.min(), around if around.any() else ~inside


def _described(picture: np.ndarray, inside: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of one picture, and what they say about contrast."""
    own, other = picture[inside], picture[around]
    contrast = float(np.median(own) - np.median(other))
    low, high = np.percentile(other, (25, 75))
    steps = [np.abs(np.diff(picture, axis=axis)) for axis in range(picture.ndim)]
    numbers = [
        *(value for part in (picture, own, other) for value in np.percentile(part, PERCENTILES)),
        *(part.std() for part in (picture, own, other)),
        np.log(np.mean([step.mean() for step in steps]) + _EDGE),
        (steps[-1] < _FLAT).mean(),
        (picture < _LEAST).mean(),
        (picture > 1 - _LEAST).mean(),
        contrast,
    ]
    ratio = abs(contrast) / (high - low + _NOISE)
    logarithms = np.log([abs(contrast) + _LEAST, ratio + _LEAST_RATIO])
    return np.array(numbers, np.float64), logarithms


def _together(contrasts: np.ndarray) -> np.ndarray:
    """Largest, second and mean of each column of ``[present, 2]``."""
    if not len(contrasts):
        return np.full(CONTRAST_COUNT, np.nan)
    ordered = np.sort(contrasts, axis=0)[::-1]
    return np.concatenate([ordered[0], ordered[min(1, len(ordered) - 1)], ordered.mean(axis=0)])
