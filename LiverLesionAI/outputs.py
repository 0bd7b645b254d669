"""Every output of a classified study, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.analysis import Analysis, Found
from LiverLesionAI.errors import DicomError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import StudyResult, with_seconds, with_warnings
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation

NO_REPORT = (
    "figures and report were not written, for lack of {packages}; install liverlesionai[report] to have them"
)
NO_SCENE = "no Slicer scene was written, for lack of slicer-core; install liverlesionai[scene] to have it"
NO_DICOM = "no DICOM segmentation and report were written: {reason}"
NO_MAPS = "no DICOM parametric maps were written: {reason}"


def write_result(
    study: Study,
    analysis: Analysis,
    folder: Path,
    stopwatch: Stopwatch,
    progress: Progress = silent,
    *,
    scene: Path | None = None,
    parametric_maps: bool = False,
) -> StudyResult:
    """Write every output of a classified study; returns the result with the time this took.

    What cannot be written as DICOM, as pictures or as a scene becomes a warning of the result. More than six
    parameters: the last two say what is written beyond the usual.

    Parameters
    ----------
    study, analysis
        The study, its result and the explanations of its lesions; without these no figures and maps are
        written.
    folder
        Exists already.
    stopwatch
        Goes on from the time already spent.
    progress
        Told how far the work is.
    scene
        Folder of the scene that is open in Slicer (:func:`LiverLesionAI.mrml.save_scene_folder`); by default
        a scene is made.
    parametric_maps
        Whether saliency is written as DICOM parametric maps as well.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from LiverLesionAI import mrml
    from LiverLesionAI.scenes.show import write_scene
    from LiverLesionAI.writers.figures import write_figures
    from LiverLesionAI.writers.report import missing_packages, write_report
    from LiverLesionAI.writers.tables import write_results

    result, explanations = analysis.result, analysis.explanations
    missing = missing_packages()
    if missing:
        warning = NO_REPORT.format(packages=" and ".join(missing))
        result = with_warnings(result, warning)
    figures = {}
    with stopwatch.time("write"):
        progress("write", 0.0)
        with ThreadPoolExecutor(1, "images") as beside:
            images = beside.submit(_write_images, study, analysis, folder)
            if explanations and not missing:
                figures = write_figures(explanations, result, folder / "figures")
            progress("write", 0.3)
            images.result()
        progress("write", 0.6)
        if scene is not None:
            mrml.pack_scene(scene, folder / "scene.mrb")
        elif mrml.has_slicer():
            evidence = None if analysis.found is None else analysis.found.evidence
            write_scene(study, result, folder / "scene.mrb", explanations, evidence)
        else:
            result = with_warnings(result, NO_SCENE)
        progress("write", 0.9)
        warnings = _write_dicom(study, result, folder, explanations if parametric_maps else ())
        result = with_warnings(result, *warnings)
    result = with_seconds(result, stopwatch.seconds)
    write_results(result, folder)
    if not missing:
        write_report(result, folder / "report.html", figures)
    progress("write", 1.0)
    return result


def _write_images(study: Study, analysis: Analysis, folder: Path) -> None:
    """Write everything that is an image; while it is packed, another thread may draw."""
    from LiverLesionAI.writers.registration import write_checkerboards
    from LiverLesionAI.writers.saliency import write_saliency
    from LiverLesionAI.writers.volumes import write_volumes

    write_volumes(study, analysis.result, folder)
    if analysis.result.registration or any(image.transform for image in study.images.values()):
        write_checkerboards(study, folder / "figures")
    if analysis.found is not None:
        _write_found(analysis.result, analysis.found, folder)
    if analysis.explanations:
        write_saliency(analysis.explanations, folder / "saliency")


def _write_found(result: StudyResult, found: Found, folder: Path) -> None:
    """Write candidates as a table and as labels, and the maps that they were made of."""
    from LiverLesionAI.writers.tables import candidate_table, write_csv
    from LiverLesionAI.writers.volumes import write_image

    write_csv(candidate_table(result), folder / "candidates.csv")
    write_image(found.labels, folder / "candidates.nii.gz")
    write_image(found.evidence, folder / "activation.nii.gz")


def write_volumes_alone(study: Study, analysis: Analysis, folder: Path, stopwatch: Stopwatch) -> StudyResult:
    """Write volumes, transforms, maps and the results' own files; no figures, report, scene or DICOM.

    Parameters
    ----------
    study, analysis, folder, stopwatch
        See :func:`write_result`, which also says what is raised.
    """
    from LiverLesionAI.writers.saliency import write_saliency
    from LiverLesionAI.writers.tables import write_results
    from LiverLesionAI.writers.volumes import write_volumes

    with stopwatch.time("write"):
        write_volumes(study, analysis.result, folder)
        if analysis.explanations:
            write_saliency(analysis.explanations, folder / "saliency")
    result = with_seconds(analysis.result, stopwatch.seconds)
    write_results(result, folder)
    return result


def _write_dicom(
    study: Study, result: StudyResult, folder: Path, maps_of: Sequence[LesionExplanation]
) -> list[str]:
    """Write the DICOM objects; returns why those that are missing are."""
    from LiverLesionAI.readers.naming import without_paths
    from LiverLesionAI.writers.dicom import write_dicom
    from LiverLesionAI.writers.dicom.parametric_map import write_parametric_maps

    files = [file for image in study.images.values() if image.dicom for file in image.dicom.files]
    warnings = []
    try:
        write_dicom(study, result, folder)
    except DicomError as error:
        warnings.append(NO_DICOM.format(reason=without_paths(str(error), files)))
    try:
        if maps_of:
            write_parametric_maps(study, result, maps_of, folder)
    except DicomError as error:
        warnings.append(NO_MAPS.format(reason=without_paths(str(error), files)))
    return warnings
