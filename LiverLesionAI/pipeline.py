"""The road from a study to its result; every front (Slicer module, command line, notebook) walks it here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import LiverLesionAI
from LiverLesionAI.errors import PatchError
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.patch_grid import PatchParameters
from LiverLesionAI.patches import LesionInput, extract_patches, with_intensity_limits
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import (
    LesionResult,
    Provenance,
    SequenceRegistration,
    StudyResult,
    StudySummary,
)
from LiverLesionAI.study import Study, labels_in, lesion_geometry

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.explain import Settings
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.inference import Classifier, LesionPrediction, Predictions
    from LiverLesionAI.registration import LastStage, RegisteredStudy, Scope

DEFAULT_MODEL = "wang2021-phantom"

NOT_REGISTERED = (
    "the sequences were not registered: they were resampled by the scanner's positions, so breathing between "
    "them is not corrected"
)


NO_REPORT = (
    "figures and report were not written, for lack of {packages}; install liverlesionai[report] to have them"
)

KEPT_WEIGHTS_BYTES = 2**28
"""Folds that together are no larger on disk stay in memory between classifying and explaining."""


@dataclass(frozen=True)
class Outcome:
    """A study's result, and the explanations of its lesions where they were asked for."""

    result: StudyResult
    explanations: tuple[LesionExplanation, ...] = ()


