"""Where the network looked, voxel by voxel: integrated gradients of the input.

Finer than the maps of :mod:`LiverLesionAI.explanation.gradcam`, noisier, and some hundred times as costly.
Own routines, since the network answers for all branches together: a general library would keep the
intermediate results of every branch and every step at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.method import Method, Question, without_lesion

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class IntegratedGradients(Method):
    """Integrate the gradient of a class's log-odds from liver without a lesion to the patch.

    The path starts at patches filled with the value of the parenchyma around the lesion
    (:func:`~LiverLesionAI.explanation.method.without_lesion`). The attributions sum to the log-odds of the
    patch less those of the start, up to the error of `steps` mid-points. Sundararajan et al. 2017.

    Attributes
    ----------
    steps
        Points on the path.
    """

    steps: int = 24

    def ticks(self, sequences: int) -> int:
        """One for each point."""
        return self.steps

    def maps(self, question: Question) -> NDArray[np.float64]:
        """Make one member's maps, voxel by voxel."""
        patches = question.patches
        start = without_lesion(patches)
        total = None
        for step in range(self.steps):
            point = start + (step + 0.5) / self.steps * (patches - start)
            gradient = image_gradient(question, point)
            total = gradient if total is None else total + gradient
            question.tick()
        assert total is not None
        found = (patches - start)[:, 0] * total / self.steps
        return np.asarray(found.cpu().double())


def image_gradient(question: Question, patches: Tensor) -> Tensor:
    """Gradient of a class's log-odds with respect to the images ``[S, D, H, W]``, not to the annotations."""
    import torch

    image = patches[:, 0].detach().requires_grad_()
    with torch.enable_grad():
        inputs = torch.stack([image, patches[:, 1]], dim=1)[None]
        there = torch.tensor([list(question.present)], device=patches.device)
        score = question.log_odds(question.network.features(inputs, there))
        (gradient,) = torch.autograd.grad(score.sum(), image)
    return gradient
