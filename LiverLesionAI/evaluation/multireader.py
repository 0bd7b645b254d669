"""Several readers, several ways of reading, the same cases: analysis by Obuchowski and Rockette.

Readers differ, cases differ, and both differ between ways of reading (with and without a model, say). The
analysis of variance of Obuchowski and Rockette (1995, doi:10.1080/03610919508813243) with the degrees of
freedom of Hillis (2007, doi:10.1002/sim.2532) tells how far a difference of areas under the ROC curve would
hold for other readers and other cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import chi2, f, norm, t

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.intervals import Z95, Interval
from LiverLesionAI.evaluation.roc import placements

_NO_ERROR = 1e-15
"""Stands for an error of 0, of readers who agree in everything, so that equal areas do not differ."""


@dataclass(frozen=True)
class Covariances:
    """Variance of an area under the ROC curve, and its covariances, over the cases.

    Attributes
    ----------
    error
        Variance of one reader's area in one way of reading.
    same_reader
        Cov1: the same reader, two ways of reading.
    same_way
        Cov2: two readers, the same way of reading.
    neither
        Cov3: two readers, two ways of reading.
    """

    error: float
    same_reader: float
    same_way: float
    neither: float


@dataclass(frozen=True)
class Difference:
    """Mean area of one way of reading minus that of another, with its 95% interval."""

    value: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class Inference:
    """What holds for one population of readers and cases.

    Attributes
    ----------
    statistic
        F of no difference between the ways of reading; chi-square over its degrees of freedom where
        `df_denominator` is infinite.
    df_numerator, df_denominator
        Its degrees of freedom.
    p
        Its probability.
    differences
        Pair of ways of reading to their difference.
    """

    statistic: float
    df_numerator: int
    df_denominator: float
    p: float
    differences: Mapping[tuple[str, str], Difference]


@dataclass(frozen=True)
class MultireaderAnalysis:
    """A study of several readers.

    Attributes
    ----------
    ways, readers
        Names.
    areas
        Areas under the ROC curve ``[way, reader]``.
    mean_square_ways, mean_square_interaction
        MS(T) and MS(T:R).
    covariances
        Of the areas, over the cases.
    reader_variance, interaction_variance
        Variance components of readers, and of readers by way of reading; may be negative, as estimates are.
    random_readers
        For other readers and other cases.
    fixed_readers
        For these readers and other cases.
    fixed_cases
        For other readers and these cases.
    means
        Way of reading to its mean area and 95% interval, for other readers and other cases, from its own
        data alone.
    """

    ways: tuple[str, ...]
    readers: tuple[str, ...]
    areas: np.ndarray
    mean_square_ways: float
    mean_square_interaction: float
    covariances: Covariances
    reader_variance: float
    interaction_variance: float
    random_readers: Inference
    fixed_readers: Inference
    fixed_cases: Inference
    means: Mapping[str, tuple[float, Interval]]


def analyse_readers(
    scores: np.ndarray, is_positive: np.ndarray, ways: tuple[str, ...], readers: tuple[str, ...]
) -> MultireaderAnalysis:
    """Compare ways of reading.

    Parameters
    ----------
    scores
        Confidence of each reader that a case has the class ``[way, reader, case]``; ordinal is enough.
    is_positive
        Which cases have it ``[case]``.
    ways, readers
        Names, in the order of the axes.

    Raises
    ------
    ConfigError
        If there are fewer than two ways, two readers, or two cases of either kind, or a score is missing.
    """
    _check(scores, is_positive, ways, readers)
    count_ways, count_readers, _ = scores.shape
    areas, covariance = _areas(scores, is_positive)
    by_way, by_reader, overall = areas.mean(axis=1), areas.mean(axis=0), areas.mean()
    interaction = areas - by_way[:, None] - by_reader + overall
    between = count_readers * float(((by_way - overall) ** 2).sum()) / (count_ways - 1)
    within = float((interaction**2).sum()) / ((count_ways - 1) * (count_readers - 1))
    readers_square = count_ways * float(((by_reader - overall) ** 2).sum()) / (count_readers - 1)
    found = _covariances(covariance)
    shared = count_readers * max(found.same_way - found.neither, 0.0)
    free = (count_ways - 1) * (count_readers - 1)
    fixed_error = found.error - found.same_reader + shared * (count_readers - 1) / count_readers
    common = {"areas": by_way, "between": between, "readers": count_readers, "ways": ways}
    return MultireaderAnalysis(
        ways=ways,
        readers=readers,
        areas=areas,
        mean_square_ways=between,
        mean_square_interaction=within,
        covariances=found,
        reader_variance=(readers_square - within) / count_ways - found.same_reader + found.neither,
        interaction_variance=within - found.error + found.same_reader + found.same_way - found.neither,
        random_readers=_inference(
            **common, error=within + shared, degrees=_satterthwaite(within + shared, within, free)
        ),
        fixed_readers=_inference(**common, error=fixed_error, degrees=np.inf),
        fixed_cases=_inference(**common, error=within, degrees=free),
        means={
            way: _mean_of_one(areas[index], covariance[index, :, index]) for index, way in enumerate(ways)
        },
    )


def _check(
    scores: np.ndarray, is_positive: np.ndarray, ways: tuple[str, ...], readers: tuple[str, ...]
) -> None:
    if scores.shape != (len(ways), len(readers), len(is_positive)):
        raise ConfigError("Scores of a reader study need a value for each way of reading, reader and case.")
    if min(len(ways), len(readers)) < 2:
        raise ConfigError("A reader study needs two ways of reading and two readers at least.")
    if min(is_positive.sum(), (~is_positive).sum()) < 2:
        raise ConfigError("A reader study needs two cases that have the class and two that do not.")
    if not np.isfinite(scores).all():
        raise ConfigError("A reader study needs every reader's score of every case; complete them.")


def _areas(scores: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas ``[way, reader]`` and their covariances (DeLong) ``[way, reader, way, reader]``."""
    shape = scores.shape[:2]
    parts = [placements(row[is_positive], row[~is_positive]) for row in scores.reshape(-1, scores.shape[2])]
    above, below = (np.stack(side) for side in zip(*parts, strict=True))
    covariance = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    return above.mean(axis=1).reshape(shape), covariance.reshape(*shape, *shape)


