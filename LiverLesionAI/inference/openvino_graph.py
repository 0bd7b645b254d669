"""Networks as graphs of OpenVINO, built of its operators from weights that torch has loaded.

Nothing is traced or converted: each kind of module has a function here that puts down the operators that do
what its ``forward`` does in evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce, singledispatch
from itertools import takewhile
from typing import Any

import numpy as np
from monai.networks.nets.resnet import ResNetBlock
from torch import Tensor, nn

from LiverLesionAI.inference.engine import FEATURES
from LiverLesionAI.inference.openvino_runtime import HEADS, ov
from LiverLesionAI.networks.ct_cnn import CtCnn
from LiverLesionAI.networks.inception_resnet_v2 import Convolution, InceptionResNetV2, Parallel, Residual
from LiverLesionAI.networks.resnet3d import MultitaskResNet3D, parts_of
from LiverLesionAI.networks.slice_network import SliceNetwork

op: Any = ov.opset13

_LAST_LAYERS: dict[type, str] = {InceptionResNetV2: "classif", CtCnn: "classifier"}


class UnknownModuleError(Exception):
    """A module that no function here puts down."""


def graphs(networks: Sequence[nn.Module], shape: Sequence[int]) -> Iterator[tuple[str, Any]]:
    """Build the graphs of a model's members, several at a time, one graph after the other.

    Parameters
    ----------
    networks
        Members as :func:`LiverLesionAI.inference.engine.load_fold` gives them. Of branches whose graph is
        taken the weights are let go.
    shape
        Channels and sides of an input.

    Yields
    ------
    name : str
        Sequence whose branch it is, or :data:`FEATURES` of a network with one; :data:`HEADS` at the end.
    model : openvino.Model
        From an input, ``[1, *shape]``, to the features of each member, ``[members, …]``; heads from these,
        and from the sequences that are present where absent ones are stood in for, to the features with
        stand-ins and each task's logits, ``[members, classes]``.
    """
    first = networks[0]
    if isinstance(first, MultitaskResNet3D):
        yield from _branches(networks, shape)  # type: ignore[arg-type]
    elif isinstance(first, SliceNetwork):
        yield from _slices(networks, shape)  # type: ignore[arg-type]
    else:
        raise UnknownModuleError(type(first).__name__)


def _branches(networks: Sequence[MultitaskResNet3D], shape: Sequence[int]) -> Iterator[tuple[str, Any]]:
    for name in networks[0].sequences:
        branches = [network.branches[name] for network in networks]
        x = op.parameter([1, *shape], np.float32)
        stems = [list(parts_of(branch)) for branch in branches]
        joint = _convolution(x, *_joined([parts[0] for parts in stems]), stems[0][0])
        outputs = op.split(joint, 1, len(branches)).outputs() if len(branches) > 1 else [joint]
        ends = [reduce(_then, parts[1:], found) for parts, found in zip(stems, outputs, strict=True)]
        yield name, ov.Model([_flat(_stacked(ends))], [x], name)
        for branch in branches:
            branch.to_empty(device="meta")
    yield HEADS, _branch_heads(networks)


def _joined(stems: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Kernels and biases of the first layers of several members as those of one.

    They read the same image; a narrow network does not fill the vectors of a processor by itself.
    """
    return (
        np.concatenate([_values(stem.weight) for stem in stems]),
        np.concatenate([_values(stem.bias) for stem in stems]),
    )


def _branch_heads(networks: Sequence[MultitaskResNet3D]) -> Any:
    count, width = len(networks[0].sequences), networks[0].feature_count
    given = op.parameter([len(networks), count, width], np.float32)
    present = op.parameter([1, count, 1], np.bool_)
    means = np.stack([_values(network.mean_features) for network in networks])
    features = op.select(present, given, op.constant(means))
    logits: dict[str, list[Any]] = {}
    for network, own in zip(networks, _apart(features, len(networks)), strict=True):
        for task, leading in network.fused.items():
            places = [*leading, *range(count)]
            read = op.gather(own, op.constant(np.array(places)), op.constant(np.int64(1)))
            logits.setdefault(task, []).append(emitted(network.head(task), _flat(read)))
    return _model(
        {FEATURES: features, **{task: _stacked(each) for task, each in logits.items()}}, given, present
    )


def _slices(networks: Sequence[SliceNetwork], shape: Sequence[int]) -> Iterator[tuple[str, Any]]:
    x, present = op.parameter([1, *shape], np.float32), op.parameter([1, shape[0], 1, 1], np.float32)
    mean, sd = networks[0].scale
    scaled = op.multiply(op.divide(op.subtract(x, np.float32(mean)), np.float32(sd)), present)
    ends = [_flat(emitted(network.image, scaled)) for network in networks]  # type: ignore[arg-type]
    yield FEATURES, ov.Model([_stacked(ends)], [x, present], FEATURES)
    image = networks[0].image
    given = op.parameter([len(networks), image.feature_count + image.clinical], np.float32)
    apart = zip(networks, _apart(given, len(networks)), strict=True)
    last = _LAST_LAYERS[type(image)]
    logits = _stacked([emitted(getattr(network.image, last), own) for network, own in apart])
    yield HEADS, _model({FEATURES: given, networks[0].task: logits}, given)


