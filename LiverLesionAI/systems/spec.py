"""What a bundle or a training configuration says of a model, checked when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from LiverLesionAI.taxonomy import TAXONOMIES


class Part(BaseModel):
    """Base of every checked value of a bundle or a configuration: immutable; refused are unknown keys and
    numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Task(Part):
    """A classification task.

    Attributes
    ----------
    taxonomy
        Its classes.
    fused
        Sequences whose features lead its head's input, in systems that have such heads.
    """

    taxonomy: str
    fused: tuple[str, ...] = ()

    @field_validator("taxonomy")
    @classmethod
    def _taxonomy_exists(cls, taxonomy: str) -> str:
        if taxonomy not in TAXONOMIES:
            raise ValueError(f"there is no taxonomy {taxonomy!r}")
        return taxonomy


class ModelSpec(Protocol):
    """What a system needs to know of a model: a bundle's metadata and a training configuration tell it.

    Attributes
    ----------
    sequences, required_sequences
        The network's sequences, in order, and those it cannot do without.
    tasks
        Task to its classes.
    patches
        How inputs are cut, of the system's `patch_settings`.
    network
        The network's size, of the system's `network_settings`.
    """

    @property
    def sequences(self) -> tuple[str, ...]: ...
    @property
    def required_sequences(self) -> tuple[str, ...]: ...
    @property
    def tasks(self) -> Mapping[str, Task]: ...
    @property
    def patches(self) -> Any: ...
    @property
    def network(self) -> Any: ...


def known_fields(kind: type[Any]) -> Callable[[Any], Any]:
    """A check that refuses misspelt fields of a dataclass, which pydantic would ignore."""

    def check(value: Any) -> Any:
        if isinstance(value, dict):
            unknown = sorted(map(str, set(value) - {each.name for each in fields(kind)}))
            if unknown:
                raise ValueError(f"there is no patch parameter {', '.join(unknown)}")
        return value

    return check


def checked_settings(kind: Any, value: Any) -> Any:
    """Check settings of a system's type.

    Raises
    ------
    ValueError
        Naming the first wrong one.
    """
    from LiverLesionAI.json_values import all_finite

    if not all_finite(value):
        raise ValueError("one of its numbers is not finite")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(where + first["msg"].removeprefix("Value error, ")) from None
