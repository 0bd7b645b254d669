"""The scripted module LiverLesionPatches of 3D Slicer: what a network sees of each lesion, as volumes.

A thin front on :mod:`LiverLesionAI.patches`: every lesion of the scene is cropped out of every sequence, and
patch and annotation channel become scalar volumes in the place where they were cut.
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
    ScriptedLoadableModuleWidget,
)

_SOURCE_TREE = Path(__file__).resolve().parent.parent
if (_SOURCE_TREE / "LiverLesionAI").is_dir() and str(_SOURCE_TREE) not in sys.path:
    sys.path.append(str(_SOURCE_TREE))


class LiverLesionPatches(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Lesion Patches")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Crops every lesion out of every sequence as the classifier sees it. Patch and annotation "
            "channel become volumes of the scene."
        )
        parent.acknowledgementText = _("Implements Wang et al. 2021 (doi:10.1186/s13244-021-01117-z).")


class LiverLesionPatchesWidget(ScriptedLoadableModuleWidget):
    """The panel: one button."""

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/LiverLesionPatches.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        self.logic = LiverLesionPatchesLogic()
        self.ui.cropButton.connect("clicked(bool)", self.onCrop)

    def onCrop(self, checked=False):  # noqa: N802
        """Crop every lesion of the scene."""
        with slicer.util.tryWithErrorDisplay(_("The lesions were not cropped."), waitCursor=True):
            count = len(self.logic.crop())
            self.ui.statusLabel.text = _("{count} volumes were made.").format(count=count)


class LiverLesionPatchesLogic(ScriptedLoadableModuleLogic):
    """What the panel does, callable from the Python console."""

    def crop(self, parameters=None):
        """Crop every lesion of the scene and put patches and annotation channels into it.

        Parameters
        ----------
        parameters
            :class:`LiverLesionAI.patches.PatchParameters`; the paper's by default.

        Returns
        -------
        list of vtkMRMLScalarVolumeNode
            For each lesion and sequence the patch and its annotation channel, on the patch's grid.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the scene is no study or has no outlined lesions.
        """
        from LiverLesionAI import mrml
        from LiverLesionAI.patch_grid import PatchParameters
        from LiverLesionAI.pipeline import crop_lesions
        from LiverLesionAI.readers.scene import study_from_scene

        study = study_from_scene(slicer.mrmlScene, "study", "Slicer scene")
        inputs, _failures = crop_lesions(study, study.sequences, parameters or PatchParameters())
        nodes = []
        for lesion in inputs:
            for index, sequence in enumerate(lesion.sequences):
                for channel, kind in enumerate(("patch", "annotation")):
                    name = f"{study.lesion_name(lesion.lesion_id)} {sequence} {kind}"
                    for stale in slicer.mrmlScene.GetNodesByName(name):
                        slicer.mrmlScene.RemoveNode(stale)
                    image = lesion.grid.image(lesion.patches[index, channel])
                    nodes.append(mrml.add_volume(slicer.mrmlScene, image, name))
        return nodes


class LiverLesionPatchesTest(ScriptedLoadableModuleTest):
    """Self-test: the lesions of a phantom are cropped."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_cropped()

    def test_a_phantom_is_cropped(self):
        """One patch and one annotation channel for each sequence, in the lesion's place."""
        from LiverLesionAI.phantom import generate_lesion
        from LiverLesionAI.writers.scene import show_study

        phantom = generate_lesion(800_003, "cyst")
        show_study(slicer.mrmlScene, phantom.study)
        nodes = LiverLesionPatchesLogic().crop()
        self.assertEqual(len(nodes), 2 * len(phantom.study.sequences))
        self.assertEqual(nodes[0].GetImageData().GetDimensions(), (64, 64, 64))
