"""Weights on disk: safetensors, half precision where it is harmless."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from LiverLesionAI.errors import BundleError, ConfigError, OutputError
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
        If the file cannot be written, or the network has weights that are not finite as they would be stored.
    """
    parameters = network.named_parameters(remove_duplicate=False)
    kernels = {name for name, parameter in parameters if parameter.ndim > 1}
    tensors = {
        name: _copy(tensor.detach(), torch.float16 if half and name in kernels else tensor.dtype)
        for name, tensor in network.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise OutputError(
                f"{path} was not written: {name} of the network has values that are not numbers; train again "
                "with a lower learning rate."
            )
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
        See :func:`checked_tensors`.
    """
    tensors = checked_tensors(network, path, lambda tensor: _ready(tensor, device))
    network.load_state_dict(dict(tensors), assign=True)
    return network.requires_grad_(False).eval()


def checked_tensors(
    network: nn.Module, path: Path, ready: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> Iterator[tuple[str, Tensor]]:
    """Read the tensors of a file one by one, as they are stored.

    Parameters
    ----------
    network
        Whose tensors they are to be.
    path
        The file.
    ready
        What is made of each tensor; values are checked in what it gives, since those of float32 are summed
        several times faster than those of float16.

    Raises
    ------
    BundleError
        If the file is damaged, its tensors are not those of the network by name, shape and kind of number,
        or one holds a value that is not finite.
    """
    expected = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            if strange := sorted(set(file.keys()) ^ set(expected)):
                raise _unfitting(path, strange[0], "missing or unknown")
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                _check_tensor(path, name, tensor, expected[name])
                yield name, _finite(path, name, ready(tensor))
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is damaged ({error}); get the bundle again.") from None


def published_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of published weights, ``.safetensors`` or ``.pth``; nothing in it is ever executed.

    Raises
    ------
    ConfigError
        If it is damaged, or holds more than tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
        raise ConfigError(
            f"{path} is damaged or no file of weights, and such a file can run any code; get it again."
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(each, Tensor) for each in weights.values()):
        raise ConfigError(f"{path} holds more than tensors by name; give a file of a network's state.")
    for name, tensor in weights.items():
        if not _is_finite(tensor):
            raise ConfigError(f"{path}: {name} holds values that are not numbers; get the file again.")
    return weights


def _check_tensor(path: Path, name: str, tensor: Tensor, expected: Tensor) -> None:
    if tensor.shape != expected.shape:
        raise _unfitting(path, name, "of another shape")
    if tensor.is_floating_point() != expected.is_floating_point() or tensor.is_complex():
        raise _unfitting(path, name, f"of type {str(tensor.dtype).removeprefix('torch.')}")


def _finite(path: Path, name: str, tensor: Tensor) -> Tensor:
    if _is_finite(tensor):
        return tensor
    raise BundleError(
        f"{path}: {name} holds values that are not numbers (NaN or infinite); do not use this bundle."
    )


def _unfitting(path: Path, name: str, what: str) -> BundleError:
    return BundleError(f"{path} does not fit its network ({name} is {what}); get the bundle again.")


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite; their sum tells, which is read once, unless it overflows."""
    if not tensor.is_floating_point():
        return True
    total = tensor.sum(dtype=torch.float32)
    return bool(total.isfinite()) or bool(tensor.isfinite().all())


def _copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of its own, since safetensors refuses tensors that share memory."""
    return tensor.to("cpu", dtype, copy=True).contiguous()


def _ready(tensor: Tensor, device: str) -> Tensor:
    layout = _LAYOUTS.get(tensor.ndim, torch.preserve_format)
    return tensor.to(device, torch.float32 if tensor.is_floating_point() else None, memory_format=layout)
