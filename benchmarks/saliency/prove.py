"""Prove on the reserved phantoms that maps and sequence weights are faithful to the network.

    python benchmarks/saliency/prove.py [--model NAME|DIR] [--lesions N] [--deletion N] [--sanity N]
                                        [--method METHOD] [--device auto|cpu|cuda] --out DIR

Prints a table with what was found and what was asked for, also where it falls short, and writes it as
``proofs.json`` beside a figure of the mean weights per class. Every lesion is kept in ``records.jsonl`` as
soon as it is measured: run again with the same folder, an interrupted run goes on, and larger numbers add
lesions. The deletion of voxels is by far the slowest part (128 runs of the network per lesion and member).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import proofs
from cases import W7, Case, reserved_case
from records import Explained, Part, Records, Sanity
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.explanation.explain import explain
from LiverLesionAI.explanation.lesion import LesionExplanation, mean_weights
from LiverLesionAI.explanation.settings import METHODS, Settings, resolved
from LiverLesionAI.explanation.weights import SequenceWeights
from LiverLesionAI.inference import Classifier, Predictions, UnitInputs
from LiverLesionAI.options import DEFAULT_MODEL
from LiverLesionAI.training.config import RESERVED_SEEDS

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


class Bench:
    """The model and what is measured of a lesion, a method for each part of the records."""

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        self.classifier, self.settings = classifier, settings
        self._untrained = proofs.Untrained(classifier)
        self._randomised = {layer: proofs.Randomised(classifier, layer) for layer in proofs.LAYERS}

    def measure(
        self, part: Part, case: Case
    ) -> Explained | proofs.SignDensity | Sanity | proofs.VoxelDeletion:
        """Measure a part of a lesion."""
        return getattr(self, part)(case)

    def explained(self, case: Case) -> Explained:
        """Explain a lesion and judge the explanation."""
        start = time.perf_counter()
        predictions = _predictions(self.classifier, case)
        classified = time.perf_counter()
        (explanation,) = explain(self.classifier, [case.lesion], predictions, self.settings)
        done = time.perf_counter()
        weights = explanation.weights[explanation.task]
        right = explanation.target == case.lesion_class
        return Explained(
            lesion_class=case.lesion_class,
            target=explanation.target,
            players=weights.sequences,
            worth=tuple(weights.worth.tolist()),
            efficiency_error=max(proofs.efficiency_error(each) for each in explanation.weights.values()),
            sequences=proofs.delete_sequences(weights, _rng(case, "sequences")),
            located=proofs.localise(explanation) if right else None,
            untrained=proofs.localise(self._explanation(case, self._untrained)) if right else None,
            gaussian=proofs.gaussian_hits(explanation) if right else None,
            classify_s=classified - start,
            explain_s=done - classified,
        )

    def signs(self, case: Case) -> proofs.SignDensity:
        """Compare the sub-region of the sign with the rest, in lesions that were classified correctly."""
        if case.sign is None:
            return proofs.SignDensity(case.lesion_class)
        explanation = self._explanation(case, self.classifier)
        if explanation.target != case.lesion_class:
            return proofs.SignDensity(case.lesion_class)
        by_parts = self._explanation(case, self.classifier, replace(self.settings, method="lesion-parts"))
        return proofs.sign_density(self.classifier, case, case.sign, explanation, by_parts)

    def sanity(self, case: Case) -> Sanity:
        """Compare the maps with those of networks that lost what they learned."""
        true = self._explanation(case, self.classifier)
        settings = replace(self.settings, task=true.task, target=true.target)
        predictions = _predictions(self.classifier, case)
        correlation = {}
        for layer, network in self._randomised.items():
            (other,) = explain(network, [case.lesion], predictions, settings)
            correlation[layer] = proofs.rank_correlation(true, other)
        return Sanity(correlation)

    def voxels(self, case: Case) -> proofs.VoxelDeletion:
        """Delete voxels in the order of the maps."""
        explanation = self._explanation(case, self.classifier)
        index = W7.index(explanation.target)
        return proofs.delete_voxels(self.classifier, explanation, index, _rng(case, "voxels"))

    def _explanation(
        self, case: Case, classifier: Classifier, settings: Settings | None = None
    ) -> LesionExplanation:
        predictions = _predictions(classifier, case)
        return explain(classifier, [case.lesion], predictions, settings or self.settings)[0]


def _predictions(classifier: Classifier, case: Case) -> Predictions:
    return classifier.predict([UnitInputs(case.lesion.lesion_id, (case.lesion,))])


def _rng(case: Case, what: str) -> np.random.Generator:
    return np.random.default_rng([SEED, case.seed, *what.encode()])


def measure(bench: Bench, counts: dict[Part, int], records: Records, say: Callable[[str], None]) -> None:
    """Measure what the records lack."""
    bench.explained(reserved_case(0, bench.classifier.bundle))
    for part, count in counts.items():
        for number in range(count):
            if records.has(part, RESERVED_SEEDS[number]):
                continue
            case = reserved_case(number, bench.classifier.bundle)
            records.add(part, case.seed, bench.measure(part, case))
            say(f"{part}: {number + 1} of {count} lesions")


def table(records: Records) -> list[Proof]:
    """Every figure beside what was asked for."""
    explained: list[Explained] = records.of("explained")
    sanity: list[Sanity] = records.of("sanity")
    voxels: list[proofs.VoxelDeletion] = records.of("voxels")
    located = [each.located for each in explained if each.located]
    untrained = [each.untrained for each in explained if each.untrained]
    worst = max(each.efficiency_error for each in explained)
    cost = float(np.median([each.explain_s / each.classify_s for each in explained]))
    in_order = [each.sequences.passed for each in explained]
    last = [each.correlation[proofs.LAYERS[-1]] for each in sanity]
    return [
        Proof("accuracy on these lesions", *_share([each.correct for each in explained])),
        Proof("Shapley values sum to v(all) − v(none)", f"largest error {worst:.1e}", "≤ 1e-4", worst <= 1e-4,
              len(explained)),
        Proof("sequences by weight: fall fastest", *_share(in_order, 0.95)),
        Proof("voxels by map: fall faster than at random", *_share([each.passed for each in voxels], 0.9)),
        Proof("maximum in the lesion + 5 mm", *_share([each.overall for each in located], 0.9)),
        Proof("the same, mean over every sequence's own map", *_mean([each.share for each in located])),
        Proof("the same, centred Gaussian", *_share([each.gaussian for each in explained if each.correct])),
        Proof("the same, untrained network", *_share([each.overall for each in untrained])),
        Proof("the same, untrained, every sequence's own map", *_mean([each.share for each in untrained])),
        *_signs(records.of("signs")),
        *(Proof(f"rank correlation, redrawn down to {layer}",
                *_mean([each.correlation[layer] for each in sanity])) for layer in proofs.LAYERS),
        Proof("rank correlation with nothing learned", _mean(last)[0], "< 0.3",
              bool(np.mean(last) < 0.3) if last else None, len(last)),
        Proof("cost of explaining over classifying", f"median {cost:.1f}", "≤ 6", cost <= 6, len(explained)),
    ]  # fmt: skip


def _signs(signs: Sequence[proofs.SignDensity]) -> list[Proof]:
    """Density in the sub-region of the sign: all lesions that have one, then class by class.

    Beside the map's stands the network's own (:func:`proofs.evidence`), and how often the two agree.
    """
    known = [each for each in signs if None not in (each.own, each.parts, each.network)]
    asked = f"≥ {proofs.DENSER} ×"
    rows = [
        Proof(f"sign's sub-region {asked} rest, its map", *_dense([each.own for each in known], 0.7)),
        Proof("the same, map of lesion-parts", *_dense([each.parts for each in known])),
        Proof("the same, all weighted maps together", *_dense([each.everywhere for each in known])),
        Proof("the same, what the network draws from it", *_dense([each.network for each in known])),
        Proof("map and network agree on it", *_agree(known, "own")),
        Proof("map of lesion-parts and network agree on it", *_agree(known, "parts")),
    ]
    for name in proofs.SIGNS:
        of_class = [each for each in known if each.lesion_class == name]
        rows.append(Proof(f"{name}: its map", *_dense([each.own for each in of_class])))
        rows.append(Proof(f"{name}: map of lesion-parts", *_dense([each.parts for each in of_class])))
        rows.append(Proof(f"{name}: the network", *_dense([each.network for each in of_class])))
    return rows


def _agree(known: Sequence[proofs.SignDensity], kind: str) -> tuple[str, str, bool | None, int]:
    """How often a map is denser in the sub-region where the network draws more from it, and only there."""
    return _share(
        [(getattr(each, kind) >= proofs.DENSER) == (each.network >= proofs.DENSER) for each in known]
    )


def _dense(ratios: Sequence[float | None], asked: float | None = None) -> tuple[str, str, bool | None, int]:
    known = [ratio for ratio in ratios if ratio is not None]
    found, wanted, passed, count = _share([ratio >= proofs.DENSER for ratio in known], asked)
    return (f"{found} (median {np.median(known):.2f})" if known else found), wanted, passed, count


def _share(hits: Sequence[bool | None], asked: float | None = None) -> tuple[str, str, bool | None, int]:
    wanted = "" if asked is None else f"≥ {asked:.0%}"
    if not hits:
        return "–", wanted, None, 0
    share = sum(map(bool, hits)) / len(hits)
    return f"{share:.1%}", wanted, None if asked is None else share >= asked, len(hits)


def _mean(values: Sequence[float]) -> tuple[str, str, bool | None, int]:
    return (f"{np.mean(values):.2f}" if len(values) else "–"), "", None, len(values)


def _write(records: Records, rows: Sequence[Proof], sequences: Sequence[str], model: str, out: Path) -> None:
    from LiverLesionAI.writers.figures import cohort_figure, save_png

    weights: dict[str, list[SequenceWeights]] = {name: [] for name in W7.names}
    for each in records.of("explained"):
        lesion = SequenceWeights("type", each.target, each.players, np.array(each.worth))
        weights[each.target].append(lesion)
    means = mean_weights({name: lesions for name, lesions in weights.items() if lesions})
    content = {"model": model, "proofs": [asdict(row) for row in rows], "mean_weights": means}
    (out / "proofs.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    title = "Mean weight of each sequence for the predicted class, reserved phantoms"
    save_png(cohort_figure(means, sequences, title), out / "explanation_weights.png", dpi=170)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder of the bundle")
    parser.add_argument("--lesions", type=int, default=140, help="how many reserved phantoms")
    parser.add_argument("--deletion", type=int, default=42, help="how many of them to delete voxels of")
    parser.add_argument("--sanity", type=int, default=14, help="how many of them to redraw weights for")
    parser.add_argument("--method", choices=METHODS, help="by default the model's first")
    parser.add_argument("--stage", help="by default the model's first")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder for records, table and figure")
    return parser.parse_args()


def main() -> None:
    """Run the proofs."""
    arguments = _arguments()
    bundle = load_bundle(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    classifier = Classifier(bundle, device=arguments.device, precision=arguments.precision, keep_loaded=True)
    settings = resolved(Settings(method=arguments.method, stage=arguments.stage), bundle)
    about = {
        "model": bundle.sha256,
        "method": settings.method,
        "stage": settings.stage,
        "precision": classifier.execution.precision,
    }
    records = Records(arguments.out / "records.jsonl", about)
    counts: dict[Part, int] = {
        "explained": arguments.lesions,
        "signs": arguments.lesions,
        "sanity": arguments.sanity,
        "voxels": arguments.deletion,
    }
    console = Console(stderr=True)
    measure(Bench(classifier, settings), counts, records, lambda text: console.print(text, highlight=False))
    rows = table(records)
    name = f"{bundle.name} {bundle.metadata.version}"
    shown = Table("proof", "found", "asked", "", "lesions", title=name)
    for row in rows:
        verdict = {True: "yes", False: "NO", None: ""}[row.passed]
        shown.add_row(row.name, row.found, row.asked, verdict, str(row.lesions))
    Console(width=110).print(shown)
    _write(records, rows, bundle.spec.sequences, name, arguments.out)
    sys.exit(any(row.passed is False for row in rows))


if __name__ == "__main__":
    main()
