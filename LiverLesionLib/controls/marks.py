"""How a step stands: the mark beside its title."""

from __future__ import annotations

from typing import Any

from LiverLesionLib.controls.palette import is_dark

DONE, TODO, WRONG = "✓", "", "!"


def style_of(mark: str, widget: Any) -> str:
    """Return the style of the words below a title with a mark."""
    if mark != WRONG:
        return ""
    return "color: #ff8a80;" if is_dark(widget) else "color: #b3261e;"
