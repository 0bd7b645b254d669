"""Measure the demo bundle on the 700 reserved phantoms, beside two baselines that only know simple features.

    python benchmarks/demo_bundle/evaluate.py --phantoms runs/evaluation [--model NAME|DIR] [--record]

The phantoms (100 per class, seeds 900000 to 900699, every fourth atypical, misaligned by up to 3 mm) are
written as study folders, then read, cropped and classified as `liverlesionai classify` does. The written
phantoms are reused by the next run. The baselines are cross-validated on the same phantoms: a logistic
regression on the diameter and the in-mask mean and standard deviation of each sequence, and the best of three
classifiers on the diameter alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.metadata import Metric
from LiverLesionAI.bundles.write import record_metrics
from LiverLesionAI.evaluation.intervals import wilson_interval
from LiverLesionAI.evaluation.metrics import validation_metrics
from LiverLesionAI.inputs.patches import LesionInput, extract_patches
from LiverLesionAI.options import DEFAULT_MODEL
from LiverLesionAI.taxonomy import TAXONOMIES

W7 = TAXONOMIES["W7"]
TASKS = {"malignancy": TAXONOMIES["binary"], "type": W7}
SEEDS = range(900_000, 900_700)
MISALIGN_MM = (2.0, 1.0)
COHORT = "reserved phantoms (seeds 900000–900699, misaligned by up to 3 mm)"
ATYPICAL_EVERY = 4
CHUNK = 20


@dataclass(frozen=True)
class Case:
    """One reserved phantom."""

    seed: int
    lesion_class: str
    atypical: bool

    @property
    def study_id(self) -> str:
        """Name of its study folder, which the phantom gives it."""
        return f"phantom-{self.seed:06d}"


def reserved_cases() -> list[Case]:
    """The 700 phantoms: the classes in turn, every fourth of a class atypical."""
    return [
        Case(seed, W7.names[i % len(W7)], (i // len(W7)) % ATYPICAL_EVERY == 0)
        for i, seed in enumerate(SEEDS)
    ]


def write_case(case: Case, folder: Path) -> None:
    """Write a phantom as a study folder unless it is there."""
    from LiverLesionAI.phantom import generate_lesion, write_phantom

    if not (folder / case.study_id).is_dir():
        phantom = generate_lesion(
            case.seed, case.lesion_class, atypical=case.atypical, misalign_mm=MISALIGN_MM
        )
        write_phantom(phantom, folder, with_truth=False)


def crop_case(case: Case, folder: Path, bundle: Bundle) -> LesionInput:
    """Read a phantom's folder and crop its lesion, as the pipeline does."""
    from LiverLesionAI.pipeline import read_study

    study = read_study(folder / case.study_id)
    return extract_patches(study, 1, bundle.spec.sequences, bundle.spec.patches)


def _worker(job: tuple[Case, Path, Bundle]) -> LesionInput:
    case, folder, bundle = job
    write_case(case, folder)
    return crop_case(case, folder, bundle)


def _one_thread() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def cropped_chunks(cases: list[Case], folder: Path, bundle: Bundle) -> Iterator[list[LesionInput]]:
    """Crop the cases in parallel, a chunk at a time."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        for start in range(0, len(cases), CHUNK):
            jobs = [(case, folder, bundle) for case in cases[start : start + CHUNK]]
            yield list(pool.map(_worker, jobs))


def simple_features(lesion: LesionInput) -> np.ndarray:
    """Diameter, and mean and standard deviation of each sequence inside the mask."""
    annotation = lesion.patches[0, 1]
    inside = annotation >= min(0.5, float(annotation.max()))
    voxels = lesion.patches[:, 0][:, inside]
    return np.concatenate([[lesion.geometry.diameter_mm], voxels.mean(axis=1), voxels.std(axis=1)])


@dataclass(frozen=True)
class Answers:
    """Probabilities of both tasks and simple features of every case."""

    type: np.ndarray
    malignancy: np.ndarray
    features: np.ndarray


def classify_cases(cases: list[Case], folder: Path, bundle: Bundle) -> Answers:
    """Classify every case."""
    from LiverLesionAI.inference import UnitInputs, predict

    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    console = Console(stderr=True)
    for lesions in cropped_chunks(cases, folder, bundle):
        predictions = predict(bundle, [UnitInputs(each.lesion_id, (each,)) for each in lesions])
        for lesion, prediction in zip(lesions, predictions, strict=True):
            tasks = prediction.tasks
            rows.append((tasks["type"].mean, tasks["malignancy"].mean, simple_features(lesion)))
        console.print(f"{len(rows)} of {len(cases)} phantoms", highlight=False)
    kinds, malignancies, features = (np.stack(column) for column in zip(*rows, strict=True))
    return Answers(kinds, malignancies, features)


def cross_validated_accuracy(
    name: str, classifier: object, features: np.ndarray, truth: np.ndarray
) -> Metric:
    """Ten-fold cross-validated accuracy, stratified and seeded, with its Wilson interval."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    hits = cross_val_predict(classifier, features, truth, cv=folds) == truth
    lower, upper = wilson_interval(int(hits.sum()), len(hits))
    return Metric(
        name=name,
        value=float(hits.mean()),
        lower=lower,
        upper=upper,
        n=len(hits),
        method="Wilson",
        cohort=f"{COHORT}: baselines, type_accuracy",
    )


