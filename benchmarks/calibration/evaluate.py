"""Measure the calibration of the shipped bundles on reserved phantoms, and what they notice as unfamiliar.

    python benchmarks/calibration/evaluate.py --out runs/calibration/reserved [--per-class 222] [--unlike 45]
        [--jobs 1] [--record] [--data FOLDER] [--first-seed 904000] [--first-unlike 908000]

Phantoms of the nine classes that the two systems for MRI know (seeds from 904000; 222 of each are 1,998) and
of the five categories of CT (from 906500; a fifth as many of each), a quarter atypical, misaligned by up to
3 mm, are shown to every model that knows their class: how often the 90% sets hold the truth, overall and in
each class, how large they are, and how far calibrated probabilities are from what comes true.
Then brains, CT called MR, livers without a lesion and metal artefacts (seeds from 908000,
made by `unlike.py`) are told from those phantoms by their score alone. `--data` names a folder with the
TotalSegmentator test CT, which stands for every sequence.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from asked import CT, MODELS, asked, in_turn, seen
from rich.console import Console
from rich.table import Table
from unlike import KINDS, real_ct

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.evaluation.intervals import wilson_interval
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.inference import Classifier
from LiverLesionAI.inference.familiar import stacked
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.systems.base import can_label, label_of
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.calibrate import Seen
from LiverLesionAI.uncertainty.calibration import reliability, tempered
from LiverLesionAI.uncertainty.out_of_distribution import TOGETHER

FIRST_SEED, FIRST_CT, FIRST_UNLIKE = 904_000, 906_500, 908_000
REAL_CT, REAL_CT_COUNT = "example_ct_sm.nii.gz", 12
LEAST_COVERAGE, LEAST_IN_CLASS, MOST_ERROR, LEAST_AREA = 0.87, 0.80, 0.03, 0.95
"""What is asked for: see `docs/training.md`."""


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of what the models said")
    parser.add_argument("--per-class", type=int, default=222, help="phantoms of each class")
    parser.add_argument("--unlike", type=int, default=45, help="studies of each unfamiliar kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--data", type=Path, help="folder with a real CT")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the phantoms")
    parser.add_argument("--first-unlike", type=int, default=FIRST_UNLIKE, help="of what is unfamiliar")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundles")
    parser.add_argument("--only-ask", action="store_true", help="make the phantoms, ask, and stop")
    arguments = parser.parse_args()
    usual = in_turn(arguments.first_seed, arguments.per_class)
    usual += in_turn(FIRST_CT, -(-arguments.per_class // 5), system=CT)
    strange = {
        kind: in_turn(arguments.first_unlike + 200 * number, arguments.unlike // 9, kind)
        for number, kind in enumerate(KINDS)
    }
    answers = [said for _, said in asked(usual, arguments.out, arguments.jobs)]
    odd = {
        kind: [said for _, said in asked(cases, arguments.out, arguments.jobs)]
        for kind, cases in strange.items()
    }
    if arguments.only_ask:
        return
    ct = arguments.data / REAL_CT if arguments.data else None
    cohort = f"reserved phantoms (seeds from {arguments.first_seed} and {FIRST_CT}, misaligned by up to 3 mm)"
    figures = {}
    for model in MODELS:
        bundle = load_bundle(BUNDLES / model)
        own = [said[model] for said in answers if model in said]
        shown = {kind: [said[model] for said in found if model in said] for kind, found in odd.items()}
        others = {kind: found for kind, found in shown.items() if found}
        if ct is not None and ct.is_file():
            studies = real_ct(ct, REAL_CT_COUNT, arguments.first_unlike)
            classifier = Classifier(bundle, keep_loaded=True)
            others["real CT"] = [seen(classifier, study, own[0].truth) for study in studies]
        metrics = [*_calibration(bundle, own, cohort), *_unlike(bundle, own, others, cohort)]
        figures[model] = metrics
        if arguments.record:
            record_metrics(bundle, metrics)
    _show(figures)
    content = {name: [metric.model_dump() for metric in metrics] for name, metrics in figures.items()}
    (arguments.out / "figures.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _calibration(bundle: Bundle, answers: Sequence[Seen], cohort: str) -> Iterator[Metric]:
    """Coverage and size of sets, calibration error without and with the temperature."""
    assert bundle.calibration is not None
    truths = TAXONOMIES[bundle.system.recipe.truths]
    for name, task in bundle.calibration.tasks.items():
        taxonomy = bundle.taxonomies[name]
        known = [each for each in answers if can_label(truths, each.truth, taxonomy)]
        labels = np.array([label_of(truths, each.truth, taxonomy) for each in known])
        inside = np.stack([task.sets.of_members(each.members[name]) for each in known])
        held = inside[np.arange(len(labels)), labels]
        share = f"{task.sets.coverage:.0%} sets"
        yield _share(f"{name}: {share} hold the truth", held, cohort)
        for index, each in enumerate(taxonomy.names):
            if (labels == index).any():
                yield _share(f"{name}: {share} hold the truth, {each}", held[labels == index], cohort)
        yield _share(f"{name}: empty sets", ~inside.any(axis=1), cohort)
        yield _mean(f"{name}: mean size of {share}", inside.sum(axis=1), cohort)
        means = np.stack([each.members[name].mean(axis=0) for each in known])
        calibrated = tempered(means, task.temperature)
        yield _error(f"{name}: calibration error", means, labels, cohort)
        yield _error(f"{name}: calibration error with the temperature", calibrated, labels, cohort)


def _unlike(
    bundle: Bundle, answers: Sequence[Seen], odd: Mapping[str, Sequence[Seen]], cohort: str
) -> Iterator[Metric]:
    """Area under the curve of the score for each kind of the unfamiliar, and false alarms."""
    known = bundle.calibration.familiarity if bundle.calibration is not None else None
    assert known is not None
    usual = known.scores(stacked([each.parts for each in answers]))[TOGETHER]
    yield _share("false alarms: called unlike the training", usual > known.thresholds[TOGETHER], cohort)
    for kind, found in odd.items():
        scores = known.scores(stacked([each.parts for each in found]))[TOGETHER]
        value, low, high = delong_auc(scores, usual)
        count = len(scores) + len(usual)
        yield Metric(
            name=f"{kind}: area under the curve against unseen phantoms",
            value=value,
            lower=low,
            upper=high,
            n=count,
            method="DeLong",
            cohort=cohort,
        )
        yield _share(f"{kind}: called unlike the training", scores > known.thresholds[TOGETHER], cohort)


def _share(name: str, hits: np.ndarray, cohort: str) -> Metric:
    low, high = wilson_interval(int(hits.sum()), len(hits))
    value = float(hits.mean())
    return Metric(name=name, value=value, lower=low, upper=high, n=len(hits), method="Wilson", cohort=cohort)


def _mean(name: str, values: np.ndarray, cohort: str) -> Metric:
    reach = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    middle = float(values.mean())
    return Metric(
        name=name,
        value=middle,
        lower=middle - reach,
        upper=middle + reach,
        n=len(values),
        method="normal",
        cohort=cohort,
    )


def _error(name: str, probabilities: np.ndarray, labels: np.ndarray, cohort: str) -> Metric:
    """Calibration error; its bootstrap interval leans upwards, as the error does in small samples."""
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(labels), len(labels)) for _ in range(500)]
    low, high = np.percentile([reliability(probabilities[d], labels[d]).ece for d in draws], (2.5, 97.5))
    value = reliability(probabilities, labels).ece
    return Metric(
        name=name,
        value=value,
        lower=float(low),
        upper=float(high),
        n=len(labels),
        method="bootstrap",
        cohort=cohort,
    )


def _show(figures: Mapping[str, Sequence[Metric]]) -> None:
    table = Table("model", "figure", "value", "95% interval", "n", "asked for")
    for model, metrics in figures.items():
        for each in metrics:
            interval = f"{each.lower:.3f}–{each.upper:.3f}"
            table.add_row(model, each.name, f"{each.value:.3f}", interval, str(each.n), _verdict(each))
    Console(width=130).print(table)


def _verdict(metric: Metric) -> str:
    """Whether what is asked for holds; empty where nothing is."""
    asked_for = {
        "hold the truth": metric.value >= LEAST_COVERAGE,
        "hold the truth,": metric.value >= LEAST_IN_CLASS,
        "empty sets": metric.value == 0,
        "error with the temperature": metric.value <= MOST_ERROR,
        "against unseen phantoms": metric.value >= LEAST_AREA,
    }
    found = [is_met for part, is_met in asked_for.items() if part in metric.name]
    return ("held" if found[-1] else "MISSED") if found else ""


if __name__ == "__main__":
    main()
