"""Work in pieces between the window's events, so that the window never stands still for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import qt

_LONGEST_S = 0.03
"""So long the window may wait before it is asked again; a single piece may take longer."""

Pieces = Generator[None, None, Any]
"""Work that pauses now and then, and what came out of it."""


class PieceWorker:
    """Goes on with one piece of work whenever the window has nothing to do."""

    def __init__(self) -> None:
        self._pieces: Pieces | None = None
        self._told: Callable[[], AbstractContextManager[None]]
        self._then: Callable[[Any], None]
        self._failed: Callable[[], None]
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._advance)

    @property
    def is_busy(self) -> bool:
        """Whether there is work left."""
        return self._pieces is not None

    def start(
        self,
        pieces: Pieces,
        *,
        errors_told: Callable[[], AbstractContextManager[None]],
        then: Callable[[Any], None],
        failed: Callable[[], None],
    ) -> None:
        """Begin with work.

        Parameters
        ----------
        pieces
            The work.
        errors_told
            Tells an error of the block that it holds.
        then
            Called with what came out.
        failed
            Called after an error has been told.
        """
        self._pieces, self._told, self._then, self._failed = pieces, errors_told, then, failed
        self._timer.start()

    def stop(self) -> None:
        """Leave the work where it is."""
        self._timer.stop()
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            pieces.close()

    def _advance(self) -> None:
        """Work for a while; the timer rests, since a piece may let the window handle events itself."""
        self._timer.stop()
        pieces, well = self._pieces, False
        if pieces is None:
            return
        with self._told():
            done, outcome = _worked(pieces)
            well = True
        if self._pieces is not pieces:
            return
        if well and not done:
            self._timer.start()
            return
        self._pieces = None
        if well:
            self._then(outcome)
        else:
            self._failed()


def _worked(pieces: Pieces) -> tuple[bool, Any]:
    """Go on for a while; returns whether all is done, and what came out then."""
    end = time.perf_counter() + _LONGEST_S
    while time.perf_counter() < end:
        try:
            next(pieces)
        except StopIteration as stop:
            return True, stop.value
    return False, None
