"""What the shipped models lose without one of their sequences, on reserved phantoms.

    python benchmarks/calibration/missing_sequences.py --out runs/missing
        [--per-class 20] [--models NAME,…] [--record]

Phantoms of the classes in turn (those of `evaluate.py`: seeds from 904000, for CT from 910000) are shown to
each model as they are and then without each sequence that it can do without. Asked for are a mean loss of at
most 5 points of accuracy and a worst one of at most 15. Every phantom's answers are kept in the folder: run
again, an interrupted run goes on. `--record` writes the figures into the bundles.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from asked import CT, MODELS, Case, classifier, in_turn, knows, seen
from evaluate import FIRST_CT, FIRST_SEED
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.evaluation.metrics import absence_metrics
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.systems.base import label_of
from LiverLesionAI.taxonomy import TAXONOMIES

MEAN_LOSS, WORST_LOSS = 0.05, 0.15
WHOLE = ""


def answers(case: Case, models: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Model to the sequence that was taken away to task to the predicted class."""
    study = case.study()
    found: dict[str, dict[str, dict[str, int]]] = {}
    for model in models:
        if not knows(model, case):
            continue
        asked = classifier(model)
        spec = asked.bundle.spec
        optional = [name for name in spec.sequences if name not in spec.required_sequences]
        found[model] = {}
        for absent in (WHOLE, *(optional if len(spec.sequences) > 1 else ())):
            images = {name: image for name, image in study.images.items() if name != absent}
            said = seen(asked, replace(study, images=images), case.truth)
            found[model][absent] = {
                task: int(members.mean(axis=0).argmax()) for task, members in said.members.items()
            }
    return found


def kept(case: Case, models: list[str], folder: Path) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """The answers about a phantom, from the folder where they lie there."""
    file = folder / f"{case.name}.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    new = [model for model in models if model not in before]
    if new:
        before |= answers(case, new)
        file.write_text(json.dumps(before), encoding="utf-8")
    return before


def main() -> None:
    """Ask, show, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of what the models said")
    parser.add_argument("--per-class", type=int, default=20, help="phantoms of each class")
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundles")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    models = arguments.models.split(",")
    cases = [
        *in_turn(FIRST_SEED, arguments.per_class),
        *in_turn(FIRST_CT, arguments.per_class, system=CT),
    ]
    cases = [case for case in cases if any(knows(model, case) for model in models)]
    said = {case: kept(case, models, arguments.out) for case in cases}
    table = Table("model", "task", "all", *("without", "accuracy"), "loss")
    for model in models:
        bundle = load_bundle(BUNDLES / model)
        own = [case for case in cases if model in said[case]]
        if not own or len(said[own[0]][model]) < 2:
            continue
        truths = TAXONOMIES[bundle.system.recipe.truths]
        labels = {
            task: np.array([label_of(truths, case.truth, taxonomy) for case in own])
            for task, taxonomy in bundle.taxonomies.items()
        }
        predicted = {
            absent: {task: np.array([said[case][model][absent][task] for case in own]) for task in labels}
            for absent in said[own[0]][model]
        }
        whole = predicted.pop(WHOLE)
        for task, truth in labels.items():
            before = float((whole[task] == truth).mean())
            losses = {
                name: before - float((found[task] == truth).mean()) for name, found in predicted.items()
            }
            for name, loss in losses.items():
                table.add_row(model, task, f"{before:.3f}", name, f"{before - loss:.3f}", f"{loss:+.3f}")
            mean, worst = float(np.mean(list(losses.values()))), max(losses.values())
            verdict = "held" if mean <= MEAN_LOSS and worst <= WORST_LOSS else "MISSED"
            table.add_row(model, task, "", "mean, worst", f"{mean:+.3f}, {worst:+.3f}", verdict)
        if arguments.record:
            everyone = dict.fromkeys(predicted, np.ones(len(own), bool))
            seeds = [case.seed for case in own]
            cohort = (
                f"{len(own)} reserved phantoms (seeds {min(seeds)}–{max(seeds)}), one sequence taken away"
            )
            record_metrics(bundle, absence_metrics(labels, predicted, everyone, cohort))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
