"""Weights on disk: safetensors, half precision where it is harmless."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from LiverLesionAI.errors import BundleError, OutputError
from LiverLesionAI.files import whole_file

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def save_weights(network: nn.Module, path: Path, *, half: bool = True) -> None:
    """Write a network's weights, whole or not at all.

    Parameters
    ----------
    network
        Any module; its buffers are written too.
    path
        The ``.safetensors`` file.
    half
        Store kernels and matrices as float16. Vectors (normalisation, biases) and buffers stay float32.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    parameters = network.named_parameters(remove_duplicate=False)
    kernels = {name for name, parameter in parameters if parameter.ndim > 1}
    tensors = {
        name: _copy(tensor.detach(), torch.float16 if half and name in kernels else tensor.dtype)
        for name, tensor in network.state_dict().items()
    }
    try:
        with whole_file(path) as partial:
            save_file(tensors, partial)
            partial.chmod(0o644)
    except SafetensorError as error:
        raise OutputError(f"{path} cannot be written ({error}); choose another folder.") from None


def load_weights(network: nn.Module, path: Path, device: str = "cpu") -> nn.Module:
    """Give a network built on device ``"meta"`` its weights, float32 and channels last.

    Each tensor is read, widened and laid out by itself, so that no second copy of the weights is ever held.

    Raises
    ------
    BundleError
        If the file is damaged or its tensors are not those of the network.
    """
    expected = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            if set(file.keys()) != set(expected):
                raise BundleError(f"{path} does not hold the tensors of its network; get the bundle again.")
            tensors = {name: _ready(file.get_tensor(name), device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is damaged ({error}); get the bundle again.") from None
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise BundleError(f"{path}: {name} has another shape than in its network; get the bundle again.")
    network.load_state_dict(tensors, assign=True)
    return network.requires_grad_(False).eval()


def _copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of its own, since safetensors refuses tensors that share memory."""
    return tensor.to("cpu", dtype, copy=True).contiguous()


def _ready(tensor: Tensor, device: str) -> Tensor:
    layout = _LAYOUTS.get(tensor.ndim, torch.preserve_format)
    return tensor.to(device, torch.float32 if tensor.is_floating_point() else None, memory_format=layout)