def _model(outputs: dict[str, Any], *parameters: Any) -> Any:
    results = []
    for name, output in outputs.items():
        result = op.result(output)
        result.output(0).set_names({name})
        results.append(result)
    return ov.Model(results, list(parameters), HEADS)


def _apart(x: Any, count: int) -> list[Any]:
    return list(op.split(x, 0, count).outputs()) if count > 1 else [x]


def _stacked(parts: Sequence[Any]) -> Any:
    return op.concat(list(parts), 0) if len(parts) > 1 else parts[0]


def _then(x: Any, module: Any) -> Any:
    return emitted(module, x)


def _flat(x: Any) -> Any:
    return op.reshape(x, op.constant(np.array([0, -1])), True)


def _values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@singledispatch
def emitted(module: nn.Module, x: Any) -> Any:
    """Put down the operators of a module behind `x`; returns what comes out of them.

    Raises
    ------
    UnknownModuleError
        If it is of a kind that is not known here.
    """
    raise UnknownModuleError(type(module).__name__)


@emitted.register(nn.Identity)
@emitted.register(nn.Dropout)
@emitted.register(nn.Dropout2d)
def _nothing(module: nn.Module, x: Any) -> Any:
    return x


@emitted.register
def _in_turn(module: nn.Sequential, x: Any) -> Any:
    return reduce(_then, module, x)


@emitted.register(nn.Conv2d)
@emitted.register(nn.Conv3d)
def _convolved(module: Any, x: Any) -> Any:
    bias = None if module.bias is None else _values(module.bias)
    return _convolution(x, _values(module.weight), bias, module)


def _convolution(x: Any, kernel: np.ndarray, bias: np.ndarray | None, like: Any) -> Any:
    if like.groups != 1 or isinstance(like.padding, str) or like.padding_mode != "zeros":
        raise UnknownModuleError("grouped or otherwise padded convolution")
    padding = list(like.padding)
    found = op.convolution(x, op.constant(kernel), list(like.stride), padding, padding, list(like.dilation))
    return found if bias is None else op.add(found, op.constant(bias.reshape(1, -1, *(1,) * len(padding))))


@emitted.register
def _linear(module: nn.Linear, x: Any) -> Any:
    found = op.matmul(x, op.constant(_values(module.weight)), False, True)
    return found if module.bias is None else op.add(found, op.constant(_values(module.bias)))


@emitted.register
def _rectified(module: nn.ReLU, x: Any) -> Any:
    return op.relu(x)


@emitted.register
def _flattened(module: nn.Flatten, x: Any) -> Any:
    return _flat(x)


@emitted.register(nn.MaxPool2d)
@emitted.register(nn.MaxPool3d)
def _largest(module: Any, x: Any) -> Any:
    sides = 2 if isinstance(module, nn.MaxPool2d) else 3
    kernel, stride, padding = (
        _per_axis(each, sides) for each in (module.kernel_size, module.stride, module.padding)
    )
    return op.max_pool(x, stride, [1] * sides, padding, padding, kernel).output(0)


@emitted.register
def _averaged(module: nn.AvgPool2d, x: Any) -> Any:
    kernel, stride, padding = (
        _per_axis(each, 2) for each in (module.kernel_size, module.stride, module.padding)
    )
    return op.avg_pool(x, stride, padding, padding, kernel, not module.count_include_pad)


def _per_axis(value: int | Sequence[int], axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value)


@emitted.register
def _mean(module: nn.AdaptiveAvgPool3d, x: Any) -> Any:
    return op.reduce_mean(x, op.constant(np.array([2, 3, 4])), True)


@emitted.register
def _block(module: ResNetBlock, x: Any) -> Any:
    """A basic block, its normalisation folded into its convolutions."""
    found = emitted(module.act, emitted(module.bn1, emitted(module.conv1, x)))
    found = emitted(module.bn2, emitted(module.conv2, found))
    beside = x if module.downsample is None else _then(x, module.downsample)
    return op.relu(op.add(found, beside))


@emitted.register
def _activated(module: Convolution, x: Any) -> Any:
    return op.relu(emitted(module.bn, emitted(module.conv, x)))


@emitted.register
def _beside(module: Parallel, x: Any) -> Any:
    return op.concat([emitted(module.get_submodule(f"branch{n}"), x) for n in range(module.branch_count)], 1)


@emitted.register
def _residual(module: Residual, x: Any) -> Any:
    change = op.multiply(emitted(module.conv2d, _beside(module, x)), np.float32(module.scale))
    total = op.add(x, change)
    return total if module.is_last else op.relu(total)


@emitted.register
def _inception(module: InceptionResNetV2, x: Any) -> Any:
    parts = takewhile(lambda named: named[0] != "dropout", module.named_children())
    cells = reduce(_then, (part for _, part in parts), x)
    return op.reduce_mean(cells, op.constant(np.array([2, 3])), False)


@emitted.register
def _ct_cnn(module: CtCnn, x: Any) -> Any:
    for number, pair in enumerate(module.pairs):
        x = emitted(pair, emitted(module.pool, x) if number else x)
    return emitted(module.dense, emitted(module.pool, x))
