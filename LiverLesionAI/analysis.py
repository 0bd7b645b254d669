"""Classifying and explaining a study with a model that is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import LiverLesionAI
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inference.predictions import Predictions, UnitInputs, UnitPrediction
from LiverLesionAI.inference.units import cut_units
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import (
    LesionResult,
    Provenance,
    StudyResult,
    StudySummary,
    TaskResult,
    with_seconds,
)
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.inference import Classifier

NOT_REGISTERED = (
    "the sequences were not registered: they were resampled by the scanner's positions, so breathing between "
    "them is not corrected"
)


@dataclass(frozen=True)
class Classified:
    """A study's result, and what it takes to explain it: what the model saw of each unit, and predicted."""

    result: StudyResult
    units: tuple[UnitInputs, ...]
    predictions: Predictions


@dataclass(frozen=True)
class Analysis:
    """A study's result, and the explanations of its lesions where they were asked for."""

    result: StudyResult
    explanations: tuple[LesionExplanation, ...] = ()


def analyse_with(
    classifier: Classifier,
    study: Study,
    settings: Settings | None = None,
    *,
    explain: bool = True,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Analysis:
    """Classify and explain with a classifier that is at hand, its weights perhaps loaded already.

    Parameters
    ----------
    classifier
        The model on its device.
    study
        The study, registered or not.
    settings
        What to explain and how; by default the predicted classes.
    explain
        Whether to explain, where the model's system offers explanations.
    progress, stopwatch
        See :func:`LiverLesionAI.pipeline.analyse_study`, which also says what is raised.
    """
    stopwatch = stopwatch or Stopwatch()
    classified = classify_with(classifier, study, progress=progress, stopwatch=stopwatch)
    if not explain or not classifier.bundle.system.explanations:
        return Analysis(classified.result)
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
        units, failures = cut_units(study, bundle, progress)
        predictions = classifier.predict(units, progress=progress)
    if bundle.system.unit == "lesion":
        lesions = _classified_lesions(study, units, predictions, failures)
        tasks: Mapping[str, TaskResult] = {}
        noticed = [f"{study.lesion_name(label)} was not classified: {why}" for label, why in failures.items()]
    else:
        lesions = tuple(_measured_lesion(study, lesion_id) for lesion_id in study.lesion_ids)
        tasks = {name: task.result() for name, task in predictions[0].tasks.items()}
        noticed = _unit_warnings(units[0], replace(predictions[0], warnings=()))
    missing = tuple(name for name in bundle.spec.sequences if name not in study.images)
    result = StudyResult(
        study=StudySummary(study.id, study.source, study.reference, study.sequences, missing),
        models=(bundle.summary,),
        lesions=lesions,
        provenance=_provenance(study, bundle, predictions, started),
        unit=bundle.system.unit,
        study_tasks=tasks,
        warnings=(*_study_warnings(study, missing, predictions), *noticed),
    )
    return Classified(with_seconds(result, stopwatch.seconds), tuple(units), predictions)


def explain_with(
    classifier: Classifier,
    classified: Classified,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
    stopwatch: Stopwatch | None = None,
) -> Analysis:
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
        If the settings do not fit the model, or its system offers no explanations.
    """
    from LiverLesionAI.explanation.explain import explain
    from LiverLesionAI.explanation.settings import Settings, resolved

    settings = resolved(settings or Settings(), classifier.bundle)
    stopwatch = stopwatch or Stopwatch(dict(classified.result.provenance.seconds))
    inputs = [_explained_input(unit, classifier.bundle) for unit in classified.units]
    with stopwatch.time("explain"):
        explanations = explain(classifier, inputs, classified.predictions, settings, progress)
    result = with_explanations(classified.result, explanations, settings)
    return Analysis(with_seconds(result, stopwatch.seconds), explanations)


def _explained_input(unit: UnitInputs, bundle: Bundle) -> LesionInput:
    """The patches of a lesion, the only input that there are explanations of."""
    first = unit.groups[0]
    if len(unit.groups) > 1 or not isinstance(first, LesionInput):
        raise ConfigError(
            f"Model {bundle.name} does not read one set of patches per lesion, so that its answers cannot be "
            "explained; classify without explanations."
        )
    return first


def with_explanations(
    result: StudyResult, explanations: Sequence[LesionExplanation], settings: Settings
) -> StudyResult:
    """Return a result whose lesions tell how much each sequence counted."""
    answers = {each.lesion.lesion_id: each for each in explanations}
    lesions = tuple(_with_weights(lesion, answers.get(lesion.id)) for lesion in result.lesions)
    parameters = {**result.provenance.parameters, "saliency": asdict(settings)}
    return replace(result, lesions=lesions, provenance=replace(result.provenance, parameters=parameters))


def settings_of(result: StudyResult) -> Settings:
    """How a result was explained; the default where it was not."""
    from LiverLesionAI.explanation.settings import Settings

    return Settings(**result.provenance.parameters.get("saliency", {}))


def _classified_lesions(
    study: Study,
    units: Sequence[UnitInputs],
    predictions: Sequence[UnitPrediction],
    failures: Mapping[int, str],
) -> tuple[LesionResult, ...]:
    found = {
        unit.lesion_id: _classified_lesion(study, unit, prediction)
        for unit, prediction in zip(units, predictions, strict=True)
    }
    return tuple(
        found.get(lesion_id) or _measured_lesion(study, lesion_id, (failures[lesion_id],))
        for lesion_id in study.lesion_ids
    )


def _classified_lesion(study: Study, unit: UnitInputs, prediction: UnitPrediction) -> LesionResult:
    assert unit.lesion_id is not None
    measured = _measured_lesion(study, unit.lesion_id, tuple(_unit_warnings(unit, prediction)))
    tasks = {name: task.result() for name, task in prediction.tasks.items()}
    return replace(measured, tasks=tasks, crop_mm=unit.groups[0].crop_mm)


def _unit_warnings(unit: UnitInputs, prediction: UnitPrediction) -> list[str]:
    warnings = [text for given in unit.groups for text in given.warnings]
    disagreement = _disagreement(prediction)
    return list(dict.fromkeys([*warnings, *prediction.warnings, *([disagreement] if disagreement else [])]))


def _disagreement(prediction: UnitPrediction) -> str | None:
    """The heads are never reconciled: where benign or malignant contradicts the type, the result says so."""
    kinds = [task for task in prediction.tasks.values() if task.taxonomy.name != "binary"]
    for malignancy in prediction.tasks.values():
        if malignancy.taxonomy.name != "binary":
            continue
        for kind in kinds:
            malignant = kind.taxonomy.classes[kind.taxonomy.index(kind.predicted)].malignant
            if malignant is not None and malignant != (malignancy.predicted == "malignant"):
                return (
                    f"the two answers disagree: {kind.predicted} (p = {kind.mean.max():.2f}) but "
                    f"{malignancy.predicted} (p = {malignancy.mean.max():.2f})"
                )
    return None


def _measured_lesion(study: Study, lesion_id: int, warnings: tuple[str, ...] = ()) -> LesionResult:
    """A lesion without an answer."""
    geometry = lesion_geometry(study.outlined_lesions, lesion_id)
    return LesionResult(
        id=lesion_id,
        name=study.lesion_name(lesion_id),
        diameter_mm=geometry.diameter_mm,
        volume_ml=geometry.volume_ml,
        centroid_lps_mm=geometry.centroid_lps_mm,
        crop_mm=None,
        warnings=warnings,
    )


def _study_warnings(study: Study, missing: Sequence[str], predictions: Predictions) -> list[str]:
    warnings = [*study.warnings, *predictions.execution.warnings]
    if all(image.transform is None for image in study.images.values()) and len(study.images) > 1:
        warnings.append(NOT_REGISTERED)
    if missing:
        warnings.append(f"{', '.join(missing)} missing: the model answered without")
    return warnings


def _provenance(study: Study, bundle: Bundle, predictions: Predictions, started: str) -> Provenance:
    """How the result came about, but for the seconds of each step, which are known at the end."""
    return Provenance(
        software=f"LiverLesionAI {LiverLesionAI.__version__}",
        started=started,
        seconds={},
        device=predictions.execution.device,
        precision=predictions.execution.precision,
        parameters=bundle.system.parameters(bundle.spec),
        inputs=input_fingerprints(study),
    )


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
