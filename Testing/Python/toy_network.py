"""The network of the toy system."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ToyNetwork(nn.Module):
    """One convolution, its mean over the slice, and the age beside it."""

    def __init__(self, sequences: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(sequences, width, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(width)
        self.head = nn.Linear(2 * width + 2, 2)

    def features(self, images: Tensor, age: Tensor) -> Tensor:
        """Features ``[B, F]`` of slices ``[B, S, y, x]`` and ages ``[B, 2]``."""
        found = torch.relu(self.normalisation(self.convolution(images))).float()
        return torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3)), age], dim=1)

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Benign or malignant."""
        return {"malignancy": self.head(features)}
