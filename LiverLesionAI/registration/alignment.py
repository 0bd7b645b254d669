"""Images that move together, aligned with one image by one transform: what is tried, and what is trusted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy.optimize import minimize

from LiverLesionAI.registration.plausibility import implausible
from LiverLesionAI.registration.regions import Prepare, Region, common_resolution_mm, prepared
from LiverLesionAI.registration.similarity import REACH_MM, Similarity, search_shifts
from LiverLesionAI.registration.stages import QUICK, THOROUGH, Images, Kind, refine
from LiverLesionAI.side_by_side import Each, one_after_the_other

LEAST_GAIN: Mapping[str, float] = {
    "none": 0.0,
    "translation": 0.01,
    "rigid": 0.03,
    "affine": 0.05,
    "bspline": 0.08,
}
"""A stage is kept if the similarity gains at least this share of what it is above chance: the more freedom a
stage has, the more it gains from noise alone."""
LARGEST_LOSS = 0.02
"""… and no lesion's neighbourhood loses more than this share of its own."""
LEAST_PROMISE = 0.04
"""A B-spline is worth its price if a short trial, which finds most of what there is, gains this share, half
of what it is kept for."""
PROPOSERS = 2
"""How many of the images that move together propose a rigid, affine or B-spline transform."""
_FIRST_SHIFT_MM, _SHIFT_TOLERANCE_MM = 2.0, 0.1
_SHIFT_EVALUATIONS = 120


class CancelledError(Exception):
    """A worker was told to stop."""


@dataclass(frozen=True)
class SearchRegions:
    """Where an alignment looks.

    Attributes
    ----------
    search
        Region that a shift is searched in: large enough to hold what moved.
    close
        Region that counts in the end.
    """

    search: Region
    close: Region


@dataclass(frozen=True)
class StageResult:
    """A transform that a stage ended with, and how alike it makes the images.

    Attributes
    ----------
    kind
        The stage, ``"none"`` for the scanner's positions.
    transform
        Points of the fixed image's frame to points of the moving one, LPS mm.
    around
        Normalised mutual information, 1 to 2, in each neighbourhood.
    of_images
        The same of each image that moves, over all neighbourhoods.
    """

    kind: str
    transform: sitk.Transform
    around: Mapping[str, float]
    of_images: tuple[float, ...]

    @property
    def score(self) -> float:
        """Similarity above chance over all neighbourhoods."""
        return float(np.mean(list(self.around.values()))) - 1

    def beats(self, other: StageResult) -> bool:
        """Whether this is better enough to be kept instead of another."""
        if self.score < other.score + LEAST_GAIN[self.kind] * abs(other.score):
            return False
        return not self.harms(other)

    def harms(self, other: StageResult) -> bool:
        """Whether any neighbourhood is clearly less alike than under another transform."""
        return any(
            value - 1 < other.around[name] - 1 - LARGEST_LOSS * abs(other.around[name] - 1)
            for name, value in self.around.items()
        )


@dataclass(frozen=True)
class Alignment:
    """What an alignment ended with, and the stages that were refused, in words."""

    best: StageResult
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    region: Region
    similarities: tuple[Similarity, ...]
    each: Each

    def step(self, kind: str, transform: sitk.Transform) -> StageResult:
        around = self.each(lambda similarity: similarity.around(transform), self.similarities)
        means = {name: float(np.mean([one[name] for one in around])) for name in self.region.focuses}
        of_images = tuple(float(np.mean(list(one.values()))) for one in around)
        return StageResult(kind, transform, means, of_images)


def align(
    fixed: sitk.Image,
    moving: Sequence[sitk.Image],
    where: SearchRegions,
    stages: Sequence[Kind],
    cancelled: Callable[[], bool],
    tell: Callable[[float], None],
    each: Each = one_after_the_other,
    prepare: Prepare = prepared,
) -> Alignment:
    """Find the transform that makes images in one frame most like a fixed image.

    Parameters
    ----------
    fixed
        Image to align with.
    moving
        One or more images in one frame.
    where
        Regions in the frame of `fixed`.
    stages
        The stages to try, from the stiffest to the most flexible.
    cancelled
        Asked now and then; True ends the work.
    tell
        Told the fraction that is done; may end the work by raising.
    each
        Does several things side by side.
    prepare
        Prepares images.

    Returns
    -------
    Alignment
        Its best step is ``"none"`` where no stage makes the images clearly more alike.

    Raises
    ------
    CancelledError
        If the work was ended.
    """
    tell(0.0)
    shifts = [
        sitk.TranslationTransform(3, shift)
        for shift in search_shifts(where.search, fixed, moving, each, prepare)
    ]
    tell(0.2)
    task, pairs = _prepared(fixed, moving, where.close, each, prepare)
    wide = functools.cache(lambda: _prepared(fixed, moving, where.search, each, prepare)[0])
    best = task.step("none", sitk.TranslationTransform(3))
    best = _better(best, [task.step("translation", shift) for shift in shifts])
    warnings = []
    for number, stage in enumerate(stages, start=1):
        if stage == "translation":
            steps = [_settled(task, best, cancelled)]
        else:
            most_alike = np.argsort(-np.asarray(best.of_images), kind="stable")[:PROPOSERS]
            proposers = [pairs[index] for index in most_alike]
            steps, refusal = _proposed(task, proposers, stage, best, cancelled)
            if refusal and not steps:
                warnings.append(f"the {stage} stage was not used: {refusal}")
            if where.search is not where.close:
                steps = [step for step in steps if step.beats(best) and _confirmed(step, best, wide())]
        best = _better(best, steps)
        tell(0.2 + 0.8 * number / len(stages))
    return Alignment(best, tuple(warnings))


