"""Networks of slices: an image with a channel per sequence, joined by clinical data where they are read."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class ImageNetwork(Protocol):
    """What sees an image, and reads clinical numbers before its last layer.

    Attributes
    ----------
    clinical
        How many numbers; 0 for none.
    feature_count
        Features of an image before the last layer.
    """

    @property
    def clinical(self) -> int: ...
    @property
    def feature_count(self) -> int: ...
    def features(self, images: Tensor, /) -> Tensor: ...
    def cells(self, images: Tensor, /) -> Tensor: ...
    def features_of_cells(self, cells: Tensor, /) -> Tensor: ...
    def logits(self, features: Tensor, clinical: Tensor | None = None) -> Tensor: ...


class SliceNetwork(nn.Module):
    """A network of images in the two halves that every system's network has.

    Parameters
    ----------
    image
        What sees an image and reads clinical numbers before its last layer.
    task
        Name of the task.
    scale
        What is subtracted from intensities in [0, 1], and what they are then divided by.
    """

    def __init__(self, image: ImageNetwork, task: str, scale: tuple[float, float]) -> None:
        super().__init__()
        self.image, self.task, self.scale = image, task, scale

    def features(self, images: Tensor, present: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Run all but the last layer.

        Parameters
        ----------
        images
            ``[B, C, H, W]`` in [0, 1].
        present
            bool ``[B, C]``; channels of absent sequences become 0, the middle of the range.
        clinical
            ``[B, K]``; not looked at by networks that read no clinical data.

        Returns
        -------
        Tensor
            ``[B, F + K]``, or ``[B, F]``; float32.
        """
        return self.joined(self.image.features(self.scaled(images, present)), clinical)

    def scaled(self, images: Tensor, present: Tensor) -> Tensor:
        """Intensities as the first layer expects them, ``[B, C, H, W]``, laid out channels last.

        That layout takes a processor half the time.
        """
        mean, sd = self.scale
        scaled = (images - mean) / sd * present[:, :, None, None]
        return scaled.contiguous(memory_format=torch.channels_last)

    def joined(self, features: Tensor, clinical: Tensor | None) -> Tensor:
        """Put clinical numbers, where they are read, beside the features of images, ``[B, F]``."""
        if not self.image.clinical or clinical is None:
            return features
        return torch.cat([features, clinical.to(features.dtype)], dim=1)

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Run the last layer on what :meth:`features` gives: task to ``[B, classes]``, before softmax."""
        count = self.image.feature_count
        clinical = features[:, count:] if self.image.clinical else None
        return {self.task: self.image.logits(features[:, :count], clinical)}
