"""Measure the detector of Kim's system on reserved phantoms that nothing was trained or tuned on.

    python benchmarks/kim2020/evaluate.py --out runs/kim2020 [--model kim2020-phantom] [--hcc 36] [--none 18]
        [--others 8] [--record] [--then-classify 30]

Slices (sensitivity, specificity, area under the curve at the bundle's operating point, intervals by drawing
patients), lesions (free-response: sensitivity against false positives a study as the operating point moves,
false positives by organ), maps (highest value in a lesion or within 5 mm of it), lesions of other classes,
and with ``--then-classify`` what becomes of lesions that are detected, segmented by one click and classified
without a human, beside the same lesions with their true outlines.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from reserved import NO_LESION, UNSEEN, Case, cases, patients
from rich.console import Console
from rich.table import Table
from scipy.ndimage import distance_transform_edt

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.detection import detect_study
from LiverLesionAI.detection.card import metric_name
from LiverLesionAI.detection.regions import enlarged, find_regions
from LiverLesionAI.evaluation.intervals import modified_wilson_interval
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.options import DetectOptions
from LiverLesionAI.phantom.anatomy import LABELS

POINTS = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99])
CARD_POINTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
ALLOWED = (0.5, 1.0, 2.0)
NEAR_MM = 5.0
DRAWS = 1000
_ORGANS = {
    "bile": "gallbladder",
    "portal vein": "vessel",
    "hepatic vein": "vessel",
    "artery": "aorta",
    "kidney cortex": "kidney",
    "kidney medulla": "kidney",
    "bowel wall": "stomach or bowel",
    "bowel content": "stomach or bowel",
    "bowel fluid": "stomach or bowel",
    "liver nodule": "liver",
    "fibrosis": "liver",
}
_LIVER = ("liver", "liver nodule", "fibrosis")
_VENTRAL_OF_SPINE_MM, _ABOVE_MM = 15.0, 60.0


@dataclass(frozen=True)
class Seen:
    """What the detector says of one phantom, and the truth.

    Attributes
    ----------
    case
        The phantom.
    probabilities, positive
        Of each slice: HCC, and whether a lesion is outlined there.
    evidence
        Maps ``[slice, h, w]``.
    near
        Lesion to the places in it or within :data:`NEAR_MM` of it, on the grid of the series.
    """

    case: Case
    probabilities: np.ndarray
    positive: np.ndarray
    evidence: np.ndarray
    near: dict[int, np.ndarray]


def looked_at(case: Case, bundle: Bundle) -> Seen:
    """Run the detector on a phantom."""
    import SimpleITK as sitk

    found = detect_study(case.study, bundle, DetectOptions(model=bundle.name))
    (answer,) = found.result.study_tasks.values()
    probabilities = np.array([group.probabilities["HCC"] for group in answer.groups])
    evidence = sitk.GetArrayFromImage(found.found.evidence)
    return Seen(case, probabilities, case.lesions.any(axis=(1, 2)), evidence, places_near(case))


def places_near(case: Case) -> dict[int, np.ndarray]:
    """Where each lesion is, or is within :data:`NEAR_MM`."""
    spacing = case.study.images["HBP"].image.GetSpacing()[::-1]
    return {
        label: distance_transform_edt(case.lesions != label, sampling=spacing) <= NEAR_MM
        for label in np.unique(case.lesions[case.lesions > 0]).tolist()
    }


def candidates(
    seen: Seen, bundle: Bundle, point: float, size: int
) -> list[tuple[float, tuple[int, int, int]]]:
    """Probability and place (index in the series) of the candidates at an operating point."""
    patches = bundle.spec.patches
    regions = find_regions(
        seen.evidence,
        seen.probabilities,
        size,
        operating_point=point,
        region_share=patches.region_share,
    )
    shape = seen.case.lesions.shape
    return [
        (region.probability, _in_series(region.centre, size, seen.case, shape)) for region in regions.found
    ]


def _in_series(
    centre: tuple[float, float, float], size: int, case: Case, shape: tuple[int, ...]
) -> tuple[int, int, int]:
    """Pixels of the network to voxels of the series; phantoms are square."""
    z, y, x = centre
    rows = (y + 0.5) / size * shape[1] - 0.5
    columns = (x + 0.5) / size * shape[2] - 0.5
    return (
        int(np.clip(round(z), 0, shape[0] - 1)),
        int(np.clip(round(rows), 0, shape[1] - 1)),
        int(np.clip(round(columns), 0, shape[2] - 1)),
    )


def organ(case: Case, place: tuple[int, int, int]) -> str:
    """What lies at a place of the series; the nearest other tissue within 10 mm where it is plain liver."""
    image = case.study.images["HBP"].image
    _, y, z = image.TransformIndexToPhysicalPoint(tuple(reversed(place)))
    name = _tissue(case.tissues[place])
    if name in _LIVER:
        steps = np.ceil(10 / np.array(image.GetSpacing()[::-1])).astype(int)
        window = tuple(slice(max(p - s, 0), p + s + 1) for p, s in zip(place, steps, strict=True))
        around = Counter(_tissue(value) for value in case.tissues[window].ravel())
        beside = [(count, tissue) for tissue, count in around.items() if tissue not in _LIVER and count > 8]
        return f"liver beside {_named(max(beside)[1])}" if beside else "liver"
    if name in ("muscle", "artery") and z > _ABOVE_MM and y < _VENTRAL_OF_SPINE_MM:
        return "heart"
    return _named(name)


def _tissue(value: int) -> str:
    return LABELS[value] if value < len(LABELS) else "lesion"


def _named(tissue: str) -> str:
    return _ORGANS.get(tissue, tissue)


def share(hits: Sequence[bool] | np.ndarray) -> str:
    """A share with its 95% interval (Wilson)."""
    hits = np.asarray(hits, bool)
    if not len(hits):
        return "–"
    low, high = modified_wilson_interval(int(hits.sum()), len(hits))
    return f"{hits.mean():.3f} ({low:.3f}–{high:.3f}), {int(hits.sum())}/{len(hits)}"


def drawn_interval(seen: Sequence[Seen], point: float, positive: bool) -> tuple[float, float]:
    """95% interval of sensitivity or specificity by drawing patients anew."""
    hits = [((each.probabilities >= point) == positive)[each.positive == positive] for each in seen]
    sums, counts = np.array([h.sum() for h in hits]), np.array([len(h) for h in hits])
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(seen), (DRAWS, len(seen)))
    low, high = np.percentile(sums[picks].sum(axis=1) / np.maximum(counts[picks].sum(axis=1), 1), (2.5, 97.5))
    return float(low), float(high)


def slices(console: Console, seen: Sequence[Seen], point: float) -> dict[str, object]:
    """Slices of patients with HCC and of those without a lesion."""
    told = np.concatenate([each.probabilities for each in seen])
    positive = np.concatenate([each.positive for each in seen])
    sensitivity, specificity = (told >= point)[positive].mean(), (told < point)[~positive].mean()
    auc = delong_auc(told[positive], told[~positive])[0]
    best = max(np.unique(told), key=lambda p: (told >= p)[positive].mean() + (told < p)[~positive].mean())
    figures = {
        "operating_point": point,
        "slices": [int(positive.sum()), int((~positive).sum())],
        "sensitivity": [float(sensitivity), *drawn_interval(seen, point, True)],
        "specificity": [float(specificity), *drawn_interval(seen, point, False)],
        "auc": float(auc),
        "youden_point": float(best),
        "at_youden": [float((told >= best)[positive].mean()), float((told < best)[~positive].mean())],
        "sensitivity_at_specificity_0.93": float(
            (told >= np.quantile(told[~positive], 0.93))[positive].mean()
        ),
    }
    table = Table("slices", "", title="Slices of patients with HCC and without lesions", title_justify="left")
    for name, value in figures.items():
        table.add_row(name, str(value))
    console.print(table)
    return figures


def maps(console: Console, seen: Sequence[Seen], bundle: Bundle, point: float) -> dict[str, object]:
    """Whether the highest value of a positive slice's map lies in a lesion or within 5 mm of it."""
    size = bundle.spec.patches.size
    every, called = [], []
    for each in seen:
        if not each.positive.any():
            continue
        near = np.any(list(each.near.values()), axis=0)
        wide = enlarged(each.evidence, size)
        for index in np.flatnonzero(each.positive):
            y, x = np.unravel_index(int(wide[index].argmax()), wide[index].shape)
            place = _in_series((index, float(y), float(x)), size, each.case, each.case.lesions.shape)
            every.append(bool(near[place]))
            if each.probabilities[index] >= point:
                called.append(bool(near[place]))
    console.print(f"highest value of the map in a lesion (+5 mm): {share(every)} of positive slices,")
    console.print(f"  {share(called)} of those that were called positive")
    return {"all_positive": float(np.mean(every)), "called": float(np.mean(called)), "n": len(every)}


