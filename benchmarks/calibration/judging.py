"""Whether a calibration holds for cases that it was not made with, as figures for card and eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.evaluation.intervals import wilson_interval
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.inference.familiar import stacked
from LiverLesionAI.systems.base import can_label, label_of
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.calibrate import Seen
from LiverLesionAI.uncertainty.calibrated import Calibration
from LiverLesionAI.uncertainty.calibration import reliability, tempered
from LiverLesionAI.uncertainty.out_of_distribution import TOGETHER, Familiarity

LEAST_COVERAGE, LEAST_IN_CLASS, MOST_ERROR, LEAST_AREA = 0.87, 0.80, 0.03, 0.95
"""What is asked for: see `docs/training.md`."""


def calibration_metrics(
    bundle: Bundle, calibration: Calibration, answers: Sequence[Seen], cohort: str
) -> Iterator[Metric]:
    """Coverage and size of sets, calibration error without and with the temperature."""
    truths = TAXONOMIES[bundle.system.recipe.truths]
    for name, task in calibration.tasks.items():
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


def unlike_metrics(
    known: Familiarity, answers: Sequence[Seen], odd: Mapping[str, Sequence[Seen]], cohort: str
) -> Iterator[Metric]:
    """Area under the curve of the score for each kind of the unfamiliar, and false alarms."""
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


def show(figures: Mapping[str, Sequence[Metric]]) -> None:
    """Print models' figures, and whether what is asked for holds."""
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
