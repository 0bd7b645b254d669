"""PythonQt's manners over PySide6.

A Qt property is a Python attribute, a slot is called, a signal is connected by its signature or by its name.
Values and objects are wrapped on the way out and unwrapped on the way in, so that no module meets PySide6.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from desktop_harness.api import ApiClass, NotImitated, NotInSlicer, api_class, check_member

if sys.version_info < (3, 12):
    # PySide6 6.12 gives a reference to None away with every call that returns it. From Python 3.12 on None
    # cannot be used up; before, thousands of calls would end the process.
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40

slot_errors: list[BaseException] = []
"""What slots raised. PythonQt prints such errors and goes on; tests look here."""


class Wrapped:
    """A Qt object or value as a module of Slicer sees it."""

    __slots__ = ("__weakref__", "_api", "_connections", "_qt")

    def __init__(self, qt_object: Any, api: ApiClass) -> None:
        object.__setattr__(self, "_qt", qt_object)
        object.__setattr__(self, "_api", api)
        object.__setattr__(self, "_connections", [])

    def __getattr__(self, name: str) -> Any:
        api, target = self._api, self._qt
        if name == "name" and "objectName" in api.properties:
            name = "objectName"
        if name == "connect" and "connect" in api:
            return lambda *arguments: connect(self, *arguments)
        if name == "disconnect" and "disconnect" in api:
            return lambda *arguments: disconnect(self, *arguments)
        if name in api.properties:
            _require_property(self, name)
            return wrap(target.property(name))
        if name in api.signal_names:
            return Signal(self, name)
        if name in api.callables:
            return _member(target, name, api.name)
        if isinstance(target, QtCore.QObject) and name.encode() in target.dynamicPropertyNames():
            return wrap(target.property(name))
        raise NotInSlicer(f"{api.name} of a running Slicer has no {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        api, target = self._api, self._qt
        if name == "name" and "objectName" in api.properties:
            name = "objectName"
        if name not in api.properties:
            raise NotInSlicer(f"{api.name} of a running Slicer has no property {name!r} to be set.")
        if not _require_property(self, name).isWritable():
            raise NotInSlicer(f"Property {name!r} of {api.name} cannot be set.")
        if not target.setProperty(name, unwrap(value)):
            raise TypeError(f"Property {name!r} of {api.name} cannot be {value!r}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapped) and self._qt == other._qt

    def __hash__(self) -> int:
        return hash(id(self._qt))

    def __repr__(self) -> str:
        return f"<{self._api.name}>"


class Signal:
    """A signal taken by its name: ``button.clicked.connect(f)``; calling it emits it."""

    def __init__(self, owner: Wrapped, name: str) -> None:
        self.owner = owner
        fitting = sorted(s for s in owner._api.signals if s.partition("(")[0] == name)
        self.signature = fitting[-1]

    def connect(self, receiver: Callable[..., Any]) -> None:
        """Call a function whenever the signal is emitted."""
        connect(self.owner, self.signature, receiver)

    def disconnect(self, receiver: Callable[..., Any]) -> None:
        """Undo :meth:`connect`."""
        disconnect(self.owner, self.signature, receiver)


class QtClass:
    """A class of Qt, CTK or Slicer as a module sees it: called to make one, its members checked."""

    def __init__(self, name: str, implementation: type) -> None:
        self._name, self._implementation = name, implementation

    def __call__(self, *arguments: Any) -> Any:
        return wrap(self._implementation(*map(unwrap, arguments)), self._name)

    def __getattr__(self, name: str) -> Any:
        check_member(self._name, name)
        return _member(self._implementation, name, self._name)

    def __repr__(self) -> str:
        return f"<class {self._name}>"


def _member(target: Any, name: str, owner: str) -> Any:
    try:
        value = getattr(target, name)
    except AttributeError:
        raise NotImitated(f"{name} of {owner} is not imitated by the harness.") from None
    if not callable(value) or isinstance(value, type):
        return value
    return lambda *arguments: wrap(value(*map(unwrap, arguments)))


def _require_property(wrapped: Wrapped, name: str) -> QtCore.QMetaProperty:
    meta = wrapped._qt.metaObject()
    index = meta.indexOfProperty(name)
    if index < 0:
        raise NotImitated(f"Property {name!r} of {wrapped._api.name} is not imitated by the harness.")
    return meta.property(index)


def _implementations() -> dict[type, str]:
    from desktop_harness import widgets

    return {implementation: name for name, implementation in widgets.STAND_INS.items()}


def wrap(value: Any, name: str | None = None) -> Any:
    """Wrap what comes out of Qt; numbers, texts, MRML nodes and enumerators stay as they are."""
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(each) for each in value)
    if not isinstance(value, QtCore.QObject) and type(value).__module__.partition(".")[0] != "PySide6":
        return value
    if type(value).__module__.startswith("PySide6") and not _is_class_instance(value):
        return value
    known = getattr(value, "_harness_wrapped", None)
    if known is None:
        known = Wrapped(value, api_class(name or _name_of(value)))
        if isinstance(value, QtCore.QObject):
            value._harness_wrapped = known
    return known


def _is_class_instance(value: Any) -> bool:
    import enum

    return not isinstance(value, enum.Enum)


def _name_of(value: Any) -> str:
    stand_ins = _implementations()
    for cls in type(value).__mro__:
        if cls in stand_ins:
            return stand_ins[cls]
        if cls.__module__.startswith("PySide6"):
            try:
                return api_class(f"qt.{cls.__name__}").name
            except (NotInSlicer, NotImitated):
                continue
    return "qt.QObject"


def unwrap(value: Any) -> Any:
    """Return what Qt wants for what a module gives."""
    if isinstance(value, Wrapped):
        return value._qt
    if isinstance(value, (list, tuple)):
        return type(value)(map(unwrap, value))
    return value


def connect(sender: Wrapped, signature: str, receiver: Callable[..., Any]) -> bool:
    """Connect a signal, given by its full signature, to a function; surplus arguments are dropped.

    Raises
    ------
    NotInSlicer
        If the sender has no signal of that signature.
    """
    target = sender._qt
    if signature not in sender._api.signals and not _is_named_signal(sender, signature):
        raise NotInSlicer(f"{sender._api.name} of a running Slicer has no signal {signature!r}.")
    slot = _guarded(unwrap_callable(receiver))
    if signature in getattr(target, "EVENTS", ()):
        target.listeners.setdefault(signature, []).append(slot)
    elif target.metaObject().indexOfSignal(signature) >= 0:
        QtCore.QObject.connect(target, QtCore.SIGNAL(signature), slot)
    else:
        raise NotImitated(f"Signal {signature!r} of {sender._api.name} is not imitated by the harness.")
    sender._connections.append((signature, receiver, slot))
    return True


def _is_named_signal(sender: Wrapped, signature: str) -> bool:
    """Whether a class that Slicer lists by names alone, without signatures, has a signal of Qt's."""
    is_named = signature.partition("(")[0] in sender._api.names
    return is_named and sender._qt.metaObject().indexOfSignal(signature) >= 0


