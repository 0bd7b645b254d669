"""The widget of every module of the extension: it loads the module's windows and hands them to a panel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

_SHARED = {"studyPlace": "LiverLesionStudy.ui", "alignPlace": "LiverLesionAlign.ui"}
"""Place in a module's own ``.ui`` to what several modules show there."""


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Widget of a module whose ``.ui`` is named after it; a module says what its panel is."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.ui: Any = None
        self.logic: Any = None
        self.panel: Any = None

    def make_panel(self) -> Any:
        """Make the module's :class:`LiverLesionLib.panels.base_panel.BasePanel` on ``self.ui``."""
        raise NotImplementedError

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        for place, file in _SHARED.items():
            if hasattr(self.ui, place):
                self._embed(getattr(self.ui, place), file)
        self.panel = self.make_panel()

    def _embed(self, place: Any, file: str) -> None:
        """Load what several modules share; its widgets join the module's own."""
        path = Path(__file__).resolve().parents[2] / "Resources" / "UI" / file
        widget = slicer.util.loadUI(path.as_posix())
        place.layout().addWidget(widget)
        for name, child in vars(slicer.util.childWidgetVariables(widget)).items():
            setattr(self.ui, name, child)
        widget.setMRMLScene(slicer.mrmlScene)

    def enter(self) -> None:
        """The module is shown."""
        self.panel.enter()

    def exit(self) -> None:
        """The module is hidden."""
        self.panel.exit()

    def cleanup(self) -> None:
        """Let go of the scene and end the background worker."""
        if self.panel is not None:
            self.panel.close()
        self.removeObservers()

    def onReload(self) -> None:  # noqa: N802
        """Forget the library too, so that it is read again."""
        for name in [name for name in sys.modules if name.startswith(("LiverLesionAI.", "LiverLesionLib"))]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)
