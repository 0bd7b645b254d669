"""The main panel's result when the scene changes after it: marked, told, and as before when taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import assigned_panel, classify, finish, worker_desktop

from LiverLesionAI.study import Study


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
    _is_current(made)
    yield made
    made.ui.explainCheck.checked = True
    assert made_desktop.taken_slot_errors() == []


def _first_line(widget: Any) -> str:
    return widget.ui.classifyStatus.text.splitlines()[0]


def _is_current(widget: Any) -> None:
    assert "✓" in widget.ui.classifyStep.text and "again" not in widget.ui.classifyStatus.text


def _is_out_of_date(widget: Any, what: str) -> None:
    assert _first_line(widget) == f"{what} after classifying; classify again."
    assert "✓" not in widget.ui.classifyStep.text
    assert widget.ui.resultsTable.rowCount == 1


def _move_lap(widget: Any, value: float) -> None:
    widget.ui.alignSequenceCombo.setCurrentIndex(widget.ui.alignSequenceCombo.findText("LAP"))
    widget.ui.shiftRSlider.value = value


def _voxels(widget: Any, node: Any, change: Callable[[Any], None], volume: str = "T2WI") -> None:
    """Change the voxels of a node's first segment, as a reader would."""
    import slicer

    reference = widget.panel.parameters.getValue(f"volume{volume}")
    segment = node.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, reference)
    change(voxels)
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, reference)


def _erase_one(voxels: Any) -> None:
    voxels[tuple(places[0] for places in voxels.nonzero())] = 0


def test_a_sequence_that_is_moved_and_put_back(made_desktop: Any, widget: Any) -> None:
    _move_lap(widget, 2.0)
    made_desktop.settle(400)
    _is_out_of_date(widget, "LAP was moved")
    widget.ui.undoOffsetButton.click()
    _is_current(widget)
    _move_lap(widget, 2.0)
    made_desktop.settle(400)
    classify(made_desktop, widget)
    _is_current(widget)
    widget.ui.resetOffsetButton.click()
    _is_out_of_date(widget, "LAP was moved")


def test_a_registration_that_moves_something(made_desktop: Any, widget: Any) -> None:
    import SimpleITK as sitk
    import slicer

    from LiverLesionAI.scenes.alignment import add_alignment

    report = {"transform": "translation", "metric_before": 1.0, "metric_after": 1.2}
    found = {name: sitk.TranslationTransform(3, (1.0, 0.0, 0.0)) for name in ("DWI", "LAP")}
    add_alignment(slicer.mrmlScene, widget.panel.chosen(), found, dict.fromkeys(found, report))
    widget.panel.refresh()
    _is_out_of_date(widget, "DWI, LAP were moved")
    widget.ui.undoRegisterButton.click()
    _is_current(widget)


def test_another_volume_and_another_reference(made_desktop: Any, widget: Any) -> None:
    ui, parameters = widget.ui, widget.panel.parameters
    dwi, lap = parameters.volumeDWI, parameters.volumeLAP
    ui.selectorDWI.setCurrentNode(None)
    made_desktop.settle(400)
    _is_out_of_date(widget, "DWI was removed")
    ui.selectorDWI.setCurrentNode(lap)
    made_desktop.settle(400)
    _is_out_of_date(widget, "DWI became another volume")
    ui.selectorDWI.setCurrentNode(dwi)
    made_desktop.settle(400)
    _is_current(widget)
    ui.referenceCombo.setCurrentIndex(ui.referenceCombo.findText("DWI"))
    _is_out_of_date(widget, "the reference was changed from T2WI")
    ui.referenceCombo.setCurrentIndex(ui.referenceCombo.findText("T2WI"))
    _is_current(widget)


def test_segments_that_are_corrected_added_and_removed(made_desktop: Any, widget: Any) -> None:
    node = widget.panel.parameters.segmentation
    kept = []
    _voxels(widget, node, lambda voxels: kept.append(voxels.copy()))
    _voxels(widget, node, _erase_one)
    made_desktop.settle(400)
    _is_out_of_date(widget, "lesion 1 was corrected")

    def put_back(voxels: Any) -> None:
        voxels[:] = kept[0]

    _voxels(widget, node, put_back)
    made_desktop.settle(400)
    _is_current(widget)
    second = node.GetSegmentation().AddEmptySegment("", "lesion 2")
    made_desktop.settle(400)
    _is_current(widget)

    import slicer

    reference = widget.panel.parameters.volumeT2WI
    voxels = 0 * kept[0]
    voxels[3:6, 20:30, 20:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, second, reference)
    made_desktop.settle(400)
    _is_out_of_date(widget, "lesion 2 was added")
    classify(made_desktop, widget)
    assert widget.ui.resultsTable.rowCount == 2 and "again" not in _first_line(widget)
    node.GetSegmentation().RemoveSegment(second)
    made_desktop.settle(400)
    assert _first_line(widget).startswith("lesion 2 was removed after classifying")


def test_segments_that_are_corrected_on_one_sequence(made_desktop: Any, widget: Any) -> None:
    import slicer

    ui = widget.ui
    ui.outlineCombo.setCurrentIndex(widget.panel.lesions.outlines._names.index("LAP"))
    ui.correctOutlineButton.click()
    _is_out_of_date(widget, "segments on LAP were corrected")
    classify(made_desktop, widget)
    _is_current(widget)
    _voxels(widget, slicer.mrmlScene.GetFirstNodeByName("Lesions on LAP"), _erase_one, "LAP")
    made_desktop.settle(400)
    _is_out_of_date(widget, "segments on LAP were corrected")


def test_names_colours_and_explanations_do_not_matter(made_desktop: Any, widget: Any) -> None:
    segment = widget.panel.parameters.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetName("my lesion")
    segment.SetColor(0.1, 0.2, 0.3)
    widget.ui.explainButton.click()
    finish(made_desktop, widget)
    widget.ui.acceptButton.click()
    made_desktop.settle(400)
    _is_current(widget)


def test_saving_tells_what_was_moved(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    import json

    _move_lap(widget, 3.0)
    widget.ui.folderEdit.currentPath = str(tmp_path / "out")
    widget.ui.saveButton.click()
    finish(made_desktop, widget)
    assert "✓" in widget.ui.saveStep.text, widget.ui.saveStatus.text
    assert "Note: LAP moved after the study was classified" in widget.ui.saveStatus.text
    written = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert any(text.startswith("LAP moved after") for text in written["warnings"])


def test_a_saved_scene_knows_what_its_result_rests_on(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    import slicer

    from LiverLesionAI import mrml

    _move_lap(widget, 2.0)
    made_desktop.settle(400)
    mrml.save_scene(slicer.mrmlScene, tmp_path / "moved.mrb")
    widget.ui.undoOffsetButton.click()
    mrml.save_scene(slicer.mrmlScene, tmp_path / "scene.mrb")
    made_desktop.close_scene()
    made_desktop.open_scene(tmp_path / "scene.mrb")
    made_desktop.settle(400)
    _is_current(widget)
    made_desktop.close_scene()
    made_desktop.open_scene(tmp_path / "moved.mrb")
    made_desktop.settle(400)
    _is_out_of_date(widget, "LAP was moved")
