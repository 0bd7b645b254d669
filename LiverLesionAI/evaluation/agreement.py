"""How far two readers, or a model and the truth, agree beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.intervals import Interval

MISSING = "Kappa needs statsmodels, which is missing; install liverlesionai[evaluate]."


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa (1960, doi:10.1177/001316446002000104).

    Attributes
    ----------
    value
        1 is full agreement, 0 that of chance.
    z, p
        Test of no agreement beyond chance, two-sided, with the variance under that hypothesis (Fleiss, Cohen
        and Everitt 1969, doi:10.1037/h0028106).
    interval
        95%, with the variance that does not presume it.
    """

    value: float
    z: float
    p: float
    interval: Interval


def cohen_kappa(table: np.ndarray) -> Kappa | None:
    """Kappa of a square table of counts; None where one of the two named one class only.

    Then agreement is that of chance whatever the other named, and nothing can be tested.

    Raises
    ------
    ConfigError
        If statsmodels is missing.
    """
    if min(np.count_nonzero(table.sum(axis=axis)) for axis in (0, 1)) < 2:
        return None
    found = _statsmodels().cohens_kappa(table)
    interval = (float(found.kappa_low), float(found.kappa_upp))
    return Kappa(float(found.kappa), float(found.z_value), float(found.pvalue_two_sided), interval)


def fleiss_kappa(answers: np.ndarray) -> float:
    """Kappa of several readers (Fleiss 1971, doi:10.1037/h0031619).

    Parameters
    ----------
    answers
        Class indices ``[case, reader]``, none missing.

    Raises
    ------
    ConfigError
        If statsmodels is missing.
    """
    rater = _statsmodels()
    counts, _ = rater.aggregate_raters(answers)
    return float(rater.fleiss_kappa(counts))


def confusion_table(rows: Sequence[int] | np.ndarray, columns: np.ndarray, classes: int) -> np.ndarray:
    """Counts of pairs of class indices ``[row, column]``."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (np.asarray(rows), columns), 1)
    return table


def _statsmodels():  # type: ignore[no-untyped-def]
    try:
        from statsmodels.stats import inter_rater
    except ImportError:
        raise ConfigError(MISSING) from None
    return inter_rater
