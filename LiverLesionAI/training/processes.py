"""Processes that work for a training run and end with it, however it ends.

Ctrl-C reaches the main process alone; it ends the others at once, in the middle of a step if need be. What
they had finished stands. Where the main process is killed, they notice and leave.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from LiverLesionAI.errors import TrainingError

GRACE_S = 0.5
"""How long a process may take to leave a step and clear up before it is killed."""


@contextmanager
def working(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    begin: Callable[..., Any],
    *given: Any,
) -> Iterator[dict[Future[Any], int]]:
    """Run jobs in processes of their own while the block waits for them.

    Parameters
    ----------
    work
        Called with the arguments of each job.
    jobs
        Arguments of each job.
    workers
        How many processes at most.
    begin, given
        Called first in each process, with what it is given.

    Yields
    ------
    dict
        The future of each job, to its position. When the block ends by an error or Ctrl-C, all processes end
        within :data:`GRACE_S` seconds or so.

    Raises
    ------
    TrainingError
        If one of the processes was killed from outside.
    """
    before = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (begin, given))
    try:
        with _without_interrupts():
            futures = {pool.submit(work, *job): position for position, job in enumerate(jobs)}
        yield futures
        pool.shutdown()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            threading.excepthook = _no_word
        _end_all(pool, before)
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                "A process of the training was killed, most likely because memory ran out; go on with "
                "--resume on a machine with more, or train with fewer parallel_folds."
            ) from None
        raise


def _no_word(arguments: threading.ExceptHookArgs) -> None:
    """Once interrupted, the pool's own thread may find its processes gone, which is meant."""


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes start deaf to Ctrl-C, which a terminal sends to all of them; ours is heard afterwards.

    The signal is blocked for what is started here. It may still reach another thread of ours, upon which
    Python would interrupt this one, perhaps between a process and what it waits to be told.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if heard and callable(handler):
            handler(*heard[0])


def _begin(begin: Callable[..., Any], given: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    begin(*given)


def _leave(*_: Any) -> None:
    raise SystemExit(1)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_all(pool: ProcessPoolExecutor, before: Sequence[BaseProcess]) -> None:
    """End the pool's processes and its thread; a further Ctrl-C does not keep this from being done.

    After a shutdown without waiting the pool itself no longer waits for its thread, which would then give
    back its semaphores while the program ends.
    """
    ours = [process for process in multiprocessing.active_children() if process not in before]
    manager: threading.Thread | None = getattr(pool, "_executor_manager_thread", None)
    deadline = time.monotonic() + GRACE_S
    done = False
    while not done:
        with suppress(KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)
            for process in ours:
                process.terminate()
            for process in ours:
                process.join(max(0.0, deadline - time.monotonic()))
                process.kill()
            if manager is not None:
                manager.join()
            done = True
