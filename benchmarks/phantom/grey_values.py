"""Grey values of organs and lesion classes on the phantoms, relative to the liver of the same image.

    python benchmarks/phantom/grey_values.py --studies 6

Organs and classes are measured where the tissue fills a voxel; a row is the median over studies of the median
grey value divided by the liver's (ADC: in 10⁻³ mm²/s).
"""

from __future__ import annotations

import argparse

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom import CLASSES, PhantomStudy, generate_lesion, generate_study
from LiverLesionAI.phantom.acquisition import sample, sample_positions, voxel_average
from LiverLesionAI.phantom.anatomy import LABELS
from LiverLesionAI.sequences import W_SEQUENCES

ORGANS = ("spleen", "fat", "muscle", "kidney cortex", "artery", "portal vein", "bile", "cerebrospinal fluid")


def median_in(phantom: PhantomStudy, sequence: str, inside: np.ndarray) -> float:
    """Median grey value of a sequence where a mask on the scene's grid fills the voxel (NaN if nowhere)."""
    truth = phantom.truth
    fine, grid = truth.scene.grid, truth.grids[sequence]
    points = sample_positions(fine, grid, truth.displacements[sequence])
    share = sample(voxel_average(inside.astype(np.float32), fine, grid.spacing), points)
    voxels = sitk.GetArrayViewFromImage(phantom.study.images[sequence].image)[share > 0.95]
    return float(np.median(voxels)) if voxels.size else float("nan")


def row(phantom: PhantomStudy, inside: np.ndarray) -> list[float]:
    """Grey values of a tissue in every sequence, relative to the liver's (ADC: absolute)."""
    liver = phantom.truth.scene.labels == LABELS.index("liver")
    values = []
    for sequence in W_SEQUENCES:
        value = median_in(phantom, sequence, inside)
        values.append(value * 1e-3 if sequence == "ADC" else value / median_in(phantom, sequence, liver))
    return values


def show(name: str, rows: list[list[float]]) -> None:
    print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in np.nanmedian(np.array(rows), axis=0)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=6)
    parser.add_argument("--seed", type=int, default=400_000)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.studies)
    print("| tissue | " + " | ".join(W_SEQUENCES) + " |\n|" + "---|" * (len(W_SEQUENCES) + 1))
    organs: dict[str, list[list[float]]] = {name: [] for name in ("liver", *ORGANS)}
    for seed in seeds:
        phantom = generate_study(seed, classes=("cyst",), n_lesions=1, field_tesla=3.0)
        for name, rows in organs.items():
            rows.append(row(phantom, phantom.truth.scene.labels == LABELS.index(name)))
    for name, rows in organs.items():
        show(name, rows)
    for name in CLASSES:
        phantoms = [generate_lesion(seed, name, atypical=False, field_tesla=3.0) for seed in seeds]
        show(name, [row(p, p.truth.painted.masks > 0) for p in phantoms])


if __name__ == "__main__":
    main()
