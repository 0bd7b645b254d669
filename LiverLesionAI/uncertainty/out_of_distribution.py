"""How unlike a case is to those of the training, by what its pictures and the network's features look like.

Distances are those of Mahalanobis, with the covariance of the training's features shrunk as Ledoit and Wolf
advise (2004, doi:10.1016/S0047-259X(03)00096-4), since there are few cases for many features; deep features
were judged so by Lee et al. (2018, arXiv:1807.03888). A score is the logarithm of a distance in units of what
is usual: 0 is usual, and the scores of sequences can be averaged.

Beside sequences there may be parts that belong to none of them: :data:`JOINT`, all sequences side by side,
which tells a brain from a liver where each sequence by itself might be either, and which stands for the mean
of the sequences where all are there; :data:`CONTRAST`, how much the lesion stands out at all, of which only
too little is unlike a lesion; and :data:`NETWORK`, the network's last hidden layer. A case is as unlike as
the worst of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from LiverLesionAI.errors import ConfigError

TOGETHER = "together"
SEQUENCES = "sequences"
JOINT, CONTRAST, NETWORK = "joint", "contrast", "network"
WHOLE = (JOINT, CONTRAST, NETWORK)
"""Parts that belong to no single sequence."""
FALSE_ALARMS = 0.05
_SELDOM = 0.2
"""So much more seldom the network's layer speaks alone: it was trained to see differences between lesions."""
FEWEST = 8
_MOST_DIRECTIONS = 12
"""More of them would be told by chance: there are about as many cases as features."""
_LEAST_SCALE = 0.2
"""Of the median; what hardly varies in the training would else outweigh everything."""
_LEAST_THRESHOLD = 0.01
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
        Variance along each ``[k]``, shrunk.
    rest
        Variance across the others, likewise.
    usual
        Median of the squared distances of held-out cases.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    rest: float
    usual: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """How unlike cases are ``[N]``, from features ``[N, F]``: 0 is usual, larger is less alike."""
        return np.log(np.maximum(self.distance(features) / self.usual, _TINY))

    def lack(self, features: np.ndarray) -> np.ndarray:
        """How far cases lie below the training ``[N]``: the mean over features, in standard deviations."""
        return np.asarray(((self.mean - features) / self.scale).mean(axis=1))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance of each case ``[N]``."""
        standard = (features - self.mean) / self.scale
        along = standard @ self.directions.T
        left = np.maximum((standard**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        return (along**2 / self.spread).sum(axis=1) + left / self.rest


@dataclass(frozen=True)
class Familiarity:
    """What a model's training looked like, part by part.

    Attributes
    ----------
    parts
        Sequence, or one of :data:`WHOLE`, to where its features lie.
    thresholds
        Each part, ``"sequences"`` (the mean of theirs) and ``"together"``, to the score above which a case is
        unlike the training.
    """

    parts: Mapping[str, Familiar]
    thresholds: Mapping[str, float]

    def scores(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores of cases ``[N]`` for each part at hand, for the sequences, and together.

        Together is the largest of those of pictures (:data:`JOINT`, or the sequences where one is absent),
        contrast and network, each in units of its threshold.

        Parameters
        ----------
        features
            Part to features ``[N, F]``; rows of cases that lack it are not a number.

        Raises
        ------
        ConfigError
            If no part is at hand, or features are not those that were learnt.
        """
        found = _scores(self.parts, features)
        return {**found, TOGETHER: _together(found, self.thresholds)}

    def is_unlike(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Whether cases lie beyond the threshold ``[N]``, for each part at hand and together."""
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
        Part to the features of the training cases ``[N, F]``; rows of cases that lack it are not a number.
    held_out
        The same of cases that the network was not trained on: they say what is usual, and where the
        threshold lies.
    false_alarms
        Part of the held-out cases that may lie beyond it.

    Raises
    ------
    ConfigError
        If a part has fewer than eight cases in one of them, or the features do not fit each other.
    """
    if not training or set(training) != set(held_out):
        raise ConfigError("What is usual needs the same parts in training and held-out cases.")
    known = {name: _familiar(name, training[name], held_out[name]) for name in training}
    found = _scores(known, held_out)
    thresholds = {
        name: _threshold(score, false_alarms * (_SELDOM if name == NETWORK else 1.0))
        for name, score in found.items()
    }
    thresholds[TOGETHER] = _threshold(_together(found, thresholds), false_alarms)
    return Familiarity(known, thresholds)


def _threshold(scores: np.ndarray, false_alarms: float) -> float:
    return max(float(np.nanquantile(scores, 1 - false_alarms)), _LEAST_THRESHOLD)


def _familiar(name: str, training: np.ndarray, held_out: np.ndarray) -> Familiar:
    from sklearn.covariance import ledoit_wolf_shrinkage

    seen, unseen = (each[np.isfinite(each).all(axis=1)] for each in (training, held_out))
    if min(len(seen), len(unseen)) < FEWEST or seen.shape[1] != unseen.shape[1]:
        raise ConfigError(f"{name} has features of too few cases to say what is usual; {FEWEST} are needed.")
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    scale = np.maximum(scale, max(_LEAST_SCALE * float(np.median(scale)), _TINY))
    standard = (seen - mean) / scale
    shrinkage = float(ledoit_wolf_shrinkage(standard, assume_centered=True))
    _, sizes, directions = np.linalg.svd(standard, full_matrices=False)
    variance = sizes**2 / len(seen)
    everywhere = max(shrinkage * float(variance.sum()) / seen.shape[1], _TINY)
    count = min(_MOST_DIRECTIONS, len(variance))
    spread = (1 - shrinkage) * variance[:count] + everywhere
    first = Familiar(mean, scale, directions[:count], spread, everywhere, 1.0)
    return replace(first, usual=max(float(np.median(first.distance(unseen))), _TINY))


def _scores(known: Mapping[str, Familiar], features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores of parts, and the mean of those of sequences."""
    at_hand = {name: values for name, values in features.items() if name in known}
    if not at_hand:
        raise ConfigError("None of the model's sequences is at hand.")
    for name, values in at_hand.items():
        if values.shape[1:] != known[name].mean.shape:
            raise ConfigError(f"The features of {name} are not those that the model was calibrated with.")
    found = {
        name: known[name].lack(values) if name == CONTRAST else known[name].score(values)
        for name, values in at_hand.items()
    }
    of_sequences = [score for name, score in found.items() if name not in WHOLE]
    if of_sequences:
        table = np.stack(of_sequences)
        count = np.isfinite(table).sum(axis=0)
        total = np.nansum(table, axis=0)
        found[SEQUENCES] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found


def _together(scores: Mapping[str, np.ndarray], thresholds: Mapping[str, float]) -> np.ndarray:
    """The worst of pictures, contrast and network, in units of their thresholds."""
    judged = {name: scores[name] / thresholds[name] for name in (SEQUENCES, *WHOLE) if name in scores}
    if JOINT in judged and SEQUENCES in judged:
        joint = judged.pop(JOINT)
        judged[SEQUENCES] = np.where(np.isfinite(joint), joint, judged[SEQUENCES])
    table = np.stack(list(judged.values()))
    worst = np.where(np.isfinite(table), table, -np.inf).max(axis=0)
    return np.where(np.isfinite(worst), worst, np.nan)
