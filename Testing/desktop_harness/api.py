"""The names of a running Slicer, and the errors for what is not among them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

API_FILE = Path(__file__).with_name("api.json")


class NotInSlicer(AttributeError):
    """A module uses a name, property, signal or slot that the real Slicer does not have."""


class NotImitated(NotImplementedError):
    """A module uses what Slicer has but the harness does not imitate; teach the harness first."""


@dataclass(frozen=True)
class ApiClass:
    """What Python sees of one class or module of Slicer.

    ``signals`` and ``slots`` are signatures such as ``"clicked(bool)"``; ``names`` are all other members.
    """

    name: str
    properties: frozenset[str]
    signals: frozenset[str]
    slots: frozenset[str]
    names: frozenset[str]

    @property
    def signal_names(self) -> frozenset[str]:
        """Signals without their arguments."""
        return frozenset(_bare(self.signals))

    @property
    def callables(self) -> frozenset[str]:
        """Everything that can be called, and constants."""
        return self.names | frozenset(_bare(self.slots))

    def __contains__(self, name: str) -> bool:
        return name in self.properties or name in self.signal_names or name in self.callables


def _bare(signatures: frozenset[str]) -> list[str]:
    return [signature.partition("(")[0] for signature in signatures]


@cache
def _objects() -> dict[str, Any]:
    return json.loads(API_FILE.read_text(encoding="utf-8"))["objects"]


@cache
def api_class(name: str) -> ApiClass:
    """Return the members of a class or module such as ``"qt.QPushButton"`` or ``"slicer.util"``.

    Raises
    ------
    NotInSlicer
        If the running Slicer has no such name.
    NotImitated
        If it has, but the harness' extract lacks it: add it to ``make_api.py``.
    """
    objects = _objects()
    if name not in objects:
        module, _, member = name.partition(".")
        if member in objects.get(module, {"names": ()})["names"]:
            raise NotImitated(
                f"{name} is not in the harness' extract of Slicer's names; add it to make_api.py."
            )
        raise NotInSlicer(f"Slicer has no {name}.")
    entry = objects[name]
    parts = {part: frozenset(entry.get(part, ())) for part in ("properties", "signals", "slots", "names")}
    if entry.get("widget"):
        common = api_class("qt.QWidget")
        parts = {part: names | getattr(common, part) for part, names in parts.items()}
    return ApiClass(name, **parts)


def check_member(owner: str, name: str) -> None:
    """Raise :class:`NotInSlicer` unless a class or module of Slicer has that member."""
    if name not in api_class(owner):
        raise NotInSlicer(f"{owner} of a running Slicer has no {name!r}.")
