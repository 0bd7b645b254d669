"""Draw every state of every step of the panels, to be looked at: narrow, with large letters, in dark style.

    python docs/draw_states.py --out FOLDER [--points 9] [--dark] [--width 350] [MODULE …]

Each module is walked in a desktop of its own, the real panels with the real worker and the shipped models, in
the harness of the tests (``Testing/desktop_harness``); a picture for each state, numbered in the order of the
walk. The console names pictures whose panel needs more room than it is given. Two minutes a module at most.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing"), str(ROOT / "benchmarks" / "calibration")]

from desktop_harness.desktop import Desktop, desktop  # noqa: E402
from PySide6 import QtGui, QtWidgets  # noqa: E402

LIMIT_S = 900.0
SEED = 860_300
DARK = {
    QtGui.QPalette.ColorRole.Window: "#353535",
    QtGui.QPalette.ColorRole.WindowText: "#ffffff",
    QtGui.QPalette.ColorRole.Base: "#232323",
    QtGui.QPalette.ColorRole.AlternateBase: "#353535",
    QtGui.QPalette.ColorRole.Text: "#ffffff",
    QtGui.QPalette.ColorRole.Button: "#353535",
    QtGui.QPalette.ColorRole.ButtonText: "#ffffff",
    QtGui.QPalette.ColorRole.Highlight: "#2a82da",
    QtGui.QPalette.ColorRole.HighlightedText: "#ffffff",
    QtGui.QPalette.ColorRole.PlaceholderText: "#999999",
}
GREYED = ("WindowText", "Text", "ButtonText")


class States:
    """A module in the desktop, and a picture of each of its states.

    Parameters
    ----------
    made
        The desktop.
    name
        Of the module.
    folder
        Of the pictures.
    width
        Of the panel, in pixels.
    """

    def __init__(self, made: Desktop, name: str, folder: Path, width: int) -> None:
        import slicer

        self.made, self.name, self.folder, self.width = made, name, folder, width
        self.count = 0
        widget = made.open_module(name)
        manager = slicer.app.layoutManager()
        manager.layoutLogic()
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.ui, self.panel = widget.ui, widget.panel

    def shoot(self, state: str, *steps: str) -> None:
        """Draw the panel as long as it is, with some steps open."""
        frame = self.made._frames[self.name]
        for each in vars(self.ui).values():
            if hasattr(each, "name") and str(each.name).endswith("Step"):
                each.collapsed = each.name not in steps
        self.made.settle(120)
        self.count += 1
        file = self.folder / f"{self.name}-{self.count:02d}-{state}.png"
        self.made.screenshot(self.name, file, self.width)
        areas = [each for each in frame.findChildren(QtWidgets.QScrollArea) if each.objectName()]
        is_wide = frame.width() > self.width or any(each.horizontalScrollBar().maximum() for each in areas)
        print(f"{file.name}{': needs more room' if is_wide else ''}", flush=True)

    def click(self, button: str, settle_ms: int = 300) -> None:
        """Press a button by its name."""
        getattr(self.ui, button).click()
        self.made.settle(settle_ms)

    def finish(self) -> None:
        """Wait until the background worker has answered."""
        self.wait(lambda: not self.panel.is_busy)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something is done and shown."""
        if not self.made.wait(done, LIMIT_S):
            raise SystemExit(f"{self.name}: nothing came within {LIMIT_S:.0f} s")
        self.made.settle(500)

    def choose(self, combo: str, text: str) -> None:
        """Choose what a combo box offers."""
        box = getattr(self.ui, combo)
        box.setCurrentIndex(box.findText(text))
        self.made.settle(500)

    def show(self, study: Any) -> None:
        """Put a study in the place of what the scene holds, and assign its sequences."""
        import slicer

        from LiverLesionAI.scenes.show import show_study

        slicer.mrmlScene.Clear(0)
        self.made.settle(600)
        show_study(slicer.mrmlScene, study)
        self.made.settle(400)
        self.click("assignButton")

    def place(self, x: float, y: float, z: float) -> None:
        """One-click lesion at a point, LPS mm."""
        import slicer

        self.click("oneClickButton")
        slicer.mrmlScene.GetFirstNodeByName("LiverLesionAI click").AddControlPoint([-x, -y, z])
        self.made.settle(500)


def main_states(states: States) -> None:
    """Liver Lesion AI, from an empty scene to a worker that died."""
    _study_and_alignment(states)
    _lesions(states)
    _answers(states)
    _saving(states)
    _other_models(states)
    _doubts(states)


def _phantom() -> Any:
    from LiverLesionAI.phantom import generate_study
    from LiverLesionLib import sample_data

    wanted = sample_data.sample()
    return generate_study(wanted.seed, **wanted.options)


