"""Dask as the engine: a local cluster, or any that exists, by the address of its scheduler.

Local workers are processes of ``python -m LiverLesionAI.batch.dask_worker`` that end with this one. In each
of their threads a study's process is supervised, so that a study that breaks down or hangs costs no worker.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from LiverLesionAI.batch import task as kinds
from LiverLesionAI.batch.settings import BatchOptions
from LiverLesionAI.batch.supervise import Limits, StudyProcess
from LiverLesionAI.batch.task import StudyAnswer, StudyTask, failed
from LiverLesionAI.errors import BatchError
from LiverLesionAI.processes import library_environment, python_executable

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 30.0
ALLOWED_DEATHS = 20
"""Local workers that may end without a study having been done between; then the run stops."""

_COUNT_EVERY_S = 5.0
_AHEAD = 2
"""Studies handed out per thread of a worker, so that none waits for the next."""

_LONGEST_IDLE_S = 600.0
"""A process that does nothing for so long belongs to a run that was killed before it could say so."""

_processes: dict[tuple[str, int], StudyProcess] = {}
_last_used: dict[tuple[str, int], float] = {}
_ended: set[str] = set()


def work(run: str, task: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Do a study in a process that belongs to this thread of a worker and to a run."""
    key = (run, threading.get_ident())
    _last_used[key] = time.monotonic()
    _end_idle(key[1])
    process = _processes.setdefault(key, StudyProcess(limits))
    given = StudyTask.from_dict(task)
    if run in _ended:
        return failed(given, kinds.LOST, "The run has ended.").to_dict()
    process.start(given)
    while (answer := process.poll()) is None:
        if run in _ended:
            process.close()
            return failed(given, kinds.LOST, "The run has ended.").to_dict()
        time.sleep(0.02)
    _last_used[key] = time.monotonic()
    return answer.to_dict()


def _end_idle(thread: int) -> None:
    """End what a thread keeps for runs that it has heard nothing of for long."""
    now = time.monotonic()
    for key in [key for key in list(_processes) if key[1] == thread]:
        process = _processes.get(key)
        if process is not None and process.is_free and now - _last_used.get(key, now) > _LONGEST_IDLE_S:
            process.close()
            _forget(key)


def end_run(run: str) -> None:
    """End the processes of a run on a worker."""
    _ended.add(run)
    for key in [key for key in list(_processes) if key[0] == run]:
        process = _processes[key]
        if process.is_free:
            process.close()
        _forget(key)


def _forget(key: tuple[str, int]) -> None:
    """Another thread may have done so already."""
    _processes.pop(key, None)
    _last_used.pop(key, None)


