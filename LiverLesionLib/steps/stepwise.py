"""Work in small steps between the window's events, for what needs the scene or is short."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import qt
from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.steps.step import Host, PanelStep


class StepwiseStep(PanelStep):
    """A step whose button starts work and turns into Cancel; the work yields how far it is, 0 to 1.

    Parameters
    ----------
    host, frame, status
        See :class:`~LiverLesionLib.steps.step.PanelStep`.
    button, bar
        The button and the progress bar.
    """

    def __init__(self, host: Host, frame: Any, status: Any, button: Any, bar: Any) -> None:
        super().__init__(host, frame, status)
        self._button, self._bar, self._words = button, bar, button.text
        self._work: Generator[float, None, None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._advance)
        show(self._bar, False)
        self._button.connect("clicked(bool)", self.toggle)

    def work(self) -> Generator[float, None, None]:
        """Do the work; yields fractions. Closing the iterator cancels it and must take it back."""
        raise NotImplementedError

    def result(self) -> str:
        """Say what came out."""
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """Whether the work is going on."""
        return self._work is not None

    def toggle(self) -> None:
        """Start, or cancel what is running."""
        if self.is_running:
            self._end()
            self.say(TODO, _("Cancelled; nothing was changed."))
            return
        with self.action():
            self._work = self.work()
            self.host.running = self
            self._button.text = _("Cancel")
            self._bar.value = 0
            show(self._bar, True)
            self._timer.start()
            self.host.refresh()

    def forget(self) -> None:
        """The scene closes."""
        if self.is_running:
            self._end()

    def _advance(self) -> None:
        if self._work is None:
            return
        finished = failed = True
        with self.errors_told():
            fraction = next(self._work, None)
            finished, failed = fraction is None, False
            if fraction is not None:
                self._bar.value = round(100 * fraction)
        if finished:
            self._end()
            if not failed:
                self.say(DONE, self.result())

    def _end(self) -> None:
        work, self._work = self._work, None
        self._timer.stop()
        self._button.text = self._words
        show(self._bar, False)
        self.host.running = None
        if work is not None:
            work.close()
        self.host.refresh()
