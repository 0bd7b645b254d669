"""What every step shares that gives the worker something to do: a button that turns into Cancel, a bar."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import TODO
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.dependencies import Action, ensure_packages
from LiverLesionLib.steps.job import Job
from LiverLesionLib.steps.step import Host, PanelStep


@dataclass(frozen=True)
class Words:
    """What the state says while a step's work goes on, and after the reader has cancelled it."""

    doing: str
    cancelled: str


class WorkStep(PanelStep):
    """A step with a job for the worker.

    Parameters
    ----------
    host, frame, status
        See :class:`~LiverLesionLib.steps.step.PanelStep`.
    button, bar
        The ``QPushButton`` that starts and cancels it, the ``QProgressBar`` that shows how far it is.
    words
        What the state says.

    Attributes
    ----------
    fraction
        How far the work is, 0 to 1.
    """

    needs: Action = "classify"
    """What the packages are needed for."""

    def __init__(self, host: Host, frame: Any, status: Any, button: Any, bar: Any, words: Words) -> None:
        super().__init__(host, frame, status)
        self._button, self._bar, self._words = button, bar, words
        self._idle = button.text
        self.fraction = 0.0
        show(bar, False)
        button.connect("clicked(bool)", self.toggle)

    def prepare(self) -> Generator[None, None, Job]:
        """Prepare the work, in pieces between which the window can live.

        Raises
        ------
        LiverLesionError
            If the study cannot be used; where the reader can mend that, before the first pause.
        """
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """Whether the worker works for this step."""
        return self.host.running is self

    def toggle(self) -> None:
        """Start the job, or cancel it."""
        if self.is_running:
            self._button.enabled = False
            self.host.cancel()
            return
        with self.action():
            ensure_packages(self.needs)
            self.host.start(self, self.prepare())

    def begin(self) -> None:
        """Start the job where the reader's last action asked for it as well."""
        with self.errors_told():
            self.host.start(self, self.prepare())

    def started(self) -> None:
        """The button becomes Cancel."""
        self._button.text = _("Cancel")
        self._button.enabled = True
        self.fraction = 0.0
        self._bar.value = 0
        show(self._bar, True)
        self.say(TODO, self._words.doing)

    def progress(self, step: str, fraction: float) -> None:
        """Show how far the work is."""
        self.fraction = fraction
        self._bar.value = round(100 * fraction)
        self.say(TODO, self.words(step))

    def finishing(self) -> None:
        """There is nothing left to cancel."""
        self._button.enabled = False
        self._bar.value = 100
        self.say(TODO, _("Showing the answer…"))

    def words(self, step: str) -> str:
        """What the state says while the worker is at a step of the road."""
        return self._words.doing

    def ended(self, message: str | None = "") -> None:
        """Cancel becomes the button; `message` is None after a cancellation, else what went wrong."""
        self._button.text = self._idle
        self._button.enabled = True
        show(self._bar, False)
        if self.parameters is not None:
            self.refresh()
        if message is None:
            self.say(TODO, self._words.cancelled)
        elif message:
            self.fail(message)
