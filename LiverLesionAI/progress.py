"""How long work tells its progress, whatever shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called from time to time with what is being done and how much of it is done.

    A front end cancels the work by raising from the call.
    """

    def __call__(self, step: str, fraction: float) -> None:
        """Tell that `fraction` (0 to 1) of `step` is done."""


def silent(step: str, fraction: float) -> None:
    """Show nothing."""
