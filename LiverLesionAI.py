"""The scripted module LiverLesionAI of 3D Slicer, a thin front on the library beside it.

Slicer runs this file as the module ``LiverLesionAI``; the lines that set ``__path__`` make it a package as
well, so that the folder of the same name stays importable (``from LiverLesionAI.pipeline import …``).
"""

import runpy
import sys
from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent / "LiverLesionAI")]
if __spec__ is not None:
    __spec__.submodule_search_locations = __path__
__version__ = runpy.run_path(str(Path(__path__[0]) / "__init__.py"))["__version__"]
for _name, _module in list(sys.modules.items()):
    if _name.startswith("LiverLesionAI.") and _name.count(".") == 1:
        globals()[_name.rpartition(".")[2]] = _module

import slicer  # noqa: E402
from slicer.i18n import tr as _  # noqa: E402
from slicer.i18n import translate  # noqa: E402
from slicer.ScriptedLoadableModule import (  # noqa: E402
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from LiverLesionLib.console import ClassificationLogic  # noqa: E402
from LiverLesionLib.panels.module_widget import ModuleWidget  # noqa: E402
from LiverLesionLib.sample_data import register_sample_data  # noqa: E402


class LiverLesionAI(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Lesion AI")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Classifies focal liver lesions on multisequence MRI. Load the sequences, name each volume by "
            "its sequence (T2WI, DWI, ADC, T1WI, LAP, PVP, DP), make each lesion a segment of one "
            "segmentation and press Classify. Research software: not for clinical use."
        )
        parent.acknowledgementText = _(
            "Implements Wang et al. 2021 (doi:10.1186/s13244-021-01117-z). The supplied model is trained on "
            "digital phantoms."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


class LiverLesionAIWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel of seven steps."""
        from LiverLesionLib.panels.main_panel import MainPanel

        self.logic = LiverLesionAILogic()
        return MainPanel(self, self.ui, self.logic)


class LiverLesionAILogic(ScriptedLoadableModuleLogic, ClassificationLogic):
    """What the panel does, for the Python console: ``classify``, ``explain`` and ``save``."""


class LiverLesionAITest(ScriptedLoadableModuleTest):
    """Self-test: a phantom study is classified in the scene."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_classified()

    def test_a_phantom_is_classified(self):
        """Every lesion of a phantom study gets a class and a row in the table."""
        from LiverLesionAI.phantom import generate_study
        from LiverLesionAI.scenes.show import clear_study, show_study

        phantom = generate_study(800_002, classes=("cyst", "HCC"))
        shown = show_study(slicer.mrmlScene, phantom.study)
        result, nodes = LiverLesionAILogic().classify()
        self.assertEqual(len(result.lesions), 2)
        self.assertTrue(all(lesion.tasks["type"].predicted for lesion in result.lesions))
        self.assertEqual(nodes.table.GetNumberOfRows(), 2)
        self.assertEqual(set(nodes.volumes), set(shown.volumes))
        clear_study(slicer.mrmlScene, phantom.study.id)
