"""Clinical data in the panel: a form for models that read them, kept in the scene, checked at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, classify, finish, quiet_desktop
from test_zhen2020 import write_patient

from LiverLesionAI.inputs.clinical import FIELDS
from LiverLesionAI.readers.folder import read_study_folder

ROWS = {each.name: row for row, each in enumerate(FIELDS)}


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    with quiet_desktop() as made:
        import slicer

        from LiverLesionAI.scenes.show import show_study

        study = read_study_folder(write_patient(tmp_path / "S1"))
        show_study(slicer.mrmlScene, replace(study, clinical={}))
        made.load(ROOT / "LiverLesionAI.py")
        made.enter("LiverLesionAI")
        widget = slicer.modules.LiverLesionAIWidget
        widget.ui.assignButton.click()
        made.settle(300)
        yield made, widget


def choose(widget: Any, model: str) -> None:
    widget.ui.modelCombo.setCurrentIndex(widget.ui.modelCombo.findText(model))


def kept() -> dict[str, Any]:
    import slicer

    from LiverLesionAI import mrml
    from LiverLesionAI.scenes.clinical import clinical_of

    return clinical_of(mrml.nodes_of(slicer.mrmlScene, "vtkMRMLScalarVolumeNode"))


def test_only_models_that_read_clinical_data_ask_for_them(panel: Any) -> None:
    _made, widget = panel
    choose(widget, "wang2021-phantom")
    assert not widget.ui.clinicalBox.visible
    choose(widget, "zhen2020")
    assert widget.ui.clinicalBox.visible and widget.ui.clinicalTable.rowCount == len(FIELDS)
    assert "clinical data where they are known" in widget.ui.modelDescription.text
    assert "7 models that answer together" in widget.ui.modelDescription.text
    choose(widget, "zhen2020-e-phantom")
    assert not widget.ui.clinicalBox.visible


def test_what_is_filled_in_is_checked_and_goes_with_the_scene(panel: Any) -> None:
    made, widget = panel
    choose(widget, "zhen2020")
    table = widget.ui.clinicalTable
    table.item(ROWS["afp"], 1).setText("0.9 µg/ml")
    table.cellWidget(ROWS["sex"], 1).setCurrentIndex(2)
    made.settle(300)
    assert kept() == {"afp": "0.9 µg/ml", "sex": "male"}
    assert "2 of 15 fields are known" in widget.ui.clinicalStatus.text
    table.item(ROWS["albumin"], 1).setText("4000")
    assert "albumin" in widget.ui.clinicalStatus.text and "meant" in widget.ui.clinicalStatus.text
    assert "albumin" not in kept()
    table.item(ROWS["albumin"], 1).setText("31 g/l")
    table.item(ROWS["afp"], 1).setText("")
    made.settle(300)
    assert kept() == {"albumin": "31 g/l", "sex": "male"}


def _browse_slices(made: Any, widget: Any) -> None:
    """Every slice of the patient, or of a lesion, with what it adds; the views go to the chosen one."""
    import slicer

    ui, answer = widget.ui, widget.panel.result.answer
    rows = [ui.slicesTable.item(row, 0).text() for row in range(ui.slicesTable.rowCount)]
    assert rows == [f"{group.lesion}.{group.slice}" for group in answer.groups]
    assert ui.slicesTable.horizontalHeaderItem(2).text() == f"for {answer.predicted}"
    tip = ui.slicesTable.horizontalHeaderItem(2).toolTip()
    assert tip == answer.note_on_groups and bool(tip) is (answer.calibrated is not None)
    adds = answer.groups[-1].probabilities[answer.predicted]
    assert ui.slicesTable.cellWidget(len(rows) - 1, 2).value == round(100 * adds)
    manager = slicer.app.layoutManager()
    manager.layoutLogic()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    for row in (len(rows) - 1, 0):
        ui.slicesTable.selectRow(row)
        made.settle(50)
        x, y, z = answer.groups[row].centre_lps_mm
        place = [view.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]
        assert place == pytest.approx([-x, -y, z], abs=0.01)
    ui.resultsTable.selectRow(2)
    own = [ui.slicesTable.item(row, 0).text() for row in range(ui.slicesTable.rowCount)]
    assert own and all(name.startswith("2.") for name in own)
    ui.resultsTable.selectRow(0)


def test_a_patient_is_classified_explained_and_saved(panel: Any, tmp_path: Path) -> None:
    from LiverLesionAI.results import StudyResult

    made, widget = panel
    choose(widget, "zhen2020")
    widget.ui.clinicalTable.item(ROWS["afp"], 1).setText("900")
    widget.ui.clinicalTable.cellWidget(ROWS["other_cancer"], 1).setCurrentIndex(1)
    made.settle(300)
    classify(made, widget)
    result = widget.panel.result
    assert {"malignancy", "type"} <= set(result.study_tasks)
    shown = [widget.ui.resultsTable.item(row, 0).text() for row in range(widget.ui.resultsTable.rowCount)]
    assert [name.removesuffix(" ⚠") for name in shown] == ["the study", "lesion 1", "lesion 2", "lesion 3"]
    assert "Type by zhen2020-a-phantom: 6 of 6 sequences." in widget.ui.classifyStatus.text
    if "malignant_type" in result.study_tasks:
        assert result.study_tasks["malignant_type"].clinical == ("other_cancer", "afp")
        assert "clinical data read: other_cancer, afp" in widget.ui.classifyStatus.text
    _browse_slices(made, widget)
    widget.ui.explainButton.click()
    finish(made, widget)
    assert widget.panel.result.sequence_weights.keys() == result.study_tasks.keys()
    widget.ui.folderEdit.currentPath = str(tmp_path / "saved")
    widget.ui.saveButton.click()
    finish(made, widget)
    saved = (tmp_path / "saved" / "results.json").read_text(encoding="utf-8")
    assert StudyResult.from_dict(json.loads(saved)).study_tasks == result.study_tasks
    assert (tmp_path / "saved" / "saliency" / "1_LAP.nii.gz").is_file()