class DaskEngine:
    """Studies on Dask's workers; see :class:`LiverLesionAI.batch.engines.Engine`."""

    def __init__(self, options: BatchOptions, limits: Limits) -> None:
        try:
            import distributed
        except ImportError:
            raise BatchError(
                "More than one worker needs Dask, which is missing; install liverlesionai[batch], or use one."
            ) from None
        self._run = secrets.token_hex(8)
        self._limits = limits
        self._done: queue.SimpleQueue[tuple[StudyTask, Future]] = queue.SimpleQueue()
        self._futures: set[Future] = set()
        self._local = _LocalCluster(options.workers) if options.scheduler is None else None
        self._address = options.scheduler or (self._local.address if self._local else "")
        try:
            self._client: Client = distributed.Client(
                self._address, timeout=CONNECT_S, set_as_default=False, name="liverlesionai"
            )
        except (OSError, ValueError, TypeError) as error:
            self._end_local()
            raise BatchError(
                f"There is no Dask scheduler at {self._address} ({error}); give the address that it printed, "
                "such as tcp://10.0.0.1:8786."
            ) from None
        self._threads, self._counted = options.workers, time.monotonic() - _COUNT_EVERY_S

    def capacity(self) -> int:
        """Two studies per thread of the workers there are now."""
        if self._local is None and time.monotonic() - self._counted >= _COUNT_EVERY_S:
            self._counted = time.monotonic()
            with contextlib.suppress(OSError, TimeoutError):
                self._threads = sum(self._client.nthreads().values())
        return max(_AHEAD, _AHEAD * self._threads)

    def submit(self, task: StudyTask) -> None:
        """See :class:`LiverLesionAI.batch.engines.Engine`."""
        self._check_alive()
        key = f"liverlesionai-{self._run}-{secrets.token_hex(6)}"
        with self._losses_told():
            future = self._client.submit(work, self._run, task.to_dict(), self._limits, key=key, pure=False)
        self._futures.add(future)
        future.add_done_callback(lambda done: self._done.put((task, done)))

    def poll(self, timeout_s: float) -> list[StudyAnswer]:
        """See :class:`LiverLesionAI.batch.engines.Engine`."""
        self._check_alive()
        try:
            found = [self._done.get(timeout=timeout_s) if timeout_s > 0 else self._done.get_nowait()]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._done.get_nowait())
        with self._losses_told():
            return [self._answer(task, future) for task, future in found]

    def close(self) -> None:
        """End what runs; workers that are not ours stay, without our processes."""
        with contextlib.suppress(Exception):
            for future in self._futures:
                future.cancel()
            if self._local is None and self._client.status == "running":
                self._client.run(end_run, self._run)
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)
        self._end_local()

    def _answer(self, task: StudyTask, future: Future) -> StudyAnswer:
        self._futures.discard(future)
        from distributed.scheduler import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise self._gone()
        error = future.exception(timeout=CONNECT_S) if future.status == "error" else None
        if isinstance(error, KilledWorker):
            return failed(task, kinds.LOST, "Its workers went away one after the other.")
        if error is not None:
            raise BatchError(
                f"A worker of {self._address} cannot run LiverLesionAI ({type(error).__name__}: {error}); "
                "install the same version on all workers, and start the run again."
            )
        answer = StudyAnswer.from_dict(future.result(timeout=self._limits.time_s + CONNECT_S))
        if self._local is not None:
            self._local.forgive()
        return answer

    @contextlib.contextmanager
    def _losses_told(self) -> Iterator[None]:
        """Say in a sentence that the scheduler went away; Dask has several errors for it."""
        try:
            yield
        except (OSError, TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
            raise self._gone() from error

    def _check_alive(self) -> None:
        if self._local is not None:
            self._local.keep_up()
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> BatchError:
        return BatchError(
            f"The Dask scheduler at {self._address} is gone; start the run again once there is one: finished "
            "studies are not done again."
        )

    def _end_local(self) -> None:
        if self._local is not None:
            self._local.close()


class _LocalCluster:
    """A scheduler in this process and workers beside it, which are replaced where they end."""

    def __init__(self, workers: int) -> None:
        import logging

        import dask
        from distributed import LocalCluster

        with dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_DEATHS}):
            self._cluster = LocalCluster(
                n_workers=0, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
            )
        self.address: str = self._cluster.scheduler_address
        self._scratch = tempfile.TemporaryDirectory(prefix="liverlesionai-batch-", ignore_cleanup_errors=True)
        self._deaths = 0
        self._errors: IO[bytes] = (Path(self._scratch.name) / "errors.txt").open("ab")
        self._workers = [self._start() for _ in range(workers)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [python_executable(), "-m", "LiverLesionAI.batch.dask_worker", self.address, self._scratch.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=library_environment(),
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )

    def keep_up(self) -> None:
        """Replace workers that ended.

        Raises
        ------
        BatchError
            If they end again and again.
        """
        for number, worker in enumerate(self._workers):
            if worker.poll() is None:
                continue
            self._deaths += 1
            if self._deaths > ALLOWED_DEATHS:
                raise BatchError(
                    f"Workers end again and again (the last one with code {worker.returncode}: "
                    f"{self._last_words()}); check the installation of Dask and the free memory."
                )
            self._workers[number] = self._start()

    def forgive(self) -> None:
        """Count ended workers anew, for a study was done."""
        self._deaths = 0

    def _last_words(self) -> str:
        text = (Path(self._scratch.name) / "errors.txt").read_text(encoding="utf-8", errors="replace")
        return text.strip().splitlines()[-1] if text.strip() else "it said nothing"

    def close(self) -> None:
        """End workers and scheduler."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()
        with contextlib.suppress(Exception):
            self._cluster.close(timeout=5)
        self._errors.close()
        self._scratch.cleanup()