def _study_and_alignment(states: States) -> None:
    import slicer

    from LiverLesionAI.scenes.show import show_study

    ui, panel, made = states.ui, states.panel, states.made
    every = [name for name in vars(ui) if name.endswith("Step")]
    states.shoot("empty", "studyStep")
    states.shoot("empty-all", *every)
    states.click("assignButton")
    states.shoot("nothing-to-assign", "studyStep")
    states.click("classifyButton")
    states.shoot("nothing-to-classify", "classifyStep")
    show_study(slicer.mrmlScene, replace(_phantom().study, lesions=None))
    made.settle(500)
    states.shoot("loaded", "studyStep")
    states.click("assignButton")
    states.shoot("assigned", "studyStep")
    ui.selectorADC.setCurrentNode(panel.parameters.volumeDWI)
    made.settle(400)
    states.shoot("one-volume-twice", "studyStep")
    ui.selectorADC.setCurrentNode(None)
    made.settle(400)
    states.shoot("one-missing", "studyStep")
    states.click("assignButton")
    states.click("classifyButton")
    states.shoot("no-lesion-to-classify", "lesionsStep", "classifyStep")
    states.shoot("not-aligned", "alignStep")
    states.click("registerButton", 2000)
    states.shoot("aligning", "alignStep")
    states.click("registerButton", 800)
    states.shoot("aligning-cancelled", "alignStep")
    states.click("registerButton")
    states.finish()
    states.shoot("aligned", "alignStep")
    states.choose("alignSequenceCombo", "PVP")
    states.click("checkerboardButton")
    states.shoot("checkerboard", "alignStep")
    states.click("checkerboardButton")
    ui.shiftRSlider.value = 4.0
    made.settle(400)
    states.shoot("moved-by-hand", "alignStep")
    states.click("undoOffsetButton")


def _lesions(states: States) -> None:
    import numpy as np
    import slicer

    ui, panel, made = states.ui, states.panel, states.made
    first, *others = [lesion.centre_lps_mm for lesion in _phantom().truth.lesions]
    states.shoot("no-lesions", "lesionsStep")
    states.click("oneClickButton")
    states.shoot("one-click-waits", "lesionsStep")
    states.click("oneClickButton")
    states.place(*first)
    states.shoot("one-lesion", "lesionsStep")
    states.place(first[0] + 400, *first[1:])
    states.shoot("one-click-outside", "lesionsStep")
    node = panel.parameters.segmentation
    segments, volume = node.GetSegmentation(), panel.parameters.volumeT2WI
    segments.AddEmptySegment("empty", "empty")
    made.settle(500)
    states.shoot("empty-segment", "lesionsStep", "classifyStep")
    states.click("classifyButton")
    states.finish()
    states.shoot("classified-beside-empty-segment", "lesionsStep", "classifyStep")
    segments.RemoveSegment("empty")
    voxels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    middle = tuple(size // 2 for size in voxels.shape)
    voxels[middle[0], middle[1], middle[2] : middle[2] + 3] = 1
    segments.AddEmptySegment("tiny", "tiny")
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, "tiny", volume)
    made.settle(500)
    ui.explainCheck.checked = False
    states.click("classifyButton")
    states.finish()
    states.shoot("classified-three-voxels", "lesionsStep", "classifyStep")
    segments.RemoveSegment("tiny")
    for centre in others:
        states.place(*centre)
    states.shoot("three-lesions-out-of-date", "lesionsStep", "classifyStep")
    ui.explainCheck.checked = True


def _answers(states: States) -> None:
    ui, panel, made = states.ui, states.panel, states.made
    states.click("classifyButton", 60)
    states.shoot("classifying", "classifyStep", "explainStep", "decideStep", "saveStep")
    states.wait(lambda: panel.running is not panel.classify)
    states.shoot("explaining", "classifyStep", "explainStep")
    states.finish()
    for name in ("classify", "explain", "decide", "save"):
        states.shoot(f"answered-{name}", f"{name}Step")
    states.choose("targetCombo", "ICC")
    states.shoot("another-class-chosen", "explainStep")
    states.click("explainButton")
    states.finish()
    states.shoot("another-class", "explainStep")
    ui.targetCombo.setCurrentIndex(0)
    ui.methodCombo.setCurrentIndex(1)
    states.click("explainButton")
    states.finish()
    ui.mapCombo.setCurrentIndex(1)
    states.shoot("part-by-part", "explainStep")
    states.click("weightsButton")
    ui.readerEdit.text = "A"
    states.click("acceptButton")
    states.shoot("accepted", "classifyStep", "decideStep")
    panel.selection.step(1)
    ui.readerEdit.text = "B"
    states.choose("diagnosisCombo", "ICC")
    states.click("overrideButton")
    states.shoot("overridden-without-a-reason", "decideStep")
    ui.reasonEdit.text = "rim"
    states.click("overrideButton")
    made.settle(300)
    states.shoot("overridden", "classifyStep", "decideStep")


