"""Classifying and explaining a study with a model that is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import LiverLesionAI
from LiverLesionAI.answers import TaskResult
from LiverLesionAI.asking import Asked, ModelAnswers, ask, unit_warnings
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.fingerprint import input_fingerprints
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inference.predictions import Predictions, UnitInputs, UnitPrediction
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.results import LesionResult, Provenance, StudyResult, StudySummary, with_seconds
from LiverLesionAI.sequences import SIGNS
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    import SimpleITK as sitk

    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.explanation.slices import StudyExplanation
    from LiverLesionAI.inference.suite import AnyClassifier

NOT_REGISTERED = (
    "the sequences were not registered: they were resampled by the scanner's positions, so breathing between "
    "them is not corrected"
)


@dataclass(frozen=True)
class Classified:
    """A study's result, and what it takes to explain it: the answers of each model that was asked."""

    result: StudyResult
    answers: tuple[ModelAnswers, ...]


@dataclass(frozen=True)
class Found:
    """What a detector's candidates were made of.

    Attributes
    ----------
    sequence
        The series that was looked at; both images lie in its own frame.
    evidence
        Class activation maps of all slices, float32, in log-odds: a slice's are the mean of its map.
    labels
        Rank of each candidate, uint8, on the pixels that the network saw.
    """

    sequence: str
    evidence: sitk.Image
    labels: sitk.Image


@dataclass(frozen=True)
class Analysis:
    """A study's result, the explanations of its lesions where they were asked for, what a detector found."""

    result: StudyResult
    explanations: tuple[LesionExplanation, ...] = ()
    found: Found | None = None


