"""Draw the pictures of the tutorial and of the modules' pages: the panels are walked, as a reader does.

    python docs/draw_tutorial.py [main] [detection] [clinical] [batch] [gallery]

Panels and scene are the real ones, in the desktop harness of the tests (``Testing/desktop_harness``):
Slicer's own windows around them are missing, its selectors are stand-ins, and the slice views are rendered
off-screen.
Takes some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from desktop_harness import pictures  # noqa: E402
from desktop_harness.desktop import Desktop, desktop  # noqa: E402

IMAGES = ROOT / "docs" / "images"
HEIGHT = 700
LIMIT_S = 900.0
COHORT_SEED, COHORT_SIZE = 860_100, 7
CLINICAL_SEED = 860_301


class Walk:
    """A module in the desktop, and pictures of it.

    Parameters
    ----------
    made
        The desktop.
    name
        Of the module.
    folder
        Of the pictures, below ``docs/images``.

    Attributes
    ----------
    place
        Folder on this machine that pictures show as ``/data``.
    """

    def __init__(self, made: Desktop, name: str, folder: str) -> None:
        import slicer

        self.made, self.name, self.folder = made, name, IMAGES / folder
        self.place = ""
        self.views = pictures.SliceViews()
        self.views.open(pictures.FOUR_UP)
        slicer.app.layoutManager().layoutLogic()
        self.four_up()
        self.widget = made.open_module(name)
        self.ui = self.widget.ui

    def four_up(self) -> None:
        """Show the standard layout: views that are in no layout are not drawn."""
        import slicer

        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something is done and shown."""
        if not self.made.wait(done, LIMIT_S):
            raise SystemExit(f"{self.name}: nothing came within {LIMIT_S:.0f} s")
        self.made.settle(600)

    def finish(self) -> None:
        """Wait until the background worker has answered."""
        self.wait(lambda: not self.widget.panel.is_busy)

    def shoot(self, name: str, *steps: str, height: int = HEIGHT, below: str = "") -> None:
        """Draw the panel with some steps open, scrolled down to a widget, beside the views."""
        panel = self._panel(steps, height, below)
        pictures.save(pictures.beside(panel, self.views), self.folder / f"{name}.png")

    def shoot_panel(self, name: str, *steps: str, height: int = HEIGHT) -> None:
        """Draw the panel alone."""
        pictures.save(self._panel(steps, height, ""), self.folder / f"{name}.png")

    def _panel(self, steps: Sequence[str], height: int, below: str) -> Any:
        from PySide6 import QtWidgets

        for each in vars(self.ui).values():
            is_step = str(each.name).endswith("Step") if hasattr(each, "name") else False
            if is_step:
                each.collapsed = each.name not in steps
        frame = self.made._frames[self.name]
        frame.resize(pictures._PANEL_WIDTH, height)
        self.widget.panel.refresh()
        self.made.settle(100)
        for area in frame.findChildren(QtWidgets.QScrollArea):
            if area.objectName():
                target = frame.findChild(QtWidgets.QWidget, below) if below else None
                top = 0 if target is None else target.mapTo(area.widget(), target.rect().topLeft()).y()
                area.verticalScrollBar().setValue(top)
        words = [*frame.findChildren(QtWidgets.QLabel), *frame.findChildren(QtWidgets.QLineEdit)]
        for each in words if self.place else ():
            blocked = each.blockSignals(True)
            each.setText(each.text().replace(self.place, "/data"))
            each.blockSignals(blocked)
        return pictures.panel_picture(frame, height)


def main_walk(made: Desktop) -> None:
    """The tutorial, word for word."""
    import slicer

    from LiverLesionAI.phantom import generate_study
    from LiverLesionLib import sample_data

    walk = Walk(made, "LiverLesionAI", "tutorial")
    ui, panel = walk.ui, walk.widget.panel
    slicer.app.start_up_completed()
    sources = slicer.modules.sampleDataSources["Liver Lesion AI"]
    (empty,) = [each for each in sources if "nothing" in each.sampleName]
    empty.customDownloader(None)
    walk.wait(lambda: len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 7)
    ui.assignButton.click()
    made.settle(300)
    walk.shoot("1-study", "studyStep")
    ui.registerButton.click()
    walk.finish()
    ui.alignSequenceCombo.setCurrentIndex(ui.alignSequenceCombo.findText("PVP"))
    ui.checkerboardButton.click()
    made.settle(300)
    walk.shoot("2-aligned", "alignStep", height=760)
    ui.checkerboardButton.click()
    wanted = sample_data.sample()
    phantom = generate_study(wanted.seed, **wanted.options)
    for lesion in phantom.truth.lesions:
        ui.oneClickButton.click()
        x, y, z = lesion.centre_lps_mm
        slicer.mrmlScene.GetFirstNodeByName("LiverLesionAI click").AddControlPoint([-x, -y, z])
        made.settle(400)
    panel.lesions.select(panel.lesions.rows[0].id)
    walk.shoot("3-lesions", "lesionsStep", height=760)
    ui.classifyButton.click()
    walk.finish()
    walk.shoot("4-classified", "classifyStep", height=800)
    walk.shoot("5-overlay", "explainStep")
    ui.targetCombo.setCurrentIndex(ui.targetCombo.findText("ICC"))
    ui.explainButton.click()
    walk.finish()
    ui.overlayCombo.setCurrentIndex(ui.overlayCombo.findText("ADC"))
    ui.overlayButton.click()
    walk.shoot("5-another-class", "explainStep")
    ui.targetCombo.setCurrentIndex(0)
    ui.methodCombo.setCurrentIndex(1)
    ui.explainButton.click()
    walk.finish()
    ui.overlayCombo.setCurrentIndex(ui.overlayCombo.findText("PVP"))
    ui.overlayButton.click()
    walk.shoot("5-parts", "explainStep")
    walk.views.open([f"Liver{name}" for name in panel.chosen().volumes])
    ui.layoutButton.click()
    made.settle(300)
    pictures.save(
        pictures.side_by_side(walk.views, list(panel.chosen().volumes)), walk.folder / "5-side-by-side.png"
    )
    walk.four_up()
    ui.overlayButton.click()
    ui.readerEdit.text = "A"
    ui.acceptButton.click()
    made.settle(300)
    walk.shoot("6-decided", "classifyStep", "decideStep", height=800, below="resultsTable")
    with tempfile.TemporaryDirectory() as out:
        walk.place = out
        ui.folderEdit.currentPath = str(Path(out) / "phantom")
        ui.saveButton.click()
        walk.finish()
        walk.shoot("7-saved", "saveStep", height=560)


