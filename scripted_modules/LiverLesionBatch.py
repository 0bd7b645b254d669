"""The scripted module LiverLesionBatch of 3D Slicer: whole cohorts, exactly once.

A thin front on :mod:`LiverLesionAI.batch`; ``liverlesionai batch`` does the same without a window.
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


class LiverLesionBatch(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Lesion Batch")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Classifies the liver lesions of every study of a cohort, in the background and exactly once: a "
            "run can be paused, stopped or cut off at any moment and goes on where it was."
        )
        parent.acknowledgementText = _("Research software: not for clinical use.")


class LiverLesionBatchWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel: the cohort, the run, the studies."""
        from LiverLesionLib.panels.batch_panel import BatchPanel

        self.logic = LiverLesionBatchLogic()
        return BatchPanel(self, self.ui, self.logic)


class LiverLesionBatchLogic(ScriptedLoadableModuleLogic, StudyLogic):
    """What the panel does, callable from the Python console."""

    def run(self, cohort, out, options=None):
        """Begin a run, or go on with it.

        Parameters
        ----------
        cohort, out, options
            See :func:`LiverLesionAI.batch.run_batch`.

        Returns
        -------
        LiverLesionAI.batch.BatchRun
            Iterate over it and wait, or let a timer call its ``poll``.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the run cannot begin.
        """
        from LiverLesionAI.batch import run_batch

        return run_batch(cohort, out, options)


class LiverLesionBatchTest(ScriptedLoadableModuleTest):
    """Self-test: two phantoms are worked through."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_two_phantoms()

    def test_two_phantoms(self):
        """Both are done once, and not again."""
        import tempfile

        from LiverLesionAI.batch import BatchOptions
        from LiverLesionAI.options import Options
        from LiverLesionAI.phantom import write_cohort

        with tempfile.TemporaryDirectory() as made:
            cohort = write_cohort(Path(made) / "cohort", 2, 850_010, lesion_centred=True)
            options = BatchOptions(outputs="table", study=Options(register=False, explain=False))
            logic = LiverLesionBatchLogic()
            with logic.run(cohort, Path(made) / "run", options) as run:
                self.assertEqual([answer.status for answer in run], ["done", "done"])
            with logic.run(cohort, Path(made) / "run", options) as run:
                self.assertEqual(list(run), [])
