"""What front end and worker say to each other: one JSON object a line, UTF-8.

To the worker: ``{"id": 7, "command": "classify", "arguments": {"study": "/tmp/S1"}}``. From the worker::

    {"event": "ready", "protocol": 1, "software": "LiverLesionAI 0.1.0", "pid": 4711}
    {"event": "progress", "id": 7, "step": "crop", "fraction": 0.5}
    {"event": "result", "id": 7, "result": {…}}
    {"event": "error", "id": 7, "kind": "input", "message": "…"}

Every request is answered by one ``result`` or one ``error``. Images travel as paths of files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.json_values import all_finite

PROTOCOL = 1

CANCELLED, CRASHED, FAULT, INPUT, MEMORY, USAGE = "cancelled", "crashed", "fault", "input", "memory", "usage"
"""Kinds of error: what was asked for was cancelled; the worker ended; a fault of the program; the input
cannot be used; memory did not suffice; the request is not understood."""


class ProtocolError(LiverLesionError):
    """A line is not what the protocol says."""


@dataclass(frozen=True)
class Request:
    """Something for the worker to do.

    Attributes
    ----------
    id
        Chosen by the front end; stands in every answer.
    command
        One of :data:`LiverLesionAI.worker.commands.COMMANDS`, or ``ping``, ``cancel``, ``shutdown``, which
        are answered at once even while the worker is busy.
    arguments
        Arguments of the command by name; numbers, texts, lists and objects of JSON.
    """

    id: int
    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """The worker has started."""

    event: ClassVar[str] = "ready"
    software: str
    pid: int
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class ProgressMade:
    """`fraction` (0 to 1) of `step` is done."""

    event: ClassVar[str] = "progress"
    id: int
    step: str
    fraction: float


@dataclass(frozen=True)
class Done:
    """A request was carried out."""

    event: ClassVar[str] = "result"
    id: int
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """A request was not carried out; `message` is one sentence fit to be shown.

    `id` is None where a line was no request at all.
    """

    event: ClassVar[str] = "error"
    id: int | None
    kind: str
    message: str


Event = Ready | ProgressMade | Done | Failed
_EVENTS: Mapping[str, type[Any]] = {kind.event: kind for kind in (Ready, ProgressMade, Done, Failed)}


def request_line(request: Request) -> str:
    """Return a request as a line, its end included; in ASCII, so that names of files of any bytes survive."""
    return json.dumps(asdict(request), allow_nan=False) + "\n"


def event_line(event: Event) -> str:
    """Return an event as a line, its end included."""
    return _line({"event": event.event, **asdict(event)})


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def parse_request(line: str) -> Request:
    """Read a request.

    Raises
    ------
    ProtocolError
        If the line is none.
    """
    content = _object(line)
    try:
        request = Request(**content)
    except TypeError:
        raise ProtocolError("A request has the members id, command and arguments, and no others.") from None
    if not (_is_id(request.id) and isinstance(request.command, str) and isinstance(request.arguments, dict)):
        raise ProtocolError("A request's id is a number, its command a text, its arguments an object.")
    return request


def parse_event(line: str) -> Event:
    """Read an event.

    Raises
    ------
    ProtocolError
        If the line is none.
    """
    content = _object(line)
    kind = _EVENTS.get(str(content.pop("event", None)))
    if kind is None:
        raise ProtocolError(f"The worker said something that is no event: {line.strip()[:200]!r}.")
    try:
        event: Event = kind(**content)
    except TypeError:
        raise ProtocolError(f"The worker's event is incomplete: {line.strip()[:200]!r}.") from None
    return event


def _object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError(f"This line is not JSON: {line.strip()[:200]!r}.") from None
    if not isinstance(content, dict):
        raise ProtocolError("A line holds one JSON object.")
    if not all_finite(content):
        raise ProtocolError("A line holds a number that is not finite; give a number or null.")
    return content


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
