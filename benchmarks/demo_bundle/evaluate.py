"""Measure the demo bundle on the 700 reserved phantoms, beside two baselines that only know simple features.

    python benchmarks/demo_bundle/evaluate.py --phantoms runs/evaluation [--model NAME|DIR] [--json FILE]

The phantoms (100 a class, seeds 900000 to 900699, every fourth atypical, misaligned by up to 3 mm) are
written as study folders, then read, cropped and classified as `liverlesionai classify` does. The written
phantoms are reused by the next run. The baselines are cross-validated on the same phantoms: a logistic
regression on the diameter and the in-mask mean and standard deviation of each sequence, and the best of three
classifiers on the diameter alone.
"""

from __future__ import annotations

import argparse
import json
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
from LiverLesionAI.patches import LesionInput, extract_patches
from LiverLesionAI.pipeline import DEFAULT_MODEL
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.config import RESERVED_SEEDS

W7 = TAXONOMIES["W7"]
MISALIGN_MM = (2.0, 1.0)
ATYPICAL_EVERY = 4
CHUNK = 20
BOOTSTRAP_SAMPLES = 2000


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
        for i, seed in enumerate(RESERVED_SEEDS)
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
    inside = lesion.patches[0, 1] > 0.5
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
    from LiverLesionAI.inference import predict

    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    console = Console(stderr=True)
    for lesions in cropped_chunks(cases, folder, bundle):
        predictions = predict(bundle, lesions)
        for lesion, prediction in zip(lesions, predictions, strict=True):
            tasks = prediction.tasks
            rows.append((tasks["type"].mean, tasks["malignancy"].mean, simple_features(lesion)))
        console.print(f"{len(rows)} of {len(cases)} phantoms", highlight=False)
    kinds, malignancies, features = (np.stack(column) for column in zip(*rows, strict=True))
    return Answers(kinds, malignancies, features)


def proportion(hits: np.ndarray) -> dict[str, float]:
    """A proportion with its 95 % Wilson interval."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(int(hits.sum()), len(hits), method="wilson")
    return {"value": float(hits.mean()), "ci_low": float(lower), "ci_high": float(upper), "n": len(hits)}


def auc(truth: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve with its 95 % bootstrap percentile interval (seeded, 2000 samples)."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == value) for value in (0, 1)]
    samples = []
    for _ in range(BOOTSTRAP_SAMPLES):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        samples.append(roc_auc_score(truth[drawn], score[drawn]))
    lower, upper = np.percentile(samples, [2.5, 97.5])
    return {
        "value": float(roc_auc_score(truth, score)),
        "ci_low": float(lower),
        "ci_high": float(upper),
        "n": len(truth),
    }


def cross_validated_accuracy(classifier: object, features: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Ten-fold cross-validated accuracy, stratified and seeded."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return proportion(cross_val_predict(classifier, features, truth, cv=folds) == truth)


def baselines(features: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy of what only knows simple features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    diameter = np.log(features[:, :1])
    alone = [
        cross_validated_accuracy(classifier, diameter, truth)
        for classifier in (
            regression,
            KNeighborsClassifier(25),
            DecisionTreeClassifier(max_leaf_nodes=8, random_state=0),
        )
    ]
    return {
        "logistic_regression": cross_validated_accuracy(regression, features, truth),
        "diameter_alone": max(alone, key=lambda found: found["value"]),
    }


def measure(cases: list[Case], answers: Answers) -> dict[str, object]:
    """Every figure of the model card."""
    truth = np.array([W7.index(case.lesion_class) for case in cases])
    malignant = np.array([int(bool(W7.classes[index].malignant)) for index in truth])
    atypical = np.array([case.atypical for case in cases])
    hits = answers.type.argmax(axis=1) == truth
    score = answers.malignancy[:, 1]
    groups = {"all": np.ones_like(atypical), "typical": ~atypical, "atypical": atypical}
    confusion = np.zeros((len(W7), len(W7)), int)
    np.add.at(confusion, (truth, answers.type.argmax(axis=1)), 1)
    return {
        "phantoms": f"seeds {cases[0].seed}-{cases[-1].seed}, misaligned by up to {sum(MISALIGN_MM):g} mm",
        "accuracy": {name: proportion(hits[group]) for name, group in groups.items()},
        "malignancy_auc": {name: auc(malignant[group], score[group]) for name, group in groups.items()},
        "malignancy_accuracy": proportion((score > 0.5) == malignant),
        "sensitivity": {name: proportion(hits[truth == i]) for i, name in enumerate(W7.names)},
        "sensitivity_atypical": {
            name: proportion(hits[(truth == i) & atypical]) for i, name in enumerate(W7.names)
        },
        "confusion": confusion.tolist(),
        "baselines": baselines(answers.features, truth),
    }


def show(metrics: dict[str, object]) -> None:
    """Print the figures as a table."""
    table = Table(title=str(metrics["phantoms"]), title_justify="left")
    for column in ("figure", "value", "95 % CI", "n"):
        table.add_column(column)
    for figure in ("accuracy", "malignancy_auc", "sensitivity", "sensitivity_atypical", "baselines"):
        for name, found in metrics[figure].items():  # type: ignore[attr-defined]
            interval = f"{found['ci_low']:.3f}–{found['ci_high']:.3f}"
            table.add_row(f"{figure}: {name}", f"{found['value']:.3f}", interval, str(found["n"]))
    console = Console(width=100)
    console.print(table)
    console.print("confusion (rows: truth)", *metrics["confusion"], sep="\n")  # type: ignore[misc]


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=Path, required=True, help="folder for the phantoms")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or folder of the bundle")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--only-phantoms", action="store_true", help="make the phantoms and stop")
    arguments = parser.parse_args()
    cases = reserved_cases()
    if arguments.only_phantoms:
        arguments.phantoms.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread) as pool:
            list(pool.map(write_case, cases, [arguments.phantoms] * len(cases), chunksize=4))
        return
    answers = classify_cases(cases, arguments.phantoms, load_bundle(arguments.model))
    metrics = measure(cases, answers)
    show(metrics)
    if arguments.json:
        arguments.json.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
