"""The main panel with its worker: from a loaded study to saved results and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import assigned_panel, classify, finish, our_nodes, saliency_maps, worker_desktop

from LiverLesionAI.scenes.explanations import strongest_sequence
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One desktop, so that the worker stays warm from test to test."""
    with worker_desktop(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def widget(made_desktop: Any, ball_study: Callable[..., Study]) -> Iterator[Any]:
    """The panel on a study of one ball."""
    yield assigned_panel(made_desktop, ball_study())
    assert made_desktop.taken_slot_errors() == []


def _nodes_but_the_legend() -> list[str]:
    """Our nodes; the legend goes with the map that is shown."""
    return [name for name in our_nodes() if "legend" not in name]


def test_the_whole_panel(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    import slicer

    ui, panel = widget.ui, widget.panel
    manager = slicer.app.layoutManager()
    manager.layoutLogic()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    classify(made_desktop, widget)
    assert "✓" in ui.classifyStep.text, ui.classifyStatus.text
    assert ui.bannerLabel.visible and "not for clinical use" in ui.bannerLabel.text
    (lesion,) = panel.result.lesions
    kind = lesion.tasks["type"]
    assert ui.resultsTable.rowCount == 1
    assert ui.resultsTable.item(0, 1).text() == kind.predicted
    assert ui.resultsTable.cellWidget(0, 2).value == round(100 * kind.probabilities[kind.predicted])
    assert ui.classesTable.rowCount == len(kind.probabilities)

    predicted = taxonomy_named(kind.taxonomy).classes[taxonomy_named(kind.taxonomy).index(kind.predicted)]
    segment = panel.parameters.segmentation.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == f"lesion 1: {kind.predicted}"
    assert [round(255 * value) for value in segment.GetColor()] == list(predicted.colour)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    maps = saliency_maps(widget, lesion.id, weighted=True)
    assert set(maps) == {"T2WI", "DWI", "LAP"}
    assert set(saliency_maps(widget, lesion.id, weighted=False)) == set(maps)
    strongest = strongest_sequence(panel.result, lesion)
    assert ui.overlayCombo.currentText == strongest
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert views and {view.GetForegroundVolumeID() for view in views} == {maps[strongest].GetID()}
    assert {view.GetBackgroundVolumeID() for view in views} == {panel.chosen().volumes[strongest].GetID()}

    ui.overlayCombo.setCurrentIndex(ui.overlayCombo.findText("LAP"))
    ui.layoutButton.click()
    view = slicer.mrmlScene.GetSingletonNode("LiverDWI", "vtkMRMLSliceCompositeNode")
    assert view.GetBackgroundVolumeID() == panel.parameters.volumeDWI.GetID()
    assert view.GetForegroundVolumeID() == maps["DWI"].GetID()
    drawn = panel.parameters.segmentation.GetDisplayNode()
    assert drawn.GetVisibility2DOutline() and not drawn.GetVisibility2DFill()
    ui.overlayButton.click()
    assert view.GetBackgroundVolumeID() == panel.parameters.volumeLAP.GetID()
    (legend,) = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetDisplayableNode() is maps["LAP"]
    assert legend.GetTitleText() == f"saliency, {kind.predicted}"
    ui.thresholdSlider.value = 0.75
    assert maps["LAP"].GetDisplayNode().GetLowerThreshold() == pytest.approx(0.75)
    weights = lesion.sequence_weights["type"]
    assert [ui.weightsTable.item(row, 0).text() for row in range(ui.weightsTable.rowCount)] == list(weights)
    titles = [ui.weightsTable.horizontalHeaderItem(column).text() for column in range(3)]
    assert titles[0] == "Seq." and f"for {kind.predicted}" in titles
    shown = ui.weightsTable.cellWidget(0, titles.index(f"for {kind.predicted}"))
    assert shown.text in (f"{weights['T2WI']['shapley']:+.1f}".replace("-", "−"), "0.0")
    assert "With another sequence" in shown.toolTip and "LAP" in shown.toolTip
    ui.weightsButton.click()
    charts = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == charts[0].GetID()

    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 1.0, 2.0, 3.0)
    view = slicer.mrmlScene.GetSingletonNode("LiverDWI", "vtkMRMLSliceNode")
    place = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    panel.refresh()
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == place
    ui.resultsTable.clearSelection()
    ui.resultsTable.selectRow(0)
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] != place

    before = _nodes_but_the_legend()
    classify(made_desktop, widget)
    assert _nodes_but_the_legend() == before

    ui.folderEdit.currentPath = str(tmp_path / "out")
    ui.saveButton.click()
    assert ui.saveButton.text == "Cancel"
    finish(made_desktop, widget)
    assert "✓" in ui.saveStep.text, ui.saveStatus.text
    written = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert written["lesions"][0]["tasks"]["type"]["predicted"] == kind.predicted

    names = {f"1_{name}{kind}.nii.gz" for name in maps for kind in ("", "_weighted")}
    assert {file.name for file in (tmp_path / "out" / "saliency").iterdir()} == names
    assert (tmp_path / "out" / "figures" / "lesion_1.png").is_file()
    assert "data:image/png;base64" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    made_desktop.close_scene()
    assert panel.result is None and ui.resultsTable.rowCount == 0
    assert ui.folderEdit.currentPath == ""
    made_desktop.open_scene(tmp_path / "out" / "scene.mrb")
    made_desktop.settle(300)
    assert ui.resultsTable.item(0, 1).text() == kind.predicted
    assert ui.stateLabel.text == "Classified: 1; decided: 0; as the scene has it."
    assert ui.folderEdit.currentPath == str(tmp_path / panel.result.study.id)
    assert ui.selectorLAP.currentNode().GetName() == "LAP"
    assert panel.parameters.model == "tiny"
    assert ui.thresholdSlider.value == pytest.approx(0.75)
    assert set(saliency_maps(widget, lesion.id, weighted=False)) == {"T2WI", "DWI", "LAP"}


def test_sequences_are_aligned_and_put_back(made_desktop: Any, widget: Any) -> None:
    from LiverLesionAI.scenes.alignment import aligned_sequences

    ui, panel = widget.ui, widget.panel
    ui.transformCombo.setCurrentIndex(0)
    ui.registerButton.click()
    assert ui.registerButton.text == "Cancel"
    finish(made_desktop, widget)
    assert "!" not in ui.alignStep.text, ui.alignStatus.text
    assert ui.alignTable.rowCount >= 2
    assert aligned_sequences(panel.chosen().volumes) == ["DWI", "LAP"]
    for name in ("DWI", "LAP"):
        node = panel.parameters.getValue(f"volume{name}").GetParentTransformNode()
        assert node.GetName() == f"{name} to T2WI"
    ui.undoRegisterButton.click()
    assert aligned_sequences(panel.chosen().volumes) == []
    assert panel.parameters.volumeLAP.GetParentTransformNode() is None


def test_the_logic_works_without_the_panel(made_desktop: Any, widget: Any) -> None:
    import slicer

    result, nodes = widget.logic.classify("tiny")
    assert [lesion.tasks["type"].taxonomy for lesion in result.lesions] == ["W7"]
    assert nodes.table.GetNumberOfRows() == 1
    assert nodes.segmentation is widget.panel.parameters.segmentation
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [nodes.segmentation]
