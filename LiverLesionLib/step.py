"""What every step of the panel shares: its title with a mark, its line of state, its errors in words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from LiverLesionLib.panel import Panel

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

    def __init__(self, panel: Panel, frame: Any, status: Any) -> None:
        self.panel, self.ui, self._frame, self._status = panel, panel.ui, frame, status
        self._title = frame.text
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
            For the reader; may be empty.
        """
        self._frame.text = f"{self._title}  {mark}".rstrip()
        self._status.text = text
        self._status.styleSheet = _COLOURS[mark]
        self._status.visible = bool(text)

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Show an error of the block as the step's state instead of a traceback."""
        from LiverLesionAI.errors import LiverLesionError

        try:
            yield
        except (LiverLesionError, RuntimeError) as error:
            self.say(WRONG, str(error))
        except Exception as error:
            logging.exception("LiverLesionAI")
            text = _("Something unexpected went wrong ({error}); the log says more.")
            self.say(WRONG, text.format(error=type(error).__name__))

    def refresh(self) -> None:
        """Show what the scene and the parameters say; called after every change."""