@dataclass
class Stopwatch:
    """Seconds spent in each step of the road."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "register", "classify", "explain", "write"), 0.0)
    )

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Add the time of the block to a step."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds[step] + time.perf_counter() - start, 3)


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
    from LiverLesionAI.readers.scene import SCENE_SUFFIXES, read_scene

    path = Path(path)
    if path.suffix.lower() in SCENE_SUFFIXES:
        study = read_scene(path)
    elif not folder.is_study_folder(path) and holds_dicom(path):
        return read_dicom_study(path, mask, progress=progress)
    else:
        study = folder.read_study(path)
    return study if mask is None else with_mask(study, mask)


def crop_lesions(
    study: Study, sequences: Sequence[str], parameters: PatchParameters, progress: Progress = silent
) -> tuple[list[LesionInput], dict[int, str]]:
    """Crop every lesion of a study.

    Returns
    -------
    inputs : list of LesionInput
        The lesions that could be cropped.
    failures : dict
        Label to reason for those that could not.

    Raises
    ------
    StudyError
        If the study has no outlined lesions.
    PatchError
        If no lesion could be cropped.
    """
    lesion_ids = labels_in(study.outlined_lesions)
    study = with_intensity_limits(study, parameters)
    inputs: list[LesionInput] = []
    failures: dict[int, str] = {}
    for done, lesion_id in enumerate(lesion_ids):
        progress("crop", done / len(lesion_ids))
        try:
            inputs.append(extract_patches(study, lesion_id, sequences, parameters))
        except PatchError as error:
            failures[lesion_id] = str(error)
    if not inputs:
        raise PatchError(next(iter(failures.values()), f"The lesion mask of study {study.id} is empty."))
    progress("crop", 1.0)
    return inputs, failures


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

    stopwatch = stopwatch or Stopwatch()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with stopwatch.time("classify"):
        inputs, failures = crop_lesions(study, bundle.spec.sequences, bundle.spec.patches, progress)
        keep = saliency and sum(path.stat().st_size for path in bundle.fold_paths) <= KEPT_WEIGHTS_BYTES
        classifier = Classifier(bundle, device=device, precision=precision, keep_loaded=keep)
        predictions = classifier.predict(inputs, progress=progress)
    result = _study_result(study, bundle, inputs, failures, predictions, started, stopwatch)
    if not saliency:
        return Outcome(result)
    return _explained(result, classifier, inputs, predictions, settings, progress, stopwatch)


def _explained(
    result: StudyResult,
    classifier: Classifier,
    inputs: Sequence[LesionInput],
    predictions: Predictions,
    settings: Settings | None,
    progress: Progress,
    stopwatch: Stopwatch,
) -> Outcome:
    from LiverLesionAI.explanation.explain import Settings, explain

    settings = settings or Settings()
    with stopwatch.time("explain"):
        explanations = explain(classifier, inputs, predictions, settings, progress)
    answers = {each.lesion.lesion_id: each for each in explanations}
    lesions = tuple(_with_weights(lesion, answers.get(lesion.id)) for lesion in result.lesions)
    parameters = {**result.provenance.parameters, "saliency": asdict(settings)}
    provenance = replace(result.provenance, parameters=parameters, seconds=dict(stopwatch.seconds))
    return Outcome(replace(result, lesions=lesions, provenance=provenance), explanations)


def _with_weights(lesion: LesionResult, explanation: LesionExplanation | None) -> LesionResult:
    if explanation is None:
        return lesion
    weights = explanation.weights
    return replace(
        lesion,
        sequence_weights={task: each.to_dict() for task, each in weights.items()},
        sequence_interactions={task: each.pairs() for task, each in weights.items()},
    )


def _study_result(
    study: Study,
    bundle: Bundle,
    inputs: Sequence[LesionInput],
    failures: dict[int, str],
    predictions: Predictions,
    started: str,
    stopwatch: Stopwatch,
) -> StudyResult:
    classified = {
        cropped.lesion_id: _lesion_result(study, cropped, prediction)
        for cropped, prediction in zip(inputs, predictions, strict=True)
    }
    lesions = tuple(
        classified.get(lesion_id) or _failed_lesion_result(study, lesion_id, failures[lesion_id])
        for lesion_id in study.lesion_ids
    )
    warnings = [*study.warnings, *predictions.execution.warnings]
    if all(image.transform is None for image in study.images.values()) and len(study.images) > 1:
        warnings.append(NOT_REGISTERED)
    missing = tuple(name for name in bundle.spec.sequences if name not in study.images)
    if missing:
        warnings.append(f"{', '.join(missing)} missing: the model answered without")
    warnings += [
        f"{study.lesion_name(lesion_id)} was not classified: {why}" for lesion_id, why in failures.items()
    ]
    return StudyResult(
        study=StudySummary(study.id, study.source, study.reference, study.sequences, missing),
        models=(bundle.summary,),
        lesions=lesions,
        provenance=Provenance(
            software=f"LiverLesionAI {LiverLesionAI.__version__}",
            started=started,
            seconds=stopwatch.seconds,
            device=predictions.execution.device,
            precision=predictions.execution.precision,
            parameters={"patches": asdict(bundle.spec.patches)},
            inputs=input_fingerprints(study),
        ),
        warnings=tuple(warnings),
    )


def _lesion_result(study: Study, cropped: LesionInput, prediction: LesionPrediction) -> LesionResult:
    tasks = {name: task.result() for name, task in prediction.tasks.items()}
    warnings = [*cropped.warnings, *prediction.warnings]
    disagreement = _disagreement(prediction)
    if disagreement:
        warnings.append(disagreement)
    return LesionResult(
        id=cropped.lesion_id,
        name=study.lesion_name(cropped.lesion_id),
        diameter_mm=cropped.geometry.diameter_mm,
        volume_ml=cropped.geometry.volume_ml,
        centroid_lps_mm=cropped.geometry.centroid_lps_mm,
        crop_mm=cropped.crop_mm,
        tasks=tasks,
        warnings=tuple(warnings),
    )


def _disagreement(prediction: LesionPrediction) -> str | None:
    """The two heads are never reconciled: where they contradict each other, the result says so."""
    malignancy, kind = prediction.tasks.get("malignancy"), prediction.tasks.get("type")
    if malignancy is None or kind is None:
        return None
    predicted = kind.taxonomy.classes[kind.taxonomy.index(kind.predicted)]
    if predicted.malignant is None or predicted.malignant == (malignancy.predicted == "malignant"):
        return None
    return (
        f"the two answers disagree: {kind.predicted} (p = {kind.mean.max():.2f}) but "
        f"{malignancy.predicted} (p = {malignancy.mean.max():.2f})"
    )


def _failed_lesion_result(study: Study, lesion_id: int, reason: str) -> LesionResult:
    geometry = lesion_geometry(study.outlined_lesions, lesion_id)
    return LesionResult(
        id=lesion_id,
        name=study.lesion_name(lesion_id),
        diameter_mm=geometry.diameter_mm,
        volume_ml=geometry.volume_ml,
        centroid_lps_mm=geometry.centroid_lps_mm,
        crop_mm=None,
        warnings=(reason,),
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
    device, precision, saliency, progress
        See :func:`analyse_study`.

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
    from LiverLesionAI.writers.output import output_folder

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
    progress: Progress = silent,
) -> StudyResult:
    """Read and classify a study and write every output into an existing folder; see :func:`classify_path`."""
    stopwatch = Stopwatch()
    with stopwatch.time("read"):
        progress("read", 0.0)
        study = read_study(path, mask)
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
        progress=progress,
        stopwatch=stopwatch,
    )
    result = with_registration(outcome.result, registration)
    return write_result(study, result, folder, stopwatch, progress, outcome.explanations)


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
    from LiverLesionAI.registration import register_study
    from LiverLesionAI.writers.output import output_folder
    from LiverLesionAI.writers.registration import REGISTRATION_NAMES, write_registration

    with output_folder(out, REGISTRATION_NAMES) as folder:
        registered = register_study(
            read_study(path, mask), reference=reference, transform=transform, scope=scope, progress=progress
        )
        write_registration(registered, folder)
        names = files_below(folder)
    return registered, tuple(Path(out) / name for name in names)


def with_registration(result: StudyResult, registration: Mapping[str, SequenceRegistration]) -> StudyResult:
    """Return a result that tells how its sequences were registered."""
    warnings = [f"{name}: {why}" for name, done in registration.items() for why in done.warnings]
    return replace(result, registration=registration, warnings=(*result.warnings, *warnings))


def write_result(
    study: Study,
    result: StudyResult,
    folder: Path,
    stopwatch: Stopwatch,
    progress: Progress = silent,
    explanations: Sequence[LesionExplanation] = (),
) -> StudyResult:
    """Write every output of a classified study; returns the result with the time this took."""
    from LiverLesionAI.writers.figures import write_figures
    from LiverLesionAI.writers.registration import write_checkerboards
    from LiverLesionAI.writers.report import missing_packages, write_report
    from LiverLesionAI.writers.saliency import write_saliency
    from LiverLesionAI.writers.scene import write_scene
    from LiverLesionAI.writers.tables import write_results
    from LiverLesionAI.writers.volumes import write_volumes

    missing = missing_packages()
    if missing:
        warning = NO_REPORT.format(packages=" and ".join(missing))
        result = replace(result, warnings=(*result.warnings, warning))
    figures = {}
    with stopwatch.time("write"):
        progress("write", 0.0)
        write_volumes(study, result, folder)
        if result.registration:
            write_checkerboards(study, folder / "figures")
        progress("write", 0.3)
        if explanations:
            write_saliency(explanations, folder / "saliency")
        if explanations and not missing:
            figures = write_figures(explanations, result, folder / "figures")
        progress("write", 0.6)
        write_scene(study, result, folder / "scene.mrb", explanations)
    result = replace(result, provenance=replace(result.provenance, seconds=dict(stopwatch.seconds)))
    write_results(result, folder)
    if not missing:
        write_report(result, folder / "report.html", figures)
    progress("write", 1.0)
    return result


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, relative to it, in order."""
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
