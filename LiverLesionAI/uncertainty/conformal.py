"""Sets of classes that hold the truth as often as promised, in every class.

Conformal prediction (Vovk 2012, arXiv:1209.2673): a class is in the set unless its probability is lower than
that of the truth usually is in cases of that class. Calibrating class by class keeps the promise in rare
classes too; it costs larger sets. The promise holds for cases like those calibrated with, whatever the
network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from LiverLesionAI.errors import ConfigError

COVERAGE = 0.9


@dataclass(frozen=True)
class PredictionSets:
    """Calibrated with cases that no network was trained on.

    Attributes
    ----------
    coverage
        What is promised, 0 to 1.
    thresholds
        For each class the smallest probability with which it is in the set; 0 where there were too few cases
        to promise anything without it.
    """

    coverage: float
    thresholds: tuple[float, ...]

    def contains(self, probabilities: np.ndarray) -> np.ndarray:
        """Which classes are in the sets ``[…, classes]``, from probabilities of that shape; never none."""
        inside = probabilities >= np.array(self.thresholds)
        return _never_empty(inside, probabilities)

    def of_members(self, members: np.ndarray) -> np.ndarray:
        """The set of one case ``[classes]``, from its members' probabilities ``[members, classes]``."""
        return self.contains(members.mean(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Content for JSON."""
        return {"coverage": self.coverage, "thresholds": list(self.thresholds)}


@dataclass(frozen=True)
class FoldPredictionSets:
    """Calibrated with the cases that each network of a cross-validation held out (CV+).

    Each case is compared by the network that did not see it, and a new one with it by the same network, so
    that no single fold's probabilities stand for the ensemble's (Barber et al. 2021, doi:10.1214/20-AOS1965;
    Romano, Sesia and Candès 2020, arXiv:2006.02544). Proven is a coverage of 1 less twice the promised error;
    usual is the promised one.

    Attributes
    ----------
    coverage
        What is promised, 0 to 1.
    truths
        Fold to class to the probabilities that its network gave the truth in cases of that class.
    """

    coverage: float
    truths: tuple[tuple[tuple[float, ...], ...], ...]

    def of_members(self, members: np.ndarray) -> np.ndarray:
        """The set of one case ``[classes]``, from its members' probabilities ``[members, classes]``.

        The members are the folds' networks, in order; the set is never empty.
        """
        classes = members.shape[1]
        inside = np.zeros(classes, bool)
        for index in range(classes):
            known = [np.array(fold[index]) for fold in self.truths]
            stranger = sum(
                int((theirs <= own).sum()) for theirs, own in zip(known, members[:, index], strict=True)
            )
            count = sum(map(len, known))
            inside[index] = stranger + 1 > (1 - self.coverage) * (count + 1)
        return _never_empty(inside, members.mean(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Content for JSON."""
        return {"coverage": self.coverage, "truths": [[list(of) for of in fold] for fold in self.truths]}


def fit_prediction_sets(
    probabilities: np.ndarray, labels: np.ndarray, coverage: float = COVERAGE
) -> PredictionSets:
    """Calibrate with held-out cases.

    Parameters
    ----------
    probabilities
        Of the ensemble as it will be used ``[N, classes]``.
    labels
        True class indices ``[N]``.
    coverage
        In how many cases of each class the set is to hold the truth, between 0 and 1.

    Raises
    ------
    ConfigError
        If `coverage` is none, or the two do not fit each other.
    """
    _check(probabilities, labels, coverage)
    thresholds = []
    for index in range(probabilities.shape[1]):
        truths = np.sort(probabilities[labels == index, index])
        lost = math.floor((1 - coverage) * (len(truths) + 1) + 1e-9)
        thresholds.append(float(truths[lost - 1]) if lost else 0.0)
    return PredictionSets(coverage, tuple(thresholds))


def fit_fold_prediction_sets(
    probabilities: np.ndarray, labels: np.ndarray, folds: np.ndarray, coverage: float = COVERAGE
) -> FoldPredictionSets:
    """Calibrate with the out-of-fold predictions of a cross-validation.

    Parameters
    ----------
    probabilities
        Of each case by the network whose fold held it out ``[N, classes]``.
    labels
        True class indices ``[N]``.
    folds
        Which fold that is ``[N]``, 0 … folds − 1.
    coverage
        See :func:`fit_prediction_sets`.

    Raises
    ------
    ConfigError
        As :func:`fit_prediction_sets`.
    """
    _check(probabilities, labels, coverage)
    truths = tuple(
        tuple(
            tuple(map(float, np.sort(probabilities[(folds == fold) & (labels == index), index])))
            for index in range(probabilities.shape[1])
        )
        for fold in range(int(folds.max()) + 1)
    )
    return FoldPredictionSets(coverage, truths)


def sets_from_dict(content: Mapping[str, Any]) -> PredictionSets | FoldPredictionSets:
    """Read what ``to_dict`` made.

    Raises
    ------
    ConfigError
        If it is no such content.
    """
    try:
        coverage = float(content["coverage"])
        if "thresholds" in content:
            return PredictionSets(coverage, tuple(map(float, content["thresholds"])))
        truths = tuple(tuple(tuple(map(float, of)) for of in fold) for fold in content["truths"])
        return FoldPredictionSets(coverage, truths)
    except (KeyError, TypeError, ValueError):
        raise ConfigError("These are no prediction sets; make them anew.") from None


def _never_empty(inside: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The most probable class belongs to every set."""
    best = np.expand_dims(probabilities.argmax(axis=-1), -1)
    inside = inside.copy()
    np.put_along_axis(inside, best, True, axis=-1)
    return inside


def _check(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ConfigError(f"A coverage of {coverage:g} is none between 0 and 1.")
    if probabilities.ndim != 2 or probabilities.shape[:1] != labels.shape:
        raise ConfigError("Prediction sets need probabilities and a class for each case.")
    if not np.isfinite(probabilities).all():
        raise ConfigError("Prediction sets need every case's probabilities; complete them.")