def similarity_of(
    fixed: sitk.Image, moving: Sequence[sitk.Image], region: Region, prepare: Prepare = prepared
) -> Callable[[str, sitk.Transform], StageResult]:
    """Return what measures a transform of images in one frame, as :func:`align` does."""
    return _prepared(fixed, moving, region, one_after_the_other, prepare)[0].step


def _prepared(
    fixed: sitk.Image, moving: Sequence[sitk.Image], region: Region, each: Each, prepare: Prepare
) -> tuple[_Task, list[Images]]:
    resolution = common_resolution_mm(region.box, fixed, *moving)
    still = _on_region(prepare(fixed, region.box, resolution), region, resolution)
    mask = _mask(region, still)
    effort = QUICK if region.body is None else THOROUGH
    reach = region.box.grown(1.5 * REACH_MM)
    ready = each(lambda image: prepare(image, reach, resolution), moving)
    pairs = [Images(region.box, still, image, mask, effort) for image in ready]
    return _Task(region, tuple(Similarity.of(region, pair.fixed, pair.moving) for pair in pairs), each), pairs


def _settled(task: _Task, start: StageResult, cancelled: Callable[[], bool]) -> StageResult:
    """The shift, near the one so far, under which all images together are most alike.

    Nelder and Mead's simplex takes half to a third of the measurements of Powell's line searches and ends
    within their tolerance.
    """

    def unlike(shift: np.ndarray) -> float:
        if cancelled():
            raise CancelledError
        return -task.step("translation", sitk.TranslationTransform(3, shift.tolist())).score

    begin = np.asarray(start.transform.TransformPoint((0.0, 0.0, 0.0)))
    corners = np.vstack([begin, begin + _FIRST_SHIFT_MM * np.eye(3)])
    options = {
        "initial_simplex": corners,
        "xatol": _SHIFT_TOLERANCE_MM,
        "fatol": 1e-4,
        "maxfev": _SHIFT_EVALUATIONS,
    }
    found = minimize(unlike, begin, method="Nelder-Mead", options=options).x
    return task.step("translation", sitk.TranslationTransform(3, found.tolist()))


def _proposed(
    task: _Task,
    proposers: Sequence[Images],
    stage: Kind,
    best: StageResult,
    cancelled: Callable[[], bool],
) -> tuple[list[StageResult], str | None]:
    """A stage's plausible results, one for each proposing image, and why the last one refused was."""
    steps, refusal = [], None
    for found, fault in task.each(lambda images: _refined(task, images, stage, best, cancelled), proposers):
        if found is not None:
            fault = implausible(found, task.region.box)
            if fault is None:
                steps.append(task.step(stage, found))
        refusal = fault or refusal
    return steps, refusal


def _refined(
    task: _Task, images: Images, stage: Kind, best: StageResult, cancelled: Callable[[], bool]
) -> tuple[sitk.Transform | None, str | None]:
    """A stage's result for one image, none where it promises nothing; or why there is none."""
    try:
        if stage == "bspline" and not _promises(task, images, stage, best, cancelled):
            return None, None
        return refine(images, stage, best.transform, cancelled), None
    except RuntimeError:
        if cancelled():
            raise CancelledError from None
        return None, "the images do not overlap enough"


def _promises(
    task: _Task, images: Images, stage: Kind, best: StageResult, cancelled: Callable[[], bool]
) -> bool:
    """Whether a trial of a stage makes the images more alike by `LEAST_PROMISE`.

    Other proposers' trials run beside it already: it is measured in their thread.
    """
    trial = refine(replace(images, effort=images.effort.of_trial), stage, best.transform, cancelled)
    return replace(task, each=one_after_the_other).step(stage, trial).score > (1 + LEAST_PROMISE) * best.score


def _confirmed(step: StageResult, best: StageResult, wide: _Task) -> bool:
    """Whether the larger neighbourhood agrees, as it does not where noise near a lesion was fitted."""
    return wide.step(step.kind, step.transform).beats(wide.step(best.kind, best.transform))


def _better(best: StageResult, steps: Sequence[StageResult]) -> StageResult:
    """The most alike of some steps if it is worth leaving the best so far, else the latter."""
    leader = max(steps, key=lambda step: step.score, default=best)
    return leader if leader.beats(best) else best


def _on_region(smooth: sitk.Image, region: Region, resolution: np.ndarray) -> sitk.Image:
    """A prepared image on a grid that fills the region with samples no finer than is useful."""
    grid = region.box.grid(np.minimum(resolution, 3.0))
    return sitk.Resample(smooth, grid, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear)


def _mask(region: Region, fixed: sitk.Image) -> sitk.Image | None:
    inside = region.mask(fixed)
    if inside.all():
        return None
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(fixed)
    return mask
