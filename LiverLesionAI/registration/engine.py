"""From a study to a registered study: what moves together, which stage is trusted, all in parallel."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.registration.groups import acquisitions, already_registered, dynamic_series
from LiverLesionAI.registration.outlines import outline_on_reference
from LiverLesionAI.registration.plausibility import implausible
from LiverLesionAI.registration.regions import (
    Region,
    common_resolution_mm,
    lesion_region,
    prepared,
    volume_region,
)
from LiverLesionAI.registration.similarity import REACH_MM, Similarity, search_shift
from LiverLesionAI.registration.stages import QUICK, STAGES, THOROUGH, Alignment, Kind, refine
from LiverLesionAI.results import SequenceRegistration
from LiverLesionAI.study import Study

Scope = Literal["lesion", "volume"]
LastStage = Literal["rigid", "affine", "bspline"]

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
_POLL_S = 0.1


class CancelledError(Exception):
    """A worker was told to stop."""


@dataclass(frozen=True)
class RegisteredStudy:
    """A study with transforms, and how they came about.

    Attributes
    ----------
    study
        Its sequences carry transforms (reference frame to sequence, LPS mm).
    sequences
        What was done, for every sequence but the reference.
    scope
        Where was looked.
    """

    study: Study
    sequences: Mapping[str, SequenceRegistration]
    scope: Scope

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong, sequence by sequence."""
        return tuple(f"{name}: {w}" for name, done in self.sequences.items() for w in done.warnings)


@dataclass(frozen=True)
class _Step:
    """A transform that a stage ended with, and how alike it makes the images."""

    kind: str
    transform: sitk.Transform
    around: Mapping[str, float]

    @property
    def score(self) -> float:
        """Similarity above chance over all neighbourhoods."""
        return float(np.mean(list(self.around.values()))) - 1

    def beats(self, other: _Step) -> bool:
        """Whether this is better enough to be kept instead of another."""
        if self.score < other.score + LEAST_GAIN[self.kind] * abs(other.score):
            return False
        return all(
            value - 1 >= other.around[name] - 1 - LARGEST_LOSS * abs(other.around[name] - 1)
            for name, value in self.around.items()
        )


@dataclass(frozen=True)
class _Task:
    """Images of one acquisition, which move together, prepared to be aligned."""

    names: tuple[str, ...]
    region: Region
    similarities: tuple[Similarity, ...]

    def step(self, kind: str, transform: sitk.Transform) -> _Step:
        around = [similarity.around(transform) for similarity in self.similarities]
        means = {name: float(np.mean([one[name] for one in around])) for name in self.region.focuses}
        return _Step(kind, transform, means)


@dataclass(frozen=True)
class _Outcome:
    """The stages that an acquisition went through and the best of them."""

    task: _Task
    before: _Step
    best: _Step
    warnings: tuple[str, ...]
    trace: tuple[_Step, ...] = ()


def register_study(
    study: Study,
    *,
    reference: str | None = None,
    transform: LastStage = "bspline",
    scope: Scope = "lesion",
    workers: int | None = None,
    progress: Progress = silent,
) -> RegisteredStudy:
    """Register every sequence of a study to its reference.

    DWI and ADC of one acquisition share a transform. A sequence that brings a transform along keeps it. A
    stage (shift, rigid, affine, B-spline) is kept only if it makes the images more alike around the lesions
    and is plausible; where none does, the scanner's positions stay.

    Parameters
    ----------
    study
        The study; the lesions must be outlined for scope ``"lesion"``.
    reference
        The sequence to register to instead of the study's reference. The lesions are then carried from the
        frame that they were outlined in to the new one.
    transform
        The last stage that is tried.
    scope
        ``"lesion"``: only the neighbourhoods of the lesions are looked at. ``"volume"``: the whole reference
        image.
    workers
        Threads; default: as many as there are processors.
    progress
        Told how far each sequence is; by raising it cancels the registration.

    Returns
    -------
    RegisteredStudy

    Raises
    ------
    StudyError
        If the study lacks its reference, for scope ``"lesion"`` if it lacks an outline, and for another
        reference if sequences bring transforms along.

    Examples
    --------
    >>> from LiverLesionAI.phantom import generate_study
    >>> phantom = generate_study(1, misalign_mm=(10, 0))  # doctest: +SKIP
    >>> register_study(phantom.study).sequences["PVP"].transform  # doctest: +SKIP
    'rigid'
    """
    outlined_on = study.reference
    study = _referring_to(study, reference or study.reference)
    region = lesion_region(study) if scope == "lesion" else volume_region(study)
    outcomes = _in_parallel(study, region, STAGES[: STAGES.index(transform) + 1], workers, progress)
    outcomes = _siblings_agree(study, outcomes)
    transforms = {name: outcome.best.transform for outcome in outcomes for name in outcome.task.names}
    reports = {name: _report(outcome) for outcome in outcomes for name in outcome.task.names}
    reports |= {name: SequenceRegistration("given", None, None) for name in already_registered(study)}
    ordered = {name: reports[name] for name in study.images if name in reports}
    registered = _with_lesions_from(study.with_transforms(transforms), outlined_on)
    return RegisteredStudy(registered, ordered, scope)


def _referring_to(study: Study, reference: str) -> Study:
    if reference not in study.images:
        at_hand = ", ".join(study.images)
        raise StudyError(
            f"Study {study.id} has no {reference} to register the others to; choose one of {at_hand}."
        )
    if reference != study.reference and (given := already_registered(study)):
        raise StudyError(
            f"{', '.join(given)} of study {study.id} are registered to {study.reference} already; "
            "keep it as the reference or remove their transforms."
        )
    return replace(study, reference=reference)


