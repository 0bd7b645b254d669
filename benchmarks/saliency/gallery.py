"""A typical phantom of each class down the whole road: its figures and its report, for the documentation.

    python benchmarks/saliency/gallery.py --out docs/images/gallery [--work DIR] [--model NAME|DIR]

The phantoms are the first of their seeds that measure 20 to 60 mm, not chosen by their looks or answers;
neither training nor the reserved range holds them. A second figure has the maps of the lesion's parts. Beside
the pictures of each class a page of the cohort is made, and the slice views of their Slicer scenes. Pages are
rendered by Chromium and pdftoppm (Debian packages chromium and poppler-utils), as they print on A4.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.options import DEFAULT_MODEL, Options
from LiverLesionAI.phantom import PhantomStudy, generate_lesion, write_phantom
from LiverLesionAI.pipeline import classify_path
from LiverLesionAI.results import LesionResult
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.writers.cohort_report import cohort_entry, write_cohort_report

FIRST_SEED, SEEDS_PER_CLASS = 860_000, 100
SMALLEST_MM, LARGEST_MM = 20.0, 60.0
MISALIGN_MM = (2.0, 1.0)
FIGURE_WIDTH, PAGE_DPI, COLOURS = 1300, 110, 256
SCENE_WIDTH, GAP = 720, 4
CHROMIUM = [
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-pdf-header-footer",
]


def typical_phantom(name: str, first_seed: int) -> PhantomStudy:
    """The first phantom of a class, in its typical form, that is neither tiny nor huge."""
    for seed in count(first_seed):
        phantom = generate_lesion(seed, name, atypical=False, misalign_mm=MISALIGN_MM)
        if SMALLEST_MM <= phantom.truth.lesions[0].diameter_mm <= LARGEST_MM:
            break
    return phantom


def classify(phantom: PhantomStudy, out: Path, model: str, settings: Settings) -> LesionResult:
    """Classify and explain a phantom into an output folder."""
    with tempfile.TemporaryDirectory() as folder:
        study = write_phantom(phantom, folder, with_truth=False)
        result, _ = classify_path(study, out, Options(model=model, explanation=settings))
    return result.lesions[0]


def save_figure(source: Path, target: Path) -> None:
    """Write a figure at the size of a screen, with few colours."""
    with Image.open(source) as picture:
        height = round(picture.height * FIGURE_WIDTH / picture.width)
        _save(picture.convert("RGB").resize((FIGURE_WIDTH, height), Image.Resampling.LANCZOS), target)


def save_first_page(page: Path, target: Path) -> None:
    """Print an HTML file on A4 and write its first page."""
    with tempfile.TemporaryDirectory() as folder:
        pdf, stem = Path(folder, "page.pdf"), Path(folder, "page")
        profile = f"--user-data-dir={folder}/profile"
        _run([*CHROMIUM, profile, f"--print-to-pdf={pdf}", page.resolve().as_uri()])
        _run(["pdftoppm", "-r", str(PAGE_DPI), "-f", "1", "-singlefile", "-png", str(pdf), str(stem)])
        with Image.open(stem.with_suffix(".png")) as picture:
            _save(picture.convert("RGB"), target)


def save_scenes(scenes: Sequence[Path], target: Path) -> None:
    """Draw the slice views of Slicer scenes off-screen, two scenes to a row."""
    render = Path(__file__).resolve().parents[2] / "Testing" / "Python" / "render_scene.py"
    rows = -(-len(scenes) // 2)
    sheet = Image.new("RGB", (2 * SCENE_WIDTH + GAP, rows * (SCENE_WIDTH // 3 + GAP) - GAP), "white")
    for place, scene in enumerate(scenes):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "views.png"
            _run([sys.executable, str(render), str(scene), str(file)])
            with Image.open(file) as views:
                small = views.convert("RGB").resize((SCENE_WIDTH, SCENE_WIDTH // 3), Image.Resampling.LANCZOS)
        row, column = divmod(place, 2)
        sheet.paste(small, (column * (SCENE_WIDTH + GAP), row * (SCENE_WIDTH // 3 + GAP)))
    _save(sheet, target)


def _save(picture: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(target, optimize=True)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _table(lesions: dict[str, LesionResult]) -> Table:
    shown = Table("truth", "predicted", "p", "malignancy", "sequences that counted most")
    for truth, lesion in lesions.items():
        kind, malignancy = lesion.tasks["type"], lesion.tasks["malignancy"]
        weights = {name: each["shapley"] for name, each in lesion.sequence_weights["type"].items()}
        most = sorted(weights, key=weights.__getitem__, reverse=True)[:3]
        shown.add_row(
            truth,
            kind.predicted,
            f"{kind.probabilities[kind.predicted]:.2f}",
            f"{malignancy.predicted} {malignancy.probabilities[malignancy.predicted]:.2f}",
            ", ".join(f"{name} {weights[name]:+.1f}" for name in most),
        )
    return shown


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--work", type=Path, default=Path("runs/gallery"), help="folder for the outputs")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    absent = [name for name in ("chromium", "pdftoppm") if not shutil.which(name)]
    if absent:
        sys.exit(f"{' and '.join(absent)} must be installed to print the reports.")
    lesions: dict[str, LesionResult] = {}
    for number, name in enumerate(TAXONOMIES["W7"].names):
        phantom, folder = typical_phantom(name, FIRST_SEED + number * SEEDS_PER_CLASS), arguments.work / name
        lesions[name] = classify(phantom, folder, arguments.model, Settings())
        save_figure(folder / "figures" / "lesion_1.png", arguments.out / f"{name}.png")
        by_parts = arguments.work / f"{name}_parts"
        classify(phantom, by_parts, arguments.model, Settings(method="lesion-parts"))
        save_figure(by_parts / "figures" / "lesion_1.png", arguments.out / f"{name}_parts.png")
        save_first_page(folder / "report.html", arguments.out / f"{name}_report.png")
    page = arguments.work / "cohort.html"
    write_cohort_report(
        [cohort_entry(arguments.work / name, page) for name in lesions], page, "seven phantoms"
    )
    save_first_page(page, arguments.out / "cohort.png")
    save_scenes([arguments.work / name / "scene.mrb" for name in lesions], arguments.out / "scenes.png")
    Console(width=110).print(_table(lesions))


if __name__ == "__main__":
    main()
