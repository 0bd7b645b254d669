"""Prove on the reserved phantoms that maps and sequence weights are faithful to the network.

    python benchmarks/saliency/prove.py [--model NAME|DIR] [--lesions N] [--deletion N] [--sanity N]
                                        [--method METHOD] [--device auto|cpu|cuda] [--out DIR]

Prints a table with what was found and what was asked for, also where it falls short, and writes it as
``proofs.json`` and, with ``--out``, a figure of a lesion of each class and of the mean weights. The deletion
of voxels is by far the slowest part (some 120 runs of the network a lesion and fold).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import proofs
from cases import W7, Case, reserved_cases
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.inference import Classifier, LesionPrediction
from LiverLesionAI.pipeline import DEFAULT_MODEL
from LiverLesionAI.results import LesionResult
from LiverLesionAI.saliency import (
    METHODS,
    LesionExplanation,
    SequenceWeights,
    Settings,
    explain,
    mean_weights,
)

SEED = 20
"""Of the random orders."""


@dataclass(frozen=True)
class Proof:
    """One line of the table; `passed` is None where nothing was asked for."""

    name: str
    found: str
    asked: str
    passed: bool | None
    lesions: int


@dataclass
class Findings:
    """What was measured, lesion by lesion."""

    efficiency: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    sequences: list[proofs.SequenceDeletion] = field(default_factory=list)
    voxels: list[proofs.VoxelDeletion] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    located: list[proofs.Localisation] = field(default_factory=list)
    gaussian: list[bool] = field(default_factory=list)
    untrained: list[proofs.Localisation] = field(default_factory=list)
    density: dict[str, list[float]] = field(default_factory=dict)
    density_everywhere: list[float] = field(default_factory=list)
    sanity: dict[str, list[float]] = field(default_factory=dict)
    cost: list[float] = field(default_factory=list)
    weights: dict[str, list[SequenceWeights]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The model and everything that is asked of it."""

    classifier: Classifier
    settings: Settings
    deletion: int
    sanity: int
    out: Path | None

    def explained(self, case: Case, classifier: Classifier | None = None) -> LesionExplanation:
        """Explain a case's predicted class."""
        used = classifier or self.classifier
        predictions = used.predict([case.lesion])
        return explain(used, [case.lesion], predictions, self.settings)[0]


def measure(bench: Bench, cases: Sequence[Case], found: Findings, say: Callable[[str], None]) -> None:
    """Run every proof on every case."""
    untrained = proofs.Untrained(bench.classifier)
    randomised = {layer: proofs.Randomised(bench.classifier, layer) for layer in proofs.LAYERS}
    drawn: set[str] = set()
    bench.explained(cases[0])
    for number, case in enumerate(cases):
        rng = np.random.default_rng([SEED, case.seed])
        start = time.perf_counter()
        predictions = bench.classifier.predict([case.lesion])
        classified = time.perf_counter()
        (explanation,) = explain(bench.classifier, [case.lesion], predictions, bench.settings)
        found.cost.append((time.perf_counter() - classified) / (classified - start))
        correct = explanation.target == case.lesion_class
        found.correct.append(correct)
        _weights(explanation, found, rng)
        if correct:
            _places(case, explanation, bench.explained(case, untrained), found)
            if case.lesion_class not in drawn and bench.out is not None and not case.atypical:
                drawn.add(case.lesion_class)
                _draw(explanation, predictions[0], bench.out / f"explanation_{case.lesion_class}.png")
        if number < bench.deletion:
            index = W7.index(explanation.target)
            found.voxels.append(proofs.delete_voxels(bench.classifier, explanation, index, rng))
        if number < bench.sanity:
            for layer, network in randomised.items():
                asked = Settings(
                    **{**asdict(bench.settings), "classes": {explanation.task: explanation.target}}
                )
                (other,) = explain(network, [case.lesion], predictions, asked)
                found.sanity.setdefault(layer, []).append(proofs.rank_correlation(explanation, other))
        say(f"{number + 1} of {len(cases)} lesions")


def _weights(explanation: LesionExplanation, found: Findings, rng: np.random.Generator) -> None:
    for weights in explanation.weights.values():
        found.efficiency.append(proofs.efficiency_error(weights))
    weights = explanation.weights[explanation.task]
    found.sequences.append(proofs.delete_sequences(weights, rng))
    found.weights.setdefault(explanation.target, []).append(weights)


def _places(
    case: Case, explanation: LesionExplanation, untrained: LesionExplanation, found: Findings
) -> None:
    found.located.append(proofs.localise(explanation))
    found.gaussian.append(proofs.gaussian_hits(explanation))
    found.untrained.append(proofs.localise(untrained))
    ratio = proofs.density_ratio(case, explanation)
    if ratio is not None:
        found.density.setdefault(case.lesion_class, []).append(ratio)
    ratio = proofs.density_ratio(case, explanation, everywhere=True)
    if ratio is not None:
        found.density_everywhere.append(ratio)


