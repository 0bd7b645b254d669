"""The scripted module LiverLesionPatches of 3D Slicer: what a network sees of each lesion, and data sets.

A thin front on :mod:`LiverLesionAI.inputs.patches` and :mod:`LiverLesionAI.writers.dataset`: patch,
annotation channel and label become volumes in the place where they were cut; a study with a class for each
lesion becomes part of a folder that ``liverlesionai train`` reads.
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


class LiverLesionPatches(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Lesion Patches")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Crops every lesion out of every sequence as the classifier sees it: patch, annotation channel "
            "and label become volumes of the scene. Studies with a class for each lesion are collected in a "
            "folder for training."
        )
        parent.acknowledgementText = _("Implements Wang et al. 2021 (doi:10.1186/s13244-021-01117-z).")


class LiverLesionPatchesWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel: the study, cropping, the export of a data set."""
        from LiverLesionLib.panels.patches_panel import PatchesPanel

        self.logic = LiverLesionPatchesLogic()
        return PatchesPanel(self, self.ui, self.logic)


class LiverLesionPatchesLogic(ScriptedLoadableModuleLogic, StudyLogic):
    """What the panel does, callable from the Python console."""

    def crop(self, volumes=None, segmentation=None, reference=None, parameters=None):
        """Crop every lesion out of every sequence; waits until it is done.

        Parameters
        ----------
        volumes
            Sequence to volume node; by default what :meth:`assign_sequences` finds.
        segmentation
            Segmentation node, a segment per lesion; by default the scene's.
        reference
            The reference sequence; by default that of the segmentation.
        parameters
            :class:`LiverLesionAI.inputs.patch_grid.PatchParameters`; the paper's by default.

        Returns
        -------
        list of vtkMRMLScalarVolumeNode
            For each lesion its label volume, and for each sequence the patch and its annotation channel, all
            on the patch's grid.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the scene is no study or has no segmented lesions.
        """
        from LiverLesionAI.scenes.patches import add_patches
        from LiverLesionAI.scenes.read import study_of

        scene, chosen = slicer.mrmlScene, self.chosen_lesions(volumes, segmentation, reference)
        work = add_patches(scene, study_of(scene, chosen), chosen.anchor, parameters)
        return [node for _, nodes, _ in work for node in nodes]

    def export(
        self, folder, diagnoses, name="", patient="", *, volumes=None, segmentation=None, reference=None
    ):
        """Add the study to a data set for ``liverlesionai train``; waits until it is done.

        More than six parameters: what is exported, and the study's nodes where they are not the scene's own.

        Parameters
        ----------
        folder
            The data set's folder.
        diagnoses
            Label of a lesion to its class, taxonomy W7.
        name
            Name of the study in the data set; by default its pseudonym, numbered where that is taken.
        patient
            Pseudonym of the patient; by default the study's name.
        volumes, segmentation, reference
            See :meth:`crop`.

        Returns
        -------
        list of pathlib.Path
            The files written.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the study cannot be used or the data set cannot be written.
        """
        from dataclasses import replace

        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.writers.dataset import add_to_dataset, free_name

        study = study_of(slicer.mrmlScene, self.chosen_lesions(volumes, segmentation, reference))
        study = replace(study, id=name or free_name(study.id, Path(folder)))
        return list(add_to_dataset(study, diagnoses, Path(folder), patient))


class LiverLesionPatchesTest(ScriptedLoadableModuleTest):
    """Self-test: the lesions of a phantom are cropped and exported."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_cropped()
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_exported()

    def test_a_phantom_is_cropped(self):
        """Label, patches and annotation channels lie in the lesion's place."""
        from LiverLesionAI.phantom import generate_lesion
        from LiverLesionAI.scenes.show import show_study

        phantom = generate_lesion(800_003, "cyst")
        show_study(slicer.mrmlScene, phantom.study)
        nodes = LiverLesionPatchesLogic().crop()
        self.assertEqual(len(nodes), 1 + 2 * len(phantom.study.sequences))
        self.assertTrue(nodes[0].IsA("vtkMRMLLabelMapVolumeNode"))
        for node in nodes:
            self.assertEqual(node.GetImageData().GetDimensions(), (64, 64, 64))

    def test_a_phantom_is_exported(self):
        """A data set holds the study and the class of its lesion."""
        import tempfile

        from LiverLesionAI.phantom import generate_lesion
        from LiverLesionAI.scenes.show import show_study

        show_study(slicer.mrmlScene, generate_lesion(800_003, "cyst", sequences=("T2WI", "LAP")).study)
        with tempfile.TemporaryDirectory() as folder:
            LiverLesionPatchesLogic().export(folder, {1: "cyst"}, "S1")
            rows = (Path(folder) / "cohort.csv").read_text(encoding="utf-8").splitlines()
            self.assertEqual(rows[1], "S1,S1,S1,1,cyst")
            self.assertTrue((Path(folder) / "S1" / "LAP.nii.gz").is_file())
