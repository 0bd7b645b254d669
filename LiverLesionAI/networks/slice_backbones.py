"""The networks that Kim et al. 2020 compare, as backbones that end in images of features."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from LiverLesionAI.networks.hbp_cnn import ActivationName, PlainBackbone
from LiverLesionAI.networks.inception_resnet_v2 import InceptionResNetV2


class Settings(Protocol):
    """See :class:`LiverLesionAI.systems.kim2020.Network`."""

    @property
    def architecture(self) -> str: ...
    @property
    def stages(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def kernel(self) -> int: ...
    @property
    def batch_norm(self) -> bool: ...
    @property
    def dropout(self) -> float: ...
    @property
    def activation(self) -> ActivationName: ...


def backbone(settings: Settings) -> tuple[nn.Module, int]:
    """Build a backbone; returns it and how many images of features it ends in."""
    build = {
        "resnet50": _resnet50,
        "inception_resnet_v2": _inception_resnet_v2,
        "alexnet": _alexnet,
        "vgg16": _vgg16,
    }
    if settings.architecture in build:
        return build[settings.architecture]()
    plain = PlainBackbone(
        settings.stages,
        kernel=settings.kernel,
        batch_norm=settings.batch_norm,
        dropout=settings.dropout,
        activation=settings.activation,
    )
    return plain, plain.channels


def _resnet50() -> tuple[nn.Module, int]:
    """MONAI's, up to its last pooling."""
    from monai.networks.nets.resnet import resnet50

    net = resnet50(spatial_dims=2, n_input_channels=1, num_classes=1, feed_forward=False, shortcut_type="B")
    layers = (net.conv1, net.bn1, net.act, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4)
    return nn.Sequential(*layers), 2048


def _inception_resnet_v2() -> tuple[nn.Module, int]:
    net = InceptionResNetV2(1, 2)
    return _Cells(net), net.feature_count


class _Cells(nn.Module):
    """Inception-ResNet V2 up to its last images of features."""

    def __init__(self, image: InceptionResNetV2) -> None:
        super().__init__()
        self.image = image

    def forward(self, images: Tensor) -> Tensor:
        return self.image.cells(images)


def _alexnet() -> tuple[nn.Module, int]:
    """Krizhevsky et al. 2012 without its fully connected layers."""
    net = nn.Sequential(
        nn.Conv2d(1, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(inplace=True),
    )
    return net, 256


def _vgg16() -> tuple[nn.Module, int]:
    """Simonyan and Zisserman 2015 without its fully connected layers and its last pooling."""
    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    return PlainBackbone(stages, kernel=3, batch_norm=False), 512
