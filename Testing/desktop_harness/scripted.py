"""``slicer.ScriptedLoadableModule``: the base classes of a module, its widget, its logic and its test."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer

from desktop_harness.api import check_member


class ScriptedLoadableModule:
    """What Slicer knows about a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        icon = Path(self.parent.path).parent / "Resources" / "Icons" / f"{self.moduleName}.png"
        if icon.is_file():
            import qt

            parent.icon = qt.QIcon(str(icon))

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the module's ``Resources``."""
        return (Path(self.parent.path).parent / "Resources" / filename).as_posix()

    def runTest(self, msec: int = 100, **arguments: Any) -> None:
        """Run the module's self-test."""
        getattr(sys.modules[self.__module__], f"{self.moduleName}Test")().runTest(**arguments)


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        """Path of a file in the module's ``Resources``."""
        return (Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename).as_posix()

    def setup(self) -> None:
        """Modules add their widgets here."""

    def cleanup(self) -> None:
        """Modules let go of everything here."""

    def onReload(self) -> None:
        """Read the module file again and make a new panel."""
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """What a module does."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the module's parameter node of the scene; made where there is none."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            return slicer.mrmlScene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)
        return node

    def createParameterNode(self) -> Any:
        """Make a parameter node; a module may override this."""
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's self-test."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments or ("runTest",))

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Slicer shows the message for a while."""

    def runTest(self) -> None:
        """Modules run their tests here."""


def module() -> ModuleType:
    """Make ``slicer.ScriptedLoadableModule``; every member is one of Slicer's."""
    made = ModuleType("slicer.ScriptedLoadableModule")
    bases = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    for base in bases:
        check_member("slicer.ScriptedLoadableModule", base.__name__)
        setattr(made, base.__name__, base)
    return made
