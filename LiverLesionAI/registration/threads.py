"""Alignments in threads, with progress for each sequence and prompt cancellation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import SimpleITK as sitk

from LiverLesionAI.progress import Progress
from LiverLesionAI.registration.alignment import Alignment, CancelledError
from LiverLesionAI.side_by_side import Each, one_after_the_other

T = TypeVar("T")
R = TypeVar("R")
_POLL_S = 0.1


@dataclass(frozen=True)
class AlignmentJob:
    """An alignment to be done in a thread.

    Attributes
    ----------
    names
        The sequences whose progress it is.
    begin, end
        Their progress, 0 to 1, before and after it.
    work
        Given a function that says whether to stop, one to be told the fraction that is done, and one that
        does several things side by side.
    """

    names: tuple[str, ...]
    begin: float
    end: float
    work: Callable[[Callable[[], bool], Callable[[float], None], Each], Alignment]


class Threads:
    """Runs jobs side by side; SimpleITK computes without Python's lock.

    ITK itself uses one thread for each job, so that sums come out the same bit for bit. A registration
    method's own setting does not reach its metric, so the setting of the whole process is changed for the
    time of the block and put back.

    Parameters
    ----------
    workers
        How many; None: as many as there are processors.
    progress
        Told from the calling thread; by raising it ends the jobs.
    """

    def __init__(self, workers: int | None, progress: Progress) -> None:
        self._progress = progress
        self._done: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._stop = threading.Event()
        count = workers or os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(count)
        self._helpers = ThreadPoolExecutor(count) if count > 1 else None
        self._itk_threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()

    def __enter__(self) -> Threads:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._helpers is not None:
            self._helpers.shutdown(wait=True, cancel_futures=True)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(self._itk_threads)

    def run(self, jobs: Sequence[AlignmentJob]) -> list[Alignment]:
        """Do jobs; their outcomes in the same order."""
        futures = [self._executor.submit(self._do, job) for job in jobs]
        waiting = set(futures)
        while waiting:
            self._show()
            finished, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
        self._show()
        return [future.result() for future in futures]

    def each(self, function: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Call a function for each of several things: what a job does within itself."""
        if self._helpers is None or len(things) < 2:
            return one_after_the_other(function, things)
        return list(self._helpers.map(function, things))

    def _do(self, job: AlignmentJob) -> Alignment:
        def tell(fraction: float) -> None:
            if self._stop.is_set():
                raise CancelledError
            share = job.begin + fraction * (job.end - job.begin)
            self._done.update(dict.fromkeys(job.names, share))

        return job.work(self._stop.is_set, tell, self.each)

    def _show(self) -> None:
        for name, fraction in tuple(self._done.items()):
            if self._shown.get(name) != fraction:
                self._shown[name] = fraction
                self._progress(f"register {name}", fraction)
