"""The search for a lesion's surface in unfolded space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.one_click.rays import (
    RADII_MM,
    RAYS,
    STEP,
    STEPS,
    Floats,
    Rays,
    radii_mm,
    smoothing,
    steps_of,
)

STARTS_MM = tuple(np.geomspace(2.5, 60.0, 20).tolist())
ROUNDS = 5
"""Turns of modelling and searching; later ones change little."""
BINS = 32
BLUR_BINS = 1.2
SHELL_FACTOR, SHELL_MM = 1.7, 8.0
"""The outside reaches to the larger of 1.7 radii and a radius plus 8 mm."""
PRIOR_VOXELS = 4.0
"""Voxels' worth of "no difference" that a histogram begins with, so that small lesions are not overread."""
LIMIT_ONE, LIMIT_ALL = 2.0, 4.0
"""Most that one sequence, and all together, may say about one sample (natural logarithm)."""
STIFFNESS = 1.0
"""How much a surface is smoothed over neighbouring rays."""
PULLS = tuple((0.02 * 1.35 ** np.arange(10)).tolist())
"""How strongly each ray is held to its neighbours, turn by turn of a search."""
EDGE_STEPS = 3
"""Closedness is judged in a shell of so many steps on each side of the surface: about a third of a radius."""
OPEN_PERCENTAGE = 10
"""Share of the rays on which a lesion may be indistinct."""
OUTER_PREFERENCE = 0.7
"""A larger candidate is preferred if it is at least this share as closed: the lesion, not its core."""
SAME_SIZE = 1.15
"""Candidates whose mean radii differ by no more are taken for the same."""

_VOLUMES = np.broadcast_to(RADII_MM**3 * (STEP * 4 * np.pi / RAYS), (RAYS, STEPS))
"""Volume that a sample stands for, mm³."""


@dataclass(frozen=True)
class Candidate:
    """A surface and the evidence for it.

    Attributes
    ----------
    steps
        The surface.
    evidence
        How much each sample looks like lesion, ``[rays, steps]``; natural logarithm of a likelihood ratio.
    known
        Whether any sequence's image covers a sample, same shape.
    information
        How far inside and outside differ in each sequence (Jeffreys divergence, nats).
    """

    steps: Floats
    evidence: Floats
    known: NDArray[np.bool_]
    information: tuple[float, ...]

    @property
    def mean_radius_mm(self) -> float:
        """Geometric mean of the radii."""
        return float(radii_mm(self.steps.mean()))

    @property
    def closedness(self) -> float:
        """Evidence just inside less evidence just outside, on all but the worst rays; at most 1.

        Rays that meet the end of the images at the surface do not count, unless most do.
        """
        number, surface = np.arange(STEPS)[None], np.round(self.steps)[:, None]
        within = (number <= surface) & (number >= surface - EDGE_STEPS)
        beyond = (number > surface) & (number <= surface + EDGE_STEPS)
        difference = _means(self.evidence, within) - _means(self.evidence, beyond)
        counted = (self.known & beyond).any(axis=1)
        if counted.mean() > 0.5:
            difference = difference[counted]
        return float(np.percentile(difference, OPEN_PERCENTAGE)) / (2 * LIMIT_ALL)


def _means(values: Floats, where: NDArray[np.bool_]) -> Floats:
    return (values * where).sum(axis=1) / np.maximum(where.sum(axis=1), 1)


def candidates(rays: Rays, starts_mm: Iterable[float] = STARTS_MM) -> list[Candidate]:
    """Surfaces that spheres of many sizes grow or shrink to."""
    binned = _binned(rays)
    return [fitted(rays, np.full(RAYS, float(steps_of(np.array(start)))), binned) for start in starts_mm]


def largest_closed(found: list[Candidate]) -> Candidate:
    """Return the best candidate: among those that are nearly as closed as the best, a largest one."""
    most = max(candidate.closedness for candidate in found)
    closed = [candidate for candidate in found if candidate.closedness >= OUTER_PREFERENCE * most]
    largest = max(candidate.mean_radius_mm for candidate in closed or found)
    alike = [candidate for candidate in closed or found if candidate.mean_radius_mm * SAME_SIZE >= largest]
    return max(alike, key=lambda candidate: candidate.closedness)


