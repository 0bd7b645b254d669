"""The network that a bundle's metadata or a training configuration describes."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from LiverLesionAI.bundles.metadata import Network, Task
from LiverLesionAI.networks.resnet3d import Head, MultitaskResNet3D
from LiverLesionAI.taxonomy import TAXONOMIES


def build_network(
    sequences: tuple[str, ...], tasks: Mapping[str, Task], network: Network, *, device: str = "cpu"
) -> MultitaskResNet3D:
    """Build a network; on device ``"meta"`` without memory or random numbers for its weights."""
    heads = {name: Head(len(TAXONOMIES[task.taxonomy].classes), task.fused) for name, task in tasks.items()}
    with torch.device(device):
        return MultitaskResNet3D(sequences, heads, width=network.width, head_hidden=network.head_hidden)
