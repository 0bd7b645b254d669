"""The class activation maps of all slices, kept while a model classifies them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.inference.engine import Ran, run_batches
from LiverLesionAI.inference.execution import Execution
from LiverLesionAI.inputs.base import NetworkInput

if TYPE_CHECKING:
    from torch import Tensor, nn


class EvidenceRunner:
    """Runs a detector as :func:`LiverLesionAI.inference.engine.run_batches` does, and keeps its maps.

    Parameters
    ----------
    index
        Position of the class that is looked for.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self._members: list[NDArray[np.float32]] = []

    def __call__(
        self, network: nn.Module, inputs: Sequence[NetworkInput], execution: Execution, batch_size: int, /
    ) -> Ran:
        """Run one member on all slices."""
        maps: list[np.ndarray] = []

        def keep(features: Tensor) -> None:
            found = network.evidence(features.float(), self._index)  # type: ignore[operator]
            maps.append(found.cpu().numpy())

        ran = run_batches(network, inputs, execution, batch_size, keep)
        self._members.append(np.concatenate(maps))
        return ran

    @property
    def evidence(self) -> NDArray[np.float32]:
        """Mean map over members, in log-odds, ``[slice, h, w]``."""
        return np.mean(self._members, axis=0, dtype=np.float32)