def fitted(rays: Rays, start: Floats, binned: NDArray[np.intp] | None = None) -> Candidate:
    """Model inside and outside and search the surface between them, by turns."""
    binned = _binned(rays) if binned is None else binned
    steps = start
    for _ in range(ROUNDS):
        evidence, information = _evidence(rays, binned, steps)
        steps = searched(evidence, steps)
    return Candidate(steps, evidence, np.any(rays.inside, axis=0), information)


def searched(evidence: Floats, start: Floats) -> Floats:
    """Search the smooth surface that encloses the most evidence, by half-quadratic splitting.

    Each ray takes its best step near the smoothed surface, which is then smoothed anew, with ever more pull.
    More evidence everywhere never moves any part of the surface inwards.
    """
    weight = RADII_MM / radii_mm(start.mean()) * STEP
    cost = -np.cumsum(evidence * weight, axis=1)
    number = np.arange(STEPS)[None]
    steps = start
    for pull in PULLS:
        steps = smoothing(STIFFNESS) @ np.argmin(cost + pull * (number - steps[:, None]) ** 2, axis=1)
    return np.clip(steps, 0, STEPS - 1)


def _binned(rays: Rays) -> NDArray[np.intp]:
    """Each sample's bin; every bin holds the same share of a sequence's samples, outer ones counting more."""
    weights = np.broadcast_to(RADII_MM**1.5, (RAYS, STEPS))
    result = np.zeros(rays.values.shape, np.intp)
    for values, inside, bins in zip(rays.values, rays.inside, result, strict=True):
        known, weight = values[inside], weights[inside]
        if len(known) == 0:
            continue
        order = np.argsort(known, kind="stable")
        share = np.cumsum(weight[order])
        edges = np.interp(np.arange(1, BINS) / BINS * share[-1], share, known[order])
        bins[:] = np.searchsorted(edges, values)
    return result


def _evidence(rays: Rays, binned: NDArray[np.intp], steps: Floats) -> tuple[Floats, tuple[float, ...]]:
    radii = radii_mm(steps)[:, None]
    within = radii >= RADII_MM
    around = ~within & (np.maximum(radii * SHELL_FACTOR, radii + SHELL_MM) >= RADII_MM)
    total = np.zeros((RAYS, STEPS))
    information = []
    for bins, inside, voxel in zip(binned, rays.inside, rays.voxel_mm3, strict=True):
        lesion = np.bincount(bins[within & inside], _VOLUMES[within & inside], BINS) / voxel
        other = np.bincount(bins[around & inside], _VOLUMES[around & inside], BINS) / voxel
        ratio, divergence = _log_ratio(lesion, other)
        information.append(divergence)
        total += np.where(inside, np.clip(ratio, -LIMIT_ONE, LIMIT_ONE)[bins], 0)
    return np.clip(total, -LIMIT_ALL, LIMIT_ALL), tuple(information)


def _log_ratio(lesion: Floats, other: Floats) -> tuple[Floats, float]:
    """Logarithm of the ratio of two histograms of voxels, and the histograms' divergence."""
    from scipy.ndimage import gaussian_filter1d

    if lesion.sum() == 0 or other.sum() == 0:
        return np.zeros(BINS), 0.0
    shares = [gaussian_filter1d(count / count.sum(), BLUR_BINS, mode="nearest") for count in (lesion, other)]
    prior = (shares[0] + shares[1]) / 2
    counts = lesion.sum(), other.sum()
    first, second = (
        (share * count + PRIOR_VOXELS * prior) / (count + PRIOR_VOXELS)
        for share, count in zip(shares, counts, strict=True)
    )
    ratio = np.log((first + 1e-4) / (second + 1e-4))
    return ratio, float((first - second) @ ratio)