def free_response(console: Console, seen: Sequence[Seen], bundle: Bundle, point: float) -> dict[str, object]:
    """Lesions found against false positives a study, as the operating point moves."""
    size = bundle.spec.patches.size
    curve, organs = [], Counter()
    for at in sorted({*POINTS.tolist(), point}):
        hits, wrong = [], 0
        for each in seen:
            found = candidates(each, bundle, at, size)
            places = [place for _, place in found]
            hits += [any(near[p] for p in places) for near in each.near.values()]
            missed = [p for p in places if not any(near[p] for near in each.near.values())]
            wrong += len(missed)
            if at == point:
                organs.update(organ(each.case, p) for p in missed)
        curve.append((at, float(np.mean(hits)), wrong / len(seen), len(hits)))
    reached = {
        str(allowed): max((s for _, s, fp, _ in curve if fp <= allowed), default=0.0) for allowed in ALLOWED
    }
    table = Table("operating point", "lesions found", "false positives a study", title="Free response")
    for at, sensitivity, wrong_share, count in curve:
        table.add_row(f"{at:g}", f"{sensitivity:.3f} of {count}", f"{wrong_share:.2f}")
    console.print(table)
    console.print(f"sensitivity at {ALLOWED} false positives a study: {reached}")
    console.print(f"false positives at {point:g} by organ: {dict(organs.most_common())}")
    return {"curve": curve, "reached": reached, "organs": dict(organs.most_common())}


