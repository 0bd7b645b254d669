"""``.ui`` files: checked against Slicer's names, loaded by Qt with the stand-ins."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from desktop_harness.api import ApiClass, NotInSlicer, api_class
from desktop_harness.pythonqt import connect, wrap

_MODULES = ("qt", "ctk", "slicer")


def full_name(class_name: str) -> str:
    """Return ``"ctk.ctkSliderWidget"`` for ``"ctkSliderWidget"``.

    Raises
    ------
    NotInSlicer
        If no module of Slicer has the class.
    """
    for module in _MODULES:
        try:
            return api_class(f"{module}.{class_name}").name
        except NotInSlicer:
            continue
    raise NotInSlicer(f"Slicer has no widget class {class_name!r}.")


def check_ui(text: str) -> ElementTree.Element:
    """Check every class and property of a ``.ui`` file; returns its tree.

    Raises
    ------
    NotInSlicer
        If Slicer has no such class, property, signal or slot.
    """
    root = ElementTree.fromstring(text)
    classes = {}
    for widget in root.iter("widget"):
        api = api_class(full_name(widget.attrib["class"]))
        classes[widget.attrib.get("name", "")] = api
        for entry in widget.findall("property"):
            name = entry.attrib["name"]
            dynamic = entry.attrib.get("stdset") == "0" or name.startswith("SlicerParameter")
            if not dynamic and not _has_property(api, name):
                raise NotInSlicer(f"{api.name} of a running Slicer has no property {name!r}.")
    for each in root.iter("connection"):
        sender, receiver = (classes[each.findtext(part, "")] for part in ("sender", "receiver"))
        for api, signature in ((sender, each.findtext("signal", "")), (receiver, each.findtext("slot", ""))):
            if signature not in api.signals | api.slots:
                raise NotInSlicer(f"{api.name} of a running Slicer has no {signature!r}.")
    return root


def _has_property(api: ApiClass, name: str) -> bool:
    """Whether a class has a property; where only names are known, one with a setter beside it."""
    return name in api.properties or {name, f"set{name[:1].upper()}{name[1:]}"} <= api.names


def load_ui(text: str, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
    """Load a checked ``.ui`` file and make its connections."""
    from desktop_harness.widgets import STAND_INS

    root = check_ui(text)
    connections = root.find("connections")
    wanted = [] if connections is None else list(connections)
    if connections is not None:
        root.remove(connections)
    loader = QtUiTools.QUiLoader()
    for name, implementation in STAND_INS.items():
        if issubclass(implementation, QtWidgets.QWidget):
            loader.registerCustomWidget(_named_like_slicer(name.partition(".")[2], implementation))
    data = QtCore.QBuffer()
    data.setData(ElementTree.tostring(root))
    data.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    widget = loader.load(data, parent)
    for each in wanted:
        _connect(widget, each)
    return widget


@cache
def _named_like_slicer(name: str, implementation: type) -> type:
    """A stand-in under the name by which ``.ui`` files ask for it; Qt's loader does not keep it alive."""
    return type(name, (implementation,), {"__module__": implementation.__module__})


def _connect(widget: QtWidgets.QWidget, connection: ElementTree.Element) -> None:
    sender, receiver = (_named(widget, connection.findtext(part, "")) for part in ("sender", "receiver"))
    slot = connection.findtext("slot", "").partition("(")[0]
    connect(wrap(sender), connection.findtext("signal", ""), getattr(wrap(receiver), slot))


def _named(widget: QtWidgets.QWidget, name: str) -> QtWidgets.QWidget:
    found = widget if widget.objectName() == name else widget.findChild(QtWidgets.QWidget, name)
    if found is None:
        raise NotInSlicer(f"The .ui file connects {name!r}, which is not in it.")
    return found
