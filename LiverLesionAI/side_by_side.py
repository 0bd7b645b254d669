"""Work that does not wait for each other, side by side: alignments, branches of a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Calls a function for each of several things; the outcomes in their order."""

    def __call__(self, function: Callable[[T], R], things: Sequence[T]) -> list[R]: ...


def one_after_the_other(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Call a function for each of several things in turn."""
    return [function(thing) for thing in things]


def in_threads(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Call a function for each of several things in as many threads as there are processors.

    It gains time where most of it is spent without Python's lock, as in hashing and in most of NumPy.
    """
    workers = min(len(things), os.cpu_count() or 1)
    if workers < 2:
        return one_after_the_other(function, things)
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, things))


@contextmanager
def a_core_each(device: str) -> Iterator[Each]:
    """Let branches of a network, which do not wait for each other, run at the same time on a processor.

    Cores that share every small convolution meet after each of thousands; where idle threads sleep
    (:mod:`LiverLesionAI.inference.execution`) or other programs take a core, meeting takes as long as
    computing. A core that has a branch to itself waits for nobody until the end. On other devices things go
    one after the other.

    Parameters
    ----------
    device
        Where the network lies.

    Yields
    ------
    Each
        The functions that it calls set precision and gradients for themselves: PyTorch keeps both by thread.
    """
    import torch

    cores = torch.get_num_threads()
    if device != "cpu" or cores == 1:
        yield one_after_the_other
        return

    try:
        with threads_for(cores, lambda: torch.set_num_threads(1)) as each:
            yield each
    finally:
        torch.set_num_threads(cores)


@contextmanager
def threads_for(count: int, begin: Callable[[], object] | None = None) -> Iterator[Each]:
    """Keep some threads ready for many small rounds of work; each calls `begin` first.

    Yields
    ------
    Each
        Calls a function for each of several things in these threads.
    """
    with ThreadPoolExecutor(count, "branch", begin) as pool:

        def each(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
            return list(pool.map(function, things))

        yield each
