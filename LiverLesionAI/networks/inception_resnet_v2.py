"""Inception-ResNet V2 (Szegedy et al. 2017, arXiv:1602.07261), the network of Zhen et al. 2020.

Names and shapes of its parameters are those of the published ImageNet weights (timm's
``inception_resnet_v2``), so that these load from a file. An image has a channel per sequence; what else is
known joins before the last layer (doi:10.3389/fonc.2020.00680, Fig. 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from LiverLesionAI.networks.convolutions import Convolution2d

BATCH_NORM_EPSILON = 1e-3
FEATURES = 1536
"""Features of the full-width network after the average over the image; the paper says 2048."""

SMALLEST_IMAGE = 75
"""Pixels a side: smaller images leave nothing to the last blocks."""

CLASSIFIER = "classif"
FIRST_LAYER = "conv2d_1a.conv.weight"


@dataclass(frozen=True)
class Layer:
    """A convolution with batch normalisation and ReLU.

    Attributes
    ----------
    channels
        Channels out at full width.
    kernel
        Height and width.
    stride
        In both directions.
    is_padded
        Whether the image keeps its size (at stride 1).
    """

    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    is_padded: bool = True


@dataclass(frozen=True)
class Pool:
    """A 3×3 pooling: the maximum at stride 2, or the average at stride 1."""

    is_average: bool = False


Branch = tuple["Layer | Pool", ...]

_3, _5 = (3, 3), (5, 5)

MIXED_5B: tuple[Branch, ...] = (
    (Layer(96),),
    (Layer(48), Layer(64, _5)),
    (Layer(64), Layer(96, _3), Layer(96, _3)),
    (Pool(is_average=True), Layer(64)),
)
BLOCK_35: tuple[Branch, ...] = (
    (Layer(32),),
    (Layer(32), Layer(32, _3)),
    (Layer(32), Layer(48, _3), Layer(64, _3)),
)
MIXED_6A: tuple[Branch, ...] = (
    (Layer(384, _3, 2, False),),
    (Layer(256), Layer(256, _3), Layer(384, _3, 2, False)),
    (Pool(),),
)
BLOCK_17: tuple[Branch, ...] = ((Layer(192),), (Layer(128), Layer(160, (1, 7)), Layer(192, (7, 1))))
MIXED_7A: tuple[Branch, ...] = (
    (Layer(256), Layer(384, _3, 2, False)),
    (Layer(256), Layer(288, _3, 2, False)),
    (Layer(256), Layer(288, _3), Layer(320, _3, 2, False)),
    (Pool(),),
)
BLOCK_8: tuple[Branch, ...] = ((Layer(192),), (Layer(192), Layer(224, (1, 3)), Layer(256, (3, 1))))


def scaled(channels: int, width: float) -> int:
    """Channels of a layer in a network of another width; at least one."""
    return max(1, round(channels * width))


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, layer: Layer, width: float) -> None:
        super().__init__()
        self.channels = scaled(layer.channels, width)
        height, across = layer.kernel
        padding = (height // 2, across // 2) if layer.is_padded else (0, 0)
        self.conv = Convolution2d(channels_in, self.channels, layer.kernel, layer.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(self.channels, eps=BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` in and out."""
        return torch.relu_(self.bn(self.conv(x)))


