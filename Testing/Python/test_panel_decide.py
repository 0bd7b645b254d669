"""The main panel after the answer: explaining, deciding, saving, each with what the reader may do wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import assigned_panel, classify, finish, our_nodes, saliency_maps, worker_desktop

from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named

_WORDS = 'seen together; größer, 100 % "sure" <T2> & co'


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One desktop, so that the worker stays warm from test to test."""
    with worker_desktop(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def widget(made_desktop: Any, ball_study: Callable[..., Study]) -> Iterator[Any]:
    """The panel on a study of one ball, classified without explanations."""
    made = assigned_panel(made_desktop, ball_study())
    made.ui.explainCheck.checked = False
    classify(made_desktop, made)
    yield made
    made.ui.explainCheck.checked = True
    assert made_desktop.taken_slot_errors() == []


def _others(widget: Any) -> list[str]:
    """Classes that the model did not name."""
    kind = widget.panel.result.lesions[0].answer
    return [name for name in taxonomy_named(kind.taxonomy).names if name != kind.predicted]


def _choose(widget: Any, name: str, reader: str, reason: str) -> None:
    ui = widget.ui
    ui.diagnosisCombo.setCurrentIndex(ui.diagnosisCombo.findText(name))
    ui.readerEdit.text, ui.reasonEdit.text = reader, reason


def _segment(widget: Any) -> Any:
    return widget.panel.parameters.segmentation.GetSegmentation().GetNthSegment(0)


def _table_node() -> Any:
    import slicer

    (node,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    return node


def test_a_reader_accepts_and_takes_back(made_desktop: Any, widget: Any) -> None:
    ui, kind = widget.ui, widget.panel.result.lesions[0].answer
    assert kind.predicted in ui.decideLabel.text and "0 of 1" in ui.decideStatus.text
    assert ui.diagnosisCombo.currentText == kind.predicted
    assert not ui.consensusButton.enabled and not ui.takeBackButton.enabled
    nodes = our_nodes()
    ui.readerEdit.text = "Ada"
    ui.acceptButton.click()
    assert "✓" in ui.decideStep.text, ui.decideStatus.text
    (decision,) = widget.panel.result.lesions[0].reading.decisions
    assert (decision.reader, decision.diagnosis) == ("Ada", kind.predicted)
    assert _segment(widget).GetName() == f"lesion 1: {kind.predicted} (reader)"
    assert ui.decisionsTable.item(0, 2).text() == kind.predicted
    assert "Ada" in ui.decisionsTable.item(0, 2).toolTip()
    assert ui.resultsTable.currentRow() == 0 and our_nodes() == nodes
    assert "Ada" in _table_node().GetCellText(0, _table_node().GetColumnIndex("readers"))
    ui.takeBackButton.click()
    assert widget.panel.result.lesions[0].reading is None
    assert _segment(widget).GetName() == f"lesion 1: {kind.predicted}"
    assert "0 of 1" in ui.decideStatus.text and not ui.takeBackButton.enabled


def test_two_readers_differ_agree_and_are_remembered(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    ui, panel = widget.ui, widget.panel
    first, second = _others(widget)[:2]
    _choose(widget, first, "Ada", "")
    ui.overrideButton.click()
    assert "!" in ui.decideStep.text and "reason" in ui.decideStatus.text
    _choose(widget, first, "Ada", "bright in T2")
    ui.overrideButton.click()
    assert "✓" in ui.decideStep.text, ui.decideStatus.text
    colour = taxonomy_named("W7").classes[taxonomy_named("W7").index(first)].colour
    assert [round(255 * value) for value in _segment(widget).GetColor()] == list(colour)

    _choose(widget, second, "Ada", "on second thoughts")
    ui.overrideButton.click()
    assert "Ada has decided" in ui.decideStatus.text
    _choose(widget, second, "Ben", "washout")
    ui.overrideButton.click()
    assert "differ on lesion 1" in ui.decideStatus.text
    assert ui.consensusButton.enabled and not ui.acceptButton.enabled
    assert "readers differ" in _segment(widget).GetName()
    assert ui.decisionsTable.item(0, 4).text() == "open"
    _choose(widget, second, "Ben", _WORDS)
    ui.consensusButton.click()
    assert "✓" in ui.decideStep.text, ui.decideStatus.text
    decided = panel.result.lesions[0].reading
    assert decided.consensus.diagnosis == second and decided.consensus.reader == "Ada and Ben"

    classify(made_desktop, widget)
    assert panel.result.lesions[0].reading == decided
    assert _segment(widget).GetName() == f"lesion 1: {second} (reader)"

    ui.folderEdit.currentPath = str(tmp_path / "out")
    ui.saveButton.click()
    finish(made_desktop, widget)
    assert "✓" in ui.saveStep.text, ui.saveStatus.text
    row = next(csv.DictReader((tmp_path / "out" / "results.csv").open(encoding="utf-8")))
    assert (row["reader_1"], row["reader_2"], row["reader_final"]) == (first, second, second)
    assert "seen together; größer" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    made_desktop.close_scene()
    assert ui.decisionsTable.rowCount == 0 and not ui.acceptButton.enabled
    made_desktop.open_scene(tmp_path / "out" / "scene.mrb")
    made_desktop.settle(300)
    assert panel.result.lesions[0].reading == decided
    assert decided.consensus.reason == _WORDS
    assert ui.decisionsTable.item(0, 4).text() == second
    assert ui.readerEdit.text == "Ben"


def test_a_lesion_selected_in_one_table_is_selected_in_all(made_desktop: Any, widget: Any) -> None:
    import numpy as np
    import slicer

    ui, panel = widget.ui, widget.panel
    node, volume = panel.parameters.segmentation, panel.parameters.volumeT2WI
    segment = node.GetSegmentation().AddEmptySegment("", "lesion 2")
    voxels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    voxels[3:6, 20:30, 20:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, volume)
    classify(made_desktop, widget)
    assert ui.resultsTable.rowCount == ui.decisionsTable.rowCount == 2
    assert ui.resultsTable.currentRow() == 0 and panel.selection.lesion.name == "lesion 1"
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    ui.layoutButton.click()
    ui.decisionsTable.selectRow(1)
    assert ui.resultsTable.currentRow() == 1 and "lesion 2" in ui.classesLabel.text
    assert "lesion 2" in ui.decideLabel.text
    view = slicer.mrmlScene.GetSingletonNode("LiverT2WI", "vtkMRMLSliceNode")
    x, y, z = panel.lesions.rows[1].centroid_lps_mm
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx(
        [-x, -y, z], abs=0.5
    )
    ui.acceptButton.click()
    assert [lesion.reading is not None for lesion in panel.result.lesions] == [False, True]
    assert ui.decisionsTable.currentRow() == 1
    ui.resultsTable.selectRow(0)
    assert ui.decisionsTable.currentRow() == 0 and "lesion 1" in ui.decideLabel.text
    classify(made_desktop, widget)
    assert panel.selection.lesion.name == "lesion 1"


def test_a_decision_on_another_outline_is_told_not_kept(made_desktop: Any, widget: Any) -> None:
    import slicer

    ui, panel = widget.ui, widget.panel
    ui.readerEdit.text = "Ada"
    ui.acceptButton.click()
    segmentation, volume = panel.parameters.segmentation, panel.parameters.volumeT2WI
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume)
    voxels[:, :, : voxels.nonzero()[2].min() + 3] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, segment, volume)
    classify(made_desktop, widget)
    assert panel.result.lesions[0].reading is None
    assert "Ada" in ui.classifyStatus.text and "outline has changed" in ui.classifyStatus.text


def test_classes_are_shown_before_they_are_explained(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.explainCheck.checked = True
    ui.classifyButton.click()
    assert made_desktop.wait(lambda: panel.running is panel.explain, 60)
    assert "✓" in ui.classifyStep.text and ui.classifyButton.text == "Classify"
    assert ui.resultsTable.rowCount == 1 and ui.explainButton.text == "Cancel"
    assert ui.acceptButton.enabled
    ui.acceptButton.click()
    finish(made_desktop, widget)
    assert "✓" in ui.explainStep.text, ui.explainStatus.text
    lesion = panel.result.lesions[0]
    assert lesion.reading is not None and lesion.sequence_weights
    assert json.loads(panel.parameters.result)["lesions"][0]["reading"]


def test_cancelling_the_explanation_keeps_the_classes(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    nodes = our_nodes()
    ui.explainButton.click()
    assert ui.explainButton.text == "Cancel" and not ui.classifyButton.enabled
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert "classes stay" in ui.explainStatus.text
    assert ui.resultsTable.rowCount == 1 and our_nodes() == nodes
    assert not panel.result.lesions[0].sequence_weights
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert "✓" in ui.explainStep.text, ui.explainStatus.text
    explained = our_nodes()
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert our_nodes() == explained


def test_another_class_is_explained_on_request(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    ui, panel = widget.ui, widget.panel
    other, predicted = _others(widget)[0], panel.result.lesions[0].answer.predicted
    assert ui.targetCombo.currentIndex == 0 and ui.targetCombo.count == 1 + 2 + 7
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert f"speaks for {predicted}" in ui.explainStatus.text
    nodes, before = our_nodes(), panel.result.lesions[0].sequence_weights
    ui.targetCombo.setCurrentIndex(ui.targetCombo.findText(other))
    ui.explainButton.click()
    finish(made_desktop, widget)
    lesion = panel.result.lesions[0]
    assert lesion.answer.predicted == predicted and lesion.explained["type"] == other
    assert lesion.sequence_weights["type"] != before["type"]
    assert lesion.sequence_weights["malignancy"] == before["malignancy"]
    assert our_nodes() == [name.replace(f"type: {predicted}", f"type: {other}") for name in nodes]
    assert f"speaks for {other}" in ui.explainStatus.text and ui.targetCombo.currentText == other

    ui.acceptButton.click()
    assert ui.targetCombo.currentText == other
    ui.folderEdit.currentPath = str(tmp_path / "out")
    ui.saveButton.click()
    finish(made_desktop, widget)
    assert "✓" in ui.saveStep.text, ui.saveStatus.text
    saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert saved["lesions"][0]["explained"]["type"] == other
    assert saved["provenance"]["parameters"]["saliency"]["target"] == other
    ui.takeBackButton.click()
    assert "has not been saved" in ui.saveStatus.text and "✓" not in ui.saveStep.text
    made_desktop.open_scene(tmp_path / "out" / "scene.mrb")
    made_desktop.settle(300)
    assert ui.targetCombo.currentText == other and f"speaks for {other}" in ui.explainStatus.text
    assert "has not been saved" in ui.saveStatus.text
    classify(made_desktop, widget)
    assert ui.targetCombo.currentIndex == 0 and not panel.result.lesions[0].explained


def test_fine_maps_are_made_on_request_and_can_be_cancelled(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.methodCombo.setCurrentIndex(2)
    ui.explainButton.click()
    assert made_desktop.wait(lambda: ui.explainProgress.value > 0, 60)
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert "classes stay" in ui.explainStatus.text and not panel.result.lesions[0].explained
    assert ui.methodCombo.currentIndex == 2
    ui.explainButton.click()
    finish(made_desktop, widget)
    parameters = panel.result.provenance.parameters["saliency"]
    assert parameters["method"] == "integrated-gradients" and ui.methodCombo.currentIndex == 2
    ui.methodCombo.setCurrentIndex(1)
    ui.explainButton.click()
    finish(made_desktop, widget)
    assert panel.result.provenance.parameters["saliency"]["method"] == "lesion-parts"


def test_the_overlay_shows_the_slice_of_largest_area(made_desktop: Any, widget: Any) -> None:
    import slicer

    from LiverLesionAI.mrml import attributes

    ui, panel = widget.ui, widget.panel
    ui.explainButton.click()
    finish(made_desktop, widget)
    node = saliency_maps(widget, 1, weighted=True)["LAP"]
    node.SetAttribute(attributes.PLACE, "61.0 72.0 53.0")
    ui.overlayCombo.setCurrentIndex(ui.overlayCombo.findText("LAP"))
    ui.layoutButton.click()
    ui.overlayButton.click()
    view = slicer.mrmlScene.GetSingletonNode("LiverDWI", "vtkMRMLSliceNode")
    shown = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert shown == pytest.approx([-61.0, -72.0, 53.0])
    composite = slicer.mrmlScene.GetSingletonNode("LiverLAP", "vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == node.GetID()
    ui.explainButton.click()
    finish(made_desktop, widget)
    again = saliency_maps(widget, 1, weighted=True)["LAP"]
    assert again is node and composite.GetForegroundVolumeID() == again.GetID()
    assert node.GetAttribute(attributes.PLACE) != "61.0 72.0 53.0", "it has been filled anew"
    assert min(view.GetFieldOfView()[:2]) == pytest.approx(
        max(100, 2.5 * panel.result.lesions[0].diameter_mm)
    )


def test_a_folder_of_somebody_else_is_left_alone(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    widget.ui.folderEdit.currentPath = str(tmp_path)
    widget.ui.saveButton.click()
    finish(made_desktop, widget)
    assert "no earlier output" in widget.ui.saveStatus.text
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


class _Database:
    """Slicer's DICOM database as far as the panel asks it."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def fileForInstance(self, uid: str) -> str:  # noqa: N802
        """Return the file of an instance, empty where it is not known."""
        return str(self._files.get(uid, ""))


def test_studies_from_dicom_get_segmentation_and_report(
    made_desktop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom
    import slicer
    from dicom_phantoms import phantom, study_from_dicom

    from LiverLesionAI.phantom.dicom import write_dicom_study

    write_dicom_study(phantom(), tmp_path / "in", vendor="siemens", layout="separate", distractors=False)
    study = study_from_dicom(tmp_path / "in", "siemens", "separate")
    widget = assigned_panel(made_desktop, study)
    ui, panel, known = widget.ui, widget.panel, {}
    for name in ("T2WI", "LAP"):
        node, files = panel.parameters.getValue(f"volume{name}"), study.images[name].dicom.files
        uids = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): file for file in files}
        node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
        known |= uids if name == "T2WI" else dict(list(uids.items())[1:])
    monkeypatch.setattr(slicer, "dicomDatabase", _Database(known), raising=False)
    ui.explainCheck.checked = False
    classify(made_desktop, widget)
    ui.folderEdit.currentPath = str(tmp_path / "out")
    ui.saveButton.click()
    finish(made_desktop, widget)
    assert "✓" in ui.saveStep.text, ui.saveStatus.text
    assert "LAP cannot be traced" in ui.saveStatus.text and "files of 1 of" in ui.saveStatus.text
    assert "T2WI" not in ui.saveStatus.text
    report = pydicom.dcmread(tmp_path / "out" / "dicom" / "sr.dcm")
    first = pydicom.dcmread(study.images["T2WI"].dicom.files[0], stop_before_pixels=True)
    assert report.StudyInstanceUID == first.StudyInstanceUID
    assert (tmp_path / "out" / "dicom" / "seg.dcm").is_file()
    ui.explainCheck.checked = True
    assert made_desktop.taken_slot_errors() == []
