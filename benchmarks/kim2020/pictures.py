"""Pictures for the documentation: slices of a reserved phantom, the map over them, the candidates.

python benchmarks/kim2020/pictures.py --out docs/images/kim2020 [--model kim2020-phantom] [--phantoms FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk
from reserved import Case, cases, patients

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.detection import Detection, detect_study
from LiverLesionAI.detection.regions import enlarged
from LiverLesionAI.explanation import palette
from LiverLesionAI.options import DetectOptions

_SHOWN = 3


def draw(axes: np.ndarray, case: Case, found: Detection, candidates: list[int]) -> None:
    """One column per candidate: the slice, and the slice with its map and the outline of the truth."""
    image = sitk.GetArrayFromImage(case.study.images["HBP"].image).astype(float)
    evidence = sitk.GetArrayFromImage(found.found.evidence)
    wide = enlarged(evidence, image.shape[1])
    upper = max(float(np.percentile(wide, 99.9)), 1.0)
    grid = case.study.images["HBP"].image
    for column, number in zip(axes.T, candidates, strict=False):
        candidate = found.result.candidates[number]
        x, y, z = grid.TransformPhysicalPointToIndex(candidate.centre_lps_mm)
        for row, axis in enumerate(column):
            axis.imshow(image[z], cmap="gray", vmin=0, vmax=np.percentile(image, 99.7))
            axis.set(xticks=[], yticks=[])
            if row:
                axis.imshow(palette.overlay(np.clip(wide[z] / upper, 0, 1)))
                if case.lesions[z].any():
                    axis.contour(case.lesions[z] > 0, [0.5], colors="cyan", linewidths=1)
                axis.plot(x, y, "w+", markersize=10)
        column[0].set_title(f"candidate {candidate.rank}: {candidate.probability:.2f}", fontsize=10)


def main() -> None:
    """Draw a phantom with HCC, its first candidates side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="kim2020-phantom")
    parser.add_argument("--phantoms", type=Path, required=True)
    parser.add_argument("--case", type=int, default=1)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    *_, case = cases(patients(arguments.case, 0, 0), arguments.phantoms, 1)
    found = detect_study(case.study, bundle, DetectOptions(model=arguments.model))
    count = min(_SHOWN, len(found.result.candidates))
    figure, axes = plt.subplots(2, count, figsize=(3.2 * count, 6.4), squeeze=False)
    draw(axes, case, found, list(range(count)))
    figure.suptitle("Phantom, hepatobiliary phase; cyan: the lesion's true outline", fontsize=10)
    figure.tight_layout()
    arguments.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out / "candidates.png", dpi=80)


if __name__ == "__main__":
    main()