def _covariances(covariance: np.ndarray) -> Covariances:
    ways, readers = np.eye(covariance.shape[0], dtype=bool), np.eye(covariance.shape[1], dtype=bool)
    same_way, same_reader = ways[:, None, :, None], readers[None, :, None, :]
    kinds = (
        same_way & same_reader,
        ~same_way & same_reader,
        same_way & ~same_reader,
        ~same_way & ~same_reader,
    )
    return Covariances(*(float(covariance[kind].mean()) for kind in kinds))


def _satterthwaite(total: float, square: float, free: int) -> float:
    """Degrees of freedom of a total of which one mean square has so many and the rest none to spare."""
    return total**2 / (square**2 / free) if square > 0 else np.inf


def _inference(
    areas: np.ndarray, between: float, readers: int, ways: tuple[str, ...], error: float, degrees: float
) -> Inference:
    error = max(error, _NO_ERROR)
    statistic, numerator = between / error, len(ways) - 1
    exact = np.isfinite(degrees)
    p = f.sf(statistic, numerator, degrees) if exact else chi2.sf(numerator * statistic, numerator)
    spread = float(np.sqrt(2 * error / readers))
    quantile = float(t.ppf(0.975, degrees)) if exact else Z95
    differences = {}
    for a, b in combinations(range(len(ways)), 2):
        value = float(areas[a] - areas[b])
        tail = t.sf(abs(value) / spread, degrees) if exact else norm.sf(abs(value) / spread)
        interval = (value - quantile * spread, value + quantile * spread)
        differences[ways[a], ways[b]] = Difference(value, interval, float(2 * tail))
    return Inference(float(statistic), numerator, float(degrees), float(p), differences)


def _mean_of_one(areas: np.ndarray, covariance: np.ndarray) -> tuple[float, Interval]:
    """Mean area of one way of reading and its interval, from covariances ``[reader, reader]``."""
    count = len(areas)
    square = float(areas.var(ddof=1))
    shared = count * max(float(covariance[~np.eye(count, dtype=bool)].mean()), 0.0)
    total = square + shared
    half = float(t.ppf(0.975, _satterthwaite(total, square, count - 1)) * np.sqrt(total / count))
    mean = float(areas.mean())
    return mean, (mean - half, mean + half)
