"""Who reads which reader study: shared by the steps of the reading panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LiverLesionAI.reader_study.session import ReadingSession


class Reading:
    """The session that is on, and who wants to know when it starts or ends."""

    def __init__(self) -> None:
        self.session: ReadingSession | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function when a session starts or ends."""
        self._listeners.append(listener)

    def start(self, folder: Path, reader: str) -> None:
        """Start reading, or go on.

        Raises
        ------
        LiverLesionError
            If the study cannot be used, or somebody reads as this reader already.
        """
        from LiverLesionAI.reader_study.session import ReadingSession

        self.stop()
        self.session = ReadingSession(folder, reader)
        self._tell()

    def stop(self) -> None:
        """End the session; what was answered is kept."""
        if self.session is not None:
            self.session.close()
            self.session = None
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
