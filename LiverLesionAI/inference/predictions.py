"""What a model predicts for each unit (lesion, slice or study), member by member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.results import GroupResult, TaskResult
from LiverLesionAI.taxonomy import Taxonomy


@dataclass(frozen=True)
class UnitInputs:
    """What a model reads of one unit.

    Attributes
    ----------
    lesion_id
        The lesion's label; None where the unit is the study.
    groups
        The inputs whose answers are joined into the unit's.
    """

    lesion_id: int | None
    groups: tuple[NetworkInput, ...]


@dataclass(frozen=True)
class TaskPrediction:
    """What the members say about one unit in one task.

    Attributes
    ----------
    taxonomy
        The classes.
    member_probabilities
        float64 ``[members, classes]``; every row sums to 1.
    primary
        Whether the task is the model's primary one.
    groups
        What was joined, where that were several groups.
    clinical
        Names of the clinical fields that were read beside images.
    """

    taxonomy: Taxonomy
    member_probabilities: np.ndarray
    primary: bool = False
    groups: tuple[GroupResult, ...] = ()
    clinical: tuple[str, ...] = ()

    @property
    def mean(self) -> np.ndarray:
        """Mean over members, ``[classes]``: the prediction (Wang et al. 2021)."""
        return self.member_probabilities.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over members (population formula), ``[classes]``."""
        return self.member_probabilities.std(axis=0)

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
            std=dict(zip(names, self.std.tolist(), strict=True)),
            primary=self.primary,
            groups=self.groups,
            clinical=self.clinical,
        )


@dataclass(frozen=True)
class UnitPrediction:
    """One unit's prediction for each task, and what the reader should know about it."""

    lesion_id: int | None
    tasks: Mapping[str, TaskPrediction]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions(Sequence[UnitPrediction]):
    """The predictions of several units, in the order of the inputs, and how they were computed."""

    units: tuple[UnitPrediction, ...]
    execution: Execution

    def __getitem__(self, index: Any) -> Any:
        return self.units[index]

    def __len__(self) -> int:
        return len(self.units)