def _with_lesions_from(study: Study, outlined_on: str) -> Study:
    """Carry the lesions from the frame of the sequence they were outlined on to the reference frame."""
    if study.lesions is None or outlined_on not in study.images or outlined_on == study.reference:
        return study
    grid = study.images[study.reference].image
    return replace(study, lesions=outline_on_reference(study.lesions, study.images[outlined_on], grid))


def _in_parallel(
    study: Study, region: Region, stages: Sequence[Kind], workers: int | None, progress: Progress
) -> list[_Outcome]:
    """Register each acquisition in a thread; SimpleITK computes without Python's lock."""
    groups = acquisitions(study)
    stop = threading.Event()
    done = dict.fromkeys((name for group in groups for name in group), 0.0)
    shown: dict[str, float] = {}

    def show() -> None:
        for name, fraction in done.items():
            if shown.get(name) != fraction:
                shown[name] = fraction
                progress(f"register {name}", fraction)

    def work(names: tuple[str, ...]) -> _Outcome:
        def tell(fraction: float) -> None:
            if stop.is_set():
                raise CancelledError
            done.update(dict.fromkeys(names, fraction))

        return _register(study, names, region, stages, stop.is_set, tell)

    with _one_thread_each(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        futures: list[Future[_Outcome]] = [pool.submit(work, group) for group in groups]
        try:
            waiting = set(futures)
            while waiting:
                show()
                finished, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
            show()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let ITK use one thread a registration, whose sums then come out the same bit for bit.

    The method's own setting does not reach its metric, only the setting for the whole process does.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _register(
    study: Study,
    names: tuple[str, ...],
    region: Region,
    stages: Sequence[Kind],
    cancelled: Callable[[], bool],
    tell: Callable[[float], None],
) -> _Outcome:
    tell(0.0)
    reference = study.images[study.reference].image
    images = [study.images[name].image for name in names]
    resolution = common_resolution_mm(region.box, reference, *images)
    fixed = _fixed(reference, region, resolution)
    moving = [prepared(image, region.box.grown(1.5 * REACH_MM), resolution) for image in images]
    task = _Task(names, region, tuple(Similarity.of(region, fixed, image) for image in moving))
    before = task.step("none", sitk.TranslationTransform(3))
    effort = QUICK if region.body is None else THOROUGH
    mask = _mask(region, fixed)
    alignments = [Alignment(region.box, fixed, image, mask, cancelled, effort) for image in moving]
    trace, warnings = [before], []
    shifts = [sitk.TranslationTransform(3, search_shift(region, reference, image)) for image in images]
    best = _better(before, [task.step("translation", shift) for shift in shifts])
    tell(0.2)
    for number, stage in enumerate(stages, start=1):
        steps, refusals = [], []
        for alignment in alignments:
            step, refusal = _tried(task, alignment, stage, best.transform)
            if step is None or refusal:
                refusals.append(refusal)
            else:
                steps.append(step)
        trace += steps
        if refusals and not steps:
            warnings.append(f"the {stage} stage was not used: {refusals[0]}")
        best = _better(best, steps)
        tell(0.2 + 0.8 * number / len(stages))
    return _Outcome(task, before, best, tuple(warnings), tuple(trace))


def _better(best: _Step, steps: Sequence[_Step]) -> _Step:
    """The most alike of some steps if it is worth leaving the best so far, else the latter."""
    leader = max(steps, key=lambda step: step.score, default=best)
    return leader if leader.beats(best) else best


def _tried(
    task: _Task, alignment: Alignment, stage: Kind, start: sitk.Transform
) -> tuple[_Step | None, str | None]:
    """A stage's result, or why there is none."""
    try:
        transform = refine(alignment, stage, start)
    except RuntimeError:
        if alignment.cancelled():
            raise CancelledError from None
        return None, "the images do not overlap enough"
    step = task.step(stage, transform)
    return step, implausible(transform, task.region.box)


def _fixed(reference: sitk.Image, region: Region, resolution: np.ndarray) -> sitk.Image:
    """The reference, prepared, on a grid that fills the region with samples no finer than is useful."""
    smooth = prepared(reference, region.box, resolution)
    spacing = np.minimum(resolution, 3.0)
    return sitk.Resample(
        smooth, region.box.grid(spacing), sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear
    )


def _mask(region: Region, fixed: sitk.Image) -> sitk.Image | None:
    inside = region.mask(fixed)
    if inside.all():
        return None
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(fixed)
    return mask


def _siblings_agree(study: Study, outcomes: Sequence[_Outcome]) -> list[_Outcome]:
    """Phases of one dynamic series share a transform, save those that their own makes clearly more alike.

    Phases that are aligned with each other so stay aligned, and one that went astray is brought back.
    """
    result = list(outcomes)
    for series in dynamic_series(study):
        phases = [outcome for outcome in outcomes if outcome.task.names[0] in series]
        offers = {id(phase): phase.best for phase in phases}.values()
        if len(phases) < 2:
            continue
        seen = {
            id(offer): [phase.task.step(offer.kind, offer.transform) for phase in phases] for offer in offers
        }
        shared = max(seen.values(), key=lambda steps: sum(step.score for step in steps))
        for phase, step in zip(phases, shared, strict=True):
            if not phase.best.beats(step):
                result[outcomes.index(phase)] = replace(phase, best=step)
    return result


def _report(outcome: _Outcome) -> SequenceRegistration:
    return SequenceRegistration(
        outcome.best.kind, outcome.before.score + 1, outcome.best.score + 1, outcome.warnings
    )
