"""The front end's side of the worker: start it, ask it, cancel, survive its end.

Needs the standard library only. Nothing happens behind the caller's back: answers wait until
:meth:`WorkerClient.poll` is called (from a Qt timer, say) and are delivered in the caller's thread;
:meth:`WorkerClient.call` is the blocking form for a console.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.processes import python_executable
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.worker import protocol
from LiverLesionAI.worker.process import end_process_tree, start_process
from LiverLesionAI.worker.protocol import Done, Event, Failed, ProgressMade, Ready, Request

CANCEL_GRACE_S = 0.6
"""How long a cancelled job may take to stop by itself before its process is ended."""
SHUTDOWN_GRACE_S = 1.0
POLL_INTERVAL_S = 0.02
LAST_WORDS = 20
"""Lines of the worker's standard error that are kept, for people who look for the cause of a crash."""


class WorkerError(LiverLesionError):
    """A request was not carried out.

    Attributes
    ----------
    kind
        One of the kinds of :mod:`LiverLesionAI.worker.protocol`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class PendingRequest:
    """A request on its way; `outcome` is None until it has been answered.

    `on_progress` is called with step and fraction, `on_end` once with the outcome, both from
    :meth:`WorkerClient.poll`.
    """

    request: Request
    on_progress: Progress = silent
    on_end: Callable[[Done | Failed], None] | None = None
    outcome: Done | Failed | None = None
    _deadline: float | None = field(default=None, repr=False)

    @property
    def is_done(self) -> bool:
        """Whether the request has been answered."""
        return self.outcome is not None

    def result(self) -> Mapping[str, Any]:
        """Return the result of an answered request.

        Raises
        ------
        WorkerError
            If it was not carried out.
        """
        if isinstance(self.outcome, Failed):
            raise WorkerError(self.outcome.message, self.outcome.kind)
        if self.outcome is None:
            raise WorkerError("The worker has not answered yet; wait for it.", protocol.USAGE)
        return self.outcome.result


def worker_command() -> list[str]:
    """Command that starts the worker."""
    return [python_executable(), "-m", "LiverLesionAI", "worker"]


class WorkerClient:
    """A worker process and the requests that it has been given.

    The process starts with the first request, or with :meth:`start`; after a crash, or a cancellation that
    needed force, the next request starts a new one.

    Parameters
    ----------
    command
        Command line of the worker; default :func:`worker_command`.

    Examples
    --------
    >>> with WorkerClient() as worker:  # doctest: +SKIP
    ...     worker.call("classify", study="/data/S1")["results"]["lesions"][0]["tasks"]["type"]["predicted"]
    'HCC'
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or worker_command())
        self._ids = itertools.count(1)
        self._jobs: dict[int, PendingRequest] = {}
        self._process: subprocess.Popen[str] | None = None
        self._heard: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=LAST_WORDS)
        self.ready: Ready | None = None

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether there is a living worker process."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Number of the worker process, if there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def jobs(self) -> tuple[PendingRequest, ...]:
        """Requests that have not been answered."""
        return tuple(self._jobs.values())

    @property
    def last_words(self) -> str:
        """The end of what the worker wrote to its standard error."""
        return "\n".join(self._errors)

    def start(self) -> None:
        """Start the worker unless it runs.

        Raises
        ------
        WorkerError
            If it cannot be started.
        """
        if self.is_running:
            return
        if self._process is not None and self._jobs:
            self._crashed(self._process)
        self._gone()
        try:
            self._process = start_process(self._command)
        except OSError as error:
            message = f"{self._command[0]} cannot be started ({error.strerror}); check the installation."
            raise WorkerError(message, protocol.CRASHED) from None
        self._heard = queue.SimpleQueue()
        self._errors.clear()
        for work, stream in ((_listen, self._process.stdout), (_keep, self._process.stderr)):
            store = self._heard if work is _listen else self._errors
            threading.Thread(target=work, args=(stream, store), daemon=True).start()

    def submit(
        self,
        command: str,
        *,
        on_progress: Progress = silent,
        on_end: Callable[[Done | Failed], None] | None = None,
        **arguments: Any,
    ) -> PendingRequest:
        """Ask the worker for something without waiting for it.

        Parameters
        ----------
        command, arguments
            See :mod:`LiverLesionAI.worker.commands`.
        on_progress, on_end
            See :class:`PendingRequest`.

        Raises
        ------
        WorkerError
            If the worker cannot be started.
        """
        self.start()
        job = PendingRequest(Request(next(self._ids), command, arguments), on_progress, on_end)
        line = protocol.request_line(job.request)
        self._jobs[job.request.id] = job
        self._send(line)
        return job

    def call(self, command: str, *, progress: Progress = silent, **arguments: Any) -> Mapping[str, Any]:
        """Ask the worker for something and wait; Ctrl-C, or raising from `progress`, cancels it.

        Raises
        ------
        WorkerError
            If it was not carried out.
        """
        job = self.submit(command, on_progress=progress, **arguments)
        return self.wait(job)

    def wait(self, job: PendingRequest, timeout_s: float | None = None) -> Mapping[str, Any]:
        """Wait for a request and return its result.

        Raises
        ------
        WorkerError
            If it was not carried out.
        TimeoutError
            If it takes longer than `timeout_s`; the worker goes on with it.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while not job.is_done:
                if end is not None and time.monotonic() > end:
                    raise TimeoutError(f"The worker did not answer within {timeout_s:g} s.")
                self.poll()
                if not job.is_done:
                    time.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            raise
        except BaseException:
            self.cancel(job)
            self._finish(job)
            raise
        return job.result()

    def _finish(self, job: PendingRequest) -> None:
        while not job.is_done:
            self.poll()
            time.sleep(POLL_INTERVAL_S)

    def poll(self) -> None:
        """Deliver what the worker has said since the last call; never waits.

        This is also where a cancelled job that does not stop loses its process.
        """
        heard, process = self._heard, self._process
        while heard is self._heard:
            try:
                event = heard.get_nowait()
            except queue.Empty:
                break
            if event is None:
                self._crashed(process)
                return
            self._deliver(event)
        now = time.monotonic()
        if any(job._deadline is not None and now > job._deadline for job in self._jobs.values()):
            self._force_cancel()

    def cancel(self, job: PendingRequest) -> None:
        """Cancel a request; :meth:`poll` delivers the outcome within `CANCEL_GRACE_S`.

        A job that does not stop by itself is ended with the worker and everything that it started; requests
        that were waiting behind it are then given to a new worker.
        """
        if job.is_done or job._deadline is not None:
            return
        job._deadline = time.monotonic() + CANCEL_GRACE_S
        self._send(protocol.request_line(Request(next(self._ids), "cancel", {"id": job.request.id})))

    def close(self) -> None:
        """End the worker and everything that it started; open requests end as cancelled."""
        process = self._process
        if process is not None and process.poll() is None:
            self._send(protocol.request_line(Request(next(self._ids), "shutdown")))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0 if self._jobs else SHUTDOWN_GRACE_S)
        self._gone()
        for job in self.jobs:
            self._end(job, _cancelled(job))

    def _send(self, line: str) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except (OSError, ValueError):
            pass  # The end of its output, which poll() sees, tells that the worker is gone.

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.ready = event
            return
        job = self._jobs.get(event.id) if event.id is not None else None
        if job is None:
            return
        if isinstance(event, ProgressMade):
            if job._deadline is None:
                job.on_progress(event.step, event.fraction)
        elif isinstance(event, Done) and job._deadline is not None:
            self._end(job, _cancelled(job))
        else:
            self._end(job, event)

    def _end(self, job: PendingRequest, outcome: Done | Failed) -> None:
        self._jobs.pop(job.request.id, None)
        job.outcome = outcome
        if job.on_end is not None:
            job.on_end(outcome)

    def _force_cancel(self) -> None:
        """End the worker; what was not cancelled goes to a new one."""
        self._gone()
        cancelled = [job for job in self.jobs if job._deadline is not None]
        if len(cancelled) < len(self._jobs):
            self.start()
        for job in self.jobs:
            if job._deadline is None:
                self._send(protocol.request_line(job.request))
        for job in cancelled:
            self._end(job, _cancelled(job))

    def _crashed(self, process: subprocess.Popen[str] | None) -> None:
        self._gone()
        code = process.returncode if process is not None else None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        message = f"The background worker ended unexpectedly ({how}); try again, a new one will be started."
        for job in self.jobs:
            cancelled = job._deadline is not None
            self._end(
                job, _cancelled(job) if cancelled else Failed(job.request.id, protocol.CRASHED, message)
            )

    def _gone(self) -> None:
        """Make sure that nothing is left of the worker process."""
        if self._process is not None:
            end_process_tree(self._process)
        self._process, self.ready = None, None
        self._heard = queue.SimpleQueue()


def _cancelled(job: PendingRequest) -> Failed:
    return Failed(job.request.id, protocol.CANCELLED, "Cancelled.")


def _listen(stream: IO[str], heard: queue.SimpleQueue[Event | None]) -> None:
    """Take down every event; None is the end of the worker.

    What some Python installations print at their start is passed over.
    """
    started = False
    with stream:
        for line in stream:
            try:
                event = protocol.parse_event(line)
            except protocol.ProtocolError:
                if started:
                    break
                continue
            started = True
            heard.put(event)
    heard.put(None)


def _keep(stream: IO[str], lines: deque[str]) -> None:
    with stream:
        lines.extend(line.rstrip() for line in stream)
