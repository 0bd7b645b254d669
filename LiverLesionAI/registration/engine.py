"""From a study to a registered study: what moves together, which stage is trusted, all in parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.registration.alignment import Alignment, SearchRegions, align, similarity_of
from LiverLesionAI.registration.groups import Group, already_registered, groups_of
from LiverLesionAI.registration.outlines import outline_on_reference
from LiverLesionAI.registration.plausibility import implausible
from LiverLesionAI.registration.regions import (
    CLOSE_MM,
    SEARCH_MM,
    Prepare,
    lesion_region,
    remembering_prepared,
    volume_region,
)
from LiverLesionAI.registration.stages import STAGES, Kind, composed
from LiverLesionAI.registration.threads import AlignmentJob, Threads
from LiverLesionAI.results import SequenceRegistration
from LiverLesionAI.side_by_side import Each
from LiverLesionAI.study import Study

Scope = Literal["lesion", "volume"]
LastStage = Literal["rigid", "affine", "bspline"]

_KINDS = ("none", *STAGES)
_PHASES_SHARE = 0.4
"""Part of the progress of a phase that aligning it with the other phases takes."""
_LESS_ALIKE = "it makes the images less alike around the lesions"


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
    and is plausible; where none does, the scanner's positions stay. A sequence from another DICOM frame of
    reference than the reference is aligned from the scanner's positions too, and a warning says what that
    rests on.

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
    where = _around_lesions(study) if scope == "lesion" else _whole_volume(study)
    stages = STAGES[: STAGES.index(transform) + 1]
    groups = groups_of(study)
    reports = {name: SequenceRegistration("given", None, None) for name in already_registered(study)}
    transforms: dict[str, sitk.Transform] = {}
    prepare = remembering_prepared(each.image for each in study.images.values())
    with Threads(workers, progress) as threads:
        to_phase, onto = _aligned(study, groups, where, stages, threads, prepare)
        frames = [(names, found) for group, found in zip(groups, onto, strict=True) for names in group.frames]
        judged = threads.each(
            lambda frame: _judged(study, *frame, to_phase.get(frame[0][0]), where, prepare), frames
        )
    for (names, _), (found, report) in zip(frames, judged, strict=True):
        transforms |= dict.fromkeys(names, found)
        reports |= dict.fromkeys(names, report)
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


def _around_lesions(study: Study) -> SearchRegions:
    return SearchRegions(lesion_region(study, SEARCH_MM), lesion_region(study, CLOSE_MM))


def _whole_volume(study: Study) -> SearchRegions:
    region = volume_region(study)
    return SearchRegions(region, region)


def _aligned(
    study: Study,
    groups: Sequence[Group],
    where: SearchRegions,
    stages: Sequence[Kind],
    threads: Threads,
    prepare: Prepare,
) -> tuple[Mapping[str, Alignment], list[Alignment]]:
    """Align phases with their anchor, then each group with the reference; a group of no phases need not wait.

    Returns
    -------
    to_phase : mapping
        Phase to its alignment with the anchor.
    onto : list of Alignment
        Of each group with the reference.
    """
    phases = [(group, name) for group in groups for name in group.phases]
    alone = [group for group in groups if not group.phases]
    first = threads.run(
        [
            *(_phase_job(study, group, name, where, stages, prepare) for group, name in phases),
            *(_group_job(study, group, {}, where, stages, prepare) for group in alone),
        ]
    )
    to_phase = {name: found for (_, name), found in zip(phases, first, strict=False)}
    together = [group for group in groups if group.phases]
    then = threads.run([_group_job(study, group, to_phase, where, stages, prepare) for group in together])
    onto = dict(zip((*alone, *together), (*first[len(phases) :], *then), strict=True))
    return to_phase, [onto[group] for group in groups]


def _phase_job(
    study: Study, group: Group, name: str, where: SearchRegions, stages: Sequence[Kind], prepare: Prepare
) -> AlignmentJob:
    """Align a phase with the anchor of its series.

    All of the larger neighbourhood counts: where the lesion lies in the anchor is not known yet.
    """
    assert group.anchor is not None
    anchor, phase = study.images[group.anchor].image, study.images[name].image
    wide = SearchRegions(where.search, where.search)

    def work(stop: Callable[[], bool], tell: Callable[[float], None], each: Each) -> Alignment:
        return align(anchor, [phase], wide, stages, stop, tell, each, prepare)

    return AlignmentJob((name,), 0.0, _PHASES_SHARE, work)


def _group_job(
    study: Study,
    group: Group,
    to_phase: Mapping[str, Alignment],
    where: SearchRegions,
    stages: Sequence[Kind],
    prepare: Prepare,
) -> AlignmentJob:
    """Align what lies in one frame, or was brought into one, with the reference."""
    reference = study.images[study.reference].image

    def work(stop: Callable[[], bool], tell: Callable[[float], None], each: Each) -> Alignment:
        images = each(lambda name: _in_frame(study, group, name, to_phase.get(name)), group.names)
        return align(reference, images, where, stages, stop, tell, each, prepare)

    return AlignmentJob(group.names, _PHASES_SHARE if group.anchor else 0.0, 1.0, work)


def _in_frame(study: Study, group: Group, name: str, found: Alignment | None) -> sitk.Image:
    """A phase as it would lie in the anchor's frame; only looked at to align, never classified."""
    phase = study.images[name].image
    if group.anchor is None or found is None or found.best.kind == "none":
        return phase
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(study.images[group.anchor].image)
    resample.SetTransform(found.best.transform)
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetOutputPixelType(sitk.sitkFloat32)
    resample.UseNearestNeighborExtrapolatorOn()
    return resample.Execute(phase)


def _judged(
    study: Study,
    names: Sequence[str],
    onto: Alignment,
    to_phase: Alignment | None,
    where: SearchRegions,
    prepare: Prepare,
) -> tuple[sitk.Transform, SequenceRegistration]:
    """The transform of what lies in one frame, unless the scanner's positions suit it better; the report."""
    images = [study.images[name].image for name in names]
    step = similarity_of(study.images[study.reference].image, images, where.close, prepare)
    before = step("none", sitk.TranslationTransform(3))
    kinds, transform, warnings = [onto.best.kind], onto.best.transform, list(onto.warnings)
    if to_phase is not None:
        kinds.append(to_phase.best.kind)
        transform = composed(to_phase.best.transform, transform)
        warnings += to_phase.warnings
    after = step(max(kinds, key=_KINDS.index), transform)
    fault = implausible(transform, where.close.box) or (_LESS_ALIKE if after.score < before.score else None)
    if fault:
        warnings.append(f"it lies as scanned; the movement found was not used, since {fault}")
        after = before
    if any(study.images[n].lies_in_another_frame_than(study.images[study.reference]) for n in names):
        warnings.append(_resting_on(after.kind, study.reference))
    report = SequenceRegistration(after.kind, before.score + 1, after.score + 1, tuple(warnings))
    return after.transform, report


def _resting_on(kind: str, reference: str) -> str:
    """What the alignment of a sequence that was scanned in another frame of reference rests on."""
    frame = f"it was scanned in another frame of reference than {reference}"
    if kind == "none":
        return f"{frame}, and no alignment better than the scanner's positions was found: check it by eye"
    return f"{frame}: its alignment rests on the likeness of the images alone, check it by eye"
