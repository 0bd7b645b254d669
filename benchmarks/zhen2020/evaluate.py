"""Measure the seven models of Zhen's system on reserved phantoms that nothing was trained or tuned on.

    python benchmarks/zhen2020/evaluate.py --out runs/zhen2020 [--models FOLDER] [--per-class 72]
        [--further-malignant 160] [--record]

The phantoms (seeds from 909000, the classes in turn, then further patients of the malignant classes; every
fourth of a class atypical, misaligned by up to 3 mm) are made and cut once and kept in the folder given.
Beside accuracy and areas under curves the traps of clinical data are tried: exchanged between patients, all
missing, and alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from reserved import Z7, Cut, cut_patients, patients, seeded
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.evaluation.comparison import mcnemar
from LiverLesionAI.evaluation.intervals import modified_wilson_interval
from LiverLesionAI.evaluation.metrics import validation_metrics
from LiverLesionAI.evaluation.roc import delong_auc, delong_test
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inputs.clinical import FIELDS, CodedPatient, coded_patient
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.study import ClinicalValue
from LiverLesionAI.systems.base import can_label, label_of

MODELS = "abcdefg"
PAIRS = ("ab", "cd", "eg", "fg")
DRAWS = 2000


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Attributes
    ----------
    labels
        int ``[n]``, of the patients that the model is asked about.
    patients
        float64 ``[n, classes]``: the groups' vectors joined.
    group_labels, groups
        The same for single groups.
    """

    labels: np.ndarray
    patients: np.ndarray
    group_labels: np.ndarray
    groups: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each patient was called rightly."""
        return self.patients.argmax(axis=1) == self.labels


def asked(cuts: Sequence[Cut], bundle: Bundle) -> list[Cut]:
    """Patients of a class that the model's answers can name."""
    (taxonomy,) = bundle.taxonomies.values()
    return [cut for cut in cuts if can_label(Z7, cut.patient.truth, taxonomy)]


def answered(
    cuts: Sequence[Cut], bundle: Bundle, clinical: Mapping[int, Mapping[str, ClinicalValue]] | None = None
) -> Answers:
    """Ask a model about patients, with their clinical data or others'."""
    classifier = Classifier(bundle, keep_loaded=True)
    ((task, taxonomy),) = bundle.taxonomies.items()
    units = [
        UnitInputs(None, tuple(_read(group, bundle, clinical, cut) for group in cut.groups)) for cut in cuts
    ]
    predictions = classifier.predict(units)
    labels = np.array([label_of(Z7, cut.patient.truth, taxonomy) for cut in cuts])
    found = [prediction.tasks[task] for prediction in predictions]
    groups = [list(group.probabilities.values()) for each in found for group in each.groups]
    counts = [len(each.groups) for each in found]
    return Answers(
        labels, np.stack([each.mean for each in found]), np.repeat(labels, counts), np.array(groups)
    )


def _read(
    group: SliceGroup, bundle: Bundle, clinical: Mapping[int, Mapping[str, ClinicalValue]] | None, cut: Cut
) -> SliceGroup:
    """A group as a model reads it: its sequences, and clinical data where it reads them."""
    channels = [group.sequences.index(name) for name in bundle.spec.sequences]
    slices = replace(
        group.slices,
        sequences=bundle.spec.sequences,
        images=group.slices.images[:, channels],
        present=tuple(group.present[i] for i in channels),
    )
    known = cut.clinical if clinical is None else clinical[cut.patient.seed]
    return replace(group, slices=slices, known_of_patient=known, reads_clinical=bundle.reads_clinical)


