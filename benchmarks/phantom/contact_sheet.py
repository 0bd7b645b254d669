"""Contact sheet of the phantom: seven classes × seven sequences.

python benchmarks/phantom/contact_sheet.py --out docs/images/phantom_typical.png
python benchmarks/phantom/contact_sheet.py --atypical --out docs/images/phantom_atypical.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import SimpleITK as sitk

from LiverLesionAI.phantom import CLASSES, PhantomStudy, generate_lesion

VIEW_MM = 110.0


def slice_through(phantom: PhantomStudy, sequence: str) -> tuple:
    """Axial slice through the lesion's centre in a sequence, its extent (mm) and its grey-value limits."""
    lesion = phantom.truth.lesions[0]
    image = phantom.study.images[sequence]
    at = image.image.TransformPhysicalPointToIndex(lesion.centre_lps_mm)
    array = sitk.GetArrayViewFromImage(image.image)[min(max(at[2], 0), image.image.GetSize()[2] - 1)]
    (x0, y0), (dx, dy) = image.image.GetOrigin()[:2], image.image.GetSpacing()[:2]
    extent = (x0 - dx / 2, x0 + dx * (array.shape[1] - 0.5), y0 + dy * (array.shape[0] - 0.5), y0 - dy / 2)
    return array, extent, image.intensity_limits


def draw(path: Path, seed: int, atypical: bool, classes: tuple[str, ...]) -> None:
    """Draw the sheet: a row for each class, a column for each sequence."""
    figure, axes = plt.subplots(len(classes), 7, figsize=(14, 2 * len(classes) + 0.3), squeeze=False)
    for index, (row, name) in enumerate(zip(axes, classes, strict=True)):
        phantom = generate_lesion(seed, name, atypical=atypical, misalign_mm=(2.0, 1.0))
        lesion = phantom.truth.lesions[0]
        x, y, _ = lesion.centre_lps_mm
        half = max(VIEW_MM, 1.7 * lesion.diameter_mm) / 2
        for cell, sequence in zip(row, phantom.study.sequences, strict=True):
            array, extent, (low, high) = slice_through(phantom, sequence)
            cell.imshow(array, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
            cell.set(
                xlim=(x - half, x + half), ylim=(y + half, y - half), xticks=[], yticks=[], facecolor="black"
            )
            if not index:
                cell.set_title(sequence, fontsize=10)
        row[0].set_ylabel(f"{name}, {lesion.diameter_mm:.0f} mm\n{lesion.variant}", fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=44)
    parser.add_argument("--atypical", action="store_true")
    parser.add_argument("--classes", default=",".join(CLASSES))
    arguments = parser.parse_args()
    draw(arguments.out, arguments.seed, arguments.atypical, tuple(arguments.classes.split(",")))


if __name__ == "__main__":
    main()
