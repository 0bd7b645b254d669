"""Calibrate the shipped detector with phantoms of its own, which nothing was trained, tuned or evaluated on.

    python benchmarks/kim2020/calibrate.py [--studies 120] [--training 60] [--check 60] [--record]

Asked for is the study's answer, that of its most suspicious slice: phantoms two of three with HCC (seeds from
880000, a quarter atypical) measure temperature and prediction sets; phantoms of the training tell what it
looked like. `--check` asks further ones (from 881000) whether that holds, and shows the detector brains and
CT (:mod:`unlike`) in the place of its series. `--record` writes the calibration into the bundle. Detectors
trained by `liverlesionai train` with `calibration` in their configuration calibrate themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from rich.progress import track

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from unlike import KINDS

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.write import TRAINING_CONFIG, record_calibration
from LiverLesionAI.evaluation.roc import delong_auc
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inference.familiar import compared_unit
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.calibrate import Seen, calibration, see_cases
from LiverLesionAI.training.cases import training_cases
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.uncertainty.calibrated import Calibration
from LiverLesionAI.uncertainty.calibration import reliability
from LiverLesionAI.uncertainty.out_of_distribution import TOGETHER, Familiarity

MODEL = "kim2020-phantom"
FIRST_SEED, FIRST_CHECKED, FIRST_UNLIKE = 880_000, 881_000, 882_000
BRAIN, CT = "brain", "CT called MR"


def configuration(bundle: Bundle, first_seed: int | None = None, studies: int = 0) -> TrainingConfig:
    """The bundle's training, or the same with other phantoms."""
    text = (bundle.path / TRAINING_CONFIG).read_text(encoding="utf-8")
    config = TrainingConfig.model_validate(yaml.safe_load(text))
    assert config.phantom is not None
    if first_seed is None:
        return config
    source = config.phantom.model_copy(update={"first_seed": first_seed, "lesions": studies})
    return config.model_copy(update={"phantom": source})


def asked(classifier: Classifier, config: TrainingConfig, count: int, what: str) -> list[Seen]:
    """What the detector says of the first phantoms of a configuration."""
    cases = training_cases(config)[:count]
    return list(track(see_cases(classifier, cases, config), f"{what} ({len(cases)})", len(cases)))


def check(bundle: Bundle, found: Calibration, seen: Sequence[Seen], strange: dict[str, list[float]]) -> None:
    """Print whether the calibration holds for other phantoms, and what is noticed as unlike the training."""
    (task,) = found.tasks.values()
    (name,) = found.tasks
    classes = TAXONOMIES[bundle.system.recipe.truths].names
    labels = np.array([classes.index(each.truth) for each in seen])
    members = [each.members[name] for each in seen]
    calibrated = np.stack([task.probabilities(each) for each in members])
    sets = np.stack([task.sets.of_members(each) for each in members])
    held = sets[np.arange(len(labels)), labels]
    print(f"{len(seen)} further phantoms: error {reliability(calibrated, labels).ece:.3f}")
    print(f"sets hold the truth in {held.mean():.3f}, mean size {sets.sum(axis=1).mean():.2f}")
    for index, each in enumerate(classes):
        print(f"  {each}: {held[labels == index].mean():.3f} of {np.count_nonzero(labels == index)}")
    assert found.familiarity is not None
    usual = [together(found.familiarity, each) for each in seen]
    for kind, scores in strange.items():
        area, low, high = delong_auc(np.array(scores), np.array(usual))
        print(f"{kind}: area {area:.3f} ({low:.3f}–{high:.3f}), {len(scores)} against {len(usual)}")


def together(known: Familiarity, seen: Seen) -> float:
    """How unlike the training a case is."""
    scores = known.scores({name: values[None] for name, values in seen.parts.items()})
    return float(scores[TOGETHER][0])


def strange_scores(classifier: Classifier, known: Familiarity, count: int) -> dict[str, list[float]]:
    """How unlike the training brains and CT are, in the place of the detector's series."""
    bundle = classifier.bundle
    (series,) = bundle.spec.sequences
    scores: dict[str, list[float]] = {}
    for kind in (BRAIN, CT):
        for number in track(range(count), kind):
            made = KINDS[kind](FIRST_UNLIKE + number, "HCC")
            image = made.images["DP"]
            study = replace(made, images={series: image}, reference=series, lesions=None, outlines={})
            groups = classifier.system.inputs(study, None, bundle.spec)
            unit = UnitInputs(None, groups)
            (prediction,) = classifier.predict([unit])
            assert prediction.features is not None
            parts = compared_unit(classifier.system, unit, prediction.features[0])
            scores.setdefault(kind, []).append(together(known, Seen("", {}, parts)))
    return scores


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
    training = [
        seen.parts for seen in asked(classifier, configuration(bundle), arguments.training, "training")
    ]
    kept = configuration(bundle, FIRST_SEED, arguments.studies)
    held_out = asked(classifier, kept, arguments.studies, "calibration")
    words = (
        f"{len(held_out)} digital phantoms (seeds {FIRST_SEED}–{FIRST_SEED + len(held_out) - 1}, "
        "two of three with HCC), each by its most suspicious slice"
    )
    found = calibration(bundle, held_out, training, words)
    for name, task in found.tasks.items():
        print(f"{name}: {task.cases} cases, temperature {task.temperature:.2f}, ", end="")
        print(f"error {task.ece:.3f}, with it {task.ece_calibrated:.3f}")
    if arguments.check:
        further = asked(
            classifier, configuration(bundle, FIRST_CHECKED, arguments.check), arguments.check, "further"
        )
        assert found.familiarity is not None
        check(bundle, found, further, strange_scores(classifier, found.familiarity, arguments.check // 3))
    if arguments.record:
        record_calibration(bundle, found)
        print(f"Recorded in {bundle.path}")


if __name__ == "__main__":
    main()
