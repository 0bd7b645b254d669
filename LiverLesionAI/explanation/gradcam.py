"""Where the network looked: class activation maps at a stage of its branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from LiverLesionAI.explanation.cells import on_voxels
from LiverLesionAI.explanation.method import Method, Question, parenchyma

if TYPE_CHECKING:
    from torch import Tensor

    from LiverLesionAI.inputs.patches import LesionInput
    from LiverLesionAI.networks.heads import TaskHead

SMOOTHING_CELLS = 1.5
"""Standard deviation, in cells, of the Gaussian that spreads a map over neighbouring cells.

Cells lie closer than what one of them sees: in the first convolution a cell every 2 voxels, each 7 voxels
across. The Gaussian's width at half its height is those 7 voxels, so that a map shows no detail that no cell
can tell. It also heals what pooling and strides above do, which pass some cells on and not their neighbours:
left alone, the map is specks. The sum of the map is kept."""


@dataclass(frozen=True)
class _Branch:
    """One sequence's branch, run.

    Attributes
    ----------
    index
        Of the sequence.
    change
        What its map is made of, ``[1, C, d, h, w]``: the activations, or how the lesion changes them.
    points, reached
        Activations that gradients are taken at, ``[point, C, d, h, w]``, and the features they lead to,
        ``[point, F]``.
    """

    index: int
    change: Tensor
    points: Tensor
    reached: Tensor


@dataclass(frozen=True)
class GradCam(Method):
    """Map what in each sequence speaks for a class, and against it (integrated Grad-CAM).

    Grad-CAM multiplies a stage's activations by their gradients. Here the activations are taken *relative to
    those of liver without a lesion* (:func:`~LiverLesionAI.explanation.method.without_lesion`), cell by cell,
    and the gradients are averaged over the way from there to the lesion. What every patch has (the
    annotation, the border of the patch) so drops out, and the map sums to what the lesion changes in the
    class's log-odds, up to the error of `steps` mid-points. Selvaraju et al. 2017 (Grad-CAM); Draelos and
    Carin 2020 (gradients cell by cell); Sattarzadeh et al. 2021 (integrated Grad-CAM).

    Attributes
    ----------
    steps
        Points on the way; 0 for Grad-CAM as first published: activations as they are, each channel weighted
        by the mean of its gradient.
    """

    steps: int = 3

    def prepare(self, lesion: LesionInput) -> NDArray[np.float32] | None:
        """Measure what would be in each patch without the lesion, ``[S]``."""
        return parenchyma(lesion.patches) if self.steps else None

    def on_engine(self, stage: str) -> bool:
        """Whether maps can be made of an engine's own gradients, without torch: integrated, at the stem.

        :mod:`LiverLesionAI.explanation.engine_gradcam` does so.
        """
        return self.steps > 0 and stage == "stem"

    def maps(self, question: Question) -> NDArray[np.float64]:
        """Make one member's maps on the cells of the stage."""
        used = [i for i, there in enumerate(question.present) if there]
        branches = question.each(lambda i: self._run(question, i), used)
        slopes = _slopes(question, branches)
        found = question.each(lambda pair: self._map(*pair), list(zip(branches, slopes, strict=True)))
        maps = np.zeros((len(question.present), *found[0].shape))
        maps[used] = found
        return maps

    def on_patch(
        self, maps: NDArray[np.float64], size: int, voxels_per_cell: int | None
    ) -> NDArray[np.float64]:
        """Spread the maps over neighbouring cells, unless plain, and interpolate them to voxels."""
        assert voxels_per_cell is not None
        return on_voxels(spread(maps) if self.steps else maps, size, voxels_per_cell)

    def _run(self, question: Question, index: int) -> _Branch:
        """Run a branch to the points where gradients are taken, and on from there."""
        import torch

        network, stage = question.network, question.stage
        with question.autocast():
            with torch.no_grad():
                found, start = self._ends(question, index)
            points = _points_between(start, found, self.steps) if self.steps else found
            points = points.detach().requires_grad_()
            with torch.enable_grad():
                reached = network.features_of_cells(index, points, stage)
        return _Branch(index, found - start if self.steps else found, points, reached)

    def _ends(self, question: Question, index: int) -> tuple[Tensor, Tensor]:
        """A branch's cells of the lesion and of liver without it; of the lesion alone for plain Grad-CAM."""
        network, patch, stage = question.network, question.patches[index : index + 1], question.stage
        if not self.steps:
            found = network.cells(index, patch, stage)
            return found, found
        level = patch.new_tensor(question.prepared[index])
        found, start = network.cells_beside_even(index, patch, level, stage).split(1)
        return found, start

    def _map(self, branch: _Branch, slope: Tensor) -> NDArray[np.float64]:
        """The map of a branch, whose features at the points have this gradient.

        The same as handing `slope` to torch as the outputs' gradient, for which it would import sympy.
        """
        import torch

        with torch.enable_grad():
            total = (branch.reached * slope).sum()
        (found,) = torch.autograd.grad(total, branch.points)
        if not self.steps:
            found = found.mean(dim=(2, 3, 4), keepdim=True)
        mean: Tensor = found.mean(dim=0, keepdim=True)
        return np.asarray((branch.change * mean).cpu().sum(dim=(0, 1), dtype=torch.float64))


def _slopes(question: Question, branches: Sequence[_Branch]) -> list[Tensor]:
    """Gradient of the class's log-odds in the features of each branch at its points, ``[point, F]``."""
    reached = {branch.index: branch.reached.detach().cpu().numpy() for branch in branches}
    found = slopes_on_way(
        question.heads.tasks[question.task], question.index, question.features.cpu().numpy(), reached
    )
    return [branch.reached.new_tensor(found[:, branch.index]) for branch in branches]


def slopes_on_way(
    head: TaskHead, index: int, seen: NDArray[np.float32], reached: Mapping[int, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Gradient of a class's log-odds in the features at each point of a way.

    Parameters
    ----------
    head, index
        The task's head and the position of the class.
    seen
        What the member saw of the lesion, ``[S, F]``, which stands where a sequence is absent.
    reached
        Position of a sequence to its features at the points, ``[point, F]``.

    Returns
    -------
    numpy.ndarray
        ``[point, S, F]``.
    """
    points = len(next(iter(reached.values())))
    features = np.repeat(seen[None].astype(np.float64), points, axis=0)
    for place, found in reached.items():
        features[:, place] = found
    return head.log_odds_slopes(features, index)


def _points_between(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Mid-points of the parts of a way, ``[steps, C, d, h, w]``."""
    import torch

    return torch.cat([torch.lerp(start, end, (step + 0.5) / steps) for step in range(steps)])


def spread(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread maps ``[S, d, h, w]`` over neighbouring cells (:data:`SMOOTHING_CELLS`)."""
    return gaussian_filter(maps, (0, *[SMOOTHING_CELLS] * 3), mode="reflect")