def table(found: Findings) -> list[Proof]:
    """Every figure beside what was asked for."""
    ratios = [ratio for each in found.density.values() for ratio in each]
    last = found.sanity.get(proofs.LAYERS[-1], [])
    rows = [
        Proof("accuracy on these lesions", *_share(found.correct)),
        Proof(
            "Shapley values sum to v(all) − v(none)",
            f"largest error {max(found.efficiency):.1e}",
            "≤ 1e-4",
            max(found.efficiency) <= 1e-4,
            len(found.correct),
        ),
        Proof("sequences by weight: fall fastest", *_share([e.passed for e in found.sequences], 0.95)),
        Proof("voxels by map: fall faster than at random", *_share([e.passed for e in found.voxels], 0.9)),
        Proof("maximum in the lesion + 5 mm", *_share([e.overall for e in found.located], 0.9)),
        Proof("the same, mean over every sequence's own map", *_mean([e.share for e in found.located])),
        Proof("the same, centred Gaussian", *_share(found.gaussian)),
        Proof("the same, untrained network", *_share([e.overall for e in found.untrained])),
        Proof("the same, untrained, every sequence's own map", *_mean([e.share for e in found.untrained])),
        Proof("sign's sub-region ≥ 1.5 × rest, its sequence", *_share([r >= 1.5 for r in ratios], 0.7)),
        *(
            Proof(f"the same, {name}", *_share([r >= 1.5 for r in each]))
            for name, each in found.density.items()
        ),
        Proof(
            "the same, all weighted maps together", *_share([r >= 1.5 for r in found.density_everywhere])
        ),
        *(
            Proof(f"rank correlation, redrawn down to {layer}", *_mean(each))
            for layer, each in found.sanity.items()
        ),
        Proof(
            "rank correlation with nothing learned",
            f"{np.mean(last):.2f}" if last else "–",
            "< 0.3",
            bool(np.mean(last) < 0.3) if last else None,
            len(last),
        ),
        Proof(
            "cost of explaining over classifying",
            f"median {np.median(found.cost):.1f}",
            "≤ 6",
            bool(np.median(found.cost) <= 6),
            len(found.cost),
        ),
    ]  # fmt: skip
    return rows


def _share(hits: Sequence[bool], asked: float | None = None) -> tuple[str, str, bool | None, int]:
    if not hits:
        return "–", "" if asked is None else f"≥ {asked:.0%}", None, 0
    share = float(np.mean(hits))
    wanted = "" if asked is None else f"≥ {asked:.0%}"
    return f"{share:.0%}", wanted, None if asked is None else share >= asked, len(hits)


def _mean(values: Sequence[float]) -> tuple[str, str, bool | None, int]:
    return (f"{np.mean(values):.2f}" if len(values) else "–"), "", None, len(values)


def _draw(explanation: LesionExplanation, prediction: LesionPrediction, path: Path) -> None:
    from LiverLesionAI.writers.figures import lesion_figure, save_png

    geometry = explanation.lesion.geometry
    answer = LesionResult(
        id=1,
        name="lesion 1",
        diameter_mm=geometry.diameter_mm,
        volume_ml=geometry.volume_ml,
        centroid_lps_mm=geometry.centroid_lps_mm,
        crop_mm=explanation.lesion.crop_mm,
        tasks={task: each.result() for task, each in prediction.tasks.items()},
    )
    save_png(lesion_figure(explanation, answer, phantom=True), path, dpi=170)


def _write(found: Findings, rows: Sequence[Proof], sequences: Sequence[str], model: str, out: Path) -> None:
    from LiverLesionAI.writers.figures import cohort_figure, save_png

    means = mean_weights({name: found.weights[name] for name in W7.names if name in found.weights})
    content = {"model": model, "proofs": [asdict(row) for row in rows], "mean_weights": means}
    (out / "proofs.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    title = "Mean weight of each sequence for the predicted class, reserved phantoms"
    save_png(cohort_figure(means, sequences, title), out / "explanation_weights.png", dpi=170)


def main() -> None:
    """Run the proofs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder of the bundle")
    parser.add_argument("--lesions", type=int, default=140, help="how many reserved phantoms")
    parser.add_argument("--deletion", type=int, default=35, help="how many of them to delete voxels of")
    parser.add_argument("--sanity", type=int, default=14, help="how many of them to redraw weights for")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--stage", default=Settings().stage)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="folder for figures and proofs.json")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    classifier = Classifier(bundle, device=arguments.device, precision="fp32", keep_loaded=True)
    settings = Settings(method=arguments.method, stage=arguments.stage)
    bench = Bench(classifier, settings, arguments.deletion, arguments.sanity, arguments.out)
    console, found = Console(stderr=True), Findings()
    cases = list(reserved_cases(arguments.lesions, bundle))
    measure(bench, cases, found, lambda text: console.print(text, highlight=False))
    rows = table(found)
    shown = Table("proof", "found", "asked", "", "lesions", title=f"{bundle.name} {bundle.metadata.version}")
    for row in rows:
        verdict = {True: "yes", False: "NO", None: ""}[row.passed]
        shown.add_row(row.name, row.found, row.asked, verdict, str(row.lesions))
    Console(width=110).print(shown)
    if arguments.out is not None:
        _write(found, rows, bundle.spec.sequences, f"{bundle.name} {bundle.metadata.version}", arguments.out)
    sys.exit(any(row.passed is False for row in rows))


if __name__ == "__main__":
    main()
