"""Calibrate the shipped detector with phantoms of its own, which nothing was trained, tuned or evaluated on.

    python benchmarks/kim2020/calibrate.py [--studies 120] [--training 60] [--check 60] [--record]

Asked for is the study's answer, that of its most suspicious slice: phantoms two of three with HCC (seeds from
880000, a quarter atypical) measure temperature and prediction sets; phantoms of the training tell what it
looked like. `--check` asks further ones (from 883000) whether that holds, and shows the detector brains and
CT (:mod:`unlike`) in the place of its series. `--record` writes the calibration into the bundle. Detectors
trained by `liverlesionai train` with `calibration` in their configuration calibrate themselves.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.progress import track

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from asked import training_of
from judging import calibration_metrics, show, unlike_metrics
from unlike import KINDS

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.bundles.write import record_calibration
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.calibrate import Seen, calibration, see, see_cases
from LiverLesionAI.training.cases import training_cases
from LiverLesionAI.uncertainty.calibrated import Calibration

MODEL = "kim2020-phantom"
FIRST_SEED, FIRST_CHECKED, FIRST_UNLIKE = 880_000, 883_000, 882_000


def answers(classifier: Classifier, first_seed: int, studies: int, what: str) -> list[Seen]:
    """What the detector says of phantoms that differ from those of its training by their seeds alone."""
    config = training_of(classifier.bundle)
    assert config.phantom is not None
    source = config.phantom.model_copy(update={"first_seed": first_seed, "lesions": studies})
    config = config.model_copy(update={"phantom": source})
    cases = training_cases(config)
    return list(track(see_cases(classifier, cases, config), f"{what} ({studies})", studies))


def strange_answers(classifier: Classifier, kind: str, count: int) -> list[Seen]:
    """What it says of studies that it was not made for, one sequence in the place of its series."""
    spec = classifier.bundle.spec
    (series,) = spec.sequences
    found = []
    for number in track(range(count), kind):
        made = KINDS[kind](FIRST_UNLIKE + number, "HCC")
        shown = replace(made, images={series: made.images["DP"]}, reference=series, lesions=None, outlines={})
        unit = UnitInputs(None, classifier.system.inputs(shown, None, spec))
        found.append(see(classifier, unit, "no_HCC"))
    return found


def check(classifier: Classifier, known: Calibration, studies: int) -> None:
    """Print whether a calibration holds for further phantoms, and what is noticed as unlike the training."""
    assert known.familiarity is not None
    further = answers(classifier, FIRST_CHECKED, studies, "further")
    odd = {kind: strange_answers(classifier, kind, studies // 3) for kind in ("brain", "CT called MR")}
    cohort = f"further phantoms (seeds from {FIRST_CHECKED})"
    metrics = [
        *calibration_metrics(classifier.bundle, known, further, cohort),
        *unlike_metrics(known.familiarity, further, odd, cohort),
    ]
    show({MODEL: metrics})


def main() -> None:
    """Ask, calibrate, check, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=120, help="phantoms that calibrate")
    parser.add_argument("--training", type=int, default=60, help="phantoms of the training")
    parser.add_argument(
        "--check", type=int, default=0, help="further phantoms, and a third as many strange studies"
    )
    parser.add_argument("--record", action="store_true", help="write the calibration into the bundle")
    arguments = parser.parse_args()
    bundle = load_bundle(BUNDLES / MODEL)
    classifier = Classifier(bundle, keep_loaded=True)
    source = training_of(bundle).phantom
    assert source is not None
    training = answers(classifier, source.first_seed, arguments.training, "training")
    held_out = answers(classifier, FIRST_SEED, arguments.studies, "calibration")
    words = (
        f"{len(held_out)} digital phantoms (seeds {FIRST_SEED}–{FIRST_SEED + len(held_out) - 1}, "
        "two of three with HCC), each by its most suspicious slice"
    )
    found = calibration(bundle, held_out, [seen.parts for seen in training], words)
    for name, task in found.tasks.items():
        print(f"{name}: {task.cases} cases, temperature {task.temperature:.2f}, ", end="")
        print(f"error {task.ece:.3f}, with it {task.ece_calibrated:.3f}")
    if arguments.check:
        check(classifier, found, arguments.check)
    if arguments.record:
        record_calibration(bundle, found)
        print(f"Recorded in {bundle.path}")


if __name__ == "__main__":
    main()
