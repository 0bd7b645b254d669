"""Convolutions as processors like them: straight to oneDNN, and with their batch normalisation folded in."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Convolution2d(nn.Conv2d):
    """A 2D convolution that is fast on processors for kernels of 1×1 too.

    For those PyTorch leaves oneDNN for a convolution of its own (``benchmarks/zhen2020/speed.py``).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, H, W]``."""
        return straight(self, x, self.weight, self.bias) if can_go_straight(x) else super().forward(x)


class Convolution3d(nn.Conv3d):
    """A 3D convolution that is fast on processors for a single lesion too.

    For a batch of one and small kernels PyTorch leaves oneDNN for a convolution of its own, which takes about
    twice as long (``benchmarks/inference.py``).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, D, H, W]``."""
        return straight(self, x, self.weight, self.bias) if can_go_straight(x) else super().forward(x)


def can_go_straight(x: Tensor) -> bool:
    """Whether oneDNN itself can be called for this input: float32, on a processor, without gradients."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()
    )


def straight(layer: nn.Conv2d | nn.Conv3d, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Run a layer by oneDNN itself (:func:`can_go_straight`), with its kernel and bias or parts of them."""
    assert not isinstance(layer.padding, str)
    return torch.mkldnn_convolution(
        x, kernel, bias, layer.padding, layer.stride, layer.dilation, layer.groups
    )


def fold_normalisation(network: nn.Module) -> nn.Module:
    """Let each convolution do the work of the batch normalisation behind it, in place.

    In evaluation the latter only scales and shifts channels by fixed numbers, which kernel and bias can do as
    well: answers and gradients stay the same, and every image is passed over once less. In all networks here
    a convolution and a normalisation that are neighbours within a module follow each other.

    Parameters
    ----------
    network
        In evaluation mode; it can neither be trained on nor take weights from a file any more.

    Returns
    -------
    nn.Module
        The same network.
    """
    for module in list(network.modules()):
        for (_, layer), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d | nn.Conv3d) and isinstance(norm, _BatchNorm):
                _take_over(layer, norm)
                setattr(module, after, nn.Identity())
    return network


@torch.no_grad()
def _take_over(layer: nn.Conv2d | nn.Conv3d, norm: _BatchNorm) -> None:
    """Scale a convolution's kernel in place, and give it the bias that is left of the normalisation.

    As :func:`torch.nn.utils.fuse_conv_bn_eval` does, without its copies, which take longer than the product.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    shrink = torch.rsqrt(norm.running_var + norm.eps)
    layer.weight.mul_((norm.weight * shrink).reshape(-1, *(1,) * (layer.weight.ndim - 1)))
    before = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
    bias = (before - norm.running_mean) * shrink * norm.weight + norm.bias
    layer.bias = nn.Parameter(bias, layer.weight.requires_grad)
