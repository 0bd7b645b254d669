"""One-click lesion on phantoms: overlap with the truth, time, failures; other methods beside it.

    python benchmarks/one_click.py [--lesions N] [--first-seed S] [--compare] [--out FILE.csv]

Lesions of all seven classes in turn, each in the box around it that training sees. The click lies at a random
place within 30 % of the lesion's radius of its centroid; a second click per study lies in the liver, 15 to 30
mm away from the lesion, where the right answer is that there is none. Overlap is measured against the outline
on the reference sequence's own grid (slices of 6 to 8 mm). Processor time is that of the one thread used.

The other methods are the ones usually offered for a click; like ours they know neither size nor class:
*region growing* (SimpleITK's confidence-connected filter), *random walker* (Grady 2006: the click against
the border of a ball, all sequences) and *geodesic* (fast marching away from the click, cut where the front
meets the steepest edges).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.one_click import NoLesionError, outline_lesion
from LiverLesionAI.phantom.generate import CLASSES, generate_lesion
from LiverLesionAI.study import Study

JITTER = 0.3
BALL_MM, CUBE_MM, CUBE_SIZE = 45.0, 96.0, 40

Method = Callable[[Study, NDArray[np.float64]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Row:
    """One click and what came of it; `dice` is nan where the method said that there is no lesion."""

    seed: int
    lesion_class: str
    diameter_mm: float
    method: str
    dice: float
    seconds: float


def our_method(study: Study, point: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The library's."""
    return sitk.GetArrayFromImage(outline_lesion(study, point).mask) > 0


