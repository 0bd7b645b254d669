"""What a model predicts for each unit (lesion, slice or study), member by member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from LiverLesionAI.answers import GroupResult, OutOfDistribution, TaskResult
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inputs.base import NetworkInput
from LiverLesionAI.taxonomy import Taxonomy
from LiverLesionAI.uncertainty.calibrated import TaskCalibration


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
    calibration
        What the probabilities are worth; None where the model has not been calibrated.
    """

    taxonomy: Taxonomy
    member_probabilities: np.ndarray
    primary: bool = False
    groups: tuple[GroupResult, ...] = ()
    clinical: tuple[str, ...] = ()
    calibration: TaskCalibration | None = None

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
        names, known = self.taxonomy.names, self.calibration
        sure: dict[str, Any] = {}
        if known is not None:
            inside = known.sets.of_members(self.member_probabilities)
            calibrated = known.probabilities(self.member_probabilities).tolist()
            sure = {
                "calibrated": dict(zip(names, calibrated, strict=True)),
                "prediction_set": tuple(np.array(names)[inside].tolist()),
                "coverage": known.sets.coverage,
            }
        return TaskResult(
            taxonomy=self.taxonomy.name,
            probabilities=dict(zip(names, self.mean.tolist(), strict=True)),
            predicted=self.predicted,
            std=dict(zip(names, self.std.tolist(), strict=True)),
            primary=self.primary,
            groups=self.groups,
            clinical=self.clinical,
            **sure,
        )


@dataclass(frozen=True)
class UnitPrediction:
    """One unit's prediction for each task, and what the reader should know about it.

    Attributes
    ----------
    lesion_id
        The lesion's label; None where the unit is the study.
    tasks
        Task to prediction.
    warnings
        What was noticed.
    out_of_distribution
        How unlike the training it is; None where the model cannot tell.
    features
        What the members' last hidden layers saw of its groups, float32 ``[members, groups, F]``.
    """

    lesion_id: int | None
    tasks: Mapping[str, TaskPrediction]
    warnings: tuple[str, ...] = ()
    out_of_distribution: OutOfDistribution | None = None
    features: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Predictions(Sequence[UnitPrediction]):
    """The predictions of several units, in the order of the inputs, and how they were computed."""

    units: tuple[UnitPrediction, ...]
    execution: Execution

    def __getitem__(self, index: Any) -> Any:
        return self.units[index]

    def __len__(self) -> int:
        return len(self.units)
