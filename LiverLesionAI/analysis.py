"""Classifying and explaining the lesions of a study with a classifier that is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import LiverLesionAI
from LiverLesionAI.errors import PatchError
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import LesionInput, extract_patches
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import LesionResult, Provenance, StudyResult, StudySummary, with_seconds
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study, labels_in

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.inference import Classifier, LesionPrediction, Predictions

NOT_REGISTERED = (
    "the sequences were not registered: they were resampled by the scanner's positions, so breathing between "
    "them is not corrected"
)


@dataclass(frozen=True)
class Classified:
    """A study's result, and what it takes to explain it: the lesions that were classified, as the model saw
    them, and what it predicted for each."""

    result: StudyResult
    inputs: tuple[LesionInput, ...]
    predictions: Predictions


@dataclass(frozen=True)
class Outcome:
    """A study's result, and the explanations of its lesions where they were asked for."""

    result: StudyResult
    explanations: tuple[LesionExplanation, ...] = ()


def analyse_with(
    classifier: Classifier,
    study: Study,
    *,
    saliency: bool = True,
    settings: Settings | None = None,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Outcome:
    """Classify and explain with a classifier that is at hand, its weights perhaps loaded already.

    Parameters
    ----------
    classifier
        The model on its device.
    study, saliency, settings, progress, stopwatch
        See :func:`LiverLesionAI.pipeline.analyse_study`, which also says what is returned and raised.
    """
    stopwatch = stopwatch or Stopwatch()
    classified = classify_with(classifier, study, progress=progress, stopwatch=stopwatch)
    if not saliency:
        return Outcome(classified.result)
    return explain_with(classifier, classified, settings, progress=progress, stopwatch=stopwatch)


def classify_with(
    classifier: Classifier,
    study: Study,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Classified:
    """Classify with a classifier that is at hand; :func:`explain_with` may follow.

    Parameters
    ----------
    classifier, study, progress, stopwatch
        See :func:`analyse_with`, which also says what is raised.
    """
    stopwatch, bundle = stopwatch or Stopwatch(), classifier.bundle
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with stopwatch.time("classify"):
        inputs, failures = crop_lesions(study, bundle.spec.sequences, bundle.spec.patches, progress)
        predictions = classifier.predict(inputs, progress=progress)
    result = study_result(study, bundle, inputs, failures, predictions, started)
    return Classified(with_seconds(result, stopwatch.seconds), tuple(inputs), predictions)


def explain_with(
    classifier: Classifier,
    classified: Classified,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Outcome:
    """Explain what :func:`classify_with` answered.

    Parameters
    ----------
    classifier
        The one that classified.
    classified
        Its answers.
    settings, progress, stopwatch
        See :func:`LiverLesionAI.pipeline.analyse_study`.

    Raises
    ------
    ConfigError
        If the settings do not fit the model.
    """
    from LiverLesionAI.explanation.explain import explain
    from LiverLesionAI.explanation.settings import Settings

    settings = settings or Settings()
    stopwatch = stopwatch or Stopwatch(dict(classified.result.provenance.seconds))
    with stopwatch.time("explain"):
        explanations = explain(classifier, classified.inputs, classified.predictions, settings, progress)
    result = with_explanations(classified.result, explanations, settings)
    return Outcome(with_seconds(result, stopwatch.seconds), explanations)


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


def study_result(
    study: Study,
    bundle: Bundle,
    inputs: Sequence[LesionInput],
    failures: Mapping[int, str],
    predictions: Predictions,
    started: str,
) -> StudyResult:
    """Put a study's result together.

    Parameters
    ----------
    study
        The study, as it was cropped.
    bundle
        The model.
    inputs, predictions
        The lesions that could be cropped, and what was predicted for them, in the same order.
    failures
        Label to reason for the other lesions.
    started
        When the work began, ISO 8601, UTC.

    Returns
    -------
    StudyResult
        Without the seconds of each step, which are known at the end.
    """
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
            seconds={},
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


def with_explanations(
    result: StudyResult, explanations: Sequence[LesionExplanation], settings: Settings
) -> StudyResult:
    """Return a result whose lesions tell how much each sequence counted."""
    answers = {each.lesion.lesion_id: each for each in explanations}
    lesions = tuple(_with_weights(lesion, answers.get(lesion.id)) for lesion in result.lesions)
    parameters = {**result.provenance.parameters, "saliency": asdict(settings)}
    return replace(result, lesions=lesions, provenance=replace(result.provenance, parameters=parameters))


def _with_weights(lesion: LesionResult, explanation: LesionExplanation | None) -> LesionResult:
    if explanation is None:
        return lesion
    weights = explanation.weights
    return replace(
        lesion,
        explained={task: each.target for task, each in weights.items()},
        sequence_weights={task: each.to_dict() for task, each in weights.items()},
        sequence_interactions={task: each.pairs() for task, each in weights.items()},
    )


def settings_of(result: StudyResult) -> Settings:
    """How a result was explained; the default where it was not."""
    from LiverLesionAI.explanation.settings import Settings

    return Settings(**result.provenance.parameters.get("saliency", {}))
