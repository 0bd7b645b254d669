"""Shapley values and pairwise interactions of a cooperative game, exact, over all coalitions.

A *coalition* of `n` players is a number from 0 to 2ⁿ − 1 whose bit `i` says whether player `i` takes part; a
game is the array of what each coalition is worth, ``[2**n]``.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray


def coalitions(players: int) -> NDArray[np.bool_]:
    """Who takes part in each coalition, ``[2**players, players]``."""
    numbers = np.arange(2**players)
    return (numbers[:, None] >> np.arange(players) & 1).astype(bool)


def shapley_values(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley value of each player: the mean of what it adds, over all orders of joining.

    Parameters
    ----------
    worth
        ``[2**n]``.

    Returns
    -------
    numpy.ndarray
        ``[n]``; sums to ``worth[-1] - worth[0]``. Shapley LS. A value for n-person games. 1953.

    Examples
    --------
    Two players of whom the second only helps the first:

    >>> shapley_values(np.array([0.0, 2.0, 0.0, 3.0]))
    array([2.5, 0.5])
    """
    n, sizes = _players(worth)
    values = np.empty(n)
    for i in range(n):
        without = np.flatnonzero(np.arange(len(worth)) >> i & 1 == 0)
        weight = _weights(n)[sizes[without]]
        values[i] = weight @ (worth[without | 1 << i] - worth[without])
    return values


def shapley_interactions(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley interaction index of each pair of players.

    What two players add together beyond what each adds alone, averaged over the coalitions of the others:
    positive where they complement, negative where they repeat each other.

    Parameters
    ----------
    worth
        ``[2**n]``.

    Returns
    -------
    numpy.ndarray
        ``[n, n]``, symmetric, zero on the diagonal. Grabisch M, Roubens M. An axiomatic approach to the
        concept of interaction among players in cooperative games. Int J Game Theory 1999;28:547.

    Examples
    --------
    >>> shapley_interactions(np.array([0.0, 2.0, 0.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    n, sizes = _players(worth)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            pair = 1 << i | 1 << j
            without = np.flatnonzero(np.arange(len(worth)) & pair == 0)
            together = worth[without | pair] - worth[without | 1 << i] - worth[without | 1 << j]
            weight = _weights(n - 1)[sizes[without]]
            found[i, j] = found[j, i] = weight @ (together + worth[without])
    return found


def _players(worth: NDArray[np.float64]) -> tuple[int, NDArray[np.int64]]:
    """Number of players, and of members of each coalition."""
    n = len(worth).bit_length() - 1
    return n, coalitions(n).sum(axis=1)


def _weights(n: int) -> NDArray[np.float64]:
    """Share of the orders of `n` players in which one joins exactly the given others, by their number."""
    return np.array([factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)])
