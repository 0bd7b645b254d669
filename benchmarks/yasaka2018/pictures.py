"""Draw the pictures of docs/yasaka2018.md: the five categories in three phases, and the augmentation.

python benchmarks/yasaka2018/pictures.py [--out docs/images/yasaka2018] [--seed 851000]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from LiverLesionAI.inputs.ct_slices import CTSliceParameters, extract_largest_slice
from LiverLesionAI.phantom import PhantomStudy, generate_lesion
from LiverLesionAI.phantom.modality import CT
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.systems.yasaka2018 import PHASES
from LiverLesionAI.training.cache import random_poses
from LiverLesionAI.training.config import TrainingConfig, read_config

TITLES = dict(zip(PHASES, ("unenhanced", "arterial", "delayed"), strict=True))
CATEGORIES = ("A classic HCC", "B other malignancy", "C indeterminate", "D haemangioma", "E cyst")
EACH = 2
"""Patients of each category."""


def categories(seed: int, out: Path, patches: CTSliceParameters) -> None:
    """Patients of every category as the network sees them."""
    rows, columns = len(CT.classes), EACH * len(PHASES)
    figure, axes = plt.subplots(rows, columns, figsize=(1.75 * columns, 1.85 * rows), squeeze=False)
    for row, (name, category) in enumerate(zip(CT.classes, CATEGORIES, strict=True)):
        for number in range(EACH):
            phantom = _phantom(seed + EACH * row + number, name)
            images = extract_largest_slice(phantom.study, 1, PHASES, patches)[0].images[0]
            lesion = phantom.truth.lesions[0]
            for phase, image in enumerate(images):
                axis = axes[row, number * len(PHASES) + phase]
                _show(axis, image)
                if row == 0:
                    axis.set_title(TITLES[PHASES[phase]], fontsize=9)
                if phase == 1:
                    axis.set_xlabel(f"{lesion.variant}, {lesion.diameter_mm:.0f} mm", fontsize=8)
        axes[row, 0].set_ylabel(category, fontsize=9)
    _save(figure, out / "categories.png")


def augmentation(seed: int, out: Path, config: TrainingConfig) -> None:
    """The sets that one set becomes, in the arterial phase; the first is the set itself."""
    phantom = _phantom(seed, "HCC")
    poses = [None, *random_poses(f"phantom_{seed}", config)]
    figure, axes = plt.subplots(4, 14, figsize=(14, 4.2))
    for axis in axes.ravel():
        axis.set_visible(False)
    rng = np.random.default_rng(seed)
    sets = extract_largest_slice(phantom.study, 1, PHASES[1:2], config.patches, poses)
    for number, (axis, found) in enumerate(zip(axes.ravel(), sets, strict=False)):
        axis.set_visible(True)
        image = found.images[0, 0]
        noise = rng.uniform(0, config.augmentation.noise) if number else 0.0
        _show(axis, np.clip(image + noise * rng.standard_normal(image.shape), 0, 1))
    _save(figure, out / "augmentation.png")


def _phantom(seed: int, name: str) -> PhantomStudy:
    return generate_lesion(seed, name, atypical=False, sequences=CT.sequences)


def _show(axis: plt.Axes, image: np.ndarray) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])


def _save(figure: plt.Figure, file: Path) -> None:
    figure.tight_layout(pad=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    plt.close(figure)
    print(f"Written: {file}")


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/images/yasaka2018"))
    parser.add_argument("--seed", type=int, default=851_000)
    arguments = parser.parse_args()
    config = read_config(BUNDLES / "yasaka2018-triphasic-phantom.yaml")
    categories(arguments.seed, arguments.out, config.patches)
    augmentation(arguments.seed + 1, arguments.out, config)


if __name__ == "__main__":
    main()
