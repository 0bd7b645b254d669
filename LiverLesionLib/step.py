"""What every step of the panel shares: its title with a mark, its line of state, its errors in words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from LiverLesionLib.front import Front

DONE, TODO, WRONG = "✓", "", "!"
_COLOURS = {DONE: "", TODO: "", WRONG: "color: #c0392b;"}


class Step:
    """One foldable part of the panel.

    Parameters
    ----------
    panel
        The panel.
    frame
        Its ``ctkCollapsibleButton``.
    status
        Its label for one or two lines of state.
    """

    def __init__(self, panel: Front, frame: Any, status: Any) -> None:
        self.panel, self.ui, self._frame, self._status = panel, panel.ui, frame, status
        self._title = frame.text
        self._error_stands = False
        self.say(TODO, "")

    @property
    def parameters(self) -> Any:
        """The panel's parameters."""
        return self.panel.parameters

    def say(self, mark: str, text: str) -> None:
        """Show the step's state.

        Parameters
        ----------
        mark
            :data:`DONE`, :data:`TODO` or :data:`WRONG`.
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
        self._frame.text = f"{self._title}  {mark}".rstrip()
        self._status.text = text
        self._status.styleSheet = _COLOURS[mark]
        self._status.visible = bool(text)

    @contextmanager
    def action(self) -> Iterator[None]:
        """Run what the reader asked for; an error is shown as the step's state instead of a traceback."""
        self.panel.forget_errors()
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
        """Let the next state be shown."""
        self._error_stands = False

    def refresh(self) -> None:
        """Show what the scene and the parameters say; called after every change."""

    def enter(self) -> None:
        """The module is shown."""

    def exit(self) -> None:
        """The module is hidden."""

    def forget(self) -> None:
        """The scene closes, or the module goes away: let go of its nodes."""
