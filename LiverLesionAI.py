"""The scripted module LiverLesionAI of 3D Slicer, a thin front on the library beside it.

Slicer runs this file as the module ``LiverLesionAI``; the lines that set ``__path__`` make it a package as
well, so that the folder of the same name stays importable (``from LiverLesionAI.pipeline import …``).
"""

import logging
import sys
from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent / "LiverLesionAI")]
if __spec__ is not None:
    __spec__.submodule_search_locations = __path__
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
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin  # noqa: E402

PACKAGES = "monai safetensors nibabel pydantic filelock"


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
            "its sequence (T2WI, DWI, ADC, T1WI, LAP, PVP, DP), outline each lesion as one segment of a "
            "segmentation and press Classify. Research software: not for clinical use."
        )
        parent.acknowledgementText = _(
            "Implements Wang et al. 2021 (doi:10.1186/s13244-021-01117-z). The supplied model is trained on "
            "digital phantoms."
        )


class LiverLesionAIWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: choose a model, classify what the scene shows, see the table."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/LiverLesionAI.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = LiverLesionAILogic()
        self.ui.classifyButton.connect("clicked(bool)", self.onClassify)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)

    def cleanup(self):
        """Let go of the scene."""
        self.removeObservers()

    def onSceneClosed(self, caller, event):  # noqa: N802
        """Show that there is no result."""
        self.ui.resultsTable.setMRMLTableNode(None)
        self.ui.statusLabel.text = ""

    def onClassify(self, checked=False):  # noqa: N802
        """Classify the scene's study and show the table."""
        with slicer.util.tryWithErrorDisplay(_("The study was not classified."), waitCursor=True):
            result, nodes = self.logic.classify(self.ui.modelEdit.text)
            self.ui.resultsTable.setMRMLTableNode(nodes.table)
            self.ui.statusLabel.text = self.logic.summary(result)

    def onReload(self):  # noqa: N802
        """Forget the library too, so that it is read again."""
        for name in [name for name in sys.modules if name.startswith("LiverLesionAI.")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class LiverLesionAILogic(ScriptedLoadableModuleLogic):
    """What the panel does, callable from the Python console."""

    def classify(self, model="wang2021-phantom", device="auto"):
        """Classify the lesions of the scene and put the result into it.

        Parameters
        ----------
        model
            Name or folder of a bundle.
        device
            ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

        Returns
        -------
        result : LiverLesionAI.results.StudyResult
        nodes : LiverLesionAI.writers.scene.StudyNodes

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If scene or model cannot be used.
        RuntimeError
            If a Python package is missing; the text says how to install it.
        """
        try:
            from LiverLesionAI.bundles import load_bundle
            from LiverLesionAI.pipeline import classify_study
            from LiverLesionAI.readers.scene import sequence_volumes, study_from_scene
            from LiverLesionAI.writers.scene import show_study

            study = study_from_scene(slicer.mrmlScene, "study", "Slicer scene")
            result = classify_study(study, load_bundle(model), device=device, progress=self._log_progress)
        except ModuleNotFoundError as error:
            raise RuntimeError(
                _(
                    "Python package {name} is missing. Install PyTorch with the PyTorch extension, then run "
                    "slicer.util.pip_install('{packages}') in the Python console."
                ).format(name=error.name, packages=PACKAGES)
            ) from error
        volumes, _others = sequence_volumes(slicer.mrmlScene)
        return result, show_study(slicer.mrmlScene, study, result, volumes)

    def summary(self, result):
        """Return one line about a result: the model, its standing, the warnings."""
        from LiverLesionAI.results import PHANTOM_NOTICE

        parts = [_("Model {name}.").format(name=result.models[0].name)]
        if result.is_phantom_trained:
            parts.append(f"{PHANTOM_NOTICE.capitalize()}.")
        parts += [_("Warning: {text}.").format(text=warning) for warning in result.warnings]
        return " ".join(parts)

    @staticmethod
    def _log_progress(step, fraction):
        logging.info("%s %.0f %%", step, 100 * fraction)
        slicer.app.processEvents()


class LiverLesionAITest(ScriptedLoadableModuleTest):
    """Self-test: a phantom study is classified in the scene."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_classified()

    def test_a_phantom_is_classified(self):
        """Every lesion of a phantom study gets a class and a row in the table."""
        from LiverLesionAI.phantom import generate_study
        from LiverLesionAI.writers.scene import clear_study, show_study

        phantom = generate_study(800_002, classes=("cyst", "HCC"))
        shown = show_study(slicer.mrmlScene, phantom.study)
        result, nodes = LiverLesionAILogic().classify()
        self.assertEqual(len(result.lesions), 2)
        self.assertTrue(all(lesion.tasks["type"].predicted for lesion in result.lesions))
        self.assertEqual(nodes.table.GetNumberOfRows(), 2)
        self.assertEqual(set(nodes.volumes), set(shown.volumes))
        clear_study(slicer.mrmlScene, phantom.study.id)
