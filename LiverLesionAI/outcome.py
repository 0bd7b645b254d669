"""From what the models said about each lesion to the result of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import LiverLesionAI
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.patches import LesionInput
from LiverLesionAI.results import (
    LesionResult,
    Provenance,
    SequenceRegistration,
    StudyResult,
    StudySummary,
)
from LiverLesionAI.study import Study, lesion_geometry

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.explain import Settings
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.inference import LesionPrediction, Predictions

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
    from LiverLesionAI.explanation.explain import Settings

    return Settings(**result.provenance.parameters.get("saliency", {}))


def with_weights_of(result: StudyResult, explained: StudyResult) -> StudyResult:
    """Return a result with the explanations of another one of the same classification."""
    answers = {lesion.id: lesion for lesion in explained.lesions}
    lesions = tuple(
        replace(
            lesion,
            sequence_weights=answers[lesion.id].sequence_weights,
            sequence_interactions=answers[lesion.id].sequence_interactions,
            explained=answers[lesion.id].explained,
        )
        for lesion in result.lesions
    )
    return replace(result, lesions=lesions, provenance=explained.provenance)


def with_registration(result: StudyResult, registration: Mapping[str, SequenceRegistration]) -> StudyResult:
    """Return a result that tells how its sequences were registered."""
    warnings = [f"{name}: {why}" for name, done in registration.items() for why in done.warnings]
    return replace(result, registration=registration, warnings=(*result.warnings, *warnings))


def with_seconds(result: StudyResult, seconds: Mapping[str, float]) -> StudyResult:
    """Return a result that tells how long each step took."""
    return replace(result, provenance=replace(result.provenance, seconds=dict(seconds)))