class Parallel(nn.Module):
    """Branches beside one another, their channels joined.

    Parameters
    ----------
    channels_in
        Channels in, at this width.
    branches
        The layers of each branch.
    width
        Factor of all channels.
    """

    def __init__(self, channels_in: int, branches: tuple[Branch, ...], width: float) -> None:
        super().__init__()
        self.branch_count = len(branches)
        self.channels = 0
        for number, branch in enumerate(branches):
            parts, channels = _parts(channels_in, branch, width)
            self.add_module(f"branch{number}", parts[0] if len(parts) == 1 else nn.Sequential(*parts))
            self.channels += channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` in and out."""
        return torch.cat([self.get_submodule(f"branch{n}")(x) for n in range(self.branch_count)], dim=1)


class Residual(Parallel):
    """Branches whose joint result is scaled and added to what came in.

    Parameters
    ----------
    channels_in, branches, width
        See :class:`Parallel`.
    scale
        Factor of the result.
    is_last
        Whether the sum stays as it is instead of passing a ReLU.
    """

    def __init__(
        self,
        channels_in: int,
        branches: tuple[Branch, ...],
        width: float,
        scale: float,
        *,
        is_last: bool = False,
    ) -> None:
        super().__init__(channels_in, branches, width)
        self.scale, self.is_last = scale, is_last
        self.conv2d = Convolution2d(self.channels, channels_in, kernel_size=1)
        self.channels = channels_in

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` in and out."""
        total = torch.add(x, self.conv2d(super().forward(x)), alpha=self.scale)
        return total if self.is_last else torch.relu_(total)


def _parts(channels_in: int, branch: Branch, width: float) -> tuple[list[nn.Module], int]:
    """Modules of a branch and its channels out."""
    parts: list[nn.Module] = []
    channels = channels_in
    for each in branch:
        if isinstance(each, Layer):
            convolution = Convolution(channels, each, width)
            parts.append(convolution)
            channels = convolution.channels
        elif each.is_average:
            parts.append(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False))
        else:
            parts.append(nn.MaxPool2d(3, stride=2))
    return parts, channels


class InceptionResNetV2(nn.Module):
    """Inception-ResNet V2 with room for clinical data before its last layer.

    Parameters
    ----------
    in_channels
        Channels of an image: 6 or 3 sequences in the paper.
    classes
        Number of classes.
    clinical
        Numbers that join the features before the last layer; 0 for none.
    width
        Factor of all channels; 1 is the published network (54.3 million parameters without its last layer).
    dropout
        Probability with which a feature is left out in training.

    Examples
    --------
    >>> network = InceptionResNetV2(in_channels=6, classes=7, width=0.125).eval()
    >>> network(torch.zeros(2, 6, 149, 149)).shape
    torch.Size([2, 7])
    """

    def __init__(
        self, in_channels: int, classes: int, *, clinical: int = 0, width: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.clinical = clinical
        self.conv2d_1a = Convolution(in_channels, Layer(32, _3, 2, False), width)
        self.conv2d_2a = Convolution(self.conv2d_1a.channels, Layer(32, _3, is_padded=False), width)
        self.conv2d_2b = Convolution(self.conv2d_2a.channels, Layer(64, _3), width)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = Convolution(self.conv2d_2b.channels, Layer(80), width)
        self.conv2d_4a = Convolution(self.conv2d_3b.channels, Layer(192, _3, is_padded=False), width)
        self.maxpool_5a = nn.MaxPool2d(3, stride=2)
        self.mixed_5b = Parallel(self.conv2d_4a.channels, MIXED_5B, width)
        self.repeat = _repeated(10, self.mixed_5b.channels, BLOCK_35, width, 0.17)
        self.mixed_6a = Parallel(self.mixed_5b.channels, MIXED_6A, width)
        self.repeat_1 = _repeated(20, self.mixed_6a.channels, BLOCK_17, width, 0.10)
        self.mixed_7a = Parallel(self.mixed_6a.channels, MIXED_7A, width)
        self.repeat_2 = _repeated(9, self.mixed_7a.channels, BLOCK_8, width, 0.20)
        self.block8 = Residual(self.mixed_7a.channels, BLOCK_8, width, 1.0, is_last=True)
        self.conv2d_7b = Convolution(self.mixed_7a.channels, Layer(FEATURES), width)
        self.feature_count = self.conv2d_7b.channels
        self.dropout = nn.Dropout(dropout)
        self.classif = nn.Linear(self.feature_count + clinical, classes)

    def cells(self, x: Tensor) -> Tensor:
        """Run the network up to its last image: ``[B, C, H, W]`` to ``[B, F, h, w]``."""
        for name, module in self.named_children():
            if name == "dropout":
                return x
            x = module(x)
        raise AssertionError("the last image comes before the dropout")

    def features(self, x: Tensor) -> Tensor:
        """Run the network up to its last layer: ``[B, C, H, W]`` to ``[B, F]``, float32."""
        return self.features_of_cells(self.cells(x))

    def features_of_cells(self, cells: Tensor) -> Tensor:
        """Average the last image: ``[B, F, h, w]`` to ``[B, F]``, float32."""
        return cells.float().mean(dim=(2, 3))

    def logits(self, features: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Run the last layer.

        Parameters
        ----------
        features
            ``[B, F]``.
        clinical
            ``[B, clinical]``, for networks that read it.

        Returns
        -------
        Tensor
            ``[B, classes]``, before softmax.
        """
        if (clinical is None) != (self.clinical == 0):
            raise ValueError(f"This network reads {self.clinical} clinical numbers beside an image.")
        joined = self.dropout(features)
        if clinical is not None:
            joined = torch.cat([joined, clinical.to(joined.dtype)], dim=1)
        return self.classif(joined)

    def forward(self, x: Tensor, clinical: Tensor | None = None) -> Tensor:
        """Classify images; see :meth:`features` and :meth:`logits`."""
        return self.logits(self.features(x), clinical)


def _repeated(
    count: int, channels: int, branches: tuple[Branch, ...], width: float, scale: float
) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels, branches, width, scale) for _ in range(count)))


def published_start(network: InceptionResNetV2, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return published weights of three-channel images as a start for this network.

    The first layer is repeated over the channels and scaled, so that equal channels give what three gave
    (timm's rule); the last layer, which knows other classes, stays as the network has it.

    Parameters
    ----------
    network
        Of full width.
    weights
        State of the published network.

    Returns
    -------
    dict
        State to be loaded strictly.
    """
    own = network.state_dict()
    state = {name: value for name, value in weights.items() if not name.startswith(f"{CLASSIFIER}.")}
    state.update({name: value for name, value in own.items() if name.startswith(f"{CLASSIFIER}.")})
    first, channels = state[FIRST_LAYER], own[FIRST_LAYER].shape[1]
    if first.shape[1] != channels:
        times = -(-channels // first.shape[1])
        state[FIRST_LAYER] = first.repeat(1, times, 1, 1)[:, :channels] * (first.shape[1] / channels)
    return state
