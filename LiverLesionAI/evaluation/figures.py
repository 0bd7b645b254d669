"""The figures of one question's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from LiverLesionAI.evaluation.agreement import Kappa, cohen_kappa, confusion_table
from LiverLesionAI.evaluation.comparison import Subgroups
from LiverLesionAI.evaluation.intervals import Counts, Interval, Proportion
from LiverLesionAI.evaluation.operating_point import Thresholds
from LiverLesionAI.evaluation.ordinal import malignancy_area
from LiverLesionAI.evaluation.predictions import TaskAnswers
from LiverLesionAI.evaluation.roc import Area, Curve, area_under_curve, resampled, roc_curve
from LiverLesionAI.uncertainty.calibration import reliability


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest.

    Attributes
    ----------
    counts
        At the operating point.
    threshold
        Probability at or above which the answer counted as this class; None for the most probable class.
    auc, curve
        None without probabilities, or with fewer than two cases of either kind.
    """

    counts: Counts
    threshold: float | None
    auc: Area | None
    curve: Curve | None


@dataclass(frozen=True)
class Calibration:
    """How the probability of the predicted class compares with what came true (Guo 2017, arXiv:1706.04599).

    Attributes
    ----------
    ece
        Expected calibration error over ten bins of equal width.
    brier
        Mean over the cases of the sum over the classes of squared errors: 0 is best, 2 is worst.
    confidence, accuracy, n
        Mean probability, part that was right and cases of each bin that has any.
    """

    ece: float
    brier: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    n: tuple[int, ...]


@dataclass(frozen=True)
class TaskEvaluation:
    """The figures of one question.

    Attributes
    ----------
    task
        Its name; empty where the table has one that it does not name.
    n
        Cases with both a truth and an answer.
    left_out
        Cases without a truth or without an answer.
    scored
        Cases of `n` with probabilities, which areas, curves and calibration are of.
    classes
        Class to its figures, in the order of the table.
    accuracy, macro_f1, kappa, confusion
        Of the most probable classes; rows of the confusion matrix are truth, columns answers. The macro F1
        is the mean over the classes that occur.
    calibration
        None without probabilities.
    subgroups
        Column of the table to accuracy in its groups.
    readers
        Reader to the same figures of their answers, as far as they follow from classes alone.
    agreement
        Pair of readers to their kappa.
    all_readers_kappa
        Fleiss's kappa over the cases that all of three or more readers answered; None with fewer.
    malignancy_auc
        See :func:`LiverLesionAI.evaluation.ordinal.malignancy_area`.
    macro_f1_interval
        95%, percentiles over resampled patients; None where there is no macro F1.
    """

    task: str
    n: int
    left_out: int
    scored: int
    classes: Mapping[str, ClassFigures]
    accuracy: Proportion
    macro_f1: float | None
    kappa: Kappa | None
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration | None = None
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)
    readers: Mapping[str, TaskEvaluation] = field(default_factory=dict)
    agreement: Mapping[str, Kappa] = field(default_factory=dict)
    all_readers_kappa: float | None = None
    malignancy_auc: Area | None = None
    macro_f1_interval: Interval | None = None


def task_figures(answers: TaskAnswers, patients: Sequence[str], thresholds: Thresholds) -> TaskEvaluation:
    """Figures of one question's answers.

    Parameters
    ----------
    answers
        At least one has a truth and an answer.
    patients
        Each case's patient.
    thresholds
        Operating point of each class, which takes probabilities of every answer; classes that are not named
        count where they are the most probable.
    """
    answered = answers.is_answered
    truth, predicted = answers.truth[answered], answers.predicted[answered]
    known = [patient for patient, ok in zip(patients, answered, strict=True) if ok]
    scored = answers.is_scored[answered]
    probabilities = draws = None
    if answers.probabilities is not None and scored.any():
        probabilities = answers.probabilities[answered][scored]
        draws = resampled([patient for patient, ok in zip(known, scored, strict=True) if ok])
    classes = {}
    for index, name in enumerate(answers.classes):
        scores = None if probabilities is None else probabilities[:, index]
        called = predicted == index
        if name in thresholds and scores is not None:
            called = scores >= thresholds[name]
        auc = curve = None
        if scores is not None and draws is not None:
            auc = area_under_curve(scores, truth[scored] == index, draws)
            curve = None if auc is None else roc_curve(scores, truth[scored] == index, draws)
        classes[name] = ClassFigures(
            counts=_counts(truth == index, called),
            threshold=thresholds.get(name) if scores is not None else None,
            auc=auc,
            curve=curve,
        )
    table = confusion_table(truth, predicted, len(answers.classes))
    return TaskEvaluation(
        task=answers.task,
        n=len(truth),
        left_out=int((~answered).sum()),
        scored=int(scored.sum()),
        classes=classes,
        accuracy=Proportion(int((truth == predicted).sum()), len(truth)),
        macro_f1=_macro_f1(truth, predicted, len(answers.classes)),
        kappa=cohen_kappa(table),
        confusion=tuple(tuple(map(int, row)) for row in table),
        calibration=None if probabilities is None else _calibration(truth[scored], probabilities),
        malignancy_auc=malignancy_area(answers, patients),
        macro_f1_interval=_macro_f1_interval(truth, predicted, len(answers.classes), known),
    )


def _counts(has_class: np.ndarray, called: np.ndarray) -> Counts:
    return Counts(
        tp=int((has_class & called).sum()),
        fp=int((~has_class & called).sum()),
        fn=int((has_class & ~called).sum()),
        tn=int((~has_class & ~called).sum()),
    )


def _macro_f1(truth: np.ndarray, predicted: np.ndarray, classes: int) -> float | None:
    found = [_counts(truth == index, predicted == index).f1 for index in range(classes)]
    occurring = [f1 for f1 in found if f1 is not None]
    return float(np.mean(occurring)) if occurring else None


def _macro_f1_interval(
    truth: np.ndarray, predicted: np.ndarray, classes: int, patients: Sequence[str]
) -> Interval | None:
    """Percentiles of the macro F1 when patients are drawn with replacement."""
    drawn = resampled(patients)
    scores = []
    for index in range(classes):
        hit, called = (truth == index) & (predicted == index), (truth == index).astype(int)
        both = called + (predicted == index)
        total = drawn @ both
        f1 = np.divide(2 * (drawn @ hit), total, out=np.full(len(drawn), np.nan), where=total > 0)
        scores.append(f1)
    table = np.stack(scores)
    if np.isnan(table).all():
        return None
    means = np.nanmean(table[:, ~np.isnan(table).all(axis=0)], axis=0)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _calibration(truth: np.ndarray, probabilities: np.ndarray) -> Calibration:
    found = reliability(probabilities, truth)
    brier = ((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2).sum(axis=1).mean()
    return Calibration(found.ece, float(brier), found.confidence, found.accuracy, found.n)
