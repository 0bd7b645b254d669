"""What the worker keeps between requests, so that nothing is loaded or computed twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.errors import StudyError
from LiverLesionAI.progress import Progress
from LiverLesionAI.stopwatch import Stopwatch

if TYPE_CHECKING:
    from LiverLesionAI.analysis import Analysis, Classified
    from LiverLesionAI.explanation.settings import Settings
    from LiverLesionAI.inference.suite import AnyClassifier
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.study import Study

SAME_PROBABILITY = 0.02
"""Two runs whose probabilities are no further apart gave the same answer: as far as precisions may differ."""


@dataclass
class WorkerState:
    """The model that was used last, ready to classify; what was classified last, and its explanation."""

    _key: tuple[tuple[str, ...], str, str, str] | None = None
    _classifier: AnyClassifier | None = field(default=None, repr=False)
    _classified: Classified | None = field(default=None, repr=False)
    _analysis: Analysis | None = field(default=None, repr=False)
    _asked: Settings | None = None

    def classifier(self, model: str, device: str, precision: str, engine: str = "auto") -> AnyClassifier:
        """Return a model, loaded already if it was the last one and has not been changed on disk.

        Raises
        ------
        BundleError
            If there is no such model.
        ConfigError
            If device, precision or engine is not possible.
        """
        from LiverLesionAI.bundles.suite import open_model
        from LiverLesionAI.inference.suite import classifier_of

        opened = open_model(model)
        key = (opened.hashes, device, precision, engine)
        if self._classifier is None or self._key != key:
            self._classifier = None
            self._classifier = classifier_of(
                opened, device=device, precision=precision, engine=engine, keep_loaded=True
            )
            self._key = key
        return self._classifier

    def classify(
        self, study: Study, classifier: AnyClassifier, progress: Progress, stopwatch: Stopwatch
    ) -> StudyResult:
        """Classify a study and keep what it takes to explain the answers."""
        from LiverLesionAI.analysis import classify_with

        self._classified = self._analysis = None
        self._classified = classify_with(classifier, study, progress=progress, stopwatch=stopwatch)
        return self._classified.result

    def explain(
        self, result: StudyResult, folder: str | Path, progress: Progress, settings: Settings | None = None
    ) -> Analysis:
        """Explain a result of the study in a folder.

        What was classified before the one kept, or by another process, is classified again first.

        Parameters
        ----------
        result
            What was answered; with whatever readers have decided since.
        folder
            The study.
        progress
            Told how far the work is.
        settings
            What to explain, and how; by default as the result was explained before.

        Returns
        -------
        Analysis
            The result as given, with the weights; and the explanations.

        Raises
        ------
        StudyError
            If study and model do not give that result any more.
        ConfigError
            If the settings do not fit the model.
        BundleError
            If the model is not there any more.
        """
        from LiverLesionAI.analysis import explain_with, settings_of
        from LiverLesionAI.results import with_weights_of

        settings = settings or settings_of(result)
        kept = self._analysis
        same = kept is not None and settings in (self._asked, settings_of(kept.result))
        if kept is None or not same or _run_of(kept.result) != _run_of(result):
            classifier = self._classifier_of(result)
            classified = self._classified
            if classified is None or _run_of(classified.result) != _run_of(result):
                classified = self._classify_again(result, folder, classifier, progress)
            kept = explain_with(classifier, classified, settings, progress=progress)
            self._analysis, self._asked = kept, settings
        return replace(kept, result=with_weights_of(result, kept.result))

    def _classifier_of(self, result: StudyResult) -> AnyClassifier:
        """The models that gave a result."""
        from LiverLesionAI.inference.engines import usable

        provenance, last = result.provenance, self._classifier
        wanted = (provenance.device, provenance.precision, usable(provenance.engine))
        if last and _has_models(last, result) and _ran_on(last) == wanted:
            return last
        found = self.classifier(_asked_model(result), *wanted)
        if not _has_models(found, result):
            raise StudyError(f"Model {found.name} is not the one that classified; classify the study again.")
        return found

    def _classify_again(
        self, result: StudyResult, folder: str | Path, classifier: AnyClassifier, progress: Progress
    ) -> Classified:
        from LiverLesionAI.worker.exchange import receive_study

        self.classify(receive_study(folder), classifier, progress, Stopwatch())
        assert self._classified is not None
        if not same_answers(self._classified.result, result):
            raise StudyError("The study has changed since it was classified; classify it again.")
        self._classified = replace(self._classified, result=result)
        return self._classified


def _asked_model(result: StudyResult) -> str:
    """Name of the model that was asked; of the system where its models answered together."""
    return result.models[0].system if result.chosen_models else result.models[0].name


def _ran_on(classifier: AnyClassifier) -> tuple[str, str, str]:
    execution = classifier.execution
    return execution.device, execution.precision, execution.engine


def _has_models(classifier: AnyClassifier, result: StudyResult) -> bool:
    return classifier.name == _asked_model(result) and set(result.models) <= set(classifier.summaries)


def _run_of(result: StudyResult) -> tuple[Any, ...]:
    """What tells one classification from another, whatever has been added to its result since."""
    return (result.study.id, result.models, result.provenance.started, result.provenance.inputs)


def same_answers(first: StudyResult, second: StudyResult) -> bool:
    """Whether two results say the same of the same study and lesions."""
    one, two = _probabilities(first), _probabilities(second)
    return one.keys() == two.keys() and all(abs(one[key] - two[key]) <= SAME_PROBABILITY for key in one)


def _probabilities(result: StudyResult) -> dict[tuple[int | None, str, str], float]:
    """Lesion (None: the study), task and class to probability; a lesion without answers stands for itself."""
    found: dict[tuple[int | None, str, str], float] = {(each.id, "", ""): 0.0 for each in result.lesions}
    for unit, tasks in (
        (None, result.study_tasks),
        *((lesion.id, lesion.tasks) for lesion in result.lesions),
    ):
        for task, answer in tasks.items():
            found.update({(unit, task, name): p for name, p in answer.probabilities.items()})
    return found
