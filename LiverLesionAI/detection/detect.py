"""From a study without outlines to candidates, and from these to segments and their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.analysis import Analysis, Found, classify_with
from LiverLesionAI.detection.evidence import EvidenceRunner
from LiverLesionAI.detection.regions import Region, Regions, find_regions, inside
from LiverLesionAI.errors import BundleError, ConfigError, PatchError, StudyError
from LiverLesionAI.inputs.series import Series, WholeSlice, corners
from LiverLesionAI.options import DETECT_DEFAULTS, DetectOptions
from LiverLesionAI.pipeline import analyse_study, opened, registered
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.registration.outlines import inverse_within
from LiverLesionAI.results import (
    Candidate,
    SequenceRegistration,
    StudyResult,
    with_registration,
    with_seconds,
    with_warnings,
)
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle

TAXONOMY, LOOKED_FOR = "K2", "HCC"
MASK_MARGIN_MM = 5.0
"""A liver mask is grown by this much: lesions at its edge, and breathing, stay in."""


@dataclass(frozen=True)
class Detection:
    """What was found in a study.

    Attributes
    ----------
    result
        With the candidates by rank, and the probability of every slice.
    found
        Maps and labels behind them.
    """

    result: StudyResult
    found: Found


def detect_study(
    study: Study,
    bundle: Bundle,
    options: DetectOptions = DETECT_DEFAULTS,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Detection:
    """Look for lesions on every slice of a series.

    Parameters
    ----------
    study
        The study; nothing needs to be outlined.
    bundle
        A model that answers for slices.
    options
        Series, liver mask, operating point; device, precision and engine.
    progress, stopwatch
        See :func:`LiverLesionAI.pipeline.analyse_study`.

    Raises
    ------
    StudyError
        If the series is missing or not axial, or the liver mask cannot be used.
    BundleError
        If the model detects nothing.
    """
    from LiverLesionAI.inference import Classifier

    stopwatch = stopwatch or Stopwatch()
    if bundle.system.unit != "slice" or len(bundle.spec.sequences) != 1:
        raise BundleError(
            f"Model {bundle.name} does not answer for slices and finds no candidates; name one of system "
            "kim2020."
        )
    (trained_on,) = bundle.spec.sequences
    sequence = options.sequence or trained_on
    shown = _named(study, sequence, trained_on)
    runner = EvidenceRunner(TAXONOMIES[TAXONOMY].index(LOOKED_FOR))
    classifier = Classifier(
        bundle, device=options.device, precision=options.precision, engine=options.engine, run=runner
    )
    classified = classify_with(classifier, shown, progress=progress, stopwatch=stopwatch)
    with stopwatch.time("detect"):
        first = classified.answers[0].units[0].groups[0]
        assert isinstance(first, WholeSlice)
        series = first.series
        point = options.operating_point or bundle.spec.patches.operating_point
        (answer,) = classified.result.study_tasks.values()
        regions = find_regions(
            runner.evidence,
            np.array([group.probabilities[LOOKED_FOR] for group in answer.groups]),
            series.size,
            operating_point=point,
            region_share=bundle.spec.patches.region_share,
        )
        everywhere = len(regions.found)
        if options.liver_mask is not None:
            regions = inside(regions, _mask_on(series, options.liver_mask))
        candidates = _candidates(regions, series, study, sequence)
    told = {
        "sequence": sequence,
        "operating_point": point,
        "candidates": len(candidates),
        "outside_liver_mask": everywhere - len(candidates) if options.liver_mask is not None else None,
    }
    result = classified.result
    notes = [
        note
        for note in (_outside(everywhere, len(candidates), options), _renamed(sequence, trained_on))
        if note
    ]
    result = replace(
        result,
        candidates=candidates,
        study=replace(result.study, sequences=study.sequences, missing=()),
        warnings=(*result.warnings, *notes),
        provenance=replace(
            result.provenance,
            inputs={sequence: result.provenance.inputs[trained_on]},
            parameters={**result.provenance.parameters, "detection": told},
        ),
    )
    found = Found(sequence, series.placed(runner.evidence), series.placed(regions.labels))
    return Detection(with_seconds(result, stopwatch.seconds), found)


def _named(study: Study, sequence: str, trained_on: str) -> Study:
    """The study with the series to look at under the name that the model knows."""
    if sequence not in study.images:
        there = ", ".join(study.images) or "no sequence"
        raise StudyError(
            f"HCC is looked for in {sequence}, which study {study.id} lacks; it has {there}. Add the series, "
            "or name another one with --sequence."
        )
    return replace(study, images={trained_on: study.images[sequence]}, lesions=None, outlines={})


def _outside(everywhere: int, kept: int, options: DetectOptions) -> str:
    if options.liver_mask is None or everywhere == kept:
        return ""
    return f"{everywhere - kept} of {everywhere} candidates lie outside the liver mask and were left out"


def _renamed(sequence: str, trained_on: str) -> str:
    return "" if sequence == trained_on else f"the model was trained on {trained_on} and looked at {sequence}"


def _mask_on(series: Series, file: Path) -> np.ndarray:
    """A liver mask on the pixels of the slices, grown by :data:`MASK_MARGIN_MM`."""
    from LiverLesionAI.readers.images import labels_of, read_voxels

    mask = labels_of(read_voxels(file), file) != 0
    grown = sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True) <= MASK_MARGIN_MM
    grid = series.placed(np.zeros((series.count, series.size, series.size), np.uint8))
    identity = sitk.Transform(3, sitk.sitkIdentity)
    on = sitk.Resample(grown, grid, identity, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    found = sitk.GetArrayFromImage(on).astype(bool)
    if not found.any():
        raise StudyError(f"{file} shows no liver where {series.sequence} lies; give the mask of this study.")
    return found


def _candidates(regions: Regions, series: Series, study: Study, sequence: str) -> tuple[Candidate, ...]:
    grid = series.placed(regions.labels)
    transform = study.images[sequence].transform
    back = sitk.Transform(3, sitk.sitkIdentity)
    if transform is not None:
        back = inverse_within(transform, *corners(grid))
    voxel_ml = float(np.prod(grid.GetSpacing())) / 1000
    return tuple(
        _candidate(rank, region, grid, back, sequence, voxel_ml)
        for rank, region in enumerate(regions.found, start=1)
    )


def _candidate(
    rank: int, region: Region, grid: sitk.Image, back: sitk.Transform, sequence: str, voxel_ml: float
) -> Candidate:
    """A candidate in the reference frame."""
    x, y, z = back.TransformPoint(grid.TransformContinuousIndexToPhysicalPoint(region.centre[::-1]))
    return Candidate(
        rank=rank,
        probability=region.probability,
        sequence=sequence,
        slices=region.slices,
        centre_lps_mm=(x, y, z),
        volume_ml=region.pixels * voxel_ml,
    )


def outlined(study: Study, candidates: Sequence[Candidate]) -> tuple[Study, tuple[Candidate, ...], list[str]]:
    """Make a segment of each candidate by one click at its centre.

    Returns
    -------
    study : Study
        With the segments as its lesions, in place of those it had.
    candidates : tuple of Candidate
        With the label of the segment that each became.
    warnings : list of str
        About those that no segment could be made of.
    """
    from LiverLesionAI.one_click import NoLesionError, outline_lesion

    labels: sitk.Image | None = None
    found, warnings, names, number = [], [], {}, 0
    for candidate in candidates:
        try:
            mask = outline_lesion(study, candidate.centre_lps_mm).mask
        except NoLesionError:
            warnings.append(
                f"candidate {candidate.rank} stands out from nothing around it and has no segment"
            )
            found.append(candidate)
            continue
        labels = sitk.Image(mask.GetSize(), sitk.sitkUInt16) if labels is None else labels
        labels.CopyInformation(mask)
        new = sitk.And(mask != 0, labels == 0)
        if not sitk.GetArrayViewFromImage(new).any():
            warnings.append(f"candidate {candidate.rank} lies in the segment of an earlier one")
            found.append(candidate)
            continue
        number += 1
        labels = labels + sitk.Cast(new, sitk.sitkUInt16) * number
        names[number] = f"candidate {candidate.rank}"
        found.append(replace(candidate, lesion=number))
    return replace(study, lesions=labels, outlines={}, lesion_names=names), tuple(found), warnings


def with_candidates(
    classified: StudyResult, detected: StudyResult, segmented: Sequence[Candidate], warnings: Sequence[str]
) -> StudyResult:
    """Join what a detector found and what a classifier says of the segments.

    Parameters
    ----------
    classified
        The classifier's answer.
    detected
        The detector's.
    segmented
        Candidates that a segment was tried of, as :func:`outlined` gives them; the others stay as they are.
    warnings
        About the segments.
    """
    tried = {each.rank: each for each in segmented}
    return replace(
        classified,
        models=(*classified.models, *detected.models),
        candidates=tuple(tried.get(each.rank, each) for each in detected.candidates),
        warnings=tuple(dict.fromkeys((*classified.warnings, *detected.warnings, *warnings))),
        provenance=replace(
            classified.provenance,
            parameters={
                **classified.provenance.parameters,
                "detection": detected.provenance.parameters["detection"],
            },
        ),
    )


def classify_candidates(
    study: Study,
    detection: Detection,
    options: DetectOptions,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> tuple[Study, Analysis]:
    """Segment every candidate and classify the segments.

    Returns
    -------
    study : Study
        With its segments.
    analysis : Analysis
        The classifier's, with the candidates and both models; that of the detection where no candidate
        became a segment, or the classifier cannot answer, and a warning says why.
    """
    from LiverLesionAI.bundles.suite import open_model

    stopwatch = stopwatch or Stopwatch()
    with stopwatch.time("segment"):
        progress("segment", 0.0)
        study, candidates, warnings = outlined(study, detection.result.candidates)
        progress("segment", 1.0)
    result = detection.result
    if study.lesions is None:
        return study, Analysis(with_warnings(result, *warnings), found=detection.found)
    model = open_model(options.then.model)
    try:
        analysis = analyse_study(study, model, options.then, progress=progress, stopwatch=stopwatch)
    except (PatchError, StudyError) as error:
        unclassified = f"the candidates were segmented but not classified: {error}"
        segmented = replace(result, candidates=candidates)
        return study, Analysis(with_warnings(segmented, *warnings, unclassified), found=detection.found)
    joined = with_candidates(analysis.result, result, candidates, warnings)
    return study, replace(analysis, result=joined, found=detection.found)


def detect_path(
    path: str | Path,
    out: str | Path,
    options: DetectOptions = DETECT_DEFAULTS,
    *,
    progress: Progress = silent,
) -> tuple[StudyResult, tuple[Path, ...]]:
    """Read a study, look for candidates and write the output folder of ``detect``.

    Parameters
    ----------
    path
        See :func:`LiverLesionAI.pipeline.read_study`.
    out
        Output folder; it appears complete or not at all.
    options
        What the run is asked for.
    progress
        Told how far the work is.

    Returns
    -------
    result : StudyResult
    files : tuple of Path
        Every file written.

    Raises
    ------
    LiverLesionError
        If study, model or output folder cannot be used; nothing is written then.
    """
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.files import files_below, output_folder, refuse_other_study
    from LiverLesionAI.fingerprint import input_fingerprints
    from LiverLesionAI.outputs import write_result

    if options.operating_point is not None and not 0 < options.operating_point < 1:
        raise ConfigError("The operating point is a probability between 0 and 1; give for example 0.5.")
    with output_folder(out) as folder:
        bundle = load_bundle(options.model)
        stopwatch = Stopwatch()
        study = opened(path, stopwatch, progress)
        refuse_other_study(Path(out), input_fingerprints(replace(study, lesions=None)))
        registration: Mapping[str, SequenceRegistration] = {}
        if options.classify and options.then.register and len(study.images) > 1:
            study, registration = registered(study, "volume", stopwatch, progress)
        detection = detect_study(study, bundle, options, progress=progress, stopwatch=stopwatch)
        analysis = Analysis(detection.result, found=detection.found)
        if options.classify:
            study, analysis = classify_candidates(
                study, detection, options, progress=progress, stopwatch=stopwatch
            )
        else:
            study = replace(study, lesions=None, outlines={})
        analysis = replace(analysis, result=with_registration(analysis.result, registration))
        result = write_result(study, analysis, folder, stopwatch, progress)
        names = files_below(folder)
    return result, tuple(Path(out) / name for name in names)
