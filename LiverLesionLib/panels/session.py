"""The panel's side of the warm background worker: one job at a time, answers delivered by a timer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt

from LiverLesionAI.progress import Progress
from LiverLesionAI.worker.client import PendingRequest, WorkerClient
from LiverLesionAI.worker.protocol import CANCELLED, Done, Failed

_INTERVAL_MS = 50


class Session:
    """Runs jobs in the worker without ever stopping the window.

    The worker starts with the first job and stays warm until :meth:`close`.
    """

    def __init__(self) -> None:
        self.client = WorkerClient()
        self._folder: Path | None = None
        self._job: PendingRequest | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._job is not None

    def folder(self, name: str) -> Path:
        """Return an empty folder for the files of a job; it is gone when the session is closed."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="LiverLesionAI-"))
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def run(
        self,
        command: str,
        *,
        on_progress: Progress,
        on_done: Callable[[Mapping[str, Any]], None],
        on_failed: Callable[[str | None], None],
        **arguments: Any,
    ) -> None:
        """Give the worker a job.

        Parameters
        ----------
        command, arguments
            See :mod:`LiverLesionAI.worker.commands`.
        on_progress, on_done, on_failed
            Called in the window's thread; `on_failed` gets the message, None where the job was cancelled.
        """

        def ended(outcome: Done | Failed) -> None:
            self._job = None
            self._timer.stop()
            if isinstance(outcome, Done):
                on_done(outcome.result)
            else:
                on_failed(None if outcome.kind == CANCELLED else outcome.message)

        self._job = self.client.submit(command, on_progress=on_progress, on_end=ended, **arguments)
        self._timer.start()

    def cancel(self) -> None:
        """Cancel the running job; its `on_failed` is called within a second."""
        if self._job is not None:
            self.client.cancel(self._job)

    def close(self) -> None:
        """End the worker and remove its files."""
        self._timer.stop()
        self.client.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _poll(self) -> None:
        self.client.poll()
