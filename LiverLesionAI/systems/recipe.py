"""How the networks of a system learn: the part of a system that only training asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from LiverLesionAI.inputs.base import NetworkInput

if TYPE_CHECKING:
    from torch import Tensor, nn

    from LiverLesionAI.study import Study
    from LiverLesionAI.systems.spec import ModelSpec


@dataclass(frozen=True)
class Draw:
    """Which variant of a cached case a batch shows, and how it is varied further.

    Attributes
    ----------
    variant
        Position among the cached variants; 0 is the case as inference sees it.
    rng
        Source of the online augmentation; None for none.
    central
        Whether only the centre of the patch is wanted.
    labels
        The case's class index in each task, for recipes that vary some classes alone.
    """

    variant: int = 0
    rng: np.random.Generator | None = None
    central: bool = False
    labels: tuple[int, ...] = ()


class Recipe(ABC):
    """How the networks of a system learn.

    Attributes
    ----------
    truths
        The taxonomy that the diagnoses of a cohort belong to; every task's label follows from it.
    augmentation_settings
        Type of the settings of online augmentation.
    options
        Those of ``central_epochs`` and ``shared_kernels`` that it can do.
    says_present
        Whether the second array of :meth:`batch` says which sequences are there, booleans ``[B, S]``;
        networks are then asked what they say without one.
    most_lesions
        Lesions of one patient that are learned from; None for all of them.
    """

    truths: str
    augmentation_settings: type[Any]
    says_present: bool = False
    options: frozenset[str] = frozenset()
    most_lesions: int | None = None

    @abstractmethod
    def poses(self, rng: np.random.Generator, variants: Any, patches: Any) -> list[Any]:
        """Draw the geometric variants of a case; see :class:`LiverLesionAI.training.config.Variants`.

        None where all variation is online.
        """

    def truths_of(
        self, study: Study, groups: Sequence[NetworkInput], truth: str, spec: ModelSpec
    ) -> list[str | None]:
        """Diagnosis of each group of a case: the case's own, unless groups are diagnosed by themselves.

        None for a group that is not learned from.
        """
        return [truth] * len(groups)

    @abstractmethod
    def packed(self, variants: Sequence[NetworkInput]) -> np.ndarray:
        """Put the variants of a case into one array, the first axis being the variant, to be kept on disk."""

    @abstractmethod
    def batch(
        self,
        cases: Sequence[np.ndarray],
        present: Sequence[tuple[bool, ...]],
        draws: Sequence[Draw],
        augmentation: Any,
    ) -> tuple[Tensor, ...]:
        """Make the arguments of the network's ``features`` of packed cases, augmented as drawn."""

    def begin(self, network: nn.Module, *, shared_kernels: bool) -> None:
        """Prepare a network for training, in place."""
        return None

    def finish(self, network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Settle a trained network, in place; `batches` hold the training cases as inference sees them."""
        return None

    def choices(self, spec: ModelSpec, config: Any) -> dict[str, str]:
        """What the paper leaves open and what was chosen, for the model card."""
        return {}
