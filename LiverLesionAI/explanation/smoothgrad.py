"""Where the network looked, voxel by voxel: gradients smoothed over noisy copies (SmoothGrad)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.gradients import image_gradient
from LiverLesionAI.explanation.method import Method, Question


@dataclass(frozen=True)
class SmoothGrad(Method):
    """Mean magnitude of the gradient over noisy copies of the patches. Smilkov et al. 2017, SmoothGrad.

    The maps are not negative: how much the class's log-odds change with a voxel, either way.

    Attributes
    ----------
    copies
        Noisy copies.
    noise
        Standard deviation of the noise, relative to the range of a patch's intensities.
    """

    copies: int = 16
    noise: float = 0.1

    def ticks(self, sequences: int) -> int:
        """One for each copy."""
        return self.copies

    def maps(self, question: Question) -> NDArray[np.float64]:
        """Make one member's maps, voxel by voxel."""
        import torch

        patches = question.patches
        rng = np.random.default_rng(question.seed)
        image = patches[:, 0]
        extent = image.amax(dim=(1, 2, 3), keepdim=True) - image.amin(dim=(1, 2, 3), keepdim=True)
        sigma = self.noise * extent
        total = None
        for _ in range(self.copies):
            noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32)).to(patches.device)
            noisy = torch.stack([image + sigma * noise, patches[:, 1]], dim=1)
            gradient = image_gradient(question, noisy).abs()
            total = gradient if total is None else total + gradient
            question.tick()
        assert total is not None
        return np.asarray((total / self.copies).cpu().double())
