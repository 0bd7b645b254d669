"""Explanations of made-up studies, with maps and weights that are known."""

from __future__ import annotations

import numpy as np

from LiverLesionAI.explanation.coalitions import coalitions
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.weights import LinearShares, SequenceWeights
from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.study import Study

SEQUENCES = ("T2WI", "DWI", "T1WI", "LAP")
GAINS = {"T2WI": 0.5, "T1WI": -0.4, "LAP": 2.0}
"""What each sequence at hand adds by itself; together, T2WI and LAP add one more."""


def made_explanation(
    study: Study, lesion_id: int = 1, *, task: str = "type", target: str = "HCC", linear: bool = False
) -> LesionExplanation:
    """Explanation of a lesion of :func:`made_studies.made_study`: a ball of saliency off its centre.

    DWI is absent.
    """
    parameters = PatchParameters(size=32)
    lesion = extract_patches(study, lesion_id, SEQUENCES, parameters)
    players = tuple(name for name, there in zip(SEQUENCES, lesion.present, strict=True) if there)
    maps = np.zeros(lesion.patches[:, 0].shape, np.float32)
    z, y, x = np.indices(maps.shape[1:])
    blob = np.exp(-((z - 20) ** 2 + (y - 14) ** 2 + (x - 18) ** 2) / 40.0).astype(np.float32)
    for i, there in enumerate(lesion.present):
        maps[i] = blob if there else 0
    weights = {
        "malignancy": weights_of(players, "malignancy", "malignant", scale=0.5),
        task: weights_of(players, task, target, linear=linear),
    }
    return LesionExplanation(lesion, task, target, "integrated-grad-cam", maps, weights)


def weights_of(
    players: tuple[str, ...], task: str, target: str, *, scale: float = 1.0, linear: bool = False
) -> SequenceWeights:
    """Weights of the game described at :data:`GAINS`."""
    members = coalitions(len(players))
    gains = np.array([GAINS[name] for name in players])
    pair = members[:, players.index("T2WI")] & members[:, players.index("LAP")]
    shares = LinearShares(np.zeros(len(players)), gains) if linear else None
    return SequenceWeights(task, target, players, scale * (members @ gains + pair - 3.0), shares)
