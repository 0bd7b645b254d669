"""A study's process from outside: it is given studies, and ended where it hangs or takes too much."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from LiverLesionAI.batch import task as kinds
from LiverLesionAI.batch.task import StudyAnswer, StudyTask, failed
from LiverLesionAI.processes import python_executable
from LiverLesionAI.worker import protocol
from LiverLesionAI.worker.client import PendingRequest, WorkerClient
from LiverLesionAI.worker.protocol import Done

START_S = 300.0
"""How long a process may take to start and load its libraries, which is no study's fault."""

_LOOK_AT_MEMORY_S = 1.0
_KINDS = {protocol.CRASHED: kinds.CRASHED, protocol.MEMORY: kinds.MEMORY}


@dataclass(frozen=True)
class Limits:
    """What a study may take, and what does it.

    Attributes
    ----------
    time_s
        Seconds.
    memory_bytes
        Resident memory of its process; None: any.
    threads
        Threads of its maths.
    child
        Module that is the process.
    """

    time_s: float
    memory_bytes: int | None = None
    threads: int = 1
    child: str = "LiverLesionAI.batch.child"


class StudyProcess:
    """A process that does studies, one at a time; it starts with the first and anew where it was ended.

    Whatever becomes of this process, the other one ends with it: its standard input closes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        command = [python_executable(), "-m", limits.child, str(limits.threads)]
        self._client = WorkerClient(command)
        self._task: StudyTask | None = None
        self._request: PendingRequest | None = None
        self._began = self._looked = 0.0
        self._is_starting = False

    @property
    def is_free(self) -> bool:
        """Whether it has nothing to do."""
        return self._task is None

    @property
    def pid(self) -> int | None:
        """Number of the process; None where there is none."""
        return self._client.pid

    def start(self, task: StudyTask) -> None:
        """Give it a study.

        Raises
        ------
        WorkerError
            If the process cannot be started.
        """
        self._is_starting = not self._client.is_running
        self._task, self._request = task, self._client.submit("study", task=task.to_dict())
        self._began = self._looked = time.monotonic()

    def poll(self) -> StudyAnswer | None:
        """What came of the study; None while it lasts. Never waits."""
        assert self._task is not None and self._request is not None
        self._client.poll()
        if self._request.is_done:
            return self._free(self._answer(self._task, self._request))
        now = time.monotonic()
        if self._is_starting and self._client.ready is not None:
            self._is_starting, self._began = False, now
        limit_s = START_S if self._is_starting else self._limits.time_s
        if now - self._began > limit_s:
            self._client.close()
            reason = f"It took longer than {limit_s:g} s and was ended."
            return self._free(failed(self._task, kinds.TIME, reason, now - self._began))
        limit = self._limits.memory_bytes
        if limit is not None and now - self._looked > _LOOK_AT_MEMORY_S:
            self._looked = now
            taken = resident_bytes(self._client.pid)
            if taken > limit:
                self._client.close()
                reason = f"It took more than {limit / 2**30:.1f} GiB of memory and was ended."
                return self._free(failed(self._task, kinds.MEMORY, reason, now - self._began))
        return None

    def close(self) -> None:
        """End the process at once, whatever it does."""
        self._client.close()
        self._task = self._request = None

    def _free(self, answer: StudyAnswer) -> StudyAnswer:
        self._task = self._request = None
        return answer

    def _answer(self, task: StudyTask, request: PendingRequest) -> StudyAnswer:
        outcome = request.outcome
        if isinstance(outcome, Done):
            return StudyAnswer.from_dict(outcome.result)
        assert outcome is not None
        kind = _KINDS.get(outcome.kind, kinds.FAULT)
        reason = outcome.message
        if kind == kinds.CRASHED:
            how = reason.partition("(")[2].partition(")")[0]
            reason = f"The process that worked on it ended unexpectedly ({how})."
        return failed(task, kind, reason, time.monotonic() - self._began)


def resident_bytes(pid: int | None) -> int:
    """Memory that a process takes now; 0 where that cannot be told."""
    try:
        import psutil

        return int(psutil.Process(pid).memory_info().rss)
    except ImportError:
        pass
    except Exception:
        return 0
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
