"""The plain CNN of Yasaka et al. 2018: convolution, convolution, pooling, three times; three dense layers.

The paper's text gives the numbers of layers; their widths stand in its appendix and are choices of this
project, as is the batch normalisation after each convolution, with which fewer sets are needed.
"""

from __future__ import annotations

from torch import Tensor, nn

POOLINGS = 3
HIDDEN = (8, 4)
"""Features of the two hidden dense layers, in units of the width."""


class CtCnn(nn.Module):
    """Six convolutions, three poolings, three dense layers, for images with a channel per phase.

    Parameters
    ----------
    channels
        Channels of the image.
    classes
        Outputs.
    size
        Pixels along the side of an image.
    width
        Channels of the first pair of convolutions; each further pair has twice as many.
    dropout
        Probability with which a hidden feature of the dense layers is left out in training.
    """

    clinical = 0
    """It reads no clinical data."""

    def __init__(self, channels: int, classes: int, *, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.pairs = nn.ModuleList()
        for number in range(POOLINGS):
            wide = width * 2**number
            self.pairs.append(_pair(channels, wide))
            channels = wide
        self.pool = nn.MaxPool2d(2)
        side = size // 2**POOLINGS
        first, self.feature_count = (factor * width for factor in HIDDEN)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels * side * side, first),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(first, self.feature_count),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(self.feature_count, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def features(self, images: Tensor) -> Tensor:
        """Run all but the last layer: ``[B, C, H, W]`` to ``[B, F]``, float32."""
        return self.features_of_cells(self.cells(images))

    def cells(self, images: Tensor) -> Tensor:
        """Run the convolutions, up to the last pooling, to ``[B, C, h, w]``: what maps are taken at."""
        for number, pair in enumerate(self.pairs):
            images = pair(self.pool(images) if number else images)
        return images

    def features_of_cells(self, cells: Tensor) -> Tensor:
        """Run the rest, but for the last layer: ``[B, C, h, w]`` to ``[B, F]``, float32."""
        found: Tensor = self.dense(self.pool(cells))
        return found.float()

    def logits(self, features: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Run the last layer, ``[B, classes]``."""
        found: Tensor = self.classifier(features)
        return found


def _pair(channels: int, wide: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, wide, 3, padding=1),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, wide, 3, padding=1),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
    )
