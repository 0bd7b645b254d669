"""How much each sequence counted: an exact game in which the network's branches are the players.

The worth of a coalition of sequences is the log-odds of a class's member-averaged probability with the
branches outside of it replaced by their means over the training lesions. The branches run once; only the
heads run for every coalition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.coalitions import coalitions, shapley_interactions, shapley_values

if TYPE_CHECKING:
    from LiverLesionAI.networks.heads import Heads


@dataclass(frozen=True)
class LinearShares:
    """What each sequence adds to a class's logit, for heads of a single linear layer.

    Attributes
    ----------
    own
        ``[n]``; through the sequence's own block of weights, zero where the head does not lead with it.
    everything
        ``[n]``; through its part of the block ``all``.
    """

    own: NDArray[np.float64]
    everything: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """Both together, ``[n]``; sums to the logit of all sequences less that of none."""
        return self.own + self.everything


@dataclass(frozen=True)
class SequenceWeights:
    """How much each sequence counted for one class of one task.

    Attributes
    ----------
    task, target
        The task, and the class whose log-odds are shared out.
    sequences
        The players: the sequences at hand.
    worth
        float64 ``[2**n]``; log-odds of the class for each coalition
        (:mod:`LiverLesionAI.explanation.coalitions`).
    shares
        The additive parts of the logit; None unless the heads are linear.
    """

    task: str
    target: str
    sequences: tuple[str, ...]
    worth: NDArray[np.float64]
    shares: LinearShares | None = None

    @cached_property
    def shapley(self) -> NDArray[np.float64]:
        """Shapley values, ``[n]``, signed; sum to the log-odds of all sequences less those of none."""
        return shapley_values(self.worth)

    @cached_property
    def interactions(self) -> NDArray[np.float64]:
        """Shapley interaction index of each pair, ``[n, n]``, symmetric, zero on the diagonal."""
        return shapley_interactions(self.worth)

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """Sequence to ``{"share": …, "shapley": …}``, as in ``results.json``."""
        shares = [None] * len(self.sequences) if self.shares is None else self.shares.total.tolist()
        rows = zip(self.sequences, shares, self.shapley.tolist(), strict=True)
        return {name: {"share": share, "shapley": value} for name, share, value in rows}

    def pairs(self) -> list[tuple[str, str, float]]:
        """Each pair of sequences with its interaction, as in ``results.json``."""
        names = self.sequences
        return [
            (names[i], names[j], float(self.interactions[i, j]))
            for i in range(len(names))
            for j in range(i + 1, len(names))
        ]


@dataclass(frozen=True)
class MemberGame:
    """What one member's heads say to every coalition of one lesion's sequences, for every class.

    Attributes
    ----------
    logits
        Task to float64 ``[2**n, classes]``.
    shares
        Task to the linear shares of each class: ``own`` and ``everything`` ``[classes, n]``; empty unless the
        heads are linear.
    """

    logits: Mapping[str, NDArray[np.float64]]
    shares: Mapping[str, LinearShares]


def member_game(heads: Heads, features: NDArray[np.floating[Any]], present: Sequence[bool]) -> MemberGame:
    """Run a member's heads on every coalition of the sequences at hand.

    Parameters
    ----------
    heads
        Of one member.
    features
        ``[S, F]``, of one lesion.
    present
        Which of the `S` sequences are at hand; the others are represented by their means throughout.
    """
    players = [i for i, there in enumerate(present) if there]
    members = np.zeros((2 ** len(players), len(present)), bool)
    members[:, players] = coalitions(len(players))
    means = heads.mean_features
    seen = np.where(np.asarray(present)[:, None], features, means)
    logits = {task: head.logits_of_coalitions(seen, means, members) for task, head in heads.tasks.items()}
    change = seen - means
    shares = {
        task: LinearShares(*(block[:, players] for block in blocks))
        for task, head in heads.tasks.items()
        if (blocks := head.linear_shares(change)) is not None
    }
    return MemberGame(logits, shares)


def log_odds(logits: Sequence[NDArray[np.float64]], index: int) -> NDArray[np.float64]:
    """Log-odds of a class's member-averaged probability.

    Parameters
    ----------
    logits
        ``[…, classes]`` of each member.
    index
        The class.

    Returns
    -------
    numpy.ndarray
        ``[…]``; exact also where the probability is very close to 0 or 1.
    """
    from scipy.special import log_softmax, logsumexp

    logs = np.stack([log_softmax(each, axis=-1) for each in logits])
    others = np.delete(logs, index, axis=-1)
    return logsumexp(logs[..., index], axis=0) - logsumexp(others, axis=(0, -1))


def sequence_weights(
    games: Sequence[MemberGame],
    task: str,
    target: str,
    index: int,
    sequences: tuple[str, ...],
    of: Literal["log-odds", "logit"] = "log-odds",
) -> SequenceWeights:
    """Share a class's answer out among the sequences.

    Parameters
    ----------
    games
        One of each member.
    task, target, index
        The task, the class and its position among the task's classes.
    sequences
        The sequences at hand.
    of
        ``"log-odds"`` of the member-averaged probability, or the mean ``"logit"`` of the members, on which
        linear heads are an additive game.
    """
    logits = [game.logits[task] for game in games]
    worth = log_odds(logits, index) if of == "log-odds" else np.mean(logits, axis=0)[:, index]
    shares = None
    if all(task in game.shares for game in games):
        own, everything = (
            np.mean([getattr(game.shares[task], block)[index] for game in games], axis=0)
            for block in ("own", "everything")
        )
        shares = LinearShares(own, everything)
    return SequenceWeights(task, target, sequences, worth, shares)
