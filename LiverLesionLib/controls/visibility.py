"""Show and hide widgets, in steps that may be folded."""

from __future__ import annotations

from typing import Any

_REMEMBERED = "visibilityToParent"
"""Property by which ``ctkCollapsibleButton`` knows what stays hidden when it unfolds."""


def show(widget: Any, is_shown: bool) -> None:
    """Show or hide a widget.

    While a step is folded, all that is in it is hidden, and ``ctkCollapsibleButton`` does not notice that
    something is hidden once more: without being told, it would show it when it unfolds.
    """
    widget.setProperty(_REMEMBERED, is_shown)
    widget.visible = is_shown
