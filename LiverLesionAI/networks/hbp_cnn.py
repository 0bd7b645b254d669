"""The network of Kim et al. 2020 for whole slices: small kernels, global average pooling, maps for free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

ActivationName = Literal["relu", "leaky_relu", "prelu", "elu"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.1, inplace=True),
    "prelu": nn.PReLU,
    "elu": lambda: nn.ELU(0.1, inplace=True),
}


class SliceDetector(nn.Module):
    """Images of features, their mean, one linear layer, in the two halves that every system's network has.

    Parameters
    ----------
    backbone
        ``[B, 1, H, W]`` to images of features ``[B, channels, h, w]``.
    channels, classes
        How many there are.
    task
        Name of the task.
    """

    def __init__(self, backbone: nn.Module, channels: int, classes: int, task: str) -> None:
        super().__init__()
        self.backbone, self.head, self.task = backbone, nn.Linear(channels, classes), task

    def features(self, images: Tensor) -> Tensor:
        """Run all but the last layer on ``[B, 1, H, W]`` in [0, 1]: ``[B, C, h, w]``, float32."""
        centred = (images - 0.5).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.backbone(centred)
        return found.float()

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Run the last layer on the mean of the images of features: ``[B, classes]``, before softmax.

        The mean is multiplied by the square root of the number of cells. What functions the network can be
        stays the same; but a lesion fills a hundredth of a slice, and without this the last layer's weights
        would have to be so large that steps of 0.001 never lead there.
        """
        return {self.task: self.head(_gain(features) * features.mean(dim=(2, 3)))}

    def evidence(self, features: Tensor, index: int) -> Tensor:
        """Class activation map of one of two classes, in log-odds, ``[B, h, w]``.

        The mean over a slice's map is the slice's log-odds (Zhou et al. 2016, arXiv:1512.04150).
        """
        weight = self.head.weight[index] - self.head.weight[1 - index]
        bias = self.head.bias[index] - self.head.bias[1 - index]
        return _gain(features) * torch.einsum("bchw,c->bhw", features, weight) + bias


def _gain(features: Tensor) -> float:
    return float((features.shape[2] * features.shape[3]) ** 0.5)


class PlainBackbone(nn.Sequential):
    """Convolutions of stride 1, each with normalisation and activation, with a pooling after each stage.

    Kernels of even size have no middle: the odd pixel of padding goes to either end by turns, so that a
    feature stays over what it shows.

    Parameters
    ----------
    stages
        Channels of the convolutions of each stage; there is a pooling between stages.
    kernel
        Side of the kernels.
    batch_norm, dropout
        Whether each convolution is followed by batch normalisation, and how many channels are left out in
        training.
    activation
        One of :data:`ACTIVATIONS`.
    """

    def __init__(
        self,
        stages: tuple[tuple[int, ...], ...],
        *,
        kernel: int = 2,
        batch_norm: bool = True,
        dropout: float = 0.0,
        activation: ActivationName = "relu",
    ) -> None:
        layers: list[nn.Module] = []
        channels, place = 1, 0
        for number, stage in enumerate(stages):
            if number:
                layers.append(nn.MaxPool2d(2))
            for width in stage:
                layers.append(_padding(kernel, place))
                layers.append(nn.Conv2d(channels, width, kernel, bias=not batch_norm))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(ACTIVATIONS[activation]())
                if dropout:
                    layers.append(nn.Dropout2d(dropout))
                channels, place = width, place + 1
        super().__init__(*layers)
        self.channels = channels


def _padding(kernel: int, place: int) -> nn.Module:
    low, high = (kernel - 1) // 2, kernel // 2
    before, after = (low, high) if place % 2 else (high, low)
    return nn.ZeroPad2d((before, after, before, after))


def he_initialised(network: SliceDetector) -> SliceDetector:
    """Draw kernels after He et al. 2015, in place; the last layer begins at zero, undecided."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network