def baselines(features: np.ndarray, truth: np.ndarray) -> list[Metric]:
    """Accuracy of what only knows simple features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    diameter = np.log(features[:, :1])
    alone = [
        cross_validated_accuracy(f"diameter, {name}", classifier, diameter, truth)
        for name, classifier in (
            ("logistic regression", regression),
            ("nearest neighbours", KNeighborsClassifier(25)),
            ("decision tree", DecisionTreeClassifier(max_leaf_nodes=8, random_state=0)),
        )
    ]
    name = "diameter, means and SDs, logistic regression"
    return [cross_validated_accuracy(name, regression, features, truth), *alone]


def measure(cases: list[Case], answers: Answers) -> list[Metric]:
    """Every figure of the model card: all cases, typical and atypical ones apart, and the baselines."""
    kinds = np.array([W7.index(case.lesion_class) for case in cases])
    malignant = np.array([int(bool(W7.classes[index].malignant)) for index in kinds])
    atypical = np.array([case.atypical for case in cases])
    metrics: list[Metric] = []
    for group, members in {"all": atypical | ~atypical, "typical": ~atypical, "atypical": atypical}.items():
        labels = {"malignancy": malignant[members], "type": kinds[members]}
        probabilities = {"malignancy": answers.malignancy[members], "type": answers.type[members]}
        metrics += validation_metrics(TASKS, labels, probabilities, f"{COHORT}: {group}")
    return metrics + baselines(answers.features, kinds)


def show(metrics: list[Metric], cases: list[Case], answers: Answers) -> None:
    """Print the figures as a table, and the confusion matrix."""
    table = Table("cohort", "figure", "value", "95 % interval", "n", title=COHORT, title_justify="left")
    for metric in metrics:
        interval = f"{metric.lower:.3f}–{metric.upper:.3f}"
        group = metric.cohort.rpartition(": ")[2]
        table.add_row(group, metric.name, f"{metric.value:.3f}", interval, str(metric.n))
    confusion = Table("truth", *W7.names, title="Confusion", title_justify="left")
    kinds = np.array([W7.index(case.lesion_class) for case in cases])
    for index, name in enumerate(W7.names):
        found = np.bincount(answers.type[kinds == index].argmax(axis=1), minlength=len(W7))
        confusion.add_row(name, *map(str, found))
    console = Console(width=118)
    console.print(table)
    console.print(confusion)


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=Path, required=True, help="folder for the phantoms")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder of the bundle")
    parser.add_argument("--record", action="store_true", help="write the figures into the bundle")
    parser.add_argument("--only-phantoms", action="store_true", help="make the phantoms and stop")
    arguments = parser.parse_args()
    cases = reserved_cases()
    if arguments.only_phantoms:
        arguments.phantoms.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread) as pool:
            list(pool.map(write_case, cases, [arguments.phantoms] * len(cases), chunksize=4))
        return
    bundle = load_bundle(arguments.model)
    answers = classify_cases(cases, arguments.phantoms, bundle)
    metrics = measure(cases, answers)
    show(metrics, cases, answers)
    if arguments.record:
        print(f"Recorded in {record_metrics(bundle, metrics)}")


if __name__ == "__main__":
    main()
