"""The network of Zhen et al. 2020: an image with a channel per sequence, joined by clinical data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from LiverLesionAI.networks.inception_resnet_v2 import InceptionResNetV2


class SliceNetwork(nn.Module):
    """Inception-ResNet V2 in the two halves that every system's network has.

    Parameters
    ----------
    image
        What sees an image and reads clinical numbers before its last layer.
    task
        Name of the task.
    scale
        What is subtracted from intensities in [0, 1], and what they are then divided by.
    """

    def __init__(self, image: InceptionResNetV2, task: str, scale: tuple[float, float]) -> None:
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