def _saving(states: States) -> None:
    import slicer

    from LiverLesionAI.phantom import generate_lesion

    ui, made = states.ui, states.made
    with tempfile.TemporaryDirectory() as out:
        folder = str(Path(out) / "phantom")
        ui.folderEdit.currentPath = folder
        states.click("saveButton", 700)
        states.shoot("saving", "saveStep")
        states.finish()
        states.shoot("saved", "saveStep")
        slicer.mrmlScene.Clear(0)
        made.settle(600)
        states.shoot("scene-closed", "studyStep", "classifyStep", "saveStep")
        states.show(generate_lesion(SEED, "haemangioma").study)
        states.click("classifyButton")
        states.finish()
        ui.folderEdit.currentPath = folder
        states.click("saveButton", 600)
        states.finish()
        states.shoot("folder-of-another-patient", "saveStep")


def _other_models(states: States) -> None:
    ui, made = states.ui, states.made
    for model in ("zhen2020", "kim2020-phantom"):
        states.choose("modelCombo", model)
        states.shoot(f"{model}-chosen", "classifyStep")
        states.click("classifyButton")
        states.finish()
        states.shoot(f"{model}-answered", "classifyStep", "explainStep")
    states.choose("modelCombo", "zhen2020")
    ui.clinicalBox.checked = True
    made.settle(300)
    states.shoot("clinical-data", "classifyStep")


def _doubts(states: States) -> None:
    from unlike import brain

    ui, made = states.ui, states.made
    states.choose("modelCombo", "wang2021-phantom")
    for name in ("ADC", "DP", "LAP"):
        getattr(ui, f"selector{name}").setCurrentNode(None)
    made.settle(500)
    states.click("classifyButton")
    states.finish()
    states.shoot("three-sequences-missing", "studyStep", "classifyStep")
    states.show(brain(SEED, "HCC"))
    states.click("classifyButton")
    states.finish()
    states.shoot("brain", *[name for name in vars(ui) if name.endswith("Step")])
    states.click("classifyButton")
    states.wait(lambda: states.panel.session.is_busy)
    os.kill(states.panel.session.client.pid, signal.SIGKILL)
    states.finish()
    states.shoot("worker-died", "classifyStep")


def detection_states(states: States) -> None:
    """Liver HCC Detection."""
    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionLib.sample_data import load_phantom

    look = ("detectStep", "candidatesStep")
    states.shoot("empty", "studyStep", *look)
    load_phantom(segmented=False, hepatobiliary=True)
    states.click("assignButton")
    states.shoot("assigned", "studyStep", *look)
    states.click("detectButton", 1000)
    states.shoot("looking", *look)
    states.finish()
    states.shoot("found", *look)
    states.panel.candidates.clicked(0, 0)
    states.made.settle(300)
    states.shoot("rejected", *look)
    states.click("outlineButton")
    states.finish()
    states.shoot("outlined", *look)
    states.click("detectButton", 100)
    states.click("detectButton", 600)
    states.shoot("cancelled", *look)
    states.show(generate_lesion(SEED + 1, "HCC").study)
    states.shoot("no-hepatobiliary-phase", "studyStep", *look)


def registration_states(states: States) -> None:
    """Liver Sequence Registration."""
    from LiverLesionLib.sample_data import load_phantom

    every = ("studyStep", "scopeStep", "alignStep")
    states.shoot("empty", *every)
    load_phantom(segmented=True)
    states.click("assignButton")
    states.shoot("assigned", *every)
    states.click("registerButton", 2000)
    states.shoot("aligning", *every[1:])
    states.finish()
    states.shoot("aligned", *every[1:])


def patches_states(states: States) -> None:
    """Liver Lesion Patches."""
    from LiverLesionLib.sample_data import load_phantom

    every, ui = ("studyStep", "cropStep", "exportStep"), states.ui
    states.shoot("empty", *every)
    load_phantom(segmented=True)
    states.click("assignButton")
    states.shoot("assigned", *every)
    states.click("cropButton", 1500)
    states.shoot("cropped", *every[1:])
    ui.diagnosisTable.cellWidget(0, 2).setCurrentIndex(1)
    states.made.settle(400)
    states.shoot("class-known", *every[1:])
    with tempfile.TemporaryDirectory() as folder:
        ui.datasetEdit.currentPath = str(Path(folder) / "data")
        states.made.settle(300)
        states.click("exportButton", 200)
        states.shoot("exporting", *every[1:])
        states.wait(lambda: "was added" in ui.exportStatus.text)
        states.shoot("exported", *every[1:])


