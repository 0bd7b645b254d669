"""Keys of a panel; they are heard wherever the mouse is, as long as the panel is on show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt


def add_shortcuts(frame: Any, actions: Mapping[str, Callable[[], None]]) -> list[Any]:
    """Let keys do what is asked for.

    Parameters
    ----------
    frame
        The widget of the panel: the keys belong to its window while it is visible.
    actions
        Key, as in ``"Ctrl+Return"``, to what it does.

    Returns
    -------
    list
        The actions of Qt, to be kept by the caller.
    """
    added = []
    for key, do in actions.items():
        action = qt.QAction(frame)
        action.setShortcut(qt.QKeySequence(key))
        action.connect("triggered()", do)
        frame.addAction(action)
        added.append(action)
    return added
