"""The explanation of one lesion: maps, weights, and what follows from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.explanation.weights import SequenceWeights


class ExplainedGrid(Protocol):
    """Where the maps of a lesion lie."""

    @property
    def size(self) -> int: ...
    @property
    def spacing_mm(self) -> float: ...
    def image(self, array: np.ndarray) -> sitk.Image: ...


class ExplainedLesion(Protocol):
    """What a network saw of a lesion: patches, or a stack of slices.

    Attributes
    ----------
    lesion_id
        The lesion's label.
    sequences, present
        Names in the network's order, and which of them are at hand.
    patches
        ``[sequence, channel, z, y, x]``; channel 0 is the image, channel 1 the outline in [0, 1].
    grid
        Where its voxels lie.
    """

    @property
    def lesion_id(self) -> int: ...
    @property
    def sequences(self) -> tuple[str, ...]: ...
    @property
    def present(self) -> tuple[bool, ...]: ...
    @property
    def patches(self) -> np.ndarray: ...
    @property
    def grid(self) -> ExplainedGrid: ...


@dataclass(frozen=True)
class LesionExplanation:
    """Why one lesion was classified as it was.

    Attributes
    ----------
    lesion
        What the network saw.
    task, target
        The task and the class that the maps explain.
    method
        How the maps were made.
    maps
        float32 ``[sequence, z, y, x]`` in [0, 1] on the patch's grid, in the order of `lesion`'s sequences:
        where each sequence spoke for the class. The highest 0.5 % of a sequence's voxels are 1; a sequence in
        which nothing did, or that is absent, is 0 throughout.
    weights
        Task to how much each sequence counted for the class explained in that task.
    """

    lesion: ExplainedLesion
    task: str
    target: str
    method: str
    maps: NDArray[np.float32]
    weights: Mapping[str, SequenceWeights]

    @property
    def sequences(self) -> tuple[str, ...]:
        """The sequences at hand, in the order of the network."""
        return self.weights[self.task].sequences

    @cached_property
    def emphasis(self) -> dict[str, float]:
        """Each sequence's positive weight over the largest of all, in [0, 1]; 0 where no weight is positive.

        Weights are those of the task that the maps explain.
        """
        weights = np.maximum(self.weights[self.task].shapley, 0.0)
        largest = weights.max(initial=0.0)
        return dict(zip(self.sequences, (weights / largest if largest else weights).tolist(), strict=True))

    @property
    def strongest(self) -> str:
        """The sequence that counted most for the class."""
        weights = self.weights[self.task].shapley
        return self.sequences[int(np.argmax(weights))]

    def feature_map(self, sequence: str) -> NDArray[np.float32]:
        """Where the network looked in a sequence, ``[z, y, x]`` in [0, 1] (W's first saliency map)."""
        return self.maps[self.lesion.sequences.index(sequence)]

    def weighted_map(self, sequence: str) -> NDArray[np.float32]:
        """The feature map times the sequence's emphasis: one scale for all (W's second saliency map)."""
        return self.feature_map(sequence) * np.float32(self.emphasis[sequence])

    def image(self, sequence: str, *, weighted: bool = False) -> sitk.Image:
        """A map as an image on the patch's grid, in the reference frame."""
        values = self.weighted_map(sequence) if weighted else self.feature_map(sequence)
        return self.lesion.grid.image(values)

    @cached_property
    def outline(self) -> NDArray[np.bool_]:
        """The lesion on the patch's grid, ``[z, y, x]``: where the annotation is half its maximum or more.

        The union over the sequences at hand, where these were outlined one by one. The blur leaves a lesion
        of a few voxels a maximum below 1.
        """
        there = np.array(self.lesion.present)
        annotation = self.lesion.patches[there, 1].max(axis=0)
        return annotation >= 0.5 * annotation.max()

    @cached_property
    def largest_slice(self) -> int:
        """Axial slice (index along z of the patch) with the lesion's largest area, as in Wang et al. 2021.

        Of several equal ones, as thick slices give, the middle one.
        """
        areas = self.outline.sum(axis=(1, 2))
        largest = np.flatnonzero(areas == areas.max())
        return int(largest[len(largest) // 2])

    @cached_property
    def strongest_slice(self) -> int:
        """Axial slice with the largest sum of the weighted maps of all sequences.

        Where no sequence speaks for the class, the slice of the largest area.
        """
        emphasis = np.array([self.emphasis.get(name, 0.0) for name in self.lesion.sequences])
        sums = np.einsum("s,szyx->z", emphasis, self.maps)
        return int(sums.argmax()) if sums.any() else self.largest_slice

    def slice_position_mm(self, index: int) -> float:
        """Position of a slice along the patient's long axis, mm towards the head (LPS), at its centre."""
        middle = (self.lesion.grid.size - 1) / 2
        return self._point([middle, middle, float(index)])[2]

    def slice_centre_lps_mm(self, index: int) -> tuple[float, float, float]:
        """A point of the lesion in a slice, LPS mm: the middle of its outline there, else of the patch."""
        pixels = np.argwhere(self.outline[index])
        middle = (self.lesion.grid.size - 1) / 2
        y, x = pixels.mean(axis=0) if len(pixels) else (middle, middle)
        return self._point([float(x), float(y), float(index)])

    def _point(self, index: list[float]) -> tuple[float, float, float]:
        """Point of a continuous index ``x, y, z`` of the grid, LPS mm."""
        frame = self.lesion.grid.image(np.zeros((1, 1, 1), np.uint8))
        return frame.TransformContinuousIndexToPhysicalPoint(index)


def mean_weights(weights: Mapping[str, list[SequenceWeights]]) -> dict[str, dict[str, float]]:
    """Mean weight of each sequence per class over a cohort, as in Figure 6 of Wang et al. 2021.

    Parameters
    ----------
    weights
        Class to the weights of its lesions; a sequence's mean is over the lesions that have it.
    """
    means: dict[str, dict[str, float]] = {}
    for target, lesions in weights.items():
        columns: dict[str, list[float]] = {}
        for lesion in lesions:
            for name, value in zip(lesion.sequences, lesion.shapley.tolist(), strict=True):
                columns.setdefault(name, []).append(value)
        means[target] = {name: float(np.mean(values)) for name, values in columns.items()}
    return means
