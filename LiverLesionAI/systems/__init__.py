"""The systems: one module per paper, found by name.

Other packages add systems through the entry point group ``liverlesionai.systems``, whose names are those of
the systems and whose values are :class:`~LiverLesionAI.systems.base.System` objects::

    [project.entry-points."liverlesionai.systems"]
    mine2027 = "mine2027.system:SYSTEM"
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

from pydantic import AfterValidator

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.systems.base import System

OWN = ("wang2021", "zhen2020", "yasaka2018", "kim2020")
"""Systems of this package; each is a module of it."""
ENTRY_POINTS = "liverlesionai.systems"
DEFAULT = "wang2021"

__all__ = ["DEFAULT", "System", "SystemName", "known_system", "system_named", "system_names"]


def system_names() -> tuple[str, ...]:
    """Names of all systems at hand."""
    return (*OWN, *sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - set(OWN)))


@cache
def system_named(name: str) -> System:
    """Find a system.

    Raises
    ------
    ConfigError
        If there is none of that name, or the package that brings it is broken.
    """
    if name in OWN:
        system: System = import_module(f"{__name__}.{name}").SYSTEM
        return system
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _brought(point)
    raise ConfigError(f"There is no system {name!r}; there are {', '.join(system_names())}.")


def _brought(point: EntryPoint) -> System:
    """The system of an installed package, whatever may be wrong with that package."""
    try:
        found = point.load()
    except Exception as error:
        raise ConfigError(
            f"System {point.name!r} cannot be loaded from {point.value} ({type(error).__name__}: {error}); "
            "install its package again."
        ) from error
    if not isinstance(found, System) or found.name != point.name:
        raise ConfigError(f"{point.value} is no system of the name {point.name!r}; ask its authors.")
    return found


def known_system(name: str) -> System:
    """Find a system that a file names, for its validators.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    try:
        return system_named(name)
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from None


SystemName = Annotated[str, AfterValidator(lambda name: known_system(name).name)]
"""Name of a system that there is, for checked values."""
