"""What every step shares: a title with a mark, a line of state, errors in words; what it asks of a panel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import TODO, WRONG, style_of
from LiverLesionLib.controls.visibility import show

if TYPE_CHECKING:
    from LiverLesionAI.scenes.logic import LesionRow
    from LiverLesionAI.scenes.nodes import ChosenNodes
    from LiverLesionLib.steps.job import Job


class Working(Protocol):
    """A step as the panel sees it while the worker works for it."""

    def started(self) -> None:
        """The work has begun."""

    def progress(self, step: str, fraction: float) -> None:
        """Show how far the work is."""

    def finishing(self) -> None:
        """The answer is there and comes into the scene."""

    def ended(self, message: str | None = "") -> None:
        """The work has ended; `message` is None after a cancellation, else what went wrong."""

    def errors_told(self) -> AbstractContextManager[None]:
        """Show an error of the block as the step's state."""


class Host(Protocol):
    """What a step asks of the panel that it stands in.

    ``running`` is the step that work is going on for; ``parameters`` is None while the scene closes.
    """

    ui: Any
    parameters: Any
    running: object | None

    @property
    def is_busy(self) -> bool:
        """Whether work for the panel is going on."""

    @property
    def lesion_rows(self) -> list[LesionRow]:
        """The lesions of the chosen segmentation, measured."""

    def chosen(self) -> ChosenNodes:
        """Return the study that the reader chose."""

    def folder(self, name: str) -> Path:
        """Return an empty folder for the files of a job."""

    def start(self, step: Working, preparation: Generator[None, None, Job]) -> None:
        """Prepare a job on behalf of a step, give it to the worker and show its answer, all in pieces."""

    def cancel(self) -> None:
        """Cancel what is going on."""

    def get_ready(self, **arguments: str) -> None:
        """Let the worker load a model beforehand, unless work is going on."""

    def refresh(self) -> None:
        """Let every step show what the scene says."""

    def refresh_soon(self) -> None:
        """Do so once after a burst of changes."""

    def forget_errors(self) -> None:
        """The reader does something new: errors of before have been read."""

    def state_changed(self) -> None:
        """A step says something else than before."""

    def observe(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Call a function on an event of a VTK object until the panel goes away."""

    def stop_observing(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Undo :meth:`observe`."""


class PanelStep:
    """One foldable part of a panel.

    Parameters
    ----------
    host
        The panel.
    frame
        The step's ``ctkCollapsibleButton``.
    status
        Its label for one or two lines of state.

    Attributes
    ----------
    title, mark, text
        What the step is called, and its state: a mark of :mod:`LiverLesionLib.controls.marks` and its words.
    """

    def __init__(self, host: Host, frame: Any, status: Any) -> None:
        self.host, self.ui, self._frame, self._status = host, host.ui, frame, status
        self.title = frame.text
        self.mark, self.text = TODO, ""
        self._error_stands = False
        self.say(TODO, "")

    @property
    def parameters(self) -> Any:
        """What the reader chose; None while the scene closes."""
        return self.host.parameters

    @property
    def is_busy(self) -> bool:
        """Whether work for the panel is going on."""
        return self.host.is_busy

    @property
    def lesion_rows(self) -> list[LesionRow]:
        """The lesions of the chosen segmentation, measured."""
        return self.host.lesion_rows

    def chosen(self) -> ChosenNodes:
        """Return the study that the reader chose."""
        return self.host.chosen()

    def say(self, mark: str, text: str) -> None:
        """Show the step's state.

        Parameters
        ----------
        mark
            One of :mod:`LiverLesionLib.controls.marks`.
        text
            For the reader; may be empty. It is passed over while an error of the reader's last action stands.
        """
        if not self._error_stands:
            self._show(mark, text)

    def fail(self, text: str) -> None:
        """Show what went wrong with the reader's last action, until the next one."""
        self._error_stands = True
        self._show(WRONG, text)

    def _show(self, mark: str, text: str) -> None:
        self.mark, self.text = mark, text
        self._frame.text = f"{self.title}  {mark}".rstrip()
        self._status.text = text
        self._status.styleSheet = style_of(mark, self._frame)
        show(self._status, bool(text))
        self.host.state_changed()

    @contextmanager
    def action(self) -> Iterator[None]:
        """Run what the reader asked for; an error is shown as the step's state instead of a traceback."""
        self.host.forget_errors()
        with self.errors_told():
            yield

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Show an error of the block as the step's state."""
        from LiverLesionAI.errors import LiverLesionError

        try:
            yield
        except (LiverLesionError, RuntimeError) as error:
            self.fail(str(error))
        except Exception as error:
            logging.exception("LiverLesionAI")
            text = _("Something unexpected went wrong ({error}); the log says more.")
            self.fail(text.format(error=type(error).__name__))

    def forget_error(self) -> None:
        """Take away what went wrong with an earlier action; the step says its state anew."""
        if self._error_stands:
            self._error_stands = False
            self._show(TODO, "")

    def refresh_panel(self) -> None:
        """Let every step show what the scene says."""
        self.host.refresh()

    def refresh_panel_soon(self) -> None:
        """Do so once after a burst of changes."""
        self.host.refresh_soon()

    def observe(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Call a function on an event of a VTK object until the panel goes away."""
        self.host.observe(target, event, callback)

    def stop_observing(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Undo :meth:`observe`."""
        self.host.stop_observing(target, event, callback)

    def refresh(self) -> None:
        """Show what the scene and the parameters say; called after every change."""

    def enter(self) -> None:
        """The module is shown."""

    def exit(self) -> None:
        """The module is hidden."""

    def forget(self) -> None:
        """The scene closes, or the module goes away: let go of its nodes."""
