"""How far simple measurements get on the phantoms: logistic regression on grey values, and diameter alone.

    python benchmarks/phantom/baselines.py --per-class 30 --workers 2

Features are the diameter and, in each sequence, mean and standard deviation within the outline, with grey
values scaled to the volume's 0.5 and 99.5 percentile. Accuracies are from five-fold cross-validation.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import SimpleITK as sitk
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.phantom import CLASSES, generate_lesion


def _nearest_voxel(image: sitk.Image, point_lps_mm: tuple[float, float, float]) -> np.ndarray:
    """Mask of the voxel next to a point, for a lesion that lies between a sequence's voxels."""
    x, y, z = image.TransformPhysicalPointToIndex(point_lps_mm)
    mask = np.zeros(image.GetSize()[::-1], bool)
    mask[z, y, x] = True
    return mask


def features(case: tuple[int, str]) -> list[float]:
    """Diameter, then mean and standard deviation within the outline for each sequence."""
    seed, name = case
    study = generate_lesion(seed, name, misalign_mm=(3.0, 1.0)).study
    lesion = lesion_geometry(study.lesions, 1)
    values = [lesion.diameter_mm]
    for image in study.images.values():
        mask = sitk.Resample(
            study.lesions, image.image, sitk.Transform(), sitk.sitkLinear, 0, sitk.sitkFloat32
        )
        weight = sitk.GetArrayViewFromImage(mask)
        inside = weight > min(0.5, float(weight.max()) * 0.99)
        if not inside.any():
            inside = _nearest_voxel(image.image, lesion.centroid_lps_mm)
        low, high = image.intensity_limits
        grey = (sitk.GetArrayViewFromImage(image.image)[inside] - low) / (high - low)
        values += [float(grey.mean()), float(grey.std())]
    return values


def accuracy(model, measured: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-validated accuracy and sensitivity per class."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, measured, truth, cv=folds)
    return float(np.mean(predicted == truth)), np.array(
        [np.mean(predicted[truth == c] == c) for c in CLASSES]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--seed", type=int, default=500_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--save", help="file (.npz) for the measurements")
    arguments = parser.parse_args()
    cases = [
        (arguments.seed + i, CLASSES[i % len(CLASSES)]) for i in range(arguments.per_class * len(CLASSES))
    ]
    with ProcessPoolExecutor(arguments.workers) as pool:
        measured = np.array(list(pool.map(features, cases, chunksize=7)))
    truth = np.array([name for _, name in cases])
    if arguments.save:
        np.savez(arguments.save, measured=measured, truth=truth)
    models = {
        "diameter, mean and SD; logistic regression": (
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
            measured,
        ),
        "diameter; logistic regression": (
            make_pipeline(StandardScaler(), LogisticRegression()),
            measured[:, :1],
        ),
        "diameter; 15 nearest neighbours": (KNeighborsClassifier(15), measured[:, :1]),
    }
    print("model | accuracy | " + " | ".join(CLASSES))
    for name, (model, columns) in models.items():
        overall, each = accuracy(model, columns, truth)
        print(f"{name} | {overall:.3f} | " + " | ".join(f"{v:.2f}" for v in each))


if __name__ == "__main__":
    main()
