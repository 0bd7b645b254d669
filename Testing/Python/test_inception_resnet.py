"""Inception-ResNet V2: names, shapes and blocks of the published network, and room for clinical data."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from LiverLesionAI.networks.inception_resnet_v2 import (
    BATCH_NORM_EPSILON,
    SMALLEST_IMAGE,
    InceptionResNetV2,
    Residual,
    published_start,
)

PUBLISHED_BRANCHES: dict[str, dict[str, tuple[int, int, int, int]]] = {
    "mixed_5b": {
        "branch0": (96, 192, 1, 1),
        "branch1.0": (48, 192, 1, 1),
        "branch1.1": (64, 48, 5, 5),
        "branch2.0": (64, 192, 1, 1),
        "branch2.1": (96, 64, 3, 3),
        "branch2.2": (96, 96, 3, 3),
        "branch3.1": (64, 192, 1, 1),
    },
    **{
        f"repeat.{n}": {
            "branch0": (32, 320, 1, 1),
            "branch1.0": (32, 320, 1, 1),
            "branch1.1": (32, 32, 3, 3),
            "branch2.0": (32, 320, 1, 1),
            "branch2.1": (48, 32, 3, 3),
            "branch2.2": (64, 48, 3, 3),
        }
        for n in range(10)
    },
    "mixed_6a": {
        "branch0": (384, 320, 3, 3),
        "branch1.0": (256, 320, 1, 1),
        "branch1.1": (256, 256, 3, 3),
        "branch1.2": (384, 256, 3, 3),
    },
    **{
        f"repeat_1.{n}": {
            "branch0": (192, 1088, 1, 1),
            "branch1.0": (128, 1088, 1, 1),
            "branch1.1": (160, 128, 1, 7),
            "branch1.2": (192, 160, 7, 1),
        }
        for n in range(20)
    },
    "mixed_7a": {
        "branch0.0": (256, 1088, 1, 1),
        "branch0.1": (384, 256, 3, 3),
        "branch1.0": (256, 1088, 1, 1),
        "branch1.1": (288, 256, 3, 3),
        "branch2.0": (256, 1088, 1, 1),
        "branch2.1": (288, 256, 3, 3),
        "branch2.2": (320, 288, 3, 3),
    },
    **{
        name: {
            "branch0": (192, 2080, 1, 1),
            "branch1.0": (192, 2080, 1, 1),
            "branch1.1": (224, 192, 1, 3),
            "branch1.2": (256, 224, 3, 1),
        }
        for name in (*(f"repeat_2.{n}" for n in range(9)), "block8")
    },
}
PUBLISHED_JOINTS = {
    "repeat.": (320, 128),
    "repeat_1.": (1088, 384),
    "repeat_2.": (2080, 448),
    "block8": (2080, 448),
}
PUBLISHED_STEM = {
    "conv2d_1a": (32, 3, 3, 3),
    "conv2d_2a": (32, 32, 3, 3),
    "conv2d_2b": (64, 32, 3, 3),
    "conv2d_3b": (80, 64, 1, 1),
    "conv2d_4a": (192, 80, 3, 3),
    "conv2d_7b": (1536, 2080, 1, 1),
}
PARAMETERS = 54_306_464
"""Of the published network without its last layer."""


def published(seed: int = 0) -> dict[str, Tensor]:
    """A state of random weights with the names and shapes that timm publishes."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = {}
    kernels = dict(PUBLISHED_STEM)
    for block, branches in PUBLISHED_BRANCHES.items():
        kernels.update({f"{block}.{name}": shape for name, shape in branches.items()})
    for name, shape in kernels.items():
        state[f"{name}.conv.weight"] = torch.randn(shape) * 0.02
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.bn.{part}"] = torch.rand(shape[0]) * 0.1 + (part in ("weight", "running_var"))
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(1)
    for block in PUBLISHED_BRANCHES:
        joint = next((shape for start, shape in PUBLISHED_JOINTS.items() if block.startswith(start)), None)
        if joint is not None:
            state[f"{block}.conv2d.weight"] = torch.randn(*joint, 1, 1) * 0.02
            state[f"{block}.conv2d.bias"] = torch.randn(joint[0]) * 0.02
    state["classif.weight"], state["classif.bias"] = torch.randn(1000, 1536), torch.randn(1000)
    return state


@pytest.fixture(scope="module")
def network() -> InceptionResNetV2:
    built = InceptionResNetV2(in_channels=3, classes=1000).eval()
    built.load_state_dict(published(), strict=True)
    return built


def test_published_weights_load_strictly_and_are_as_many(network: InceptionResNetV2) -> None:
    counted = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("classif."))
    assert counted == PARAMETERS
    assert network.feature_count == 1536


@pytest.mark.parametrize("channels", [1, 3, 6, 7])
def test_the_first_layer_is_fitted_to_the_channels(channels: int) -> None:
    network = InceptionResNetV2(in_channels=channels, classes=7, clinical=4)
    weights = published()
    start = published_start(network, weights)
    network.load_state_dict(start, strict=True)
    own, theirs = network.conv2d_1a.conv.weight, weights["conv2d_1a.conv.weight"]
    torch.testing.assert_close(own[:, 0], theirs[:, 0] * 3 / channels)
    torch.testing.assert_close(own[:, -1], theirs[:, (channels - 1) % 3] * 3 / channels)
    assert start["classif.weight"].shape == (7, 1540)


