"""The scripted module LiverReaderStudy of 3D Slicer: readers name lesions, with the model and without.

A thin front on :mod:`LiverLesionAI.reader_study`; studies are made and judged by ``liverlesionai readers``.
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


class LiverReaderStudy(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Liver Reader Study")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["LiverLesionAI"]
        parent.contributors = ["LiverLesionAI developers"]
        parent.helpText = _(
            "Leads a reader through a blinded list of liver lesions, with and without the model's answer. "
            "Answers, confidence and times are kept as they are given; reading goes on where it was left."
        )
        parent.acknowledgementText = _(
            "Designs after Obuchowski and Bullen 2022 (doi:10.1148/radiol.211593)."
        )


class LiverReaderStudyWidget(ModuleWidget):
    """The panel; its steps are in ``LiverLesionLib``."""

    def make_panel(self):
        """Make the panel: the reader, the case."""
        from LiverLesionLib.panels.reading_panel import ReadingPanel

        self.logic = LiverReaderStudyLogic()
        return ReadingPanel(self, self.ui, self.logic)


class LiverReaderStudyLogic(ScriptedLoadableModuleLogic, StudyLogic):
    """What the panel does, callable from the Python console."""

    def start(self, folder, reader):
        """Start reading, or go on where it was left.

        Parameters
        ----------
        folder
            The reader study, made by ``liverlesionai readers make``.
        reader
            Who reads.

        Returns
        -------
        LiverLesionAI.reader_study.session.ReadingSession
            Close it when done.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If the study cannot be used, or somebody reads as this reader already.
        """
        from LiverLesionAI.reader_study.session import ReadingSession

        return ReadingSession(Path(folder), reader)

    def show(self, session):
        """Show a session's next case and start its clock; waits until it is read.

        Returns
        -------
        LiverLesionAI.scenes.show.StudyNodes
            The case's nodes.

        Raises
        ------
        LiverLesionAI.errors.LiverLesionError
            If all cases are answered, or the case cannot be read.
        """
        from LiverLesionAI.errors import ConfigError
        from LiverLesionAI.pipeline import read_study
        from LiverLesionAI.scenes.reading import blinded, show_case

        listed = session.current
        if listed is None:
            raise ConfigError(f"{session.reader} has answered every case.")
        lesion = int(listed.lesion) if listed.lesion else None
        case = blinded(read_study(listed.path, listed.mask), listed.item.code, lesion)
        nodes = show_case(slicer.mrmlScene, case)
        session.open()
        return nodes


class LiverReaderStudyTest(ScriptedLoadableModuleTest):
    """Self-test: a phantom is read."""

    def runTest(self):  # noqa: N802
        """Run from an empty scene."""
        slicer.mrmlScene.Clear()
        self.test_a_phantom_is_read()

    def test_a_phantom_is_read(self):
        """The case is shown under its code, and the answer is kept."""
        import tempfile

        from LiverLesionAI.phantom import generate_lesion
        from LiverLesionAI.reader_study.folder import make_reader_study
        from LiverLesionAI.writers.dataset import add_to_dataset

        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            phantom = generate_lesion(850_003, "cyst", sequences=("T2WI", "LAP"))
            list(add_to_dataset(phantom.study, {1: "cyst"}, folder / "data", "P1"))
            answers = folder / "answers.csv"
            answers.write_text(
                f"study_id,lesion,truth,pred,prob_cyst,prob_HCC\n{phantom.study.id},1,cyst,cyst,0.9,0.1\n",
                encoding="utf-8",
            )
            cohort = folder / "data" / "cohort.csv"
            make_reader_study(cohort, answers, folder / "study", ["A"], "alone", 1)
            logic = LiverReaderStudyLogic()
            session = logic.start(folder / "study", "A")
            logic.show(session)
            self.assertIsNotNone(slicer.mrmlScene.GetFirstNodeByName("LAP"))
            self.assertEqual(session.answer("HCC", 60).diagnosis, "HCC")
            session.close()
            self.assertIn("HCC", (folder / "study" / "answers" / "A.jsonl").read_text(encoding="utf-8"))
