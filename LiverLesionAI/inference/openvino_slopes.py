"""Branches of a 3D ResNet on OpenVINO, and their gradients: graphs to which weights are handed in.

All branches of all members have the same shape, so that each graph is compiled once for all of them, in a
fraction of a second. OpenVINO knows no gradients; a graph puts down the operators of each block backwards.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.inference.openvino_runtime import ov
from LiverLesionAI.networks.resnet3d_arrays import BLOCKS, Branch, Convolution, widens

op: Any = ov.opset13
Array = NDArray[np.float32]

_STEM = {"strides": [2] * 3, "pads_begin": [3] * 3, "pads_end": [3] * 3, "dilations": [1] * 3}
_MOST_THREADS = 7
_SMALL = 16
"""Sides of an even image that shows all that there is to see of a larger one: its borders and its middle."""


class BranchGraphs:
    """Runs any branch, from a patch to its features and back.

    Several threads may use it at a time.

    Parameters
    ----------
    precision
        ``"f32"`` or ``"bf16"``.
    threads
        How many may run branches at a time, each on a core: there are seven of them at most. By default as
        many as there are processors.
    """

    def __init__(self, precision: str, threads: int | None = None) -> None:
        self.threads = min(threads or os.cpu_count() or 1, _MOST_THREADS)
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled = cache(self._compile)
        self._compiling = Lock()
        self._idle: defaultdict[tuple[object, ...], list[Any]] = defaultdict(list)

    def cells(self, patch: Array, level: float, stems: Sequence[Convolution]) -> tuple[Array, Array]:
        """Run the first convolutions of members that are joint, for a patch and for it with an even image.

        Parameters
        ----------
        patch
            ``[2, D, H, W]``: image and annotation.
        level
            The even image's value.
        stems
            Of each member.

        Returns
        -------
        tuple of numpy.ndarray
            The cells of the patch and those with an even image, ``[members, C, D/2, H/2, W/2]``.
        """
        kernel = np.concatenate([stem.kernel for stem in stems])
        bias = np.concatenate([stem.bias for stem in stems])
        small = np.full((1, 1, *_small(patch.shape[1:])), level, np.float32)
        given = (patch[None, :1], patch[None, 1:], small, kernel[:, :1], kernel[:, 1:], bias)
        found, even = self._ran(_cells_graph, (*patch.shape[1:], len(bias)), given)
        shape = (len(stems), -1, *found.shape[2:])
        return found.reshape(shape), even.reshape(shape)

    def features(self, points: Array, branch: Branch) -> tuple[Array, list[Array]]:
        """Run the blocks of a branch: pooled cells ``[P, C, d, h, w]`` to features ``[P, F]``.

        Returns
        -------
        tuple
            The features, and what came out of each rectifier on the way.
        """
        found, *rectified = self._ran(_features_graph, points.shape, (points, *branch.arrays))
        return found, rectified

    def slopes(self, rectified: Sequence[Array], branch: Branch, slopes: Array) -> Array:
        """Gradient in pooled cells, ``[P, C, d, h, w]``, of what has `slopes` ``[P, F]`` in the features.

        Parameters
        ----------
        rectified
            As :meth:`features` gave it for these cells.
        branch
            The branch.
        slopes
            Of the features.
        """
        given = (*rectified, *branch.kernels, slopes)
        (found,) = self._ran(_slopes_graph, rectified[0].shape, given)
        return found

    def _ran(
        self, graph: Callable[..., Any], shape: tuple[int, ...], given: Sequence[NDArray[Any]]
    ) -> list[Array]:
        """Run a graph of some shape by a request that no other thread uses meanwhile."""
        idle = self._idle[graph, shape]
        try:
            request = idle.pop()
        except IndexError:
            with self._compiling:
                request = self._compiled(graph, shape).create_infer_request()
        request.infer([np.ascontiguousarray(each, np.float32) for each in given], share_inputs=True)
        found = [np.array(request.get_output_tensor(i).data) for i in range(len(request.model_outputs))]
        idle.append(request)
        return found

    def let_go(self) -> None:
        """Let go of what graphs were last given; what is compiled stays."""
        self._idle.clear()

    def _compile(self, graph: Callable[..., Any], shape: tuple[int, ...]) -> Any:
        return ov.Core().compile_model(graph(*shape), "CPU", self._settings)


def _cells_graph(depth: int, height: int, width: int, channels: int) -> Any:
    """From image, annotation, small even image and joint stems to the cells with each of both images."""
    sides = (depth, height, width)
    image, annotation = (op.parameter([1, 1, *sides], np.float32) for _ in range(2))
    small = op.parameter([1, 1, *_small(sides)], np.float32)
    kernel, others = (op.parameter([channels, 1, 7, 7, 7], np.float32) for _ in range(2))
    bias = op.parameter([channels], np.float32)
    beside = _biased(op.convolution(annotation, others, **_STEM), bias)
    even = op.convolution(small, kernel, **_STEM)
    for axis, side in enumerate(sides, start=2):
        even = op.gather(even, op.constant(_stretched(side, even.shape[axis])), op.constant(np.int64(axis)))
    found = (op.convolution(image, kernel, **_STEM), even)
    cells = [op.result(op.relu(op.add(each, beside))) for each in found]
    return ov.Model(cells, [image, annotation, small, kernel, others, bias], "cells")


def _small(sides: Sequence[int]) -> list[int]:
    return [min(side, _SMALL + side % 2) for side in sides]


def _stretched(side: int, small: int) -> NDArray[np.int64]:
    """Which cell of a small even image stands for each of a large one: those at its borders stay there."""
    count = (side + 1) // 2
    places = np.minimum(np.arange(count), small // 2)
    places[count - small // 2 :] = np.arange(small - small // 2, small)
    return places


@dataclass(frozen=True)
class _Block:
    """A basic block that was put down: what it reads, holds and gives, and its kernels."""

    given: Any
    middle: Any
    result: Any
    kernels: tuple[Any, ...]
    stride: int

    def backwards(self, slopes: Any) -> Any:
        """Put down the gradient in what it reads, behind that in what it gives."""
        first, second, *beside = self.kernels
        slopes = _where_positive(self.result, slopes)
        inner = _where_positive(self.middle, _transposed(slopes, second, 1, 1, self.middle))
        through = _transposed(inner, first, self.stride, 1, self.given)
        past = _transposed(slopes, beside[0], self.stride, 0, self.given) if beside else slopes
        return op.add(through, past)


def _features_graph(points: int, channels: int, *sides: int) -> Any:
    """From pooled cells and a branch's arrays to features."""
    given, blocks, last = _blocks(points, channels, sides)
    rectified = [each for block in blocks for each in (block.middle, block.result)]
    return ov.Model([op.result(each) for each in (_means(last), *rectified)], given, "features")


