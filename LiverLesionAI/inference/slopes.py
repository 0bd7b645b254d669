"""Gradients of branches by an engine that needs no torch: what explanations ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.networks.resnet3d_arrays import Branch, Convolution, Member

Array = NDArray[np.float32]


class Graphs(Protocol):
    """Runs any branch of a 3D ResNet, from a patch to its features and back; in several threads at a time.

    :class:`LiverLesionAI.inference.openvino_slopes.BranchGraphs` says what comes in and out.
    """

    threads: int

    def cells(self, patch: Array, level: float, stems: Sequence[Convolution], /) -> tuple[Array, Array]: ...
    def features(self, points: Array, branch: Branch, /) -> tuple[Array, list[Array]]: ...
    def slopes(self, rectified: Sequence[Array], branch: Branch, slopes: Array, /) -> Array: ...
    def let_go(self) -> None: ...


@dataclass(frozen=True)
class MemberSlopes:
    """What takes gradients of members' branches without torch.

    Attributes
    ----------
    parts
        Members that are run jointly, as far as they can be.
    members
        Reads the weights of a part.
    graphs
        Runs the branches.
    keep
        Whether weights stay in memory once they were read.
    """

    parts: Sequence[range]
    members: Callable[[range], Sequence[Member]]
    graphs: Graphs
    keep: bool