def disconnect(sender: Wrapped, signature: str, receiver: Callable[..., Any]) -> bool:
    """Undo :func:`connect`; False where there was no such connection."""
    for entry in sender._connections:
        if entry[0] == signature and entry[1] == receiver:
            sender._connections.remove(entry)
            if signature in getattr(sender._qt, "EVENTS", ()):
                sender._qt.listeners[signature].remove(entry[2])
            else:
                QtCore.QObject.disconnect(sender._qt, QtCore.SIGNAL(signature), entry[2])
            return True
    return False


def unwrap_callable(receiver: Any) -> Callable[..., Any]:
    """Return a receiver, refusing what cannot be called."""
    if not callable(receiver):
        raise TypeError(f"{receiver!r} cannot be called when a signal is emitted.")
    return receiver


def _guarded(receiver: Callable[..., Any]) -> Callable[..., None]:
    accepted = _accepted_arguments(receiver)

    def slot(*arguments: Any) -> None:
        try:
            receiver(*map(wrap, arguments[:accepted]))
        except Exception as error:
            slot_errors.append(error)

    return slot


def _accepted_arguments(receiver: Callable[..., Any]) -> int | None:
    kinds = [parameter.kind for parameter in inspect.signature(receiver).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    return sum(kind is not inspect.Parameter.KEYWORD_ONLY for kind in kinds)


def _find_implementation(name: str) -> type | None:
    for module in (QtWidgets, QtGui, QtCore):
        if hasattr(module, name):
            return getattr(module, name)
    return None


def qt_module(name: str, stand_ins: dict[str, type], extra: Iterable[tuple[str, Any]] = ()) -> ModuleType:
    """Make the module ``qt`` or ``ctk``: classes appear when asked for, others raise.

    Parameters
    ----------
    name
        ``"qt"`` or ``"ctk"``.
    stand_ins
        Full name (``"ctk.ctkSliderWidget"``) to the class that imitates it.
    extra
        Further members.
    """
    module = ModuleType(name)
    for member, value in extra:
        setattr(module, member, value)

    def member(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        full = f"{name}.{attribute}"
        api_class(full)
        implementation = stand_ins.get(full) or (_find_implementation(attribute) if name == "qt" else None)
        if implementation is None:
            raise NotImitated(f"{full} is not imitated by the harness.")
        value = QtClass(full, implementation)
        setattr(module, attribute, value)
        return value

    module.__getattr__ = member  # type: ignore[method-assign]
    return module