def region_growing(study: Study, point: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Confidence-connected growth on the sequence that differs most between click and surroundings."""
    cube, images = _cube(study, point)
    near, far = _ball(4), _ball(12) & ~_ball(8)
    contrast = [abs(np.median(a[near]) - np.median(a[far])) / (a[far].std() + 1e-9) for a in images]
    image = sitk.GetImageFromArray(images[int(np.argmax(contrast))])
    middle = [CUBE_SIZE // 2] * 3
    smooth = sitk.CurvatureFlow(image, timeStep=0.05, numberOfIterations=5)
    grown = sitk.ConfidenceConnected(smooth, [middle], numberOfIterations=3, multiplier=2.5)
    return _on_reference(sitk.GetArrayFromImage(grown) > 0, cube, study)


def random_walker(study: Study, point: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Probability above one half that a walker reaches the click before the ball's border."""
    cube, images = _cube(study, point)
    features = np.stack([(a - a.mean()) / (a.std() + 1e-9) for a in images])
    number = np.arange(CUBE_SIZE**3).reshape((CUBE_SIZE,) * 3)
    pairs, weights = [], []
    for axis in range(3):
        one, other = (np.take(number, range(i, CUBE_SIZE - 1 + i), axis) for i in (0, 1))
        steps = (np.diff(features, axis=axis + 1) ** 2).mean(axis=0)
        pairs.append(np.stack([one.ravel(), other.ravel()]))
        weights.append(np.exp(-30 * steps.ravel() / steps.mean() / 10) + 1e-6)
    (rows, columns), weight = np.concatenate(pairs, axis=1), np.concatenate(weights)
    graph = sparse.coo_matrix((weight, (rows, columns)), (CUBE_SIZE**3,) * 2).tocsr()
    laplacian = sparse.csgraph.laplacian(graph + graph.T).tocsr()
    inside, outside = _ball(3).ravel(), ~_ball(BALL_MM).ravel()
    free = ~(inside | outside)
    right = -laplacian[free][:, inside].sum(axis=1)
    solution, _ = cg(laplacian[free][:, free], np.asarray(right).ravel(), rtol=1e-4, maxiter=400)
    probability = inside.astype(float)
    probability[free] = solution
    return _on_reference((probability > 0.5).reshape((CUBE_SIZE,) * 3), cube, study)


def geodesic(study: Study, point: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Fast marching; the front whose surface lies on the steepest edges on average is the outline."""
    cube, images = _cube(study, point)
    smooth = [ndimage.gaussian_filter(a, 1.0) / (a.std() + 1e-9) for a in images]
    edge = np.sqrt(sum(sum(g**2 for g in np.gradient(a)) for a in smooth))
    speed = sitk.GetImageFromArray(1 / (1 + (edge / np.median(edge)) ** 2))
    middle = CUBE_SIZE // 2
    arrival = sitk.GetArrayFromImage(sitk.FastMarching(speed, [[middle] * 3], 1.0, 1e6))
    best, chosen = -1.0, _ball(3)
    for limit in np.quantile(arrival[_ball(BALL_MM)], np.geomspace(5e-4, 0.6, 40)):
        front = ndimage.binary_fill_holes(arrival <= limit)
        surface = front & ~ndimage.binary_erosion(front)
        mean = float(edge[surface].mean())
        if mean > best:
            best, chosen = mean, front
    return _on_reference(chosen, cube, study)


METHODS: dict[str, Method] = {
    "star-shaped surface (ours)": our_method,
    "region growing": region_growing,
    "random walker": random_walker,
    "geodesic": geodesic,
}


def _cube(study: Study, point: NDArray[np.float64]) -> tuple[sitk.Image, list[NDArray[np.float32]]]:
    spacing = CUBE_MM / CUBE_SIZE
    cube = sitk.Image([CUBE_SIZE] * 3, sitk.sitkFloat32)
    cube.SetSpacing([spacing] * 3)
    cube.SetOrigin((point - spacing * (CUBE_SIZE // 2)).tolist())
    sampled = [sitk.Resample(s.image, cube, sitk.Transform(), sitk.sitkLinear) for s in study.images.values()]
    return cube, [sitk.GetArrayFromImage(sitk.Cast(s, sitk.sitkFloat32)) for s in sampled]


def _ball(radius_mm: float) -> NDArray[np.bool_]:
    z, y, x = (np.mgrid[:CUBE_SIZE, :CUBE_SIZE, :CUBE_SIZE] - CUBE_SIZE // 2) * (CUBE_MM / CUBE_SIZE)
    return x**2 + y**2 + z**2 <= radius_mm**2


def _on_reference(mask: NDArray[np.bool_], cube: sitk.Image, study: Study) -> NDArray[np.bool_]:
    image = sitk.GetImageFromArray(mask.astype(np.float32))
    image.CopyInformation(cube)
    share = sitk.Resample(image, study.outlined_lesions, sitk.Transform(), sitk.sitkLinear)
    return sitk.GetArrayFromImage(share) >= 0.5


def clicks(study: Study, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A point in the lesion and one in the liver beside it, LPS mm."""
    rng = np.random.default_rng(seed)
    lesions = study.outlined_lesions
    mask = sitk.GetArrayFromImage(lesions) > 0
    spacing = np.asarray(lesions.GetSpacing())
    centre = np.argwhere(mask).mean(axis=0)
    radius = (mask.sum() * spacing.prod() * 0.75 / np.pi) ** (1 / 3)
    away = rng.normal(size=3)
    away *= JITTER * radius * rng.random() ** (1 / 3) / np.linalg.norm(away)
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing[::-1])
    beside = np.argwhere((distance > 15) & (distance < 30))
    elsewhere = beside[rng.integers(len(beside))]
    inside = lesions.TransformContinuousIndexToPhysicalPoint(centre[::-1].tolist())
    outside = lesions.TransformIndexToPhysicalPoint(elsewhere[::-1].tolist())
    return np.asarray(inside) + away, np.asarray(outside)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Overlap of two masks."""
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


def measured(seed: int, lesion_class: str, names: Sequence[str]) -> list[Row]:
    """Every method on one phantom; the click beside the lesion is for ours alone, its truth being empty."""
    phantom = generate_lesion(seed, lesion_class)
    study, diameter = phantom.study, phantom.truth.lesions[0].diameter_mm
    truth = sitk.GetArrayFromImage(study.outlined_lesions) > 0
    inside, outside = clicks(study, seed)
    rows = []
    for name, point in [*((name, inside) for name in names), ("beside the lesion", outside)]:
        method = METHODS.get(name, our_method)
        start = time.thread_time()
        try:
            overlap = dice(method(study, point), truth)
        except NoLesionError:
            overlap = float("nan")
        except LiverLesionError as error:
            raise SystemExit(f"seed {seed}: {error}") from None
        rows.append(Row(seed, lesion_class, diameter, name, overlap, time.thread_time() - start))
    return rows


def report(rows: Sequence[Row]) -> None:
    """Print medians by method and, for ours, by class and size."""
    for name in dict.fromkeys(row.method for row in rows):
        _line(name, [row for row in rows if row.method == name])
    ours = [row for row in rows if row.method == next(iter(METHODS))]
    for lesion_class in CLASSES:
        _line(f"  {lesion_class}", [row for row in ours if row.lesion_class == lesion_class])
    for low, high in ((0, 10), (10, 20), (20, 40), (40, 80), (80, 200)):
        _line(f"  {low}–{high} mm", [row for row in ours if low <= row.diameter_mm < high])


def _line(name: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    overlaps = np.array([row.dice for row in rows])
    found = np.nan_to_num(overlaps)
    lower, median, upper = np.percentile(found, (25, 50, 75))
    seconds = [row.seconds for row in rows]
    print(
        f"{name:28} n={len(rows):4}  Dice median {median:.3f} (quartiles {lower:.3f}–{upper:.3f})"
        f"  refused {int(np.isnan(overlaps).sum()):3}  below 0.5 {int((found < 0.5).sum()):3}"
        f"  seconds {np.median(seconds):.2f} (most {max(seconds):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesions", type=int, default=126)
    parser.add_argument("--first-seed", type=int, default=750000)
    parser.add_argument("--compare", action="store_true", help="run the other methods, too")
    parser.add_argument("--out", type=Path, help="CSV file for every click")
    options = parser.parse_args()
    names = list(METHODS) if options.compare else list(METHODS)[:1]
    rows: list[Row] = []
    for number in range(options.lesions):
        rows += measured(options.first_seed + number, CLASSES[number % len(CLASSES)], names)
    report(rows)
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Row))
            writer.writerows(astuple(row) for row in rows)


if __name__ == "__main__":
    main()