def share(hits: np.ndarray) -> str:
    """A share with its 95% interval."""
    low, high = modified_wilson_interval(int(hits.sum()), len(hits))
    return f"{hits.mean():.3f} ({low:.3f}–{high:.3f})"


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Difference of two accuracies on the same patients, with its 95% interval by bootstrap."""
    change = first.astype(float) - second
    rng = np.random.default_rng(0)
    draws = change[rng.integers(0, len(change), (DRAWS, len(change)))].mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(change.mean()), float(low), float(high)


def areas(answers: Answers, names: Sequence[str]) -> dict[str, float]:
    """Area under the curve of each class against the others."""
    scores = {name: answers.patients[:, i] for i, name in enumerate(names)}
    return {
        name: delong_auc(score[answers.labels == i], score[answers.labels != i])[0]
        for i, (name, score) in enumerate(scores.items())
    }


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the cut phantoms and the figures")
    parser.add_argument("--models", type=Path, default=BUNDLES, help="folder of the seven bundles")
    parser.add_argument("--per-class", type=int, default=72, help="patients of each class")
    parser.add_argument(
        "--further-malignant",
        type=int,
        default=160,
        help="further patients of each malignant class",
    )
    parser.add_argument("--jobs", type=int, help="processes that make phantoms")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundles")
    parser.add_argument("--only-phantoms", action="store_true", help="make the phantoms and stop")
    arguments = parser.parse_args()
    first = load_bundle(arguments.models / "zhen2020-a-phantom")
    everyone = patients(arguments.per_class, arguments.further_malignant)
    cuts = []
    for cut in cut_patients(everyone, first, arguments.out / "phantoms", arguments.jobs):
        cuts.append(cut)
        if len(cuts) % 50 == 0:
            print(f"{len(cuts)} of {len(everyone)} phantoms", flush=True)
    if arguments.only_phantoms:
        return
    bundles = {key: load_bundle(arguments.models / f"zhen2020-{key}-phantom") for key in MODELS}
    cohort = f"reserved phantoms (seeds {everyone[0].seed}–{everyone[-1].seed}, misaligned by up to 3 mm)"
    console = Console(width=120)
    every_class = cuts[: arguments.per_class * len(Z7)]
    answers = {
        key: answered(every_class if key in "abcd" else asked(cuts, bundle), bundle)
        for key, bundle in bundles.items()
    }
    figures = _accuracies(console, bundles, answers)
    figures["delong"] = _pairs(console, bundles, answers)
    figures["traps"] = _traps(console, bundles, answers, cuts)
    (arguments.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.record:
        for key, bundle in bundles.items():
            ((task, taxonomy),) = bundle.taxonomies.items()
            found = answers[key]
            metrics: list[Metric] = list(
                validation_metrics({task: taxonomy}, {task: found.labels}, {task: found.patients}, cohort)
            )
            record_metrics(bundle, metrics)


def _accuracies(
    console: Console, bundles: Mapping[str, Bundle], answers: Mapping[str, Answers]
) -> dict[str, object]:
    table = Table("model", "question", "patients", "accuracy", "single groups", "areas under the curve")
    figures: dict[str, object] = {}
    for key, found in answers.items():
        ((task, taxonomy),) = bundles[key].taxonomies.items()
        groups = found.groups.argmax(axis=1) == found.group_labels
        auc = areas(found, taxonomy.names)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in auc.items())
        table.add_row(key.upper(), task, str(len(found.labels)), share(found.correct), share(groups), shown)
        figures[key] = {
            "n": len(found.labels),
            "accuracy": float(found.correct.mean()),
            "single_groups": float(groups.mean()),
            "auc": auc,
            "confusion": [
                np.bincount(found.patients[found.labels == i].argmax(axis=1), minlength=len(auc)).tolist()
                for i in range(len(auc))
            ],
        }
    console.print(table)
    return figures


def _pairs(
    console: Console, bundles: Mapping[str, Bundle], answers: Mapping[str, Answers]
) -> dict[str, object]:
    table = Table("pair", "class", "areas", "DeLong p", title="As the paper compares", title_justify="left")
    found: dict[str, object] = {}
    for one, other in PAIRS:
        ((_, taxonomy),) = bundles[one].taxonomies.items()
        for i, name in enumerate(taxonomy.names):
            first, second = answers[one], answers[other]
            is_class = first.labels == i
            _, p = delong_test(first.patients[:, i], second.patients[:, i], is_class)
            both = [
                delong_auc(each.patients[is_class, i], each.patients[~is_class, i])[0]
                for each in (first, second)
            ]
            table.add_row(f"{one}/{other}".upper(), name, f"{both[0]:.3f}, {both[1]:.3f}", f"{p:.3g}")
            found[f"{one}/{other} {name}"] = {"auc": both, "p": p}
    console.print(table)
    return found


def _traps(
    console: Console, bundles: Mapping[str, Bundle], answers: Mapping[str, Answers], cuts: Sequence[Cut]
) -> dict[str, object]:
    """What clinical data do, exchanged between patients, missing, and alone."""
    malignant = asked(cuts, bundles["f"])
    seeds = [cut.patient.seed for cut in malignant]
    order = seeded(len(malignant), 1)
    exchanged = {seed: malignant[int(i)].clinical for seed, i in zip(seeds, order, strict=True)}
    nothing: dict[int, dict[str, ClinicalValue]] = {seed: {} for seed in seeds}
    e, f = answers["e"].correct, answers["f"].correct
    others = {
        "F, clinical data exchanged": answered(malignant, bundles["f"], exchanged).correct,
        "F, all clinical fields missing": answered(malignant, bundles["f"], nothing).correct,
        "clinical data alone": _alone(malignant, bundles["f"], lambda patient: patient.codes),
        "which fields are missing alone": _alone(
            malignant, bundles["f"], lambda patient: np.array([each.name in patient.known for each in FIELDS])
        ),
    }
    table = Table("", "accuracy", "less E (95% CI)", title="Clinical data", title_justify="left")
    figures: dict[str, object] = {}
    for name, hits in {"E": e, "F": f, **others}.items():
        change, low, high = paired_difference(hits, e)
        table.add_row(name, share(hits), f"{change:+.3f} ({low:+.3f} to {high:+.3f})")
        figures[name] = {"accuracy": float(hits.mean()), "less_e": [change, low, high]}
    figures["mcnemar F against E"] = mcnemar(f, e).exact_p
    console.print(table)
    console.print(f"F against E: McNemar p {figures['mcnemar F against E']:.3g}")
    return figures


def _alone(cuts: Sequence[Cut], bundle: Bundle, features: Callable[[CodedPatient], np.ndarray]) -> np.ndarray:
    """Whether a logistic regression on clinical data alone calls each patient rightly.

    It learns from the patients that the bundle learned from, whose clinical data are drawn anew.
    """
    import yaml
    from sklearn.linear_model import LogisticRegression

    from LiverLesionAI.phantom.clinical import draw_clinical
    from LiverLesionAI.phantom.generate import draw_background
    from LiverLesionAI.training.config import TrainingConfig

    text = (bundle.path / "configs" / "training.yaml").read_text(encoding="utf-8")
    source = TrainingConfig.model_validate(yaml.safe_load(text)).phantom
    assert source is not None
    ((_, taxonomy),) = bundle.taxonomies.items()
    rows, truths = [], []
    for i in range(source.lesions):
        truth = source.classes[i % len(source.classes)]
        if can_label(Z7, truth, taxonomy):
            seed = source.first_seed + i
            rows.append(features(coded_patient(draw_clinical(seed, truth, draw_background(seed, truth)))))
            truths.append(label_of(Z7, truth, taxonomy))
    labels = np.array([label_of(Z7, cut.patient.truth, taxonomy) for cut in cuts])
    tested = np.array([features(coded_patient(cut.clinical)) for cut in cuts])
    return LogisticRegression(max_iter=2000).fit(np.array(rows), truths).predict(tested) == labels


if __name__ == "__main__":
    main()
