"""A :class:`~LiverLesionAI.networks.resnet3d.MultitaskResNet3D` as arrays, for engines that need no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LiverLesionAI.errors import BundleError
from LiverLesionAI.networks.heads import Heads, heads_of

BLOCKS = tuple((layer, block) for layer in (1, 2, 3, 4) for block in (0, 1))
"""Stage and position of a ResNet-18's basic blocks."""
_EPSILON = 1e-5
"""Added to the variance by PyTorch's batch normalisation."""


@dataclass(frozen=True)
class Convolution:
    """A convolution that does the work of the normalisation behind it.

    Attributes
    ----------
    kernel
        float32 ``[out, in, z, y, x]``.
    bias
        float32 ``[out]``.
    """

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Branch:
    """One sequence's branch.

    Attributes
    ----------
    stem
        The first convolution.
    blocks
        Both convolutions of each of :data:`BLOCKS`, and the one beside them where there is one.
    """

    stem: Convolution
    blocks: tuple[tuple[Convolution, ...], ...]

    @property
    def arrays(self) -> list[np.ndarray]:
        """Kernels and biases of the blocks in their order."""
        return [array for block in self.blocks for each in block for array in (each.kernel, each.bias)]

    @property
    def kernels(self) -> list[np.ndarray]:
        """Kernels of the blocks in their order."""
        return [each.kernel for block in self.blocks for each in block]


@dataclass(frozen=True)
class Member:
    """One network: its branches by sequence, and its heads."""

    branches: Mapping[str, Branch]
    heads: Heads


def widens(block: tuple[int, int]) -> bool:
    """Whether a block halves the sides and doubles the channels, which a convolution beside it does too."""
    layer, position = block
    return layer > 1 and position == 0


def holds_resnet3d(path: Path, sequences: Sequence[str]) -> bool:
    """Whether a file of weights is that of such a network with these sequences."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
    except (SafetensorError, OSError):
        return False
    return names >= {"mean_features", *(f"branches.{name}.layer4.1.conv2.weight" for name in sequences)}


def read_member(path: Path, sequences: Sequence[str], leading: Mapping[str, Sequence[int]]) -> Member:
    """Read a network's file, whose hash has been compared with the bundle's already.

    Parameters
    ----------
    path
        The ``.safetensors`` file.
    sequences
        Of the network.
    leading
        Task to the positions of the sequences that lead its head.

    Raises
    ------
    BundleError
        If the file is damaged or not of this network.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(path).items()}
        branches = {name: _branch(tensors, f"branches.{name}.") for name in sequences}
        return Member(branches, heads_of(tensors, leading))
    except (SafetensorError, OSError, KeyError) as error:
        raise BundleError(f"{path} does not fit its network ({error}); get the bundle again.") from None


def _branch(tensors: Mapping[str, np.ndarray], prefix: str) -> Branch:
    stem = _folded(tensors, f"{prefix}conv1", f"{prefix}bn1")
    return Branch(stem, tuple(tuple(_block(tensors, prefix, each)) for each in BLOCKS))


def _block(tensors: Mapping[str, np.ndarray], prefix: str, block: tuple[int, int]) -> Iterator[Convolution]:
    layer, position = block
    name = f"{prefix}layer{layer}.{position}."
    yield _folded(tensors, f"{name}conv1", f"{name}bn1")
    yield _folded(tensors, f"{name}conv2", f"{name}bn2")
    if widens(block):
        yield _folded(tensors, f"{name}downsample.0", f"{name}downsample.1")


def _folded(tensors: Mapping[str, np.ndarray], convolution: str, norm: str) -> Convolution:
    """Let a convolution without a bias scale and shift its channels as the normalisation behind it does."""
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + np.float32(_EPSILON))
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None, None]
    return Convolution(kernel, tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale)
