"""Where the network looked: class activation maps at a stage of its branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from LiverLesionAI.explanation.cells import on_voxels
from LiverLesionAI.explanation.method import Method, Question, without_lesion

if TYPE_CHECKING:
    from torch import Tensor

    from LiverLesionAI.inputs.patches import LesionInput

SMOOTHING_CELLS = 1.5
"""Standard deviation, in cells, of the Gaussian that spreads a map over neighbouring cells.

Cells lie closer than what one of them sees: in the first convolution a cell every 2 voxels, each 7 voxels
across. The Gaussian's width at half its height is those 7 voxels, so that a map shows no detail that no cell
can tell. It also heals what pooling and strides above do, which pass some cells on and not their neighbours:
left alone, the map is specks. The sum of the map is kept."""


@dataclass(frozen=True)
class GradCam(Method):
    """Map what in each sequence speaks for a class, and against it (integrated Grad-CAM).

    Grad-CAM multiplies a stage's activations by their gradients. Here the activations are taken *relative to
    those of liver without a lesion* (:func:`without_lesion`), cell by cell, and the gradients are averaged
    over the way from there to the lesion. What every patch has (the annotation, the border of the patch) so
    drops out, and the map sums to what the lesion changes in the class's log-odds, up to the error of `steps`
    mid-points. Selvaraju et al. 2017 (Grad-CAM); Draelos and Carin 2020 (gradients cell by cell); Sattarzadeh
    et al. 2021 (integrated Grad-CAM).

    Attributes
    ----------
    steps
        Points on the way; 0 for Grad-CAM as first published: activations as they are, each channel weighted
        by the mean of its gradient.
    """

    steps: int = 3

    def prepare(self, lesion: LesionInput) -> Tensor | None:
        """Take the lesion out of its patches."""
        import torch

        return without_lesion(torch.from_numpy(lesion.patches)) if self.steps else None

    def maps(self, question: Question) -> tuple[NDArray[np.float64], Tensor]:
        """Make one member's maps on the cells of the stage."""
        import torch

        network, patches, stage = question.network, question.patches, question.stage
        empty = question.prepared if self.steps else None
        ends = patches[:, None] if empty is None else torch.stack([patches, empty.to(patches.device)], dim=1)
        used = [i for i, there in enumerate(question.present) if there]
        with question.autocast, torch.no_grad():
            both = [network.cells(i, ends[i], stage) for i in used]
            found, start = [each[:1] for each in both], [each[-1:] for each in both]
            columns = list(network.mean_features)
            for i, each in zip(used, found, strict=True):
                columns[i] = network.features_of_cells(i, each, stage)[0]
        if self.steps:
            slopes = self._slopes(question, used, columns, _points_between(start, found, self.steps))
            change = [b - a for a, b in zip(start, found, strict=True)]
        else:
            plain = self._slopes(question, used, columns, found)
            slopes = tuple(each.mean(dim=(2, 3, 4), keepdim=True) for each in plain)
            change = found
        maps = np.zeros((len(question.present), *found[0].shape[2:]))
        for i, each, slope in zip(used, change, slopes, strict=True):
            maps[i] = (each.cpu().double() * slope.cpu().double()).sum(dim=(0, 1)).numpy()
        return maps, torch.stack(columns)

    def on_patch(
        self, maps: NDArray[np.float64], size: int, voxels_per_cell: int | None
    ) -> NDArray[np.float64]:
        """Spread the maps over neighbouring cells, unless plain, and interpolate them to voxels."""
        assert voxels_per_cell is not None
        return on_voxels(spread(maps) if self.steps else maps, size, voxels_per_cell)

    def _slopes(
        self, question: Question, used: Sequence[int], columns: Sequence[Tensor], points: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Mean gradient over the points on the way, ``[point, C, d, h, w]`` of each branch, all at once."""
        import torch

        points = [point.detach().requires_grad_() for point in points]
        with torch.enable_grad():
            reached = [column.expand(len(points[0]), -1) for column in columns]
            with question.autocast:
                for i, point in zip(used, points, strict=True):
                    reached[i] = question.network.features_of_cells(i, point, question.stage)
            score = question.log_odds(torch.stack(reached, dim=1))
            found = torch.autograd.grad(score.sum(), points)
        return tuple(each.mean(dim=0, keepdim=True) for each in found)


def _points_between(start: Sequence[Tensor], end: Sequence[Tensor], steps: int) -> list[Tensor]:
    """Mid-points of the parts of a way, of each branch ``[steps, C, d, h, w]``."""
    import torch

    places = [(step + 0.5) / steps for step in range(steps)]
    return [torch.cat([torch.lerp(a, b, place) for place in places]) for a, b in zip(start, end, strict=True)]


def spread(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread maps ``[S, d, h, w]`` over neighbouring cells (:data:`SMOOTHING_CELLS`)."""
    return gaussian_filter(maps, (0, *[SMOOTHING_CELLS] * 3), mode="reflect")
