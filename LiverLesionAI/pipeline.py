"""The road from a study to its result; every front (Slicer module, command line, notebook) walks it here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.analysis import Outcome, analyse_with
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import SequenceRegistration, StudyResult, with_registration
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.registration import LastStage, RegisteredStudy, Scope

DEFAULT_MODEL = "wang2021-phantom"

KEPT_WEIGHTS_BYTES = 2**28
"""Folds that together are no larger on disk stay in memory between classifying and explaining."""


def read_study(path: str | Path, mask: str | Path | None = None, progress: Progress = silent) -> Study:
    """Read a study from a study folder, a DICOM folder or a Slicer scene.

    Parameters
    ----------
    path
        A study folder (:mod:`LiverLesionAI.readers.folder`), an ``.mrml`` or ``.mrb`` scene, or a folder of
        DICOM files in any nesting, one DICOM file or a DICOMDIR (:mod:`LiverLesionAI.readers.dicom.study`).
    mask
        Lesion mask to use instead of the study's own: an image file or a DICOM segmentation.
    progress
        Told how far the reading of DICOM is; may cancel by raising.

    Raises
    ------
    StudyError
        If there is nothing usable at `path`.
    """
    from LiverLesionAI.readers import folder
    from LiverLesionAI.readers.dicom.scan import holds_dicom
    from LiverLesionAI.readers.dicom.study import read_dicom_study, with_mask
    from LiverLesionAI.scenes.read import SCENE_SUFFIXES, read_scene

    path = Path(path)
    if path.suffix.lower() in SCENE_SUFFIXES:
        study = read_scene(path)
    elif not folder.is_study_folder(path) and holds_dicom(path):
        return read_dicom_study(path, mask, progress=progress)
    else:
        study = folder.read_study_folder(path)
    return study if mask is None else with_mask(study, mask)


def classify_study(
    study: Study,
    bundle: Bundle,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> StudyResult:
    """Classify every lesion of a study, without explaining; see :func:`analyse_study`.

    Parameters
    ----------
    study
        The study, registered or not.
    bundle
        The model.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision
        ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
    progress
        Told how far the work is.
    stopwatch
        Goes on from the time already spent, for example on reading.

    Returns
    -------
    StudyResult
        With a warning for each lesion that could not be classified.

    Raises
    ------
    StudyError
        If the study has no outlined lesions.
    PatchError
        If no lesion could be cropped.
    BundleError
        If the study lacks a sequence that the model cannot do without.

    Examples
    --------
    >>> from LiverLesionAI.bundles import load_bundle
    >>> from LiverLesionAI.pipeline import classify_study, read_study
    >>> result = classify_study(read_study("S1"), load_bundle("wang2021-phantom"))  # doctest: +SKIP
    >>> result.lesions[0].tasks["type"].predicted  # doctest: +SKIP
    'HCC'
    """
    return analyse_study(
        study,
        bundle,
        device=device,
        precision=precision,
        saliency=False,
        progress=progress,
        stopwatch=stopwatch,
    ).result


def analyse_study(
    study: Study,
    bundle: Bundle,
    *,
    device: str = "auto",
    precision: str = "auto",
    saliency: bool = True,
    settings: Settings | None = None,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Outcome:
    """Classify every lesion of a study and explain the answers.

    Parameters
    ----------
    study, bundle, device, precision, progress, stopwatch
        See :func:`classify_study`.
    saliency
        Whether to explain: saliency maps, sequence weights, interactions.
    settings
        What to explain and how; by default the predicted classes.

    Returns
    -------
    Outcome
        An explanation for each lesion that was classified.

    Raises
    ------
    StudyError, PatchError, BundleError
        As :func:`classify_study`.
    ConfigError
        If the settings do not fit the model.
    """
    from LiverLesionAI.inference import Classifier

    keep = saliency and sum(path.stat().st_size for path in bundle.fold_paths) <= KEPT_WEIGHTS_BYTES
    classifier = Classifier(bundle, device=device, precision=precision, keep_loaded=keep)
    return analyse_with(
        classifier, study, saliency=saliency, settings=settings, progress=progress, stopwatch=stopwatch
    )


def classify_path(
    path: str | Path,
    out: str | Path,
    *,
    mask: str | Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    register: bool = True,
    device: str = "auto",
    precision: str = "auto",
    saliency: bool = True,
    settings: Settings | None = None,
    parametric_maps: bool = False,
    progress: Progress = silent,
) -> tuple[StudyResult, tuple[Path, ...]]:
    """Read a study, classify its lesions and write the output folder.

    Parameters
    ----------
    path, mask
        See :func:`read_study`.
    out
        Output folder; it appears complete or not at all.
    model
        Name or folder of a bundle.
    register
        Register the sequences to the reference around each lesion first.
    device, precision, saliency, settings, progress
        See :func:`analyse_study`.
    parametric_maps
        Write the saliency maps of a study that came from DICOM as DICOM Parametric Maps as well.

    Returns
    -------
    result : StudyResult
    files : tuple of Path
        Every file written.

    Raises
    ------
    LiverLesionError
        If study, model or output folder cannot be used; nothing is written then.
    """
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.files import files_below, output_folder

    with output_folder(out) as folder:
        result = classify_into(
            folder,
            path,
            load_bundle(model),
            mask=mask,
            register=register,
            device=device,
            precision=precision,
            saliency=saliency,
            settings=settings,
            parametric_maps=parametric_maps,
            progress=progress,
        )
        names = files_below(folder)
    return result, tuple(Path(out) / name for name in names)


def classify_into(
    folder: Path,
    path: str | Path,
    bundle: Bundle,
    *,
    mask: str | Path | None = None,
    register: bool = True,
    device: str = "auto",
    precision: str = "auto",
    saliency: bool = True,
    settings: Settings | None = None,
    parametric_maps: bool = False,
    progress: Progress = silent,
) -> StudyResult:
    """Read and classify a study and write every output into an existing folder; see :func:`classify_path`."""
    from LiverLesionAI.explanation.settings import Settings, explained_task
    from LiverLesionAI.outputs import write_result

    stopwatch, settings = Stopwatch(), settings or Settings()
    explained_task(settings, bundle.taxonomies)
    with stopwatch.time("read"):
        progress("read", 0.0)
        study = read_study(path, mask, progress)
        progress("read", 1.0)
    registration: Mapping[str, SequenceRegistration] = {}
    if register:
        study, registration = register_lesions(study, stopwatch, progress)
    outcome = analyse_study(
        study,
        bundle,
        device=device,
        precision=precision,
        saliency=saliency,
        settings=settings,
        progress=progress,
        stopwatch=stopwatch,
    )
    result = with_registration(outcome.result, registration)
    return write_result(
        study,
        result,
        folder,
        stopwatch,
        progress,
        outcome.explanations,
        parametric_maps=parametric_maps,
    )


def register_lesions(
    study: Study, stopwatch: Stopwatch, progress: Progress = silent
) -> tuple[Study, Mapping[str, SequenceRegistration]]:
    """Register the neighbourhood of each lesion; returns the study with transforms, and what was done."""
    from LiverLesionAI.registration import register_study

    with stopwatch.time("register"):
        registered = register_study(study, scope="lesion", progress=progress)
    return registered.study, registered.sequences


def register_path(
    path: str | Path,
    out: str | Path,
    *,
    mask: str | Path | None = None,
    reference: str | None = None,
    transform: LastStage = "bspline",
    scope: Scope = "lesion",
    progress: Progress = silent,
) -> tuple[RegisteredStudy, tuple[Path, ...]]:
    """Read a study, register it and write the output folder of ``register``.

    Parameters
    ----------
    path, mask
        See :func:`read_study`.
    out
        Output folder; it appears complete or not at all.
    reference
        The sequence to register to instead of the study's reference.
    transform, scope, progress
        See :func:`LiverLesionAI.registration.register_study`.

    Returns
    -------
    registered : RegisteredStudy
    files : tuple of Path
        Every file written.

    Raises
    ------
    LiverLesionError
        If study or output folder cannot be used; nothing is written then.
    """
    from LiverLesionAI.files import files_below, output_folder
    from LiverLesionAI.registration import register_study
    from LiverLesionAI.writers.registration import REGISTRATION_NAMES, write_registration

    with output_folder(out, REGISTRATION_NAMES) as folder:
        registered = register_study(
            read_study(path, mask, progress),
            reference=reference,
            transform=transform,
            scope=scope,
            progress=progress,
        )
        write_registration(registered, folder)
        names = files_below(folder)
    return registered, tuple(Path(out) / name for name in names)
