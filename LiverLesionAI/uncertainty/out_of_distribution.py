"""How unlike a case is to those of the training, by the features of its sequences.

Features are projected on the directions in which those of the training vary. How far a case lies along them
(Hotelling's T²) and how much of it they leave unexplained (the squared prediction error of Jackson and
Mudholkar 1979, doi:10.1080/00401706.1979.10489779) both count; each is divided by what is usual, so that a
score of 1 is usual and the scores of sequences can be averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from LiverLesionAI.errors import ConfigError

TOGETHER = "together"
FALSE_ALARMS = 0.05
_MOST_DIRECTIONS = 32
_CASES_PER_DIRECTION = 4
_EXPLAINED = 0.95
_FEWEST = 8
_TINY = 1e-12


@dataclass(frozen=True)
class Familiar:
    """Where the features of the training lie.

    Attributes
    ----------
    mean, scale
        Of each feature ``[F]``.
    directions
        In which they vary most ``[k, F]``, of standardised features.
    spread
        Variance along each ``[k]``.
    usual_distance, usual_rest
        Mean of T² and of the squared prediction error over held-out cases.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    usual_distance: float
    usual_rest: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """How unlike cases are ``[N]``, from features ``[N, F]``: 1 is usual, larger is less alike."""
        distance, rest = _parts(self, features)
        return (distance / self.usual_distance + rest / self.usual_rest) / 2


@dataclass(frozen=True)
class Familiarity:
    """What a model's training looked like, sequence by sequence.

    Attributes
    ----------
    sequences
        Sequence to where its features lie.
    thresholds
        Sequence, and ``"together"``, to the score above which a case is unlike the training.
    """

    sequences: Mapping[str, Familiar]
    thresholds: Mapping[str, float]

    def scores(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores of cases ``[N]`` for each sequence at hand and together: the mean of theirs.

        Parameters
        ----------
        features
            Sequence to features ``[N, F]``; rows of cases that lack it are not a number.
        """
        return _scores(self.sequences, features)

    def is_unlike(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Whether cases lie beyond the threshold ``[N]``, for each sequence at hand and together."""
        return {name: score > self.thresholds[name] for name, score in self.scores(features).items()}


def fit_familiarity(
    training: Mapping[str, np.ndarray],
    held_out: Mapping[str, np.ndarray],
    false_alarms: float = FALSE_ALARMS,
) -> Familiarity:
    """Learn what is usual.

    Parameters
    ----------
    training
        Sequence to the features of the training cases ``[N, F]``; rows of cases that lack it are not a
        number.
    held_out
        The same of cases that the network was not trained on: they say what is usual, and where the
        threshold lies.
    false_alarms
        Part of the held-out cases that may lie beyond it.

    Raises
    ------
    ConfigError
        If a sequence has fewer than eight cases in one of them, or the features do not fit each other.
    """
    if not training or set(training) != set(held_out):
        raise ConfigError("What is usual needs the same sequences in training and held-out cases.")
    known = {name: _familiar(name, training[name], held_out[name]) for name in training}
    scores = _scores(known, held_out)
    thresholds = {name: float(np.nanquantile(score, 1 - false_alarms)) for name, score in scores.items()}
    return Familiarity(known, thresholds)


def _familiar(name: str, training: np.ndarray, held_out: np.ndarray) -> Familiar:
    seen, unseen = (each[np.isfinite(each).all(axis=1)] for each in (training, held_out))
    if min(len(seen), len(unseen)) < _FEWEST or seen.shape[1] != unseen.shape[1]:
        raise ConfigError(f"{name} has features of too few cases to say what is usual; {_FEWEST} are needed.")
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    scale = np.where(scale > _TINY, scale, 1.0)
    _, sizes, directions = np.linalg.svd((seen - mean) / scale, full_matrices=False)
    variance = sizes**2 / (len(seen) - 1)
    count = min(_MOST_DIRECTIONS, len(seen) // _CASES_PER_DIRECTION, int((variance > _TINY).sum()))
    enough = int(np.searchsorted(np.cumsum(variance) / variance.sum(), _EXPLAINED)) + 1
    count = max(1, min(count, enough))
    first = Familiar(mean, scale, directions[:count], variance[:count], 1.0, 1.0)
    distance, rest = _parts(first, unseen)
    return Familiar(
        mean,
        scale,
        first.directions,
        first.spread,
        max(float(distance.mean()), _TINY),
        max(float(rest.mean()), _TINY),
    )


def _parts(known: Familiar, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T² and squared prediction error of each case ``[N]``."""
    standard = (features - known.mean) / known.scale
    along = standard @ known.directions.T
    rest = ((standard - along @ known.directions) ** 2).sum(axis=1)
    return (along**2 / known.spread).sum(axis=1), rest


def _scores(known: Mapping[str, Familiar], features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {name: known[name].score(values) for name, values in features.items() if name in known}
    if not found:
        raise ConfigError("None of the model's sequences is at hand.")
    table = np.stack(list(found.values()))
    present = np.isfinite(table)
    total = np.where(present, table, 0.0).sum(axis=0)
    count = present.sum(axis=0)
    found[TOGETHER] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found
