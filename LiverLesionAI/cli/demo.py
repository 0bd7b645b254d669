"""The demonstration: a phantom study down the whole road, with the truth beside the answer."""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.files import files_below
from LiverLesionAI.options import DEFAULT_MODEL
from LiverLesionAI.pipeline import classify_into
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import StudyResult

DEMO_SEED = 800_001
DEMO_CLASSES = ("haemangioma", "HCC", "metastasis")
DEMO_MISALIGN_MM = (2.0, 1.0)
PHANTOM_FOLDER = "phantom"


def run_demo(
    out: str | Path, progress: Progress = silent
) -> tuple[StudyResult, tuple[Path, ...], dict[int, str]]:
    """Make a phantom study with three lesions, classify it, and write everything.

    Parameters
    ----------
    out
        Output folder as of ``classify``; the study and its truth lie in its subfolder ``phantom``.
    progress
        Told how far the work is.

    Returns
    -------
    result : StudyResult
    files : tuple of Path
        Every file written.
    truth : dict
        Lesion to its true class.

    Raises
    ------
    OutputError
        If the output folder is in use or holds something else.
    """
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.files import OUTPUT_NAMES, output_folder
    from LiverLesionAI.phantom import generate_study, write_phantom

    with output_folder(out, OUTPUT_NAMES | {PHANTOM_FOLDER}) as folder:
        bundle = load_bundle(DEFAULT_MODEL)
        progress("make phantom", 0.0)
        phantom = generate_study(DEMO_SEED, classes=DEMO_CLASSES, misalign_mm=DEMO_MISALIGN_MM)
        study_folder = write_phantom(phantom, folder / PHANTOM_FOLDER)
        progress("make phantom", 1.0)
        result = classify_into(folder, study_folder, bundle, progress=progress)
        files = files_below(folder)
    truth = {lesion.id: lesion.lesion_class for lesion in phantom.truth.lesions}
    return result, tuple(Path(out) / file for file in files), truth
