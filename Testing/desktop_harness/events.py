"""Signals whose arguments Qt does not know (MRML nodes), for the stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Events:
    """Mixin of a stand-in: signals by signature, fired from Python."""

    EVENTS: tuple[str, ...] = ()

    @property
    def listeners(self) -> dict[str, list[Callable[..., Any]]]:
        """Functions connected to each signal."""
        return self.__dict__.setdefault("_listeners", {})

    def fire(self, signature: str, *arguments: Any) -> None:
        """Emit a signal unless signals are blocked."""
        if not self.signalsBlocked():  # type: ignore[attr-defined]
            for listener in list(self.listeners.get(signature, ())):
                listener(*arguments)