def analyse_with(
    classifier: AnyClassifier,
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
    if not explain or not classified.answers[0].bundle.system.explanations:
        return Analysis(classified.result)
    return explain_with(classifier, classified, settings, progress=progress, stopwatch=stopwatch)


def classify_with(
    classifier: AnyClassifier,
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
    stopwatch = stopwatch or Stopwatch()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with stopwatch.time("classify"):
        asked = ask(classifier, study, progress)
    first = asked.answers[0]
    tasks = asked.tasks if first.bundle.system.unit != "lesion" else {}
    lesions = _lesions_of_study(study, asked) if tasks else _classified_lesions(study, asked)
    read = dict.fromkeys(name for each in asked.answers for name in each.bundle.spec.sequences)
    missing = tuple(name for name in read if name not in study.images)
    result = StudyResult(
        study=StudySummary(study.id, study.source, study.reference, study.sequences, missing),
        models=tuple({each.bundle.name: each.bundle.summary for each in asked.answers}.values()),
        lesions=lesions,
        provenance=_provenance(study, asked, started),
        unit=first.bundle.system.unit,
        study_tasks=tasks,
        warnings=(*_study_warnings(study, missing, first.predictions), *asked.notes(study)),
        out_of_distribution=asked.out_of_distribution if tasks else None,
    )
    return Classified(with_seconds(result, stopwatch.seconds), asked.answers)


def _lesions_of_study(study: Study, asked: Asked) -> tuple[LesionResult, ...]:
    """Lesions of a study that was answered for as a whole, with the answers of their own groups."""
    crops = {given.lesion_id: given.crop_mm for given in asked.answers[-1].units[0].groups}
    found = []
    for lesion_id in study.lesion_ids:
        own = {name: _of_lesion(task, lesion_id) for name, task in asked.tasks.items()}
        tasks = {name: task for name, task in own.items() if task is not None}
        measured = _measured_lesion(study, lesion_id)
        found.append(replace(measured, tasks=tasks, crop_mm=crops.get(lesion_id)))
    return tuple(found)


def _of_lesion(task: TaskResult, lesion_id: int) -> TaskResult | None:
    """The answer of a lesion's own groups, which are means as the study's is; None where none shows it."""
    groups = [group.probabilities for group in task.groups if group.lesion == lesion_id]
    if not groups:
        return None
    means = {name: sum(each[name] for each in groups) / len(groups) for name in task.probabilities}
    predicted = max(means, key=lambda name: means[name])
    return replace(
        task,
        probabilities=means,
        predicted=predicted,
        std={},
        groups=(),
        calibrated=None,
        prediction_set=None,
        coverage=None,
    )


def explain_with(
    classifier: AnyClassifier,
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
    stopwatch = stopwatch or Stopwatch(dict(classified.result.provenance.seconds))
    with stopwatch.time("explain"):
        sees_slices = isinstance(classified.answers[0].units[0].groups[0], SliceGroup)
        if sees_slices and classified.result.unit == "lesion":
            result, explanations = _explained_lesion_slices(classifier, classified, settings, progress)
        elif sees_slices:
            result, explanations = _explained_slices(classifier, classified, settings, progress)
        else:
            result, explanations = _explained_patches(classifier, classified, settings, progress)
    return Analysis(with_seconds(result, stopwatch.seconds), explanations)


def _explained_patches(
    classifier: AnyClassifier, classified: Classified, settings: Settings | None, progress: Progress
) -> tuple[StudyResult, tuple[LesionExplanation, ...]]:
    from LiverLesionAI.explanation.explain import explain
    from LiverLesionAI.explanation.settings import Settings, resolved

    answers = classified.answers[0]
    settings = resolved(settings or Settings(), answers.bundle)
    inputs = [_explained_input(unit, answers.bundle) for unit in answers.units]
    own = classifier.of(answers.bundle)
    explanations = explain(own, inputs, answers.predictions, settings, progress)
    return with_explanations(classified.result, explanations, settings), explanations


def _explained_slices(
    classifier: AnyClassifier, classified: Classified, settings: Settings | None, progress: Progress
) -> tuple[StudyResult, tuple[LesionExplanation, ...]]:
    """Explain every answer for a study; maps are made of the one that was asked for, else the primary one."""
    from LiverLesionAI.explanation.settings import Settings, explained_task, resolved
    from LiverLesionAI.explanation.slices import SliceMethod, explain_slices

    result, settings = classified.result, settings or Settings()
    answered = {task: each for each in classified.answers for task in each.bundle.spec.tasks}
    taxonomies = {task: each.bundle.taxonomies[task] for task, each in answered.items()}
    primary = next(name for name, task in result.study_tasks.items() if task.primary)
    shown = explained_task(settings, taxonomies, primary)
    settings = resolved(settings, answered[shown].bundle)
    explanations: tuple[LesionExplanation, ...] = ()
    for task, each in answered.items():
        predicted = result.study_tasks[task].predicted
        target = settings.target if task == shown and settings.target else predicted
        method = cast("SliceMethod", settings.method) if task == shown else None
        groups = [group for group in each.units[0].groups if isinstance(group, SliceGroup)]
        own = classifier.of(each.bundle)
        study, lesions = explain_slices(own, groups, task, target, method, progress)
        explanations = lesions or explanations
        result = _with_study_weights(result, study)
    return with_explanations(result, explanations, settings), explanations


def _explained_lesion_slices(
    classifier: AnyClassifier, classified: Classified, settings: Settings | None, progress: Progress
) -> tuple[StudyResult, tuple[LesionExplanation, ...]]:
    """Explain every lesion's answer by the slices that were read of it."""
    from LiverLesionAI.explanation.settings import Settings, explained_task, resolved
    from LiverLesionAI.explanation.slices import SliceMethod, explain_slices

    answers = classified.answers[0]
    settings = resolved(settings or Settings(), answers.bundle)
    task = explained_task(settings, answers.bundle.taxonomies, answers.bundle.spec.primary_task)
    own, method = classifier.of(answers.bundle), cast("SliceMethod", settings.method)
    explanations: list[LesionExplanation] = []
    for unit, prediction in zip(answers.units, answers.predictions, strict=True):
        target = settings.target or prediction.tasks[task].predicted
        groups = [group for group in unit.groups if isinstance(group, SliceGroup)]
        explanations += explain_slices(own, groups, task, target, method)[1]
        progress("explain", len(explanations) / len(answers.units))
    return with_explanations(classified.result, explanations, settings), tuple(explanations)


def _with_study_weights(result: StudyResult, explained: StudyExplanation) -> StudyResult:
    task = explained.task
    return replace(
        result,
        explained={**result.explained, task: explained.target},
        sequence_weights={**result.sequence_weights, task: explained.weights.to_dict()},
        sequence_interactions={**result.sequence_interactions, task: explained.weights.pairs()},
        clinical_weights={
            **result.clinical_weights,
            **({task: explained.fields} if explained.fields else {}),
        },
    )


def _explained_input(unit: UnitInputs, bundle: Bundle) -> LesionInput:
    """The patches of a lesion.

    Raises
    ------
    ConfigError
        If the model reads something else, of which there are no explanations.
    """
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


def _classified_lesions(study: Study, asked: Asked) -> tuple[LesionResult, ...]:
    found: dict[int, LesionResult] = {}
    for answers in asked.answers:
        for unit, prediction in zip(answers.units, answers.predictions, strict=True):
            lesion = _classified_lesion(study, unit, prediction)
            if asked.reasons:
                lesion = replace(lesion, tasks=_by_model(lesion.tasks, answers.bundle, asked.reasons))
            earlier = found.get(lesion.id)
            if earlier is not None:
                lesion = replace(lesion, tasks={**earlier.tasks, **lesion.tasks})
            found[lesion.id] = lesion
    return tuple(
        found.get(lesion_id) or _measured_lesion(study, lesion_id, (asked.failures[lesion_id],))
        for lesion_id in study.lesion_ids
    )


def _by_model(
    tasks: Mapping[str, TaskResult], bundle: Bundle, reasons: Mapping[str, str]
) -> dict[str, TaskResult]:
    """Answers that say which model gave them, and why it was asked."""
    return {
        name: replace(task, model=bundle.name, reason=reasons.get(name, "")) for name, task in tasks.items()
    }


def _classified_lesion(study: Study, unit: UnitInputs, prediction: UnitPrediction) -> LesionResult:
    assert unit.lesion_id is not None
    measured = _measured_lesion(study, unit.lesion_id, tuple(unit_warnings(unit, prediction)))
    tasks = {name: task.result() for name, task in prediction.tasks.items()}
    unlike = prediction.out_of_distribution
    return replace(measured, tasks=tasks, crop_mm=unit.groups[0].crop_mm, out_of_distribution=unlike)


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
        unseen = "; ".join(dict.fromkeys(SIGNS[name] for name in missing))
        warnings.append(f"{', '.join(missing)} missing: the model answered without; not seen: {unseen}")
    return warnings


def _provenance(study: Study, asked: Asked, started: str) -> Provenance:
    """How the result came about, but for the seconds of each step, which are known at the end."""
    first = asked.answers[0]
    system, execution = first.bundle.system, first.predictions.execution
    parameters = system.parameters(first.bundle.spec)
    if len(asked.answers) > 1:
        parameters = {each.bundle.name: system.parameters(each.bundle.spec) for each in asked.answers}
    return Provenance(
        software=f"LiverLesionAI {LiverLesionAI.__version__}",
        started=started,
        seconds={},
        device=execution.device,
        precision=execution.precision,
        engine=execution.engine,
        parameters=parameters,
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
