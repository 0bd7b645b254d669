"""``slicer.parameterNodeWrapper``: typed parameters kept in a parameter node and connected to widgets."""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

import slicer
import vtk

from desktop_harness.api import NotImitated, check_member
from desktop_harness.pythonqt import Wrapped, connect, disconnect

PARAMETER_NAME = "SlicerParameterName"


class Annotation:
    """An annotation of a parameter: ``Default(1)``, ``WithinRange(0, 1)`` …; its arguments are kept."""

    def __init__(self, *values: Any) -> None:
        self.values = values


class Default(Annotation):
    """The value of a parameter that was never set."""


class WithinRange(Annotation):
    """A number between two bounds."""


class Choice(Annotation):
    """One of some values."""


class Minimum(Annotation):
    """A lower bound."""


class Maximum(Annotation):
    """An upper bound."""


class Decimals(Annotation):
    """Digits that a widget shows."""


class SingleStep(Annotation):
    """Step of a widget."""


class Parameter:
    """One parameter: how it is written to the node and read back."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.kind, *annotations = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        if not self.is_node and self.kind not in (str, int, float, bool):
            raise NotImitated(f"Parameters of type {self.kind!r} are not imitated by the harness.")
        by_kind = {type(each): each for each in annotations}
        self.bounds = by_kind[WithinRange].values if WithinRange in by_kind else None
        self.choices = by_kind[Choice].values[0] if Choice in by_kind else None
        if default is None and Default in by_kind:
            default = by_kind[Default].values[0]
        if default is None and not self.is_node:
            default = self.choices[0] if self.choices else self.bounds[0] if self.bounds else self.kind()
        self.default = default

    def is_in(self, node: Any) -> bool:
        """Whether the node has a value for the parameter."""
        return self.is_node or (node.GetParameterCount() > 0 and self.name in node.GetParameterNames())

    def read(self, node: Any) -> Any:
        """Return the value in the node."""
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        """Put a value into the node.

        Raises
        ------
        TypeError, ValueError
            If the value is of another type, or outside the parameter's range or choices.
        """
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes a {self.kind.__name__}, not {value!r}.")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        if not isinstance(value, (float, int) if self.kind is float else self.kind):
            raise TypeError(f"{self.name} takes a {self.kind.__name__}, not {value!r}.")
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            raise ValueError(f"{self.name} must lie in {self.bounds}, not at {value!r}.")
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} must be one of {self.choices}, not {value!r}.")
        node.SetParameter(self.name, str(value))


def parameterNodeWrapper(cls: type) -> type:
    """Turn a class of annotated members into a typed view of a parameter node."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: Parameter(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}
    members = {name: _property(parameter) for name, parameter in parameters.items()}
    return type(cls.__name__, (_Wrapper,), {**members, "parameters": parameters, "__doc__": cls.__doc__})


def _property(parameter: Parameter) -> property:
    return property(
        lambda self: parameter.read(self.parameterNode),
        lambda self, value: parameter.write(self.parameterNode, value),
    )


class _Wrapper:
    parameters: dict[str, Parameter]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._connected: dict[int, list[_Connection]] = {}
        self._tags: dict[int, int] = {}
        self._updating = False
        for parameter in self.parameters.values():
            if not parameter.is_in(node):
                parameter.write(node, parameter.default)

    def getValue(self, name: str) -> Any:
        """Return a parameter by name."""
        return getattr(self, name)

    def setValue(self, name: str, value: Any) -> None:
        """Set a parameter by name."""
        if name not in self.parameters:
            raise ValueError(f"There is no parameter {name!r}.")
        setattr(self, name, value)

    def connectGui(self, gui: Any) -> None:
        """Connect every widget that names a parameter in its property ``SlicerParameterName``.

        As in Slicer, the connection cannot be undone afterwards: its tag is not returned.
        """
        named = {widget._qt.property(PARAMETER_NAME): widget for widget in gui.__dict__.values()}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Wrapped]) -> int:
        """Connect widgets by the names of their parameters; returns what :meth:`disconnectGui` needs."""
        unknown = sorted(set(mapping) - set(self.parameters))
        if unknown:
            raise ValueError(f"Widgets name parameters that do not exist: {', '.join(unknown)}.")
        tag = len(self._tags)
        self._connected[tag] = [
            _Connection(self, self.parameters[name], widget) for name, widget in mapping.items()
        ]
        self._show()
        self._tags[tag] = self.parameterNode.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda c, e: self._show()
        )
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undo :meth:`connectGui`."""
        for connection in self._connected.pop(tag, ()):
            connection.end()
        if tag in self._tags:
            self.parameterNode.RemoveObserver(self._tags.pop(tag))

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        """Observe the parameter node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        """Undo :meth:`AddObserver`."""
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> Any:
        """Hold back events."""
        return self.parameterNode.StartModify()

    def EndModify(self, was_modified: Any) -> Any:
        """Let events through again."""
        return self.parameterNode.EndModify(was_modified)

    def _show(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connections in self._connected.values():
                for connection in connections:
                    connection.show()
        finally:
            self._updating = False


_CONNECTORS: dict[str, tuple[str, str]] = {
    "qt.QCheckBox": ("toggled(bool)", "checked"),
    "qt.QComboBox": ("currentTextChanged(QString)", "currentText"),
    "qt.QDoubleSpinBox": ("valueChanged(double)", "value"),
    "qt.QLineEdit": ("textChanged(QString)", "text"),
    "qt.QSpinBox": ("valueChanged(int)", "value"),
    "ctk.ctkSliderWidget": ("valueChanged(double)", "value"),
    "slicer.qMRMLNodeComboBox": ("currentNodeChanged(vtkMRMLNode*)", ""),
}
"""Widget class to the signal and the property that Slicer's connector uses."""


class _Connection:
    def __init__(self, wrapper: _Wrapper, parameter: Parameter, widget: Wrapped) -> None:
        self.wrapper, self.parameter, self.widget = wrapper, parameter, widget
        kind = widget._api.name
        if kind not in _CONNECTORS:
            raise NotImitated(f"{kind} cannot be connected to a parameter by the harness.")
        if kind == "ctk.ctkSliderWidget":
            if parameter.bounds is None:
                raise RuntimeError(f"{parameter.name} needs a range to be connected to a slider.")
            widget.minimum, widget.maximum = map(float, parameter.bounds)
        self.signal, self.property = _CONNECTORS[kind]
        connect(widget, self.signal, self._changed)

    def end(self) -> None:
        disconnect(self.widget, self.signal, self._changed)

    def show(self) -> None:
        value = self.parameter.read(self.wrapper.parameterNode)
        if self.parameter.is_node:
            self.widget.setCurrentNode(value)
        elif getattr(self.widget, self.property) != value:
            setattr(self.widget, self.property, value)

    def _changed(self, value: Any = None) -> None:
        if not self.wrapper._updating:
            current = (
                self.widget.currentNode() if self.parameter.is_node else getattr(self.widget, self.property)
            )
            self.parameter.write(self.wrapper.parameterNode, current)


def module() -> ModuleType:
    """Make ``slicer.parameterNodeWrapper``; every member is one of Slicer's."""
    made = ModuleType("slicer.parameterNodeWrapper")
    members = (parameterNodeWrapper, Choice, Decimals, Default, Maximum, Minimum, SingleStep, WithinRange)
    for member in members:
        check_member("slicer.parameterNodeWrapper", member.__name__)
        setattr(made, member.__name__, member)
    return made
