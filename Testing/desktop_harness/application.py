"""``slicer.app``, ``slicer.modules`` and what belongs to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar
from xml.etree import ElementTree

import slicer
from PySide6 import QtCore, QtWidgets

from desktop_harness.api import NotImitated, NotInSlicer, api_class
from desktop_harness.pythonqt import _guarded, wrap


class Checked:
    """Base of a stand-in: what Slicer has not is refused, what is missing here is told."""

    API = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in api_class(self.API):
            raise NotInSlicer(f"{self.API} of a running Slicer has no {name!r}.")
        raise NotImitated(f"{name} of {self.API} is not imitated by the harness.")


class Modules(Checked):
    """``slicer.modules``: a module by its name in small letters, its widget by its class name."""

    API = "slicer.modules"
    _LOGICS: ClassVar = {
        "volumes": "vtkSlicerVolumesLogic",
        "segmentations": "vtkSlicerSegmentationsModuleLogic",
    }

    def __init__(self) -> None:
        self.sampleDataSources: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in self._LOGICS:
            return CoreModule(self._LOGICS[name])
        return super().__getattr__(name)


class CoreModule:
    """A C++ module: its logic, which is slicer-core's own."""

    def __init__(self, logic_class: str) -> None:
        self._logic = getattr(slicer, logic_class)()
        self._logic.SetMRMLScene(slicer.mrmlScene)

    def logic(self) -> Any:
        """Return the module's logic."""
        return self._logic


class ModuleManager(Checked):
    """``slicer.app.moduleManager()``."""

    API = "slicer.qSlicerModuleManager"

    def __init__(self) -> None:
        self.loaded: dict[str, Any] = {}

    def connect(self, signature: str, receiver: Callable[..., Any]) -> None:
        """Modules are never unloaded here."""

    def disconnect(self, signature: str, receiver: Callable[..., Any]) -> None:
        """See :meth:`connect`."""

    def module(self, name: str) -> Any:
        """Return a module by name, None where it is not there."""
        return self.loaded.get(name)

    def modulesNames(self) -> list[str]:
        """Names of all modules."""
        return list(self.loaded)


class SliceController(QtWidgets.QWidget):
    """``qMRMLSliceControllerWidget``: the label of the bar."""

    def __init__(self, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self._label = QtWidgets.QLabel(self)

    def viewLabel(self) -> QtWidgets.QLabel:
        """Return the label of the bar."""
        return self._label


class SliceWidget(QtWidgets.QWidget):
    """``qMRMLSliceWidget``: its bar."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = wrap(SliceController(self), "slicer.qMRMLSliceControllerWidget")

    def sliceController(self) -> Any:
        """Return the bar."""
        return self._bar


class LayoutManager(Checked):
    """``slicer.app.layoutManager()``: the layout node does the work."""

    API = "slicer.qSlicerLayoutManager"

    def __init__(self, layout_node: Any) -> None:
        self._node = layout_node
        self._logic: Any = None
        self._slices: dict[str, SliceWidget] = {}

    def setLayout(self, layout: int) -> None:
        """Switch to a layout; its slice views get their nodes."""
        self._node.SetViewArrangement(layout)
        description = self._node.GetCurrentLayoutDescription()
        for view in ElementTree.fromstring(description).iter("view") if description else ():
            if view.attrib["class"] == "vtkMRMLSliceNode":
                for class_name in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
                    _view_node(class_name, view.attrib["singletontag"])

    @property
    def layout(self) -> int:
        """The layout shown."""
        return self._node.GetViewArrangement()

    def sliceViewNames(self) -> list[str]:
        """Names of the slice views of the scene."""
        scene = slicer.mrmlScene
        count = scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")
        return [scene.GetNthNodeByClass(i, "vtkMRMLSliceNode").GetLayoutName() for i in range(count)]

    def sliceWidget(self, name: str) -> Any:
        """Return a slice view, of which there is the controller bar alone; None for other names."""
        if name not in self.sliceViewNames():
            return None
        return wrap(self._slices.setdefault(name, SliceWidget()), "slicer.qMRMLSliceWidget")

    def layoutLogic(self) -> Any:
        """Return the layout logic."""
        if self._logic is None:
            self._logic = slicer.vtkMRMLLayoutLogic()
            self._logic.SetMRMLScene(slicer.mrmlScene)
        return self._logic


def _view_node(class_name: str, name: str) -> None:
    scene = slicer.mrmlScene
    if scene.GetSingletonNode(name, class_name) is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(name)
        node.SetLayoutName(name)
        node.SetName(name)
        scene.AddNode(node)


class Application(Checked):
    """``slicer.app``."""

    API = "slicer.app"
    applicationName = "Slicer"
    majorVersion, minorVersion = 5, 12

    def __init__(self, layout_node: Any) -> None:
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(layout_node.GetScene())
        self._modules = ModuleManager()
        self._layout = LayoutManager(layout_node)
        self._started: list[Callable[[], None]] = []
        self.testing = False
        self.cursors = 0

    def connect(self, signature: str, receiver: Callable[..., Any]) -> None:
        """Connect to ``startupCompleted()``."""
        if signature != "startupCompleted()":
            raise NotImitated(f"Signal {signature!r} of slicer.app is not imitated by the harness.")
        self._started.append(_guarded(receiver))

    def start_up_completed(self) -> None:
        """Emit ``startupCompleted()`` (of the harness only)."""
        for receiver in self._started:
            receiver()

    def testingEnabled(self) -> bool:
        """Whether pop-ups are suppressed."""
        return self.testing

    def processEvents(self) -> None:
        """Let Qt work."""
        QtWidgets.QApplication.processEvents()

    def setOverrideCursor(self, cursor: Any) -> None:
        """Show a waiting cursor."""
        self.cursors += 1

    def restoreOverrideCursor(self) -> None:
        """Show the usual cursor."""
        self.cursors -= 1

    def moduleManager(self) -> ModuleManager:
        """Return the module manager."""
        return self._modules

    def layoutManager(self) -> LayoutManager:
        """Return the layout manager."""
        return self._layout

    def applicationLogic(self) -> Any:
        """Return the application logic, which is slicer-core's own."""
        return self._logic

    def startupEnvironment(self) -> Any:
        """Environment in which Slicer was started."""
        return QtCore.QProcessEnvironment.systemEnvironment()

    @property
    def slicerHome(self) -> str:
        """Folder of Slicer."""
        return os.path.dirname(slicer.__file__)

    @property
    def temporaryPath(self) -> str:
        """Folder for temporary files."""
        return QtCore.QDir.tempPath()
