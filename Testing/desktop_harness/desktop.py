"""The desktop: put up for a test, taken down after it."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtWidgets

from desktop_harness import parameters, pythonqt, sample_data, scripted
from desktop_harness.api import NotImitated, check_member
from desktop_harness.application import Application, Modules
from desktop_harness.pythonqt import QtClass, qt_module, wrap
from desktop_harness.widgets import STAND_INS

ROOT = Path(__file__).resolve().parents[2]


class ModuleParent:
    """``qSlicerScriptedLoadableModule``: what a module says about itself, in Slicer's members only."""

    def __init__(self, path: Path) -> None:
        object.__setattr__(self, "path", path.as_posix())
        object.__setattr__(self, "_widget", None)

    def __setattr__(self, name: str, value: Any) -> None:
        check_member("slicer.qSlicerScriptedLoadableModule", name)
        object.__setattr__(self, name, value)

    def widgetRepresentation(self) -> Any:
        """Return the module's panel."""
        return self._widget


class PanelFrame(QtWidgets.QWidget):
    """``qSlicerScriptedLoadableModuleWidget``: the frame that a panel is built into."""

    def __init__(self, desktop: Desktop, name: str) -> None:
        super().__init__()
        QtWidgets.QVBoxLayout(self)
        self._desktop, self._name = desktop, name

    def reload(self) -> bool:
        """Make the panel again after its file has been read again."""
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setParent(None)
        self._desktop.make_panel(self._name)
        return True

    def self(self) -> Any:
        """The Python object of the panel."""
        return getattr(slicer.modules, f"{self._name}Widget")


class ErrorLog(logging.Handler):
    """Counts an error that was caught and logged with the errors of slots."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exception of a record."""
        if record.exc_info and record.exc_info[1]:
            pythonqt.slot_errors.append(record.exc_info[1])


class Desktop:
    """A running desktop: an empty scene, the names of Slicer, and modules loaded into it.

    Attributes
    ----------
    messages
        Errors and questions that pop-ups would have shown.
    answers
        Prepared answers to the next questions.
    """

    def __init__(self) -> None:
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        self.application.setFont(QtGui.QFont(self.application.font().family(), 9))
        self.messages: list[str] = []
        self.answers: list[bool] = []
        self._frames: dict[str, PanelFrame] = {}

    def load(self, path: Path) -> Any:
        """Load a module file as Slicer does and build its panel; returns the panel's Python object."""
        name = path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        parent = ModuleParent(path)
        getattr(module, name)(parent)
        setattr(slicer.modules, name.lower(), parent)
        slicer.app.moduleManager().loaded[name] = parent
        self._frames[name] = PanelFrame(self, name)
        object.__setattr__(
            parent, "_widget", wrap(self._frames[name], "slicer.qSlicerScriptedLoadableModuleWidget")
        )
        return self.make_panel(name)

    def make_panel(self, name: str) -> Any:
        """Make the panel of a loaded module."""
        widget_class = getattr(sys.modules[name], f"{name}Widget")
        panel = widget_class(getattr(slicer.modules, name.lower()).widgetRepresentation())
        setattr(slicer.modules, f"{name}Widget", panel)
        panel.setup()
        return panel

    def enter(self, name: str) -> None:
        """Show a module, as choosing it in Slicer does."""
        frame = self._frames[name]
        frame.resize(460, 1100)
        frame.show()
        panel = getattr(slicer.modules, f"{name}Widget")
        if hasattr(panel, "enter"):
            panel.enter()
        self.settle()

    def open_module(self, name: str) -> Any:
        """Load the main module, and another of ours where it is asked for, and show it; returns its panel."""
        self.load(ROOT / "LiverLesionAI.py")
        if name != "LiverLesionAI":
            self.load(ROOT / "scripted_modules" / f"{name}.py")
        self.enter(name)
        return getattr(slicer.modules, f"{name}Widget")

    def settle(self, milliseconds: int = 0) -> None:
        """Let Qt work, at least for a while."""
        loop = QtCore.QEventLoop()
        QtCore.QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()
        QtWidgets.QApplication.processEvents()

    def wait(self, condition: Any, seconds: float) -> bool:
        """Let Qt work until a condition holds; False where it does not within the time."""
        deadline = QtCore.QDeadlineTimer(round(1000 * seconds))
        while not condition():
            if deadline.hasExpired():
                return False
            self.settle(10)
        return True

    def screenshot(self, name: str, path: Path, width: int = 460) -> None:
        """Write a picture of a module's panel, as long as it needs to be to show all that can be scrolled."""
        frame = self._frames[name]
        frame.resize(width, max(200, frame.layout().heightForWidth(width), frame.sizeHint().height()))
        self.settle(20)
        for area in frame.findChildren(QtWidgets.QScrollArea):
            hidden = area.widget().height() - area.viewport().height() if area.objectName() else 0
            frame.resize(width, frame.height() + max(0, hidden))
        self.settle(20)
        frame.grab().save(str(path))

    def open_scene(self, path: Path) -> None:
        """File > Add Data, of a saved scene into the empty one."""
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            (scene_file,) = Path(folder).rglob("*.mrml")
            slicer.mrmlScene.SetURL(str(scene_file))
            slicer.mrmlScene.Import()
        self.settle()

    def close_scene(self) -> None:
        """File > Close Scene."""
        slicer.mrmlScene.Clear(False)
        self.settle()

    def taken_slot_errors(self) -> list[BaseException]:
        """Return what slots raised since the last call."""
        errors = list(pythonqt.slot_errors)
        pythonqt.slot_errors.clear()
        return errors


