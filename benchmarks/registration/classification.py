"""What registration costs in accuracy: the same phantoms perfectly aligned, moved, and registered again.

Usage: python benchmarks/registration/classification.py --out answers.csv [--studies 70] [--model NAME|DIR]

Each study has three lesions of one class, the classes in turn. It is made twice from one seed, so that
anatomy, noise and outlines are the same: aligned, and moved by up to 15 mm (rigid) and 5 mm (smooth). Every
lesion is classified in the aligned study, in the moved one with the scanner's positions, and in the moved one
after `register`. Rows are added study by study; studies that the file already holds are not computed again.
The confidence interval of a difference is a percentile bootstrap over studies, since lesions of a patient are
alike.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.analysis import analyse_with
from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.inference import Classifier
from LiverLesionAI.options import DEFAULT_MODEL
from LiverLesionAI.phantom import generate_study
from LiverLesionAI.registration import register_study
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES

FIRST_SEED = 940_000
LESIONS = 3
MISALIGN_MM = (15.0, 5.0)
STATES = ("aligned", "moved", "registered")
COLUMNS = ("seed", "lesion", "truth", *STATES)
CLASSES = TAXONOMIES["W7"].names
DRAWS = 10_000


def answers(classifier: Classifier, study: Study) -> dict[int, str]:
    """Predicted class of each lesion."""
    result = analyse_with(classifier, study, explain=False).result
    return {lesion.id: lesion.tasks["type"].predicted for lesion in result.lesions}


def rows_of(seed: int, truth: str, classifier: Classifier) -> list[dict[str, object]]:
    """Classify the lesions of a study in each state; a row per lesion."""
    aligned, moved = (
        generate_study(seed, classes=(truth,), n_lesions=LESIONS, misalign_mm=bounds).study
        for bounds in ((0.0, 0.0), MISALIGN_MM)
    )
    studies = (aligned, moved, register_study(moved).study)
    found = [answers(classifier, study) for study in studies]
    return [
        dict(zip(COLUMNS, (seed, lesion, truth, *(one[lesion] for one in found)), strict=True))
        for lesion in found[0]
    ]


def summary(rows: list[dict[str, str]]) -> str:
    """Accuracy of each state, and how the others differ from the aligned one."""
    right = {state: np.array([row[state] == row["truth"] for row in rows], float) for state in STATES}
    studies = np.array([int(row["seed"]) for row in rows])
    lines = [f"{len(set(studies.tolist()))} studies, {len(rows)} lesions"]
    for state in STATES:
        lines.append(f"{state}: accuracy {right[state].mean():.3f}")
    for state in STATES[1:]:
        change = right[state] - right["aligned"]
        low, high = np.percentile(bootstrap(change, studies), (2.5, 97.5))
        lost, won = int((change < 0).sum()), int((change > 0).sum())
        lines.append(
            f"{state} − aligned: {100 * change.mean():+.1f} points "
            f"(95% CI {100 * low:+.1f} to {100 * high:+.1f}); {lost} lesions lost, {won} won"
        )
    return "\n".join(lines)


def bootstrap(values: NDArray[np.float64], studies: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the values over studies drawn with replacement, `DRAWS` times."""
    _, index = np.unique(studies, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    return sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=70)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    known = set()
    if arguments.out.exists():
        known = {int(row["seed"]) for row in csv.DictReader(arguments.out.open())}
    classifier = Classifier(load_bundle(arguments.model), keep_loaded=True)
    for number in range(arguments.studies):
        if FIRST_SEED + number in known:
            continue
        found = rows_of(FIRST_SEED + number, CLASSES[number % len(CLASSES)], classifier)
        with arguments.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(found)
    print(summary(list(csv.DictReader(arguments.out.open()))))


if __name__ == "__main__":
    main()
