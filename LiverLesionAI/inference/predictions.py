"""What a model predicts for each lesion, member by member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.results import TaskResult
from LiverLesionAI.taxonomy import Taxonomy


@dataclass(frozen=True)
class TaskPrediction:
    """What the folds say about one lesion in one task.

    Attributes
    ----------
    taxonomy
        The classes.
    fold_probabilities
        float64 ``[folds, classes]``; every row sums to 1.
    """

    taxonomy: Taxonomy
    fold_probabilities: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over folds, ``[classes]``: the prediction (Wang et al. 2021)."""
        return self.fold_probabilities.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over folds (population formula), ``[classes]``."""
        return self.fold_probabilities.std(axis=0)

    @property
    def predicted(self) -> str:
        """Class of the highest mean probability."""
        return self.taxonomy.names[int(self.mean.argmax())]

    def result(self) -> TaskResult:
        """Return the prediction as it stands in ``results.json``."""
        names = self.taxonomy.names
        return TaskResult(
            taxonomy=self.taxonomy.name,
            probabilities=dict(zip(names, self.mean.tolist(), strict=True)),
            predicted=self.predicted,
            fold_std=dict(zip(names, self.std.tolist(), strict=True)),
        )


@dataclass(frozen=True)
class LesionPrediction:
    """One lesion's prediction for each task, and what the reader should know about it."""

    lesion_id: int
    tasks: Mapping[str, TaskPrediction]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions(Sequence[LesionPrediction]):
    """The predictions of several lesions, in the order of the inputs, and how they were computed."""

    lesions: tuple[LesionPrediction, ...]
    execution: Execution

    def __getitem__(self, index: Any) -> Any:
        return self.lesions[index]

    def __len__(self) -> int:
        return len(self.lesions)
