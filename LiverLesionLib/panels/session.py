"""The panel's side of the warm background worker: one job at a time, answers delivered by a timer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import qt

from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.worker.client import PendingRequest, WorkerClient
from LiverLesionAI.worker.protocol import CANCELLED, Done, Failed

_INTERVAL_MS = 50


class Session:
    """Runs jobs in the worker without ever stopping the window.

    The worker starts with the first job, or beforehand to get ready for it (:meth:`prepare`), and stays warm
    until :meth:`close`.
    """

    def __init__(self) -> None:
        self.client = WorkerClient()
        self._folder: Path | None = None
        self._job: PendingRequest | None = None
        self._on_progress: Progress = silent
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
            self._job, self._on_progress = None, silent
            if isinstance(outcome, Done):
                on_done(outcome.result)
            else:
                on_failed(None if outcome.kind == CANCELLED else outcome.message)

        self._job = self.client.submit(command, on_progress=on_progress, on_end=ended, **arguments)
        self._on_progress = on_progress
        self._timer.start()

    def prepare(self, *, model: str, device: str, precision: str) -> None:
        """Let the worker load a model beforehand; a job that comes meanwhile waits and is told how far it is.

        What goes wrong is left to the job, which will meet it again and can tell the reader.

        Parameters
        ----------
        model, device, precision
            Of the command ``load`` of :mod:`LiverLesionAI.worker.commands`.
        """
        if self.client.jobs:
            return
        with suppress(LiverLesionError):
            self.client.submit(
                "load", on_progress=self._tell_job, model=model, device=device, precision=precision
            )
            self._timer.start()

    def cancel(self) -> None:
        """Cancel the running job; its `on_failed` is called within a second."""
        if self._job is not None:
            self.client.cancel(self._job)

    def close(self) -> None:
        """End the worker and remove its files."""
        self._timer.stop()
        try:
            self.client.close()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _tell_job(self, step: str, fraction: float) -> None:
        self._on_progress(step, fraction)

    def _poll(self) -> None:
        self.client.poll()
        if not self.client.jobs:
            self._timer.stop()
