"""Why the model says so: saliency maps, sequence weights and their interactions.

:func:`explain` answers two questions about a classified lesion. *Where did the network look?* A map per
sequence, averaged over the folds. *How much did each sequence count?* The exact Shapley value of each
sequence in the log-odds of the class, and the exact interaction of each pair. Method, definitions and limits:
``docs/explanation.md``.
"""

from __future__ import annotations

from LiverLesionAI.explanation.coalitions import coalitions, shapley_interactions, shapley_values
from LiverLesionAI.explanation.explain import explain, unit_maps
from LiverLesionAI.explanation.lesion import LesionExplanation, mean_weights
from LiverLesionAI.explanation.settings import METHODS, Settings
from LiverLesionAI.explanation.weights import LinearShares, SequenceWeights

__all__ = [
    "METHODS",
    "LesionExplanation",
    "LinearShares",
    "SequenceWeights",
    "Settings",
    "coalitions",
    "explain",
    "mean_weights",
    "shapley_interactions",
    "shapley_values",
    "unit_maps",
]
