"""What is known of one model: how far its probabilities, its sets and its eye for the unfamiliar go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from LiverLesionAI.uncertainty.calibration import fit_temperature, reliability, tempered
from LiverLesionAI.uncertainty.conformal import (
    COVERAGE,
    FoldPredictionSets,
    PredictionSets,
    fit_fold_prediction_sets,
    fit_prediction_sets,
)
from LiverLesionAI.uncertainty.out_of_distribution import Familiarity


@dataclass(frozen=True)
class TaskCalibration:
    """One task of a model.

    Attributes
    ----------
    cases
        How many it was calibrated with.
    temperature
        What makes probabilities mean what they say.
    ece, ece_calibrated
        Expected calibration error of those cases without and with it.
    sets
        Prediction sets, from probabilities without it.
    """

    cases: int
    temperature: float
    ece: float
    ece_calibrated: float
    sets: PredictionSets | FoldPredictionSets

    def probabilities(self, members: np.ndarray) -> np.ndarray:
        """Calibrated probabilities ``[classes]`` of one case, from its members' ``[members, classes]``."""
        return tempered(members.mean(axis=0), self.temperature)


@dataclass(frozen=True)
class Calibration:
    """One model.

    Attributes
    ----------
    cohort
        What the cases are that it was calibrated with, in words.
    tasks
        Task to its calibration.
    familiarity
        What its training looked like; None where that was not measured.
    """

    cohort: str
    tasks: Mapping[str, TaskCalibration]
    familiarity: Familiarity | None = None


def calibrated_task(
    probabilities: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray | None = None,
    coverage: float = COVERAGE,
) -> TaskCalibration:
    """Calibrate a task with cases that no network was trained on.

    Parameters
    ----------
    probabilities
        Of the model as it is used, ``[N, classes]``; where `folds` are given, of each case by the network
        whose fold held it out. Single networks are surer of themselves than their mean is, so that the
        temperature found then errs towards caution; the sets do not, being made for this (CV+).
    labels
        True class indices ``[N]``.
    folds
        Fold of each case ``[N]``; None where the whole model answered.
    coverage
        In how many cases of each class the set is to hold the truth.

    Raises
    ------
    ConfigError
        If there is no case, or a probability is none.
    """
    temperature = fit_temperature(probabilities, labels)
    if folds is None:
        sets: PredictionSets | FoldPredictionSets = fit_prediction_sets(probabilities, labels, coverage)
    else:
        sets = fit_fold_prediction_sets(probabilities, labels, folds, coverage)
    return TaskCalibration(
        cases=len(labels),
        temperature=temperature,
        ece=reliability(probabilities, labels).ece,
        ece_calibrated=reliability(tempered(probabilities, temperature), labels).ece,
        sets=sets,
    )