def _i18n() -> ModuleType:
    made = ModuleType("slicer.i18n")
    made.tr = lambda text: text  # type: ignore[attr-defined]
    made.translate = lambda context, text: text  # type: ignore[attr-defined]
    return made


def _new_scene() -> Any:
    from LiverLesionAI.mrml import new_scene

    return new_scene()


def _follow_in_subject_hierarchy(scene: Any) -> Callable[[], Any]:
    """Give every visible node an item and take it away with the node, as Slicer's plugins do.

    Returns a function that ends this.
    """
    import vtk

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller: Any, event: str, node: Any) -> None:
        shown = isinstance(
            node, (slicer.vtkMRMLDisplayableNode, slicer.vtkMRMLTableNode, slicer.vtkMRMLTextNode)
        )
        if shown and not node.GetHideFromEditors() and not hierarchy(scene).GetItemByDataNode(node):
            hierarchy(scene).CreateItem(hierarchy(scene).GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removed(caller: Any, event: str, node: Any) -> None:
        item = hierarchy(scene).GetItemByDataNode(node) if not scene.IsClosing() else 0
        if item:
            hierarchy(scene).RemoveItem(item, False, False)

    tags = (
        scene.AddObserver(scene.NodeAddedEvent, added),
        scene.AddObserver(scene.NodeAboutToBeRemovedEvent, removed),
    )
    return lambda: [scene.RemoveObserver(tag) for tag in tags]


@contextmanager
def _vtk_kept_quiet() -> Iterator[None]:
    import vtk

    previous, verbosity = vtk.vtkOutputWindow.GetInstance(), vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkOutputWindow.SetInstance(vtk.vtkStringOutputWindow())
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtk.vtkOutputWindow.SetInstance(previous)
        vtk.vtkLogger.SetStderrVerbosity(verbosity)


@contextmanager
def desktop() -> Iterator[Desktop]:
    """Put up the desktop; everything is as it was after the block."""
    _keep_none()
    modules_before = {name: module for name, module in sys.modules.items() if _is_ours(name)}
    slicer_before = dict(vars(slicer))
    util_before = dict(vars(slicer.util))
    path_before = list(sys.path)
    scene = _new_scene()
    made = Desktop()
    pythonqt.slot_errors.clear()
    error_log = ErrorLog()
    logging.getLogger().addHandler(error_log)
    stop_following = _follow_in_subject_hierarchy(scene)
    try:
        sys.path.insert(0, str(ROOT))
        _install(made, scene)
        with _vtk_kept_quiet():
            yield made
    finally:
        for frame in made._frames.values():
            panel = getattr(slicer.modules, f"{frame._name}Widget", None)
            if panel is not None:
                panel.cleanup()
            frame.deleteLater()
        made.settle()
        stop_following()
        logging.getLogger().removeHandler(error_log)
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(modules_before)
        for target, before in ((slicer, slicer_before), (slicer.util, util_before)):
            for name in set(vars(target)) - set(before):
                delattr(target, name)
            vars(target).update(before)
        sys.path[:] = path_before


def _keep_none() -> None:
    """Make None immortal, as it is from Python 3.12 on.

    PySide6 6.12 relies on that: every call that returns nothing takes a reference of None away, and Python
    3.11 aborts when the last one is gone, after some thousand calls.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _is_ours(name: str) -> bool:
    """Whether a module goes with the desktop; the library stays, as its modules hold on to each other."""
    return name in ("qt", "ctk", "SampleData", "LiverLesionAI") or name.startswith(
        (
            "LiverLesionLib",
            "LiverLesionPatches",
            "LiverReaderStudy",
            "LiverHCCDetection",
            "LiverLesionBatch",
            "slicer.i18n",
            "slicer.Scripted",
            "slicer.parameter",
            "slicer.packaging",
        )
    )


def _install(made: Desktop, scene: Any) -> None:
    layout = scene.AddNode(slicer.vtkMRMLLayoutNode())
    layout.SetSingletonTag("vtkMRMLLayoutNode")
    sys.modules["qt"] = qt_module("qt", STAND_INS)
    sys.modules["ctk"] = qt_module("ctk", STAND_INS)
    sys.modules["SampleData"] = sample_data.module()
    members: dict[str, Any] = {
        "app": Application(layout),
        "modules": Modules(),
        "i18n": _i18n(),
        "parameterNodeWrapper": parameters.module(),
        "ScriptedLoadableModule": scripted.module(),
    }
    for name, value in members.items():
        check_member("slicer", name)
        setattr(slicer, name, value)
        if isinstance(value, ModuleType):
            sys.modules[f"slicer.{name}"] = value
    slicer.mrmlScene = scene
    for full, implementation in STAND_INS.items():
        module, _, name = full.partition(".")
        if module == "slicer":
            setattr(slicer, name, QtClass(full, implementation))
    _check_util(made)


def _check_util(made: Desktop) -> None:
    """``slicer.util`` is slicer-core's own; what needs a main window is told to the desktop instead."""
    slicer.util.mainWindow = lambda: None
    slicer.util.showStatusMessage = lambda message, duration=0: False
    slicer.util.errorDisplay = lambda text, **options: made.messages.append(text)
    slicer.util.confirmOkCancelDisplay = lambda text, windowTitle=None, **options: _answer(made, text)
    slicer.util.confirmYesNoDisplay = lambda text, windowTitle=None, **options: _answer(made, text)
    slicer.util.pip_install = _refuse_install


def _answer(made: Desktop, text: str) -> bool:
    made.messages.append(text)
    if not made.answers:
        raise NotImitated(f"The desktop was asked {text!r} and no answer was prepared.")
    return made.answers.pop(0)


def _refuse_install(requirements: Any) -> None:
    raise AssertionError(f"{requirements} would have been installed.")
