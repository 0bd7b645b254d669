"""Where the network looked: class activation maps at a stage of its branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from LiverLesionAI.explanation.branches import cells, features_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D

INTEGRATION_STEPS = 3
SMOOTHING_CELLS = 1.0
"""Standard deviation, in cells, of the Gaussian that spreads a map over neighbouring cells.

Pooling and strides of the layers above a stage pass some cells on and not their neighbours, so that cell by
cell the map shows them rather than the lesion; the sum of the map is kept."""


def activation_maps(
    network: MultitaskResNet3D,
    patches: Tensor,
    present: Sequence[bool],
    task: str,
    index: int,
    *,
    stage: str,
    autocast: torch.autocast,
    steps: int = INTEGRATION_STEPS,
) -> tuple[NDArray[np.float64], Tensor]:
    """Map what in each sequence speaks for a class, and against it, in one fold (integrated Grad-CAM).

    Grad-CAM multiplies a stage's activations by their gradients. Here the activations are taken *relative to
    those of liver without a lesion* (:func:`without_lesion`), cell by cell, and the gradients are averaged
    over the way from there to the lesion. What every patch has (the annotation, the border of the patch) so
    drops out, and the map sums to what the lesion changes in the class's log-odds, up to the error of `steps`
    mid-points. Selvaraju et al. 2017 (Grad-CAM); Draelos and Carin 2020 (gradients cell by cell); Sattarzadeh
    et al. 2021 (integrated Grad-CAM).

    Parameters
    ----------
    network
        One fold.
    patches
        ``[S, 2, D, H, W]`` of one lesion, on the network's device.
    present
        Which of the `S` sequences are at hand.
    task, index
        The task and the position of the class.
    stage
        One of :data:`~LiverLesionAI.explanation.branches.STAGES`.
    autocast
        Precision of the branches.
    steps
        Points on the way; 0 for Grad-CAM as first published: activations as they are, each channel weighted
        by the mean of its gradient.

    Returns
    -------
    maps : numpy.ndarray
        ``[S, d, h, w]`` on the cells of the stage, signed, in units of log-odds; zero for absent sequences.
    features : Tensor
        ``[S, F]``, as :meth:`~LiverLesionAI.networks.resnet3d.MultitaskResNet3D.features` gives them.
    """
    import torch

    used = [i for i, there in enumerate(present) if there]
    branches = [network.branches[network.sequences[i]] for i in used]
    with autocast, torch.no_grad():
        found = [cells(branch, patches[[i]], stage) for i, branch in zip(used, branches, strict=True)]
        columns = list(network.mean_features)
        for i, branch, each in zip(used, branches, found, strict=True):
            columns[i] = features_of(branch, each, stage)[0]
        start = found
        if steps:
            empty = without_lesion(patches)
            start = [cells(branch, empty[[i]], stage) for i, branch in zip(used, branches, strict=True)]

    def gradients(points: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """At every point on the way at once, ``[point, C, d, h, w]`` of each branch; their mean."""
        points = [point.detach().requires_grad_() for point in points]
        with torch.enable_grad():
            reached = [column.expand(len(points[0]), -1) for column in columns]
            with autocast:
                for i, branch, point in zip(used, branches, points, strict=True):
                    reached[i] = features_of(branch, point, stage)
            score = class_log_odds(network, torch.stack(reached, dim=1), task, index)
            found = torch.autograd.grad(score.sum(), points)
        return tuple(each.mean(dim=0, keepdim=True) for each in found)

    if steps:
        places = [(step + 0.5) / steps for step in range(steps)]
        slopes = gradients(
            [
                torch.cat([torch.lerp(a, b, place) for place in places])
                for a, b in zip(start, found, strict=True)
            ]
        )
        change = [b - a for a, b in zip(start, found, strict=True)]
    else:
        slopes = tuple(each.mean(dim=(2, 3, 4), keepdim=True) for each in gradients(found))
        change = found
    maps = np.zeros((len(present), *found[0].shape[2:]))
    for i, each, slope in zip(used, change, slopes, strict=True):
        maps[i] = (each.cpu().double() * slope.cpu().double()).sum(dim=(0, 1)).numpy()
    return maps, torch.stack(columns)


def spread(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread maps ``[S, d, h, w]`` over neighbouring cells (:data:`SMOOTHING_CELLS`)."""
    return gaussian_filter(maps, (0, *[SMOOTHING_CELLS] * 3), mode="reflect")


def class_log_odds(network: MultitaskResNet3D, features: Tensor, task: str, index: int) -> Tensor:
    """Log-odds of a class, ``[B]``, of features ``[B, S, F]``.

    They are what the maps explain: unlike the logit alone they say *this class rather than the others*, and
    unlike the probability they do not saturate.
    """
    logits = network.logits(features)[task]
    others = [other for other in range(logits.shape[1]) if other != index]
    return logits[:, index] - logits[:, others].logsumexp(dim=1)


def without_lesion(patches: Tensor) -> Tensor:
    """Patches ``[S, 2, D, H, W]`` filled with the median intensity outside of the lesion.

    The median stands for the parenchyma; annotations are left as they are.
    """
    filled = patches.clone()
    for patch in filled:
        patch[0] = patch[0][patch[1] <= patch[1].amin()].median()
    return filled
