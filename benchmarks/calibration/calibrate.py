"""Calibrate the shipped bundles with phantoms of their own, which nothing was trained or evaluated on.

    python benchmarks/calibration/calibrate.py --out runs/calibration [--per-class 120]
        [--per-category 300] [--jobs 1]

Phantoms of the nine classes that the two systems for MRI know (seeds from 860000) and of the five categories
of CT (from 870000), a quarter atypical, misaligned by up to 3 mm, are shown to every model that knows their
class; what each training looked like is told by some of its own phantoms. Bundles trained by
`liverlesionai train` calibrate themselves; these were trained before that was possible.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from asked import CT, MODELS, Case, asked, in_turn, training_of
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.write import record_calibration
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.calibrate import calibration
from LiverLesionAI.training.config import PhantomSource

FIRST_SEED, FIRST_CT = 860_000, 870_000


def trained_on(bundle: Bundle) -> PhantomSource:
    """The phantoms that a bundle was trained on."""
    source = training_of(bundle).phantom
    assert source is not None
    return source


def training_cases(per_class: int) -> list[Case]:
    """Phantoms of the systems' trainings, as they were made there: so many of each class."""
    found: dict[int, Case] = {}
    for model in ("wang2021-phantom", "zhen2020-a-phantom", "yasaka2018-triphasic-phantom"):
        bundle = load_bundle(BUNDLES / model)
        source, system = trained_on(bundle), bundle.spec.system
        count = len(source.classes)
        for i in range(per_class * count):
            seed = source.first_seed + i
            found[seed] = Case(seed, source.classes[i % count], system=system)
    return list(found.values())


def main() -> None:
    """Ask, calibrate, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of what the models said")
    parser.add_argument("--per-class", type=int, default=120, help="phantoms of each class")
    parser.add_argument("--per-category", type=int, default=300, help="phantoms of each category of CT")
    parser.add_argument("--training-per-class", type=int, default=20, help="phantoms of each training")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only-ask", action="store_true", help="make the phantoms, ask, and stop")
    arguments = parser.parse_args()
    cases = in_turn(FIRST_SEED, arguments.per_class)
    cases += in_turn(FIRST_CT, arguments.per_category, system=CT)
    held_out = list(asked(cases, arguments.out / "held_out", arguments.jobs))
    training = {
        case.seed: said
        for case, said in asked(
            training_cases(arguments.training_per_class), arguments.out / "training", arguments.jobs
        )
    }
    if arguments.only_ask:
        return
    table = Table("model", "task", "cases", "temperature", "error", "calibrated")
    for model in MODELS:
        bundle = load_bundle(BUNDLES / model)
        source = trained_on(bundle)
        own = range(source.first_seed, source.first_seed + source.lesions)
        parts = [said[model].parts for seed, said in training.items() if seed in own and model in said]
        known = {case.seed: said[model] for case, said in held_out if model in said}
        of_each = arguments.per_category if bundle.spec.system == CT else arguments.per_class
        cohort = (
            f"{len(known)} digital phantoms (seeds {min(known)}–{max(known)}, {of_each} of each class, "
            "misaligned by up to 3 mm)"
        )
        found = calibration(bundle, list(known.values()), parts, cohort)
        record_calibration(bundle, found)
        for name, task in found.tasks.items():
            figures = (f"{task.temperature:.2f}", f"{task.ece:.3f}", f"{task.ece_calibrated:.3f}")
            table.add_row(model, name, str(task.cases), *figures)
    Console(width=110).print(table)
    print(f"Recorded in {BUNDLES}")


if __name__ == "__main__":
    main()
