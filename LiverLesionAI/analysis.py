"""Classifying and explaining the lesions of a study with a classifier that is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from LiverLesionAI.errors import PatchError
from LiverLesionAI.outcome import Classified, Outcome, study_result, with_explanations, with_seconds
from LiverLesionAI.patch_grid import PatchParameters
from LiverLesionAI.patches import LesionInput, extract_patches, with_intensity_limits
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.stopwatch import Stopwatch
from LiverLesionAI.study import Study, labels_in

if TYPE_CHECKING:
    from LiverLesionAI.explanation.explain import Settings
    from LiverLesionAI.inference import Classifier


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
    from LiverLesionAI.explanation.explain import Settings, explain

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