def _slopes_graph(points: int, channels: int, *sides: int) -> Any:
    """From what rectifiers gave, a branch's kernels and the features' slopes to the pooled cells' slopes."""
    _, forwards, last = _blocks(points, channels, sides)
    blocks = [
        replace(
            block,
            middle=_given(block.middle),
            result=_given(block.result),
            kernels=tuple(map(_given, block.kernels)),
        )
        for block in forwards
    ]
    given = [each for block in blocks for each in (block.middle, block.result)]
    given += [kernel for block in blocks for kernel in block.kernels]
    slopes = op.parameter([points, last.shape[1]], np.float32)
    spread = op.reshape(slopes, op.constant(np.array([points, -1, 1, 1, 1])), False)
    share = np.full((1, 1, *last.shape[2:]), 1 / np.prod(last.shape[2:]), np.float32)
    found = op.multiply(spread, op.constant(share))
    for block in reversed(blocks):
        found = block.backwards(found)
    return ov.Model([found], [*given, slopes], "slopes")


def _given(like: Any) -> Any:
    return op.parameter(like.shape, np.float32)


def _blocks(points: int, channels: int, sides: Sequence[int]) -> tuple[list[Any], list[_Block], Any]:
    """The blocks, one after the other: what is to be given, the blocks, and what the last one gives."""
    x = op.parameter([points, channels, *sides], np.float32)
    given, blocks = [x], []
    for each in BLOCKS:
        before = x.shape[1]
        wide, stride = (2 * before, 2) if widens(each) else (before, 1)
        shapes = [[wide, before, 3, 3, 3], [wide, wide, 3, 3, 3], [wide, before, 1, 1, 1]]
        layers = [
            (op.parameter(shape, np.float32), op.parameter([wide], np.float32))
            for shape in shapes[: 3 if widens(each) else 2]
        ]
        first, second, *beside = layers
        middle = op.relu(_convolved(x, first, stride, 1))
        past = _convolved(x, beside[0], stride, 0) if beside else x
        result = op.relu(op.add(_convolved(middle, second, 1, 1), past))
        blocks.append(_Block(x, middle, result, tuple(kernel for kernel, _ in layers), stride))
        given += [array for layer in layers for array in layer]
        x = result
    return given, blocks, x


def _convolved(x: Any, layer: tuple[Any, Any], stride: int, pad: int) -> Any:
    kernel, bias = layer
    return _biased(op.convolution(x, kernel, [stride] * 3, [pad] * 3, [pad] * 3, [1] * 3), bias)


def _biased(x: Any, bias: Any) -> Any:
    return op.add(x, op.reshape(bias, op.constant(np.array([1, -1, 1, 1, 1])), False))


def _transposed(slopes: Any, kernel: Any, stride: int, pad: int, like: Any) -> Any:
    """The gradient in what a convolution reads, which is shaped as `like`."""
    sides = op.constant(np.array(list(like.shape)[2:], np.int64))
    return op.convolution_backprop_data(
        slopes, kernel, [stride] * 3, sides, pads_begin=[pad] * 3, pads_end=[pad] * 3, dilations=[1] * 3
    )


def _where_positive(x: Any, slopes: Any) -> Any:
    """The gradient in what a rectifier reads, which gave `x`."""
    return op.multiply(slopes, op.convert(op.greater(x, np.float32(0)), "f32"))


def _means(x: Any) -> Any:
    return op.reduce_mean(x, op.constant(np.array([2, 3, 4])), False)
