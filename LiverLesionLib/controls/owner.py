"""What a control asks of the step that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from LiverLesionAI.scenes.logic import LesionRow
    from LiverLesionAI.scenes.nodes import ChosenNodes


class Owner(Protocol):
    """The step of a control, as far as the control knows it."""

    @property
    def ui(self) -> Any:
        """The widgets by name."""

    @property
    def parameters(self) -> Any:
        """What the reader chose; None while the scene closes."""

    @property
    def is_busy(self) -> bool:
        """Whether work for the panel is going on."""

    @property
    def lesion_rows(self) -> list[LesionRow]:
        """The lesions of the chosen segmentation, measured."""

    def chosen(self) -> ChosenNodes:
        """Return the study that the reader chose."""

    def action(self) -> AbstractContextManager[None]:
        """Run what the reader asked for; an error is shown as the step's state."""

    def say(self, mark: str, text: str) -> None:
        """Show the step's state."""

    def fail(self, text: str) -> None:
        """Show what went wrong."""

    def refresh(self) -> None:
        """Let the step show what the scene says."""

    def refresh_panel(self) -> None:
        """Let every step show what the scene says."""

    def refresh_panel_soon(self) -> None:
        """Do so once after a burst of changes."""

    def observe(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Call a function on an event of a VTK object until the panel goes away."""

    def stop_observing(self, target: Any, event: int, callback: Callable[..., None]) -> None:
        """Undo :meth:`observe`."""
