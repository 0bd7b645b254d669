"""The worker process: reads requests from standard input, answers on standard output, keeps the model loaded.

Jobs run one after the other in the main thread; a second thread reads requests, so that ``ping``, ``cancel``
and ``shutdown`` are answered while a job runs. A job is cancelled at its next word of progress; a front end
that does not want to wait for that ends the process (:mod:`LiverLesionAI.worker.client` does, by itself).
The process ends when its input ends, so that it never outlives the front end.
"""

from __future__ import annotations

import inspect
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, get_type_hints

import LiverLesionAI
from LiverLesionAI.errors import LiverLesionError, MemoryShortError, told_by_system
from LiverLesionAI.limits import NO_MEMORY, is_memory_short
from LiverLesionAI.worker import protocol
from LiverLesionAI.worker.commands import COMMANDS
from LiverLesionAI.worker.protocol import Done, Event, Failed, ProgressMade, Ready, Request
from LiverLesionAI.worker.state import WorkerState

PROGRESS_INTERVAL_S = 0.05
CANCELLED_MESSAGE = "Cancelled."


class _JobCancelled(BaseException):
    """Raised from a job's progress; no handler of errors on the way may take it for one."""


def run_worker(
    commands: Mapping[str, Callable[..., dict[str, Any]]] = COMMANDS, state: object | None = None
) -> None:
    """Serve requests until told to shut down or until standard input ends.

    Standard output carries the protocol alone: what any library prints goes to standard error.

    Parameters
    ----------
    commands
        What can be asked for; each function is given the state, progress and the request's arguments.
    state
        What is kept between requests; by default that of the panel's worker.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="replace", newline="\n")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    requests = os.fdopen(os.dup(sys.stdin.fileno()), "r", encoding="utf-8", errors="replace")
    _Server(answers, commands, state or WorkerState()).run(requests)
    _end_process_tree()


def _end_process_tree() -> None:
    """End this process at once and, where a front end gave it a session of its own, all that is in it."""
    if hasattr(os, "killpg") and os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class _Server:
    def __init__(
        self, answers: IO[str], commands: Mapping[str, Callable[..., dict[str, Any]]], state: object
    ) -> None:
        self._answers = answers
        self._commands = commands
        self._writing = threading.Lock()
        self._jobs: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._pending: dict[int, threading.Event] = {}
        self._state = state

    def run(self, requests: Iterable[str]) -> None:
        self._say(Ready(f"LiverLesionAI {LiverLesionAI.__version__}", os.getpid()))
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()
        while (request := self._jobs.get()) is not None:
            answer = self._carry_out(request)
            del self._pending[request.id]
            self._say(answer)

    def _listen(self, requests: Iterable[str]) -> None:
        for line in requests:
            if not line.strip():
                continue
            try:
                request = protocol.parse_request(line)
            except protocol.ProtocolError as error:
                self._say(Failed(None, protocol.USAGE, str(error)))
                continue
            if not self._take(request):
                return
        _end_process_tree()

    def _take(self, request: Request) -> bool:
        """Answer a request or line it up; False where it is the last one."""
        if request.command == "ping":
            self._say(Done(request.id, {"pid": os.getpid(), "busy": bool(self._pending)}))
        elif request.command == "cancel":
            wanted = request.arguments.get("id")
            job = self._pending.get(wanted) if isinstance(wanted, int) else None
            if job is not None:
                job.set()
            self._say(Done(request.id, {"cancelling": job is not None}))
        elif request.command == "shutdown":
            for job in list(self._pending.values()):
                job.set()
            self._say(Done(request.id, {}))
            self._jobs.put(None)
            return False
        elif request.id in self._pending:
            self._say(Failed(request.id, protocol.USAGE, f"Request {request.id} is still being worked on."))
        else:
            self._pending[request.id] = threading.Event()
            self._jobs.put(request)
        return True

    def _carry_out(self, request: Request) -> Event:
        progress = _JobProgress(self, request.id, self._pending[request.id])
        try:
            progress.check()
            answer = Done(request.id, _call(request, self._commands, self._state, progress))
            protocol.event_line(answer)
            return answer
        except _JobCancelled:
            return Failed(request.id, protocol.CANCELLED, CANCELLED_MESSAGE)
        except _UsageError as error:
            return Failed(request.id, protocol.USAGE, str(error))
        except MemoryShortError as error:
            return Failed(request.id, protocol.MEMORY, str(error))
        except LiverLesionError as error:
            return Failed(request.id, protocol.INPUT, str(error))
        except Exception as error:
            if is_memory_short(error):
                return Failed(request.id, protocol.MEMORY, NO_MEMORY)
            if (refused := told_by_system(error)) is not None:
                return Failed(request.id, protocol.INPUT, refused)
            traceback.print_exc()
            message = f"This is a fault of LiverLesionAI ({type(error).__name__}: {error}); please report it."
            return Failed(request.id, protocol.FAULT, message)

    def _say(self, event: Event) -> None:
        line = protocol.event_line(event)
        with self._writing:
            try:
                self._answers.write(line)
                self._answers.flush()
            except (BrokenPipeError, ValueError):
                _end_process_tree()


class _UsageError(Exception):
    """A request names no command, or not the arguments of its command."""


def _call(
    request: Request,
    commands: Mapping[str, Callable[..., dict[str, Any]]],
    state: object,
    progress: _JobProgress,
) -> dict[str, Any]:
    function = commands.get(request.command)
    if function is None:
        known = ", ".join((*commands, "ping", "cancel", "shutdown"))
        raise _UsageError(f"There is no command {request.command!r}; there are {known}.")
    try:
        inspect.signature(function).bind(state, progress, **request.arguments)
    except TypeError as error:
        raise _UsageError(f"The arguments of {request.command} do not fit: {error}.") from None
    _check_kinds(request.command, function, request.arguments)
    return function(state, progress, **request.arguments)


def _check_kinds(command: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse values of another kind than the command's function says it takes."""
    from pydantic import TypeAdapter, ValidationError

    kinds = get_type_hints(function)
    for name, value in arguments.items():
        try:
            TypeAdapter(kinds[name]).validate_python(value, strict=True)
        except ValidationError as error:
            said = error.errors(include_url=False)[0]["msg"]
            raise _UsageError(f"The arguments of {command} do not fit: {name}: {said}.") from None


class _JobProgress:
    """Progress of one job, told at most every `PROGRESS_INTERVAL_S` except for its ends; raises on cancel."""

    def __init__(self, server: _Server, job: int, cancelled: threading.Event) -> None:
        self._server, self._job, self._cancelled = server, job, cancelled
        self._last: dict[str, float] = {}

    def check(self) -> None:
        """Raise if the job has been cancelled."""
        if self._cancelled.is_set():
            raise _JobCancelled

    def __call__(self, step: str, fraction: float) -> None:
        self.check()
        now = time.monotonic()
        if 0 < fraction < 1 and now - self._last.get(step, -1.0) < PROGRESS_INTERVAL_S:
            return
        self._last[step] = now
        self._server._say(ProgressMade(self._job, step, float(fraction)))