def batch_states(states: States) -> None:
    """Liver Lesion Batch: a cohort in which a sequence is missing and an image cannot be read."""
    every, ui, batches = ("cohortStep", "batchStep", "batchResultsStep"), states.ui, states.panel.batches
    states.shoot("empty", *every)
    states.click("lookButton")
    states.shoot("nothing-to-list", *every)
    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder) / "cohort"
        asked = ["--studies", "4", "--seed", str(SEED + 10), "--lesion-centred", "--out", str(cohort)]
        subprocess.run([sys.executable, "-m", "LiverLesionAI", "phantom", *asked], check=True, cwd=ROOT)
        (cohort / f"phantom-{SEED + 11}" / "DWI.nii.gz").unlink()
        (cohort / f"phantom-{SEED + 12}" / "T2WI.nii.gz").write_bytes(b"no image")
        ui.cohortEdit.currentPath = str(cohort / "cohort.csv")
        ui.runFolderEdit.currentPath = str(Path(folder) / "run")
        states.click("lookButton")
        states.shoot("listed", *every)
        states.click("runButton", 12_000)
        states.shoot("running", *every)
        states.wait(lambda: batches.run is None)
        states.shoot("done", *every)
        states.panel.steps[2].show_study(0)
        states.made.settle(400)
        states.shoot("study-shown", *every)


def reading_states(states: States) -> None:
    """Liver Reader Study: a crossover of three cases, half of it."""
    every, ui = ("readerStep", "caseStep"), states.ui
    states.shoot("empty", *every)
    with tempfile.TemporaryDirectory() as folder:
        ui.studyFolderEdit.currentPath = folder
        states.made.settle(300)
        states.shoot("no-reader-study", *every)
        ui.studyFolderEdit.currentPath = str(_reader_study(Path(folder)))
        states.made.settle(300)
        states.shoot("chosen", *every)
        states.click("startButton")
        states.shoot("started", *every)
        states.click("showButton", 600)
        states.shoot("case-shown", *every)
        ui.classTable.selectRow(0)
        states.made.settle(100)
        states.click("showButton")
        states.shoot("paused", *every)
        states.click("showButton", 600)
        for number in range(3):
            ui.classTable.selectRow(number)
            states.made.settle(60)
            states.shoot(f"answer-{number}", *every)
            states.click("answerButton", 600)
        states.shoot("next-session", *every)
        states.click("startButton")
        states.shoot("stopped", *every)


def _reader_study(folder: Path) -> Path:
    import csv

    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.reader_study.folder import make_reader_study
    from LiverLesionAI.writers.dataset import add_to_dataset

    rows = []
    for number, truth in enumerate(("HCC", "cyst", "metastasis")):
        study = generate_lesion(SEED + 20 + number, truth).study
        list(add_to_dataset(study, {1: truth}, folder / "data", f"P{number}"))
        said = {"prob_cyst": "0.1", "prob_HCC": "0.7", "prob_metastasis": "0.2"}
        rows.append({"study_id": study.id, "lesion": "1", "truth": truth, "pred": "HCC", **said})
    with (folder / "answers.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    cohort, answers, out = folder / "data" / "cohort.csv", folder / "answers.csv", folder / "study"
    make_reader_study(cohort, answers, out, ["A", "B"], "crossover", 2)
    return out


WALKS: dict[str, Callable[[States], None]] = {
    "LiverLesionAI": main_states,
    "LiverHCCDetection": detection_states,
    "LiverSequenceRegistration": registration_states,
    "LiverLesionPatches": patches_states,
    "LiverLesionBatch": batch_states,
    "LiverReaderStudy": reading_states,
}


def _dress(application: QtWidgets.QApplication, points: int, dark: bool) -> None:
    application.setFont(QtGui.QFont(application.font().family(), points))
    if dark:
        application.setStyle("Fusion")
        palette = QtGui.QPalette()
        for role, colour in DARK.items():
            palette.setColor(role, QtGui.QColor(colour))
        for name in GREYED:
            role = getattr(QtGui.QPalette.ColorRole, name)
            palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#808080"))
        application.setPalette(palette)


def main(arguments: Sequence[str] | None = None) -> None:
    """Walk what is asked for, each module in a desktop of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(WALKS)}; all by default")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--points", type=int, default=9, help="size of the letters")
    parser.add_argument("--dark", action="store_true", help="in dark style")
    parser.add_argument("--width", type=int, default=350, help="of the panel, in pixels")
    asked = parser.parse_args(arguments)
    modules = asked.modules or list(WALKS)
    if len(modules) > 1:
        given = ["--out", str(asked.out), "--points", str(asked.points), "--width", str(asked.width)]
        given += ["--dark"] if asked.dark else []
        for name in modules:
            subprocess.run([sys.executable, __file__, *given, name], check=True)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    with desktop() as made:
        _dress(made.application, asked.points, asked.dark)
        WALKS[modules[0]](States(made, modules[0], asked.out, asked.width))
        for error in made.taken_slot_errors():
            raise error


if __name__ == "__main__":
    main()
