"""Who carries the studies: one process at hand, or Dask's workers (:mod:`.dask_engine`)."""

from __future__ import annotations

import time
from typing import Protocol

from LiverLesionAI.batch.settings import BatchOptions
from LiverLesionAI.batch.supervise import Limits, StudyProcess
from LiverLesionAI.batch.task import StudyAnswer, StudyTask
from LiverLesionAI.limits import available_bytes

POLL_S = 0.02

LEAST_MEMORY_BYTES = 2 << 30
"""A study may take this much even where its share of what is left is less."""


class Engine(Protocol):
    """Carries studies to workers and their answers back. What is done is decided by the ledger alone."""

    def capacity(self) -> int:
        """How many studies it takes at a time."""

    def submit(self, task: StudyTask) -> None:
        """Take a study.

        Raises
        ------
        BatchError
            If there is nobody to do it.
        """

    def poll(self, timeout_s: float) -> list[StudyAnswer]:
        """What has come of studies; waits for the first answer no longer than that.

        Raises
        ------
        BatchError
            If the workers are gone for good.
        """

    def close(self) -> None:
        """End all at once, studies in the middle of it included."""


class OneProcess:
    """One process beside this one, without Dask."""

    def __init__(self, limits: Limits) -> None:
        self._process = StudyProcess(limits)

    def capacity(self) -> int:
        """One study at a time."""
        return 1

    def submit(self, task: StudyTask) -> None:
        """Give the process a study; see :class:`Engine`."""
        self._process.start(task)

    def poll(self, timeout_s: float) -> list[StudyAnswer]:
        """See :class:`Engine`."""
        end = time.monotonic() + timeout_s
        while not self._process.is_free:
            answer = self._process.poll()
            if answer is not None:
                return [answer]
            if time.monotonic() >= end:
                break
            time.sleep(POLL_S)
        return []

    def close(self) -> None:
        """End the process."""
        self._process.close()


def limits_of(options: BatchOptions) -> Limits:
    """What a study may take: where no memory is said, a local worker has its share of what is left now."""
    memory = options.memory_limit_bytes
    if memory is None and options.scheduler is None:
        left = available_bytes()
        memory = None if left is None else max(left // options.workers, LEAST_MEMORY_BYTES)
    return Limits(options.time_limit_s, memory, options.threads)


def engine_for(options: BatchOptions, limits: Limits | None = None) -> Engine:
    """Start the engine that a run asks for, with its own limits of a study unless others are given.

    Raises
    ------
    BatchError
        If Dask is asked for and missing, or its scheduler cannot be reached.
    """
    if options.workers == 1 and options.scheduler is None:
        return OneProcess(limits or limits_of(options))
    from LiverLesionAI.batch.dask_engine import DaskEngine

    return DaskEngine(options, limits or limits_of(options))
