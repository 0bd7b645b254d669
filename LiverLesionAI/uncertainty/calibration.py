"""Probabilities that mean what they say: a temperature, and the error that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from LiverLesionAI.errors import ConfigError

BINS = 10
_SMALLEST = 1e-12
_HOTTEST = 20.0


@dataclass(frozen=True)
class Reliability:
    """How the probability of the predicted class compares with what came true (Guo 2017, arXiv:1706.04599).

    Attributes
    ----------
    ece
        Expected calibration error: the mean gap between both, over bins of equal width, weighted by cases.
    confidence, accuracy, n
        Mean probability, part that was right and cases of each bin that has any.
    """

    ece: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    n: tuple[int, ...]


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Measure calibration.

    Parameters
    ----------
    probabilities
        ``[N, classes]``.
    labels
        True class indices ``[N]``, at least one.
    bins
        How many.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    filled = [bin_of == number for number in range(bins) if (bin_of == number).any()]
    means = [float(confidence[each].mean()) for each in filled]
    hits = [float(right[each].mean()) for each in filled]
    sizes = [int(each.sum()) for each in filled]
    ece = float(np.average(np.abs(np.subtract(means, hits)), weights=sizes))
    return Reliability(ece, tuple(means), tuple(hits), tuple(sizes))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature under which the truth is likeliest (Guo 2017, arXiv:1706.04599).

    Parameters
    ----------
    probabilities
        ``[N, classes]``, of cases that the networks were not trained on.
    labels
        True class indices ``[N]``.

    Returns
    -------
    float
        Above 1 where the networks are too sure, below 1 where they are not sure enough; between 1/20 and 20.

    Raises
    ------
    ConfigError
        If there is no case, or a probability is none.
    """
    _check(probabilities, labels)
    logits = np.log(np.maximum(probabilities, _SMALLEST))
    rows = np.arange(len(labels))

    def surprise(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    ends = (-np.log(_HOTTEST), np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(surprise, bounds=ends, method="bounded").x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities ``[…, classes]`` at a temperature; the order of the classes stays."""
    return np.asarray(softmax(np.log(np.maximum(probabilities, _SMALLEST)) / temperature, axis=-1))


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if not len(labels) or probabilities.shape[:1] != labels.shape:
        raise ConfigError("A temperature needs cases, each with probabilities and a class.")
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise ConfigError("A temperature needs probabilities, none missing and none below 0.")
