"""Asking models about a study: one model, or those of a system in the order of its questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from LiverLesionAI.answers import OutOfDistribution, TaskResult, primary_answer, task_title
from LiverLesionAI.errors import BundleError
from LiverLesionAI.inference.predictions import Predictions, UnitInputs, UnitPrediction
from LiverLesionAI.inference.units import cut_units
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.study import Study

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle
    from LiverLesionAI.bundles.suite import Suite
    from LiverLesionAI.inference.suite import AnyClassifier, SuiteClassifier


@dataclass(frozen=True)
class ModelAnswers:
    """What one model saw of each unit, and what it predicted."""

    bundle: Bundle
    units: tuple[UnitInputs, ...]
    predictions: Predictions


@dataclass(frozen=True)
class Asked:
    """What was answered.

    Attributes
    ----------
    answers
        Of each model, in the order of the questions.
    tasks
        Task to the answer for the study as a whole; empty where lesions are answered for.
    reasons
        Where models of a system were asked together and answer for lesions: task to what spoke for its model.
    failures
        Label to reason for lesions that could not be cut.
    unanswered
        Why questions were not answered.
    """

    answers: tuple[ModelAnswers, ...]
    tasks: Mapping[str, TaskResult]
    failures: Mapping[int, str]
    unanswered: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def out_of_distribution(self) -> OutOfDistribution | None:
        """How unlike its model's training the study is of which the primary question was answered."""
        primary = primary_answer(self.tasks)
        asked = [each for each in self.answers if primary is not None and each.bundle.name == primary.model]
        return (asked or self.answers)[0].predictions[0].out_of_distribution

    def notes(self, study: Study) -> list[str]:
        """What is to be said about the study as a whole."""
        if not self.tasks:
            failed = [
                f"{study.lesion_name(label)} was not classified: {why}"
                for label, why in self.failures.items()
            ]
            return [*failed, *self.unanswered]
        seen = [
            text
            for each in self.answers
            for text in unit_warnings(each.units[0], replace(each.predictions[0], warnings=()))
        ]
        unlike = self.out_of_distribution
        noticed = unlike.in_words if unlike is not None else ()
        return list(dict.fromkeys([*noticed, *seen, *_contradictions(self.tasks), *self.unanswered]))


def ask(classifier: AnyClassifier, study: Study, progress: Progress = silent) -> Asked:
    """Ask a model about a study, or the models of a system, each question the one that fits the study best.

    Raises
    ------
    StudyError
        If the model answers for lesions and none is segmented, or clinical data cannot be used.
    PatchError
        If no lesion could be cropped.
    BundleError
        If the study lacks a sequence that the model cannot do without, or no model of a system fits it.
    """
    from LiverLesionAI.inference.suite import SuiteClassifier

    if isinstance(classifier, SuiteClassifier):
        if classifier.system.unit == "lesion":
            return _ask_of_lesions(classifier, study, progress)
        return _ask_together(classifier, study, progress)
    units, failures = cut_units(study, classifier.bundle, progress)
    answers = ModelAnswers(classifier.bundle, tuple(units), classifier.predict(units, progress=progress))
    if classifier.bundle.system.unit == "lesion":
        return Asked((answers,), {}, failures)
    tasks = {name: task.result() for name, task in answers.predictions[0].tasks.items()}
    return Asked((answers,), tasks, failures)


def _ask_of_lesions(classifier: SuiteClassifier, study: Study, progress: Progress) -> Asked:
    """Ask each question of all lesions, the model that fits the study best."""
    suite = classifier.suite
    answers: list[ModelAnswers] = []
    reasons: dict[str, str] = {}
    failures: dict[int, str] = {}
    unanswered: list[str] = []
    for question in suite.system.questions:
        bundle, reason = suite.chosen(question, study)
        if bundle is None:
            unanswered.append(f"{task_title(question.task)} was not answered ({reason})")
            continue
        units, failed = cut_units(study, bundle, progress)
        predictions = classifier.of(bundle).predict(units, progress=progress)
        answers.append(ModelAnswers(bundle, tuple(units), predictions))
        reasons[question.task] = reason
        failures.update(failed)
    if not answers:
        raise _none_fits(suite, study, unanswered)
    return Asked(tuple(answers), {}, failures, tuple(unanswered), reasons)


def _none_fits(suite: Suite, study: Study, unanswered: Sequence[str]) -> BundleError:
    return BundleError(f"No model of system {suite.name} can read study {study.id}: {'; '.join(unanswered)}.")


def _ask_together(classifier: SuiteClassifier, study: Study, progress: Progress) -> Asked:
    """Ask the questions of a system in order, each the model that fits the study best."""
    suite = classifier.suite
    answers: list[ModelAnswers] = []
    tasks: dict[str, TaskResult] = {}
    unanswered: list[str] = []
    measured: dict[object, Study] = {}
    for question in suite.system.questions:
        earlier = tasks.get(question.after[0]) if question.after else None
        if question.after and (earlier is None or earlier.predicted != question.after[1]):
            continue
        bundle, reason = suite.chosen(question, study)
        if bundle is None:
            unanswered.append(f"{task_title(question.task)} was not answered ({reason})")
            continue
        spec = bundle.spec
        if spec.patches not in measured:
            measured[spec.patches] = suite.system.prepared(study, spec)
        units, _ = cut_units(measured[spec.patches], bundle, progress)
        predictions = classifier.of(bundle).predict(units, progress=progress)
        answers.append(ModelAnswers(bundle, tuple(units), predictions))
        found = predictions[0].tasks[question.task].result()
        primary = question.task == suite.system.primary_task
        tasks[question.task] = replace(found, primary=primary, model=bundle.name, reason=reason)
    if not answers:
        raise _none_fits(suite, study, unanswered)
    if not any(task.primary for task in tasks.values()):
        last = next(reversed(tasks))
        tasks[last] = replace(tasks[last], primary=True)
    return Asked(tuple(answers), tasks, {}, tuple(unanswered))


def unit_warnings(unit: UnitInputs, prediction: UnitPrediction) -> list[str]:
    """What is to be said about a unit's answer."""
    warnings = [text for given in unit.groups for text in given.warnings]
    tasks = {name: task.result() for name, task in prediction.tasks.items()}
    return list(dict.fromkeys([*warnings, *prediction.warnings, *_contradictions(tasks)]))


def _contradictions(tasks: Mapping[str, TaskResult]) -> list[str]:
    """Answers are never reconciled: where benign or malignant contradicts a type, the result says so."""
    malignancies = [task for task in tasks.values() if task.is_binary]
    kinds = [task for task in tasks.values() if not task.is_binary]
    return [
        f"the two answers disagree: {kind.predicted} (p = {kind.probability:.2f}) but "
        f"{malignancy.predicted} (p = {malignancy.probability:.2f})"
        for malignancy in malignancies
        for kind in kinds
        if kind.predicted_class.malignant not in (None, malignancy.predicted == "malignant")
    ]
