"""One-click lesion: from a point in a lesion to its outline in three dimensions.

The lesion is taken to be star-shaped around its centre. Rays go out from the click; along them every sequence
is sampled from its native grid through its transform. A closed surface (a radius for each ray) is then found
by turns, as in GrabCut (Rother et al. 2004): what lies inside and in a shell outside gives each sequence a
histogram of either; the sum of their log-likelihood ratios says how much each sample looks like lesion; and
the smooth surface that gathers most evidence (Li et al. 2006 search it in the same unfolded space) is where
the next turn begins. Rims, scars and targets need no model of their own, because a histogram has as many
peaks as it likes, and a sequence that does not show the lesion has ratios near zero. Starting from spheres of
many sizes gives candidates; the largest one that is closed on nearly all sides is the answer, and where none
is closed the function says so.

References
----------
C. Rother, V. Kolmogorov, A. Blake: "GrabCut": interactive foreground extraction using iterated graph cuts.
ACM Transactions on Graphics 23(3), 2004.
K. Li, X. Wu, D. Z. Chen, M. Sonka: Optimal surface segmentation in volumetric images. IEEE Transactions on
Pattern Analysis and Machine Intelligence 28(1), 2006.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import ConfigError, LiverLesionError, StudyError
from LiverLesionAI.one_click.rays import (
    STEP,
    STEPS,
    Floats,
    cast_rays,
    centroid_mm,
    rasterised,
    ray_directions,
    seen_from,
)
from LiverLesionAI.one_click.search import (
    LIMIT_ALL,
    LIMIT_ONE,
    Candidate,
    candidates,
    fitted,
    largest_closed,
    searched,
)
from LiverLesionAI.study import Study

__all__ = [
    "LesionSurface",
    "NoLesionError",
    "Outline",
    "find_lesion",
    "outline_lesion",
    "ray_directions",
]

LEAST_CLOSEDNESS = 0.25
"""A surface that is less closed is no lesion's; half of it does where a single sequence shows the lesion."""
LARGEST_SHARE_BEYOND = 0.1
"""Most of the rays that may reach the end of the scale."""
LEAST_INFORMATION = 0.5
"""A sequence shows the lesion if inside and outside differ at least so much (nats)."""
BLUR_MM, LEAST_FACTOR = 2.0, 0.6
"""Voxels half filled look like lesion, which makes small ones too large: a radius r is shortened by
BLUR_MM² / r, at most to LEAST_FACTOR of it."""
SLIDER_FACTOR, SLIDER_LEAST = 1.4, 1 / 3
"""Most by which the slider scales a radius, either way, and the part of it (on the logarithmic scale) that
does not depend on the evidence."""


class NoLesionError(LiverLesionError):
    """No lesion can be told from its surroundings at the point."""


@dataclass(frozen=True)
class LesionSurface:
    """A lesion's surface around a point.

    Attributes
    ----------
    centre_lps_mm
        Where the rays begin, in the reference frame.
    sequences
        The sequences that tell the lesion from its surroundings, the most telling first.
    closedness
        How well it is told from them on all but the worst rays; 0 is not at all, 1 is the most.
    steps
        Radius along each ray, as a position on the logarithmic scale of radii, ``[rays]``.
    evidence
        How much each sample looks like lesion, ``[rays, steps]``.
    """

    centre_lps_mm: tuple[float, float, float]
    sequences: tuple[str, ...]
    closedness: float
    steps: Floats
    evidence: Floats

    def loosened(self, looseness: float) -> Floats:
        """Steps along each ray of a tighter or looser surface; see :func:`outline_lesion`."""
        if not -1 <= looseness <= 1:
            raise ConfigError(f"The looseness of a segment is a number from -1 to 1, not {looseness:g}.")
        if looseness == 0:
            return self.steps
        reach = looseness * np.log(SLIDER_FACTOR) / STEP
        moved = searched(self.evidence + looseness * LIMIT_ALL, self.steps)
        least, most = self.steps + reach * SLIDER_LEAST, self.steps + reach
        return np.clip(moved, np.minimum(least, most), np.maximum(least, most)).clip(0, STEPS - 1)

    def mask(self, grid: sitk.Image, looseness: float = 0.0) -> sitk.Image:
        """Mask (uint8, 1 in the lesion) on an image's grid, which lies in the reference frame.

        A voxel belongs to the lesion if at least half of it does; a lesion too small for that gets the voxel
        that it fills most.

        Raises
        ------
        NoLesionError
            If the lesion lies outside the grid.
        """
        voxels = rasterised(self.centre_lps_mm, self.loosened(looseness), grid)
        if voxels is None:
            raise NoLesionError("The lesion lies outside the grid that its mask was wanted on.")
        mask = sitk.GetImageFromArray(voxels)
        mask.CopyInformation(grid)
        return mask