def detection_walk(made: Desktop) -> None:
    """Look for HCC, outline and classify what was found."""

    from LiverLesionLib.sample_data import load_phantom

    walk = Walk(made, "LiverHCCDetection", "detection")
    load_phantom(segmented=False, hepatobiliary=True)
    walk.ui.assignButton.click()
    made.settle(300)
    walk.ui.detectButton.click()
    walk.finish()
    walk.shoot("1-candidates", "detectStep", "candidatesStep", height=560)
    walk.widget.panel.candidates.clicked(walk.ui.candidateTable.rowCount - 1, 0)
    walk.ui.outlineButton.click()
    walk.finish()
    walk.widget.panel.candidates.clicked(0, 1)
    made.settle(300)
    walk.shoot("2-classified", "detectStep", "candidatesStep", height=560)


def clinical_walk(made: Desktop) -> None:
    """A patient with clinical data, asked as Zhen et al. do."""
    import slicer

    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.scenes.show import show_study

    walk = Walk(made, "LiverLesionAI", "zhen2020")
    ui = walk.ui
    show_study(slicer.mrmlScene, generate_lesion(CLINICAL_SEED, "HCC").study)
    made.settle(300)
    ui.assignButton.click()
    ui.registerButton.click()
    walk.finish()
    ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("zhen2020"))
    ui.clinicalBox.checked = True
    ui.classifyButton.click()
    walk.finish()
    walk.shoot_panel("panel", "classifyStep", height=1640)


def batch_walk(made: Desktop) -> None:
    """List a cohort, run it, show a study."""
    walk = Walk(made, "LiverLesionBatch", "batch")
    with tempfile.TemporaryDirectory(prefix="cohort") as folder:
        walk.place = folder
        cohort = Path(folder) / "cohort"
        asked = ["--studies", str(COHORT_SIZE), "--seed", str(COHORT_SEED), "--lesion-centred"]
        phantom = [sys.executable, "-m", "LiverLesionAI", "phantom", "--out", str(cohort)]
        subprocess.run([*phantom, *asked], check=True, cwd=ROOT)
        (cohort / "phantom-860103" / "DWI.nii.gz").unlink()
        walk.ui.cohortEdit.currentPath = str(cohort / "cohort.csv")
        walk.ui.runFolderEdit.currentPath = str(Path(folder) / "run")
        walk.ui.lookButton.click()
        made.settle(300)
        walk.shoot_panel("1-listed", "cohortStep", "batchStep", "batchResultsStep", height=790)
        walk.ui.runButton.click()
        walk.wait(lambda: walk.widget.panel.batches.run is None)
        walk.widget.panel.steps[2].show_study(0)
        made.settle(300)
        walk.shoot("2-run", "cohortStep", "batchStep", "batchResultsStep", height=790)


def gallery_walk(made: Desktop) -> None:
    """The phantoms of the gallery, classified in the panel, their weighted maps over all sequences."""
    import slicer

    from LiverLesionAI.scenes.show import show_study
    from LiverLesionAI.taxonomy import TAXONOMIES

    sys.path.append(str(ROOT / "benchmarks" / "saliency"))
    from gallery import FIRST_SEED, SEEDS_PER_CLASS, typical_phantom

    walk = Walk(made, "LiverLesionAI", "gallery")
    ui, panel = walk.ui, walk.widget.panel
    for number, name in enumerate(TAXONOMIES["W7"].names):
        slicer.mrmlScene.Clear(0)
        made.settle(600)
        show_study(slicer.mrmlScene, typical_phantom(name, FIRST_SEED + number * SEEDS_PER_CLASS).study)
        made.settle(300)
        ui.assignButton.click()
        made.settle(300)
        ui.registerButton.click()
        walk.finish()
        ui.classifyButton.click()
        walk.finish()
        volumes = list(panel.chosen().volumes)
        walk.views.open([f"Liver{each}" for each in volumes])
        ui.layoutButton.click()
        made.settle(300)
        shown = pictures.side_by_side(walk.views, volumes, size=180, columns=7)
        pictures.save(shown, walk.folder / f"{name}_panel.png")
        walk.four_up()


WALKS = {
    "main": main_walk,
    "detection": detection_walk,
    "clinical": clinical_walk,
    "batch": batch_walk,
    "gallery": gallery_walk,
}


def main() -> None:
    """Walk what is asked for, each in a desktop of its own."""
    asked = sys.argv[1:] or list(WALKS)
    if len(asked) > 1:
        for name in asked:
            subprocess.run([sys.executable, __file__, name], check=True)
        return
    with desktop() as made:
        WALKS[asked[0]](made)
        for error in made.taken_slot_errors():
            raise error


if __name__ == "__main__":
    main()
