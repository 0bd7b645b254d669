"""What is compared with the training: what pictures and a network's features look like, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from LiverLesionAI.answers import OutOfDistribution
from LiverLesionAI.inference.predictions import UnitInputs
from LiverLesionAI.inputs.appearance import Pictures, appearance
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.systems import System
from LiverLesionAI.uncertainty.out_of_distribution import (
    CONTRAST,
    JOINT,
    NETWORK,
    TOGETHER,
    WHOLE,
    Familiarity,
)

Appearance = tuple[np.ndarray, np.ndarray]
"""What :func:`LiverLesionAI.inputs.appearance.appearance` says of one group."""


def appearance_of(system: System, given: NetworkInput) -> Appearance | None:
    """Describe the pictures of an input; None where it shows no lesion."""
    images = system.pictures(given)
    if images is None or given.geometry is None or given.crop_mm is None:
        return None
    lesion = Pictures(images, given.crop_mm)
    surroundings = system.surroundings(given) or lesion
    return appearance(lesion, surroundings, np.array(given.present), given.geometry.diameter_mm)


def compared(
    sequences: Sequence[str], appearances: Sequence[Appearance], features: np.ndarray
) -> dict[str, np.ndarray]:
    """What of a unit is compared with the training.

    Parameters
    ----------
    sequences
        The network's, in order.
    appearances
        Of the groups that show a lesion.
    features
        Of all groups in the first member's last hidden layer, ``[groups, F]``.

    Returns
    -------
    dict
        Sequence, ``"joint"``, ``"contrast"`` and ``"network"`` to numbers ``[F]``, means over the groups; not
        a number where a sequence is absent, and all of ``"joint"`` where one is.
    """
    found = {NETWORK: features.mean(axis=0, dtype=np.float64)}
    if appearances:
        found[CONTRAST] = _mean(np.stack([together for _, together in appearances]))
        rows = _mean(np.stack([each for each, _ in appearances]))
        found.update(zip(sequences, rows, strict=True))
        found[JOINT] = np.where(np.isfinite(rows).all(), rows.ravel(), np.nan)
    return found


def compared_unit(system: System, unit: UnitInputs, features: np.ndarray) -> dict[str, np.ndarray]:
    """:func:`compared` of a unit as a model reads it."""
    described = [appearance_of(system, given) for given in unit.groups]
    return compared(unit.groups[0].sequences, [each for each in described if each is not None], features)


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is there; not a number where nothing is."""
    there = np.isfinite(rows)
    total, count = np.where(there, rows, 0.0).sum(axis=0), there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def stacked(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Several units' parts ``[N, F]``."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def judged(known: Familiarity, parts: Mapping[str, np.ndarray]) -> OutOfDistribution | None:
    """How unlike the training a unit is; None where nothing of it can be compared."""
    scores = known.scores({name: values[None] for name, values in parts.items()})
    score = float(scores[TOGETHER][0])
    if not np.isfinite(score):
        return None
    strange = [
        name
        for name in parts
        if name not in WHOLE and float(scores.get(name, [0.0])[0]) > known.thresholds.get(name, np.inf)
    ]
    return OutOfDistribution(score, known.thresholds[TOGETHER], tuple(strange))
