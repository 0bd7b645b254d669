"""What every step shares that gives the worker something to do: a button that turns into Cancel, a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from LiverLesionLib.step import TODO, Step

if TYPE_CHECKING:
    from LiverLesionLib.panel import Panel


class WorkStep(Step):
    """A step with a job of :data:`LiverLesionLib.jobs.JOBS`.

    Parameters
    ----------
    panel, frame, status
        See :class:`~LiverLesionLib.step.Step`.
    job
        Name of the job.
    button, bar
        The ``QPushButton`` that starts and cancels it, the ``QProgressBar`` that shows how far it is.
    doing, cancelled
        What the state says while the job runs, and after the reader has cancelled it.
    """

    def __init__(
        self,
        panel: Panel,
        frame: Any,
        status: Any,
        *,
        job: str,
        button: Any,
        bar: Any,
        doing: str,
        cancelled: str,
    ) -> None:
        super().__init__(panel, frame, status)
        self._job, self._button, self._bar = job, button, bar
        self._doing, self._cancelled, self._idle = doing, cancelled, button.text
        bar.visible = False
        button.connect("clicked(bool)", self.toggle)

    @property
    def is_running(self) -> bool:
        """Whether the worker works for this step."""
        return self.panel.running is self

    def toggle(self) -> None:
        """Start the job, or cancel it."""
        if self.is_running:
            self._button.enabled = False
            self.panel.cancel()
            return
        with self.action():
            self.before_start()
            self.panel.start(self, self._job)

    def before_start(self) -> None:
        """See to what the job needs; may raise what the reader is then told."""

    def started(self) -> None:
        """The button becomes Cancel."""
        self._button.text = _("Cancel")
        self._button.enabled = True
        self._bar.value = 0
        self._bar.visible = True
        self.say(TODO, self._doing)

    def progress(self, step: str, fraction: float) -> None:
        """Show how far the work is."""
        self._bar.value = round(100 * fraction)
        self.say(TODO, self.words(step))

    def words(self, step: str) -> str:
        """What the state says while the worker is at a step of the road."""
        return self._doing

    def ended(self, message: str | None = "") -> None:
        """Cancel becomes the button; `message` is None after a cancellation, else what went wrong."""
        self._button.text = self._idle
        self._button.enabled = True
        self._bar.visible = False
        if message is None:
            self.say(TODO, self._cancelled)
        elif message:
            self.fail(message)
