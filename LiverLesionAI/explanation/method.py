"""What a method of explanation is asked, and the contract that it fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.side_by_side import Each, one_after_the_other

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from LiverLesionAI.inputs.patches import LesionInput
    from LiverLesionAI.networks.heads import Heads
    from LiverLesionAI.systems.base import BranchNetwork


def class_log_odds(logits: Tensor, index: int) -> Tensor:
    """Log-odds of a class, ``[B]``, of logits ``[B, classes]``."""
    others = [other for other in range(logits.shape[1]) if other != index]
    return logits[:, index] - logits[:, others].logsumexp(dim=1)


def _untold() -> None:
    """Tell nobody that a step is done."""


Branches = Callable[[str, NDArray[np.float32]], NDArray[np.float32]]
"""A sequence's patches, ``[N, 2, D, H, W]``, to the features of all members, ``[members, N, F]``."""


@dataclass(frozen=True)
class Asked:
    """Why a model says of one lesion that it is of a class.

    Attributes
    ----------
    lesion
        The lesion.
    features
        What each member saw of the lesion, ``[members, S, F]``, float32.
    task, index
        The task that maps explain and the position of the class.
    prepared
        What :meth:`Method.prepare` made of the lesion.
    """

    lesion: LesionInput
    features: NDArray[np.float32]
    task: str
    index: int
    prepared: Any = None


@dataclass(frozen=True)
class Question:
    """Why one member of a model says of one lesion that it is of a class.

    Attributes
    ----------
    network
        The member.
    patches
        ``[S, 2, D, H, W]`` of the lesion, on the network's device.
    features
        What the member saw of the lesion, ``[S, F]``, float32, on the network's device.
    present
        Which of the `S` sequences are at hand.
    task, index
        The task and the position of the class.
    autocast
        Makes a context that sets the precision of the branches.
    stage
        Stage that activation maps are taken at.
    seed
        Of random numbers.
    prepared
        What :meth:`Method.prepare` made of the lesion.
    ahead
        The member's share of what :meth:`Method.ahead` computed; None where it did not.
    tick
        Called after each step of those that :meth:`Method.ticks` announced.
    each
        Runs branches that do not wait for each other, side by side where that is quicker.
    """

    network: BranchNetwork
    patches: Tensor
    features: Tensor
    present: tuple[bool, ...]
    task: str
    index: int
    autocast: Callable[[], torch.autocast]
    stage: str = ""
    seed: int = 0
    prepared: Any = None
    ahead: NDArray[np.float32] | None = None
    tick: Callable[[], None] = _untold
    each: Each = one_after_the_other

    @cached_property
    def heads(self) -> Heads:
        """The member's heads as arrays."""
        return self.network.heads_as_arrays()

    def log_odds(self, features: Tensor) -> Tensor:
        """Log-odds of the class, ``[B]``, of features ``[B, S, F]``.

        They are what the maps explain: unlike the logit alone they say *this class rather than the others*,
        and unlike the probability they do not saturate.
        """
        return class_log_odds(self.network.logits(features)[self.task], self.index)


class Method(ABC):
    """A way to make maps of what speaks for a class."""

    def prepare(self, lesion: LesionInput) -> Any:
        """Compute once for a lesion what all members share."""
        return None

    def ahead(self, lesion: LesionInput, prepared: Any, branches: Branches) -> NDArray[np.float32] | None:
        """Compute with all members at once what takes no gradients, on another engine than torch.

        Parameters
        ----------
        lesion
            The lesion.
        prepared
            What :meth:`prepare` made of it.
        branches
            Runs a branch of all members.

        Returns
        -------
        numpy.ndarray or None
            ``[members, …]``; None for methods of gradients.
        """
        return None

    def ticks(self, sequences: int) -> int:
        """How many steps of a member tell that they are done."""
        return 0

    @abstractmethod
    def maps(self, question: Question) -> NDArray[np.float64]:
        """Make one member's maps.

        Returns
        -------
        numpy.ndarray
            ``[S, d, h, w]``, signed, in units of log-odds; zero for absent sequences.
        """

    def on_patch(
        self, maps: NDArray[np.float64], size: int, voxels_per_cell: int | None
    ) -> NDArray[np.float64]:
        """Bring the members' mean maps to the patch's grid, ``[S, size, size, size]``."""
        return maps


def without_lesion(patches: Tensor) -> Tensor:
    """Patches ``[S, 2, D, H, W]`` filled with the median intensity outside of the lesion.

    The median stands for the parenchyma; annotations are left as they are.
    """
    import torch

    filled = patches.clone()
    level = torch.from_numpy(parenchyma(patches.cpu().numpy())).to(patches.device)
    filled[:, 0] = level[:, None, None, None]
    return filled


def parenchyma(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """The median intensity outside of the lesion, ``[S]``, of patches ``[S, 2, D, H, W]``.

    Of an even number of voxels it is the lower one of the two in the middle.
    """
    return np.array([_lower_median(image[annotation <= annotation.min()]) for image, annotation in patches])


def _lower_median(values: NDArray[np.float32]) -> np.float32:
    middle = (len(values) - 1) // 2
    found: np.float32 = np.partition(values, middle)[middle]
    return found