def _convolved(
    state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padded: bool = True
) -> Tensor:
    """A convolution with batch normalisation and ReLU, written out."""
    kernel = state[f"{name}.conv.weight"]
    padding = [side // 2 if padded else 0 for side in kernel.shape[2:]]
    x = F.conv2d(x, kernel, stride=stride, padding=padding)
    mean, variance, scale, shift = (
        state[f"{name}.bn.{part}"][None, :, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / torch.sqrt(variance + BATCH_NORM_EPSILON) * scale + shift).clamp(min=0)


def _written_out(state: dict[str, Tensor], block: str, x: Tensor) -> Tensor:
    """A block computed layer by layer from the published description."""
    kind = block.split(".")[0]
    joined = []
    for number in range(4):
        names = [name for name in PUBLISHED_BRANCHES[block] if name.startswith(f"branch{number}")]
        y = x
        if kind == "mixed_5b" and number == 3:
            ones = F.avg_pool2d(torch.ones_like(x), 3, 1, 1, count_include_pad=True)
            y = F.avg_pool2d(x, 3, 1, 1, count_include_pad=True) / ones
        for name in names:
            down = kind in ("mixed_6a", "mixed_7a") and name == names[-1]
            y = _convolved(state, f"{block}.{name}", y, 2 if down else 1, not down)
        if names:
            joined.append(y)
    if kind in ("mixed_6a", "mixed_7a"):
        joined.append(F.max_pool2d(x, 3, 2))
    y = torch.cat(joined, dim=1)
    if kind.startswith("mixed"):
        return y
    y = F.conv2d(y, state[f"{block}.conv2d.weight"], state[f"{block}.conv2d.bias"])
    scale = {"repeat": 0.17, "repeat_1": 0.10, "repeat_2": 0.20, "block8": 1.0}[kind]
    total = x + scale * y
    return total if kind == "block8" else total.clamp(min=0)


@pytest.mark.parametrize(
    "block",
    [
        "mixed_5b",
        "repeat.0",
        "repeat.9",
        "mixed_6a",
        "repeat_1.0",
        "repeat_1.19",
        "mixed_7a",
        "repeat_2.8",
        "block8",
    ],
)
def test_each_block_computes_what_is_published(network: InceptionResNetV2, block: str) -> None:
    state = network.state_dict()
    channels = state[f"{block}.{next(iter(PUBLISHED_BRANCHES[block]))}.conv.weight"].shape[1]
    x = torch.randn(2, channels, 9, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            network.get_submodule(block)(x), _written_out(state, block, x), rtol=1e-4, atol=1e-4
        )


def test_the_stem_computes_what_is_published(network: InceptionResNetV2) -> None:
    state = network.state_dict()
    x = torch.randn(1, 3, 79, 83, generator=torch.Generator().manual_seed(2))
    y = _convolved(state, "conv2d_1a", x, 2, padded=False)
    y = _convolved(state, "conv2d_2a", y, padded=False)
    y = F.max_pool2d(_convolved(state, "conv2d_2b", y), 3, 2)
    y = F.max_pool2d(_convolved(state, "conv2d_4a", _convolved(state, "conv2d_3b", y), padded=False), 3, 2)
    stem = list(network.children())[:7]
    assert stem[-1] is network.maxpool_5a
    with torch.no_grad():
        for module in stem:
            x = module(x)
    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_a_full_size_network_learns_and_answers() -> None:
    network = InceptionResNetV2(in_channels=6, classes=7)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images, labels = torch.randn(2, 6, 299, 299), torch.tensor([1, 5])
    before = network.conv2d_1a.conv.weight.detach().clone()
    F.cross_entropy(network(images), labels).backward()
    optimiser.step()
    assert not torch.equal(before, network.conv2d_1a.conv.weight)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    with torch.no_grad():
        assert network.eval().cells(images[:1]).shape == (1, 1536, 8, 8)


def test_clinical_numbers_join_before_the_last_layer() -> None:
    network = InceptionResNetV2(in_channels=6, classes=3, clinical=5, width=0.125).eval()
    x, clinical = torch.randn(2, 6, SMALLEST_IMAGE, SMALLEST_IMAGE), torch.randn(2, 5)
    with torch.no_grad():
        features = network.features(x)
        assert features.shape == (2, network.feature_count) == (2, 192)
        wanted = torch.cat([features, clinical], dim=1) @ network.classif.weight.T + network.classif.bias
        torch.testing.assert_close(network(x, clinical), wanted)
    with pytest.raises(ValueError, match="5 clinical numbers"):
        network(x)
    with pytest.raises(ValueError, match="0 clinical numbers"):
        InceptionResNetV2(in_channels=6, classes=3, width=0.125)(x, clinical)


def test_the_last_residual_sum_passes_no_relu() -> None:
    network = InceptionResNetV2(in_channels=3, classes=2, width=0.125)
    residuals = [module for module in network.modules() if isinstance(module, Residual)]
    assert [module.is_last for module in residuals] == [False] * 39 + [True]