@dataclass(frozen=True)
class Outline:
    """A lesion outlined by one click: its mask and the surface that it was made from."""

    mask: sitk.Image
    surface: LesionSurface


def outline_lesion(
    study: Study,
    point_lps_mm: Sequence[float],
    *,
    sequences: Iterable[str] | None = None,
    looseness: float = 0.0,
    grid: sitk.Image | None = None,
) -> Outline:
    """Outline the lesion around a point.

    Parameters
    ----------
    study
        The study; transforms are honoured.
    point_lps_mm
        A point in the lesion, at most a third of its radius from its centre, in the reference frame.
    sequences
        Sequences to look at; default all. Those that do not show the lesion do no harm.
    looseness
        −1 (tighter) to 1 (looser); 0 is the best guess. A looser mask contains every tighter one.
    grid
        Image on whose grid the mask is wanted; default the reference sequence.

    Returns
    -------
    Outline
        The same for the same input, bit for bit.

    Raises
    ------
    StudyError
        If a sequence is not at hand or the point lies outside the images.
    ConfigError
        If `looseness` is out of range.
    NoLesionError
        If no lesion can be told from its surroundings there.

    Examples
    --------
    >>> found = outline_lesion(study, (-42.0, 10.5, 33.0))  # doctest: +SKIP
    >>> looser = found.surface.mask(found.mask, 0.5)  # doctest: +SKIP
    """
    surface = find_lesion(study, point_lps_mm, sequences)
    if grid is None:
        grid = study.images[study.reference if study.reference in study.images else study.sequences[0]].image
    return Outline(surface.mask(grid, looseness), surface)


def find_lesion(
    study: Study, point_lps_mm: Sequence[float], sequences: Iterable[str] | None = None
) -> LesionSurface:
    """Find the surface of the lesion around a point; see :func:`outline_lesion`."""
    names = tuple(study.images if sequences is None else sequences)
    unknown = [name for name in names if name not in study.images]
    if unknown or not names:
        raise StudyError(
            f"Study {study.id} has no {', '.join(unknown) or 'sequence'} to segment a lesion on."
        )
    point = np.asarray(point_lps_mm, np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ConfigError("A point is three numbers: left, posterior, superior in mm.")
    images = [study.images[name] for name in names]
    rays = cast_rays(images, point)
    if not rays.inside[:, :, 0].any():
        raise StudyError(f"The point {_named(point)} lies outside every image of study {study.id}.")
    found = largest_closed(candidates(rays))
    centre = point
    shift = centroid_mm(found.steps)
    recentred = fitted(cast_rays(images, point + shift), seen_from(found.steps, shift))
    if recentred.closedness >= found.closedness:
        centre, found = point + shift, recentred
    _check(found, point)
    telling = sorted(zip(found.information, names, strict=True), key=lambda item: -item[0])
    return LesionSurface(
        centre_lps_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
        sequences=tuple(name for information, name in telling if information >= LEAST_INFORMATION),
        closedness=found.closedness,
        steps=_sharpened(found),
        evidence=found.evidence,
    )


def _sharpened(found: Candidate) -> Floats:
    factor = max(1 - (BLUR_MM / found.mean_radius_mm) ** 2, LEAST_FACTOR)
    return np.maximum(found.steps + np.log(factor) / STEP, 0)


def _check(found: Candidate, point: Floats) -> None:
    beyond = float((found.steps > STEPS - 1.5).mean())
    telling = sum(information >= LEAST_INFORMATION for information in found.information)
    least = LEAST_CLOSEDNESS * min(1.0, LIMIT_ONE * max(telling, 1) / LIMIT_ALL)
    if found.closedness < least or beyond > LARGEST_SHARE_BEYOND:
        raise NoLesionError(
            f"No lesion stands out from its surroundings at {_named(point)}; click nearer to its centre, "
            "choose only sequences that show it, or outline it by hand."
        )


def _named(point: Floats) -> str:
    return "(" + ", ".join(f"{coordinate:.1f}" for coordinate in point) + ") mm"
