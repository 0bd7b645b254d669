"""The scripted module LiverHCCDetection of 3D Slicer: HCC found on hepatobiliary slices without an outline.

A thin front on :mod:`LiverLesionAI.detection` (Kim et al. 2020): candidates become markups, the class
activation map a volume over the series, and accepted candidates segments with classes.
"""

import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

_SOURCE_TREE = Path(__file__).resolve().parent.parent
if (_SOURCE_TREE / "LiverLesionAI").is_dir() and str(_SOURCE_TREE) not in sys.path:
    sys.path.append(str(_SOURCE_TREE))

from LiverLesionLib.console import StudyLogic  # noqa: E402
from LiverLesionLib.panels.module_widget import ModuleWidget  # noqa: E402


class LiverHCCDetection(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver HCC Detection")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Looks for hepatocellular carcinoma on every slice of the hepatobiliary phase. Candidates are "
            "listed and marked; accepted ones are segmented and classified. Research software: not for "
            "clinical use."
        )
        parent.acknowledgementText = _("Implements Kim et al. 2020 (doi:10.1038/s41598-020-65875-4).")


class LiverHCCDetectionWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel: the study, the search, the candidates."""
        from LiverLesionLib.panels.detection_panel import DetectionPanel

        self.logic = LiverHCCDetectionLogic()
        return DetectionPanel(self, self.ui, self.logic)


class LiverHCCDetectionLogic(ScriptedLoadableModuleLogic, StudyLogic):
    """What the panel does, callable from the Python console."""

    def detect(self, volumes=None, operating_point=None):
        """Look for HCC and show the candidates; waits until it is done.

        Parameters
        ----------
        volumes
            Sequence to volume node; by default what :meth:`assign_sequences` finds.
        operating_point
            Probability from which a slice counts; by default the model's.

        Returns
        -------
        LiverLesionAI.results.StudyResult
            With the candidates by rank.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the scene is no study or has no hepatobiliary phase.
        """
        from LiverLesionAI.bundles import load_bundle
        from LiverLesionAI.detection import detect_study
        from LiverLesionAI.options import DetectOptions
        from LiverLesionAI.scenes.candidates import add_candidates, clear_candidates
        from LiverLesionAI.scenes.logic import default_reference
        from LiverLesionAI.scenes.nodes import ChosenNodes
        from LiverLesionAI.scenes.read import study_of

        scene = slicer.mrmlScene
        found = self.assign_sequences() if volumes is None else {}
        volumes = volumes or {name: naming.node for name, naming in found.items()}
        chosen = ChosenNodes(volumes, None, default_reference(volumes, None))
        options = DetectOptions(operating_point=operating_point)
        found = detect_study(study_of(scene, chosen), load_bundle(options.model), options)
        clear_candidates(scene, found.result.study.id)
        add_candidates(scene, found.result, chosen.volumes, found.found.evidence)
        return found.result


class LiverHCCDetectionTest(ScriptedLoadableModuleTest):
    """Self-test: candidates of a phantom become markups."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_candidates_of_a_phantom_are_marked()

    def test_candidates_of_a_phantom_are_marked(self):
        """There is a point for each candidate."""
        from LiverLesionAI.phantom import generate_study
        from LiverLesionAI.scenes.show import show_study

        phantom = generate_study(860_001, classes=("HCC",), sequences=("HBP",), reference="HBP")
        show_study(slicer.mrmlScene, phantom.study)
        result = LiverHCCDetectionLogic().detect()
        points = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
        self.assertEqual(points.GetNumberOfControlPoints(), len(result.candidates))
