"""Models trained several times: medians, ranges, and how the models differ (Yasaka et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from LiverLesionAI.evaluation.ordinal import malignancy_area
from LiverLesionAI.evaluation.predictions import Predictions, TaskAnswers
from LiverLesionAI.evaluation.rank_tests import RankTest, kruskal_wallis, steel_test
from LiverLesionAI.evaluation.roc import delong_auc


@dataclass(frozen=True)
class Spread:
    """A figure over the repeats, in their order."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return float(median(self.values))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class RepeatedFigures:
    """What the trainings of one model reached.

    Attributes
    ----------
    repeats
        Their names.
    accuracy
        Part of the cases that was answered rightly.
    sensitivity, auc
        Class to its figure; classes without cases, or without probabilities, are left out.
    malignancy_auc
        By the rank of the named class; None where :func:`ordinal.malignancy_area` is.
    """

    repeats: tuple[str, ...]
    accuracy: Spread
    sensitivity: Mapping[str, Spread]
    auc: Mapping[str, Spread]
    malignancy_auc: Spread | None


@dataclass(frozen=True)
class RepeatStudy:
    """Models of one question that were trained several times.

    Attributes
    ----------
    models
        Name of the table to its figures, this one's first.
    kruskal_wallis
        Of no difference in accuracy between the models; None where there is one.
    steel
        Model to its comparison with the first.
    """

    models: Mapping[str, RepeatedFigures]
    kruskal_wallis: RankTest | None
    steel: Mapping[str, RankTest]


def median_repeat(repeats: Mapping[str, Predictions]) -> Predictions:
    """The repeat of median accuracy in the question with most classes; of two in the middle the worse."""
    if len(repeats) == 1:
        return next(iter(repeats.values()))

    def accuracy(predictions: Predictions) -> float:
        answers = next(iter(predictions.tasks.values()))
        return _accuracy(answers) if answers.is_answered.any() else -1.0

    ordered = sorted(repeats.values(), key=accuracy)
    return ordered[(len(ordered) - 1) // 2]


def study_repeats(tables: Mapping[str, Mapping[str, Predictions]], task: str) -> RepeatStudy | None:
    """Compare models that were trained several times; None where the first was not.

    Parameters
    ----------
    tables
        Model to its repeats. Models that were trained once, or do not answer the question, are left out.
    task
        The question.
    """
    models = {
        name: _repeated(repeats, task)
        for name, repeats in tables.items()
        if len(repeats) > 1 and all(_answers(each, task) for each in repeats.values())
    }
    control = next(iter(tables))
    if control not in models:
        return None
    samples = {name: figures.accuracy.values for name, figures in models.items()}
    others = {name: values for name, values in samples.items() if name != control}
    if not others:
        return RepeatStudy(models, None, {})
    return RepeatStudy(models, kruskal_wallis(list(samples.values())), steel_test(samples[control], others))


def _answers(predictions: Predictions, task: str) -> bool:
    return task in predictions.tasks and bool(predictions.tasks[task].is_answered.any())


def _accuracy(answers: TaskAnswers) -> float:
    answered = answers.is_answered
    return float((answers.truth == answers.predicted)[answered].mean())


def _repeated(repeats: Mapping[str, Predictions], task: str) -> RepeatedFigures:
    given = [each.tasks[task] for each in repeats.values()]
    ranked = [malignancy_area(each.tasks[task], each.patients) for each in repeats.values()]
    areas = [area.value for area in ranked if area is not None]
    classes = given[0].classes
    return RepeatedFigures(
        repeats=tuple(repeats),
        accuracy=Spread(tuple(map(_accuracy, given))),
        sensitivity=_of_classes(classes, [_sensitivities(each) for each in given]),
        auc=_of_classes(classes, [_areas(each) for each in given]),
        malignancy_auc=Spread(tuple(areas)) if len(areas) == len(given) else None,
    )


def _of_classes(classes: tuple[str, ...], found: list[dict[str, float]]) -> dict[str, Spread]:
    """Figures of the classes that every repeat has one of."""
    return {
        name: Spread(tuple(each[name] for each in found))
        for name in classes
        if all(name in each for each in found)
    }


def _sensitivities(answers: TaskAnswers) -> dict[str, float]:
    answered = answers.is_answered
    truth, right = answers.truth[answered], (answers.truth == answers.predicted)[answered]
    return {
        name: float(right[truth == index].mean())
        for index, name in enumerate(answers.classes)
        if (truth == index).any()
    }


def _areas(answers: TaskAnswers) -> dict[str, float]:
    answered = answers.is_answered
    if answers.probabilities is None or np.isnan(answers.probabilities[answered]).any():
        return {}
    truth, scores = answers.truth[answered], answers.probabilities[answered]
    return {
        name: delong_auc(scores[truth == index, index], scores[truth != index, index])[0]
        for index, name in enumerate(answers.classes)
        if min((truth == index).sum(), (truth != index).sum()) > 1
    }
