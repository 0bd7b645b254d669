"""The module Liver Lesion Batch, driven as a researcher would: list, run, pause, filter, open a study."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_training import write_study
from panel_desktop import ROOT, our_nodes, quiet_desktop
from tiny_bundles import tiny_bundle

from LiverLesionAI.batch import engines
from LiverLesionAI.batch.supervise import Limits
from LiverLesionAI.cohort import CohortRow, write_rows

COUNT = 6
CLASSES, PROBABILITY, STATE, LACKING, NOTE = range(1, 6)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six studies: one without DWI, one whose answer is a fault."""
    folder = tmp_path_factory.mktemp("cohort")
    names = [f"S{number}" for number in range(COUNT - 1)] + ["S9-fault"]
    for number, name in enumerate(names):
        write_study(folder / name, number, number, omit=("DWI",) if number == 3 else ())
    (folder / "S4" / "lesions.nii.gz").unlink()
    write_rows(folder / "cohort.csv", [CohortRow(name, name) for name in names])
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One desktop with the module; studies' answers are made (``made_batch``)."""
    models = tmp_path_factory.mktemp("models")
    tiny_bundle(models / "tiny")
    with pytest.MonkeyPatch.context() as patch, quiet_desktop() as made:
        patch.setenv("LIVERLESIONAI_BUNDLES", str(models))
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setattr(engines, "limits_of", lambda options: Limits(options.time_limit_s, child="made_batch"))
        made.load(ROOT / "LiverLesionAI.py")
        made.load(ROOT / "scripted_modules" / "LiverLesionBatch.py")
        yield made


@pytest.fixture
def widget(made_desktop: Any, cohort: Path, tmp_path: Path) -> Iterator[Any]:
    """The module's widget with the cohort chosen and listed."""
    import slicer

    made_desktop.close_scene()
    made_desktop.enter("LiverLesionBatch")
    widget = slicer.modules.LiverLesionBatchWidget
    ui = widget.ui
    ui.cohortEdit.currentPath, ui.runFolderEdit.currentPath = str(cohort), str(tmp_path / "run")
    ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("tiny"))
    ui.lookButton.click()
    yield widget
    widget.panel.batches.stop()
    assert made_desktop.taken_slot_errors() == []


def column(ui: Any, number: int) -> list[str]:
    """Texts of a column of the rows that are shown."""
    table = ui.batchTable
    return [table.item(row, number).text() for row in range(table.rowCount) if not table.isRowHidden(row)]


def run(made: Any, widget: Any) -> None:
    widget.ui.runButton.click()
    assert made.wait(lambda: widget.panel.batches.run is None, 60), widget.ui.batchStatus.text


def test_what_studies_lack_is_seen_before_the_run(widget: Any) -> None:
    ui = widget.ui
    assert ui.batchTable.rowCount == COUNT and "2 lack something" in ui.cohortStatus.text
    assert column(ui, LACKING)[:5] == ["", "", "", "DWI", "lesions"]
    assert "6 to do" in ui.batchStatus.text and not (widget.panel.batches.out).exists()


def test_run_filter_and_go_on(made_desktop: Any, widget: Any) -> None:
    ui = widget.ui
    run(made_desktop, widget)
    assert "5 done, 1 failed, 0 to do" in ui.batchStatus.text
    assert (widget.panel.batches.out / "results.csv").is_file()
    assert column(ui, STATE).count("done") == 5 and "fault of LiverLesionAI" in column(ui, NOTE)[-1]
    ui.batchFilterEdit.text = "s9"
    assert column(ui, 0) == ["S9-fault"]
    ui.batchFilterEdit.text = ""
    ui.batchClassCombo.setCurrentIndex(1)
    assert set(column(ui, CLASSES)) == {ui.batchClassCombo.currentText}
    ui.batchClassCombo.setCurrentIndex(0)
    ui.batchMostSpin.value = 0.4
    assert all(float(text) <= 0.4 for text in column(ui, PROBABILITY))
    ui.batchMostSpin.value = 1.0
    ui.batchTable.sortItems(PROBABILITY)
    values = [float(text) for text in column(ui, PROBABILITY) if text]
    assert values == sorted(values) and len(values) == 5
    ui.lookButton.click()
    assert "5 done, 1 failed" in ui.batchStatus.text
    run(made_desktop, widget)
    assert "5 done, 1 failed" in ui.batchStatus.text


def test_paused_and_stopped(made_desktop: Any, widget: Any) -> None:
    ui, batches = widget.ui, widget.panel.batches
    ui.runButton.click()
    assert ui.runButton.text == "Stop" and not ui.lookButton.enabled
    ui.pauseButton.click()
    assert ui.pauseButton.text == "Go on"
    made_desktop.settle(1500)
    done = [row.state for row in batches.rows.values()].count("done")
    assert done <= 1 and batches.run is not None
    ui.pauseButton.click()
    assert made_desktop.wait(lambda: [row.state for row in batches.rows.values()].count("done") > done, 60)
    ui.runButton.click()
    assert batches.run is None and ui.runButton.text == "Run"
    run(made_desktop, widget)
    assert "5 done, 1 failed, 0 to do" in ui.batchStatus.text


def test_a_double_click_shows_the_study(made_desktop: Any, widget: Any) -> None:
    run(made_desktop, widget)
    widget.panel.steps[2].show_study(column(widget.ui, 0).index("S0"))
    assert "double-click" in widget.ui.batchResultsStatus.text
    assert "Phantom-trained" in widget.ui.batchResultsStatus.text
    assert "S0 lesions" in our_nodes() and "T2WI" in our_nodes()
    widget.panel.steps[2].show_study(column(widget.ui, 0).index("S9-fault"))
    assert "no result yet" in widget.ui.batchResultsStatus.text


def test_wrong_choices_are_told(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    widget.ui.cohortEdit.currentPath = str(tmp_path / "nowhere")
    widget.ui.lookButton.click()
    assert "does not exist" in widget.ui.cohortStatus.text
