"""Detected, segmented by one click and classified, beside the same lesions with their true outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from reserved import ATYPICAL_EVERY, FIRST_SEED
from rich.console import Console

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.detection import detect_study
from LiverLesionAI.detection.detect import outlined
from LiverLesionAI.evaluation.intervals import modified_wilson_interval
from LiverLesionAI.options import DEFAULT_MODEL, DetectOptions, Options
from LiverLesionAI.phantom import PhantomStudy, generate_lesion, generate_study
from LiverLesionAI.pipeline import classify_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.study import Study

SEQUENCES = (*W_SEQUENCES, "HBP")
FIRST = FIRST_SEED + 500
CLASS, TASK = "HCC", "type"


def made(seed: int, atypical: bool) -> tuple[PhantomStudy, Study]:
    """A patient with one HCC: seven sequences around it, and the whole hepatobiliary phase.

    A phantom's lesion is the same whether the whole abdomen or its surroundings are made.
    """
    around = generate_lesion(seed, CLASS, atypical=atypical, sequences=SEQUENCES)
    whole = generate_study(
        seed, classes=(CLASS,), n_lesions=1, atypical=atypical, sequences=SEQUENCES, omit=W_SEQUENCES
    )
    images = {**around.study.images, "HBP": whole.study.images["HBP"]}
    return around, replace(around.study, images=images)


def called(result: StudyResult, labels: set[int]) -> bool:
    """Whether one of the lesions is called HCC."""
    return any(
        lesion.tasks[TASK].predicted == CLASS
        for lesion in result.lesions
        if lesion.id in labels and lesion.tasks
    )


def then_classify(console: Console, bundle: Bundle, count: int) -> dict[str, object]:
    """Detect, segment and classify, and classify with the true outline."""
    model = load_bundle(DEFAULT_MODEL)
    rows = []
    for number in range(count):
        phantom, study = made(FIRST + number, number % ATYPICAL_EVERY == 0)
        truth = classify_study(study, model, Options(register=False))
        found = detect_study(study, bundle, DetectOptions(model=bundle.name))
        near = _near(study, phantom)
        own = [each for each in found.result.candidates if near(each.centre_lps_mm)]
        segmented, candidates, _ = outlined(study, own)
        right = overlap = 0.0
        if segmented.lesions is not None:
            answer = classify_study(segmented, model, Options(register=False))
            right = called(answer, {each.lesion for each in candidates if each.lesion})
            overlap = _dice(study.outlined_lesions, segmented.outlined_lesions)
        rows.append((called(truth, {1}), bool(own), segmented.lesions is not None, bool(right), overlap))
        console.print(f"{number + 1} of {count}: {rows[-1]}")
    table = np.array(rows, float)
    names = ("true outline, called HCC", "detected", "segmented", "detected, segmented, called HCC")
    figures: dict[str, object] = {"n": count}
    for column, name in enumerate(names):
        hits = int(table[:, column].sum())
        low, high = modified_wilson_interval(hits, count)
        console.print(f"{name}: {hits}/{count} = {hits / count:.3f} ({low:.3f}–{high:.3f})")
        figures[name] = [hits / count, low, high]
    overlaps = table[table[:, 2] > 0, 4]
    figures["median_dice"] = float(np.median(overlaps)) if len(overlaps) else None
    console.print(f"median Dice of the segments with the true outline: {figures['median_dice']}")
    return figures


def _near(study: Study, phantom: PhantomStudy):  # type: ignore[no-untyped-def]
    """Whether a place lies in the lesion or within 5 mm of it."""
    mask = phantom.truth.mask("HBP")
    distance = sitk.SignedMaurerDistanceMap(mask != 0, squaredDistance=False, useImageSpacing=True)

    def near(place: tuple[float, float, float]) -> bool:
        index = distance.TransformPhysicalPointToIndex(place)
        inside = all(0 <= i < n for i, n in zip(index, distance.GetSize(), strict=True))
        return inside and distance[index] <= 5.0

    return near


def _dice(first: sitk.Image, second: sitk.Image) -> float:
    one, other = (sitk.GetArrayFromImage(image) != 0 for image in (first, second))
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))