def others(console: Console, seen: Sequence[Seen], bundle: Bundle, point: float) -> dict[str, object]:
    """What becomes of lesions of classes that the network never learned from."""
    table = Table("class", "slices called HCC", "lesions found", title="Lesions it was not trained for")
    figures: dict[str, object] = {}
    for name in UNSEEN:
        own = [each for each in seen if each.case.patient.truth == name]
        called = np.concatenate([(each.probabilities >= point)[each.positive] for each in own])
        hits = []
        for each in own:
            places = [place for _, place in candidates(each, bundle, point, bundle.spec.patches.size)]
            hits += [any(near[p] for p in places) for near in each.near.values()]
        table.add_row(name, share(called), share(hits))
        figures[name] = {"slices": float(called.mean()), "lesions": float(np.mean(hits)), "n": len(hits)}
    console.print(table)
    return figures


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the phantoms and the figures")
    parser.add_argument("--model", default="kim2020-phantom", help="name or folder of the bundle")
    parser.add_argument("--hcc", type=int, default=36)
    parser.add_argument("--none", type=int, default=18)
    parser.add_argument("--others", type=int, default=8, help="of each class that was not trained for")
    parser.add_argument("--jobs", type=int, help="processes that make phantoms")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundle")
    parser.add_argument("--then-classify", type=int, default=0, help="patients to segment and classify")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    point = bundle.spec.patches.operating_point
    everyone = patients(arguments.hcc, arguments.none, arguments.others)
    seen = [looked_at(case, bundle) for case in cases(everyone, arguments.out / "phantoms", arguments.jobs)]
    console = Console(width=120)
    asked = [each for each in seen if each.case.patient.truth in ("HCC", NO_LESION)]
    figures = {
        "slices": slices(console, asked, point),
        "maps": maps(console, asked, bundle, point),
        "free_response": free_response(console, asked, bundle, point),
        "others": others(console, seen, bundle, point) if arguments.others else {},
    }
    if arguments.then_classify:
        from then_classify import then_classify

        figures["then_classify"] = then_classify(console, bundle, arguments.then_classify)
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.record:
        record_metrics(bundle, _metrics(asked, point))


def _metrics(seen: Sequence[Seen], point: float) -> list[Metric]:
    """Sensitivity and specificity of slices at several operating points, for card and panel."""
    everyone = [each.case.patient.seed for each in seen]
    cohort = f"slices of reserved phantoms (seeds {min(everyone)}–{max(everyone)})"
    told = np.concatenate([each.probabilities for each in seen])
    positive = np.concatenate([each.positive for each in seen])
    found = []
    for at in sorted({*CARD_POINTS, point}):
        for figure, wanted in (("sensitivity", True), ("specificity", False)):
            low, high = drawn_interval(seen, at, wanted)
            found.append(
                Metric(
                    name=metric_name(figure, at),
                    value=float(((told >= at) == wanted)[positive == wanted].mean()),
                    lower=low,
                    upper=high,
                    n=int((positive == wanted).sum()),
                    method="patients drawn anew",
                    cohort=cohort,
                )
            )
    return found


if __name__ == "__main__":
    main()
