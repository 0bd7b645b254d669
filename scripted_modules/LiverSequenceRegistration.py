"""The scripted module LiverSequenceRegistration of 3D Slicer: volumes by role in, transform nodes out.

A thin front on :mod:`LiverLesionAI.registration`; the panel works in the background, the logic waits.
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


class LiverSequenceRegistration(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Sequence Registration")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Aligns the sequences of a liver study with one of them, around the lesions or everywhere: "
            "shift, rigid, affine, deformable, each kept only where it makes the images more alike. The "
            "volumes come to lie under transform nodes; the result can be compared, moved by hand and "
            "undone."
        )
        parent.acknowledgementText = _("Built on SimpleITK's registration framework.")


class LiverSequenceRegistrationWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel: the study, where to look, the alignment."""
        from LiverLesionLib.panels.registration_panel import RegistrationPanel

        self.logic = LiverSequenceRegistrationLogic()
        return RegistrationPanel(self, self.ui, self.logic)


class LiverSequenceRegistrationLogic(ScriptedLoadableModuleLogic, StudyLogic):
    """What the panel does, callable from the Python console."""

    def register(
        self,
        volumes=None,
        reference=None,
        segmentation=None,
        *,
        transform="bspline",
        scope=None,
        resample=False,
        progress=None,
    ):
        """Register sequences and put them under the transforms found; waits until it is done.

        More than six parameters: the study's nodes, and what the panel asks for.

        Parameters
        ----------
        volumes
            Sequence to volume node; by default what :meth:`assign_sequences` finds.
        reference
            The sequence that the others are registered to; by default that of the segmentation, else T2WI.
        segmentation
            Segmentation node of the lesions.
        transform
            The last stage: ``"rigid"``, ``"affine"`` or ``"bspline"``.
        scope
            ``"lesion"`` or ``"volume"``; by default around the lesions where a segmentation is given.
        resample
            Make volumes on the reference's grid too, for looking.
        progress
            Told ``"register <SEQ>"`` and a fraction; by raising it cancels.

        Returns
        -------
        dict
            Sequence to transform node.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the volumes cannot be used.

        Examples
        --------
        >>> from LiverSequenceRegistration import LiverSequenceRegistrationLogic  # doctest: +SKIP
        >>> LiverSequenceRegistrationLogic().register(transform="rigid")["PVP"].GetName()  # doctest: +SKIP
        'PVP to T2WI'
        """
        from LiverLesionAI.progress import silent
        from LiverLesionAI.scenes.registering import add_registered_volumes, register_volumes

        scene, nodes = slicer.mrmlScene, self.chosen(volumes, segmentation, reference)
        found = register_volumes(
            scene,
            nodes,
            transform=transform,
            scope=scope or ("volume" if segmentation is None else "lesion"),
            progress=progress or silent,
        )
        if resample:
            add_registered_volumes(scene, nodes, _)
        return found


class LiverSequenceRegistrationTest(ScriptedLoadableModuleTest):
    """Self-test: a displaced sequence of a phantom is brought back."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_displaced_sequence_is_brought_back()

    def test_a_displaced_sequence_is_brought_back(self):
        """Where a lesion lies in the arterial phase is found to 4 mm."""
        import numpy as np

        from LiverLesionAI.mrml.frames import ras
        from LiverLesionAI.phantom import generate_lesion
        from LiverLesionAI.scenes.show import show_study

        phantom = generate_lesion(800_010, "HCC", misalign_mm=(12.0, 0.0), sequences=("T2WI", "LAP"))
        shown = show_study(slicer.mrmlScene, phantom.study)
        logic = LiverSequenceRegistrationLogic()
        transforms = logic.register(
            shown.volumes, "T2WI", shown.segmentation, transform="rigid", resample=True
        )
        self.assertEqual(set(transforms), {"LAP"})
        self.assertIs(shown.volumes["LAP"].GetParentTransformNode(), transforms["LAP"])
        self.assertIsNotNone(slicer.mrmlScene.GetFirstNodeByName("LAP registered"))
        (lesion,) = phantom.truth.lesions
        displaced = np.add(lesion.centre_lps_mm, lesion.displacement_mm["LAP"])
        world = [0.0, 0.0, 0.0]
        shown.volumes["LAP"].TransformPointToWorld(ras(displaced), world)
        self.assertGreater(np.linalg.norm(lesion.displacement_mm["LAP"]), 5.0)
        self.assertLess(np.linalg.norm(np.subtract(world, ras(lesion.centre_lps_mm))), 4.0)
