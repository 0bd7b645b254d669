"""The main panel with its worker: from a loaded study to saved results and back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop
from tiny_bundles import tiny_bundle

from LiverLesionAI.mrml import attributes
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named

NAME = "LiverLesionAI"
CANCELLED_WITHIN_S = 1.5
"""A second, as promised, and the timer's slack on a busy machine."""


@pytest.fixture
def made_desktop(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    models = tmp_path_factory.mktemp("models")
    tiny_bundle(models / "tiny")
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(models))
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        made.enter(NAME)
        yield made


@pytest.fixture
def widget(made_desktop: Any, ball_study: Callable[..., Study]) -> Any:
    """The panel on a study of one ball, its sequences assigned, the tiny model chosen."""
    import slicer

    from LiverLesionAI.writers.scene import show_study

    show_study(slicer.mrmlScene, ball_study())
    panel = slicer.modules.LiverLesionAIWidget
    panel.ui.assignButton.click()
    combo = panel.ui.modelCombo
    combo.setCurrentIndex(combo.findText("tiny"))
    assert panel.panel.parameters.model == "tiny"
    return panel


def _finish(made_desktop: Any, widget: Any) -> None:
    assert made_desktop.wait(lambda: not widget.panel.is_busy, 120), "the worker did not answer"
    made_desktop.settle(300)


def _classify(made_desktop: Any, widget: Any) -> None:
    widget.ui.classifyButton.click()
    assert widget.ui.classifyButton.text == "Cancel"
    _finish(made_desktop, widget)


def _our_nodes() -> list[str]:
    import slicer

    from LiverLesionAI import mrml

    nodes = mrml.nodes_of(slicer.mrmlScene, "vtkMRMLNode")
    return sorted(node.GetName() for node in nodes if node.GetAttribute(attributes.STUDY))


def test_the_whole_panel(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    import slicer

    ui, panel = widget.ui, widget.panel
    _classify(made_desktop, widget)
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
    assert [round(255 * value) for value in segment.GetColor()] == list(predicted.colour)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    maps = panel.saliency_maps(lesion.id, weighted=False)
    assert set(maps) == {"T2WI", "DWI", "LAP"}
    assert set(panel.saliency_maps(lesion.id, weighted=True)) == set(maps)

    ui.overlayCombo.setCurrentIndex(ui.overlayCombo.findText("LAP"))
    ui.layoutButton.click()
    view = slicer.mrmlScene.GetSingletonNode("LiverDWI", "vtkMRMLSliceCompositeNode")
    assert view.GetBackgroundVolumeID() == panel.parameters.volumeDWI.GetID()
    assert view.GetForegroundVolumeID() == maps["DWI"].GetID()
    ui.overlayButton.click()
    assert view.GetBackgroundVolumeID() == panel.parameters.volumeLAP.GetID()
    ui.thresholdSlider.value = 0.75
    assert maps["LAP"].GetDisplayNode().GetLowerThreshold() == pytest.approx(0.75)
    ui.weightsButton.click()
    charts = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == charts[0].GetID()

    before = _our_nodes()
    _classify(made_desktop, widget)
    assert _our_nodes() == before

    ui.folderEdit.currentPath = str(tmp_path / "out")
    ui.saveButton.click()
    assert "✓" in ui.saveStep.text, ui.saveStatus.text
    written = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert written["lesions"][0]["tasks"]["type"]["predicted"] == kind.predicted

    made_desktop.close_scene()
    assert panel.result is None and ui.resultsTable.rowCount == 0
    made_desktop.open_scene(tmp_path / "out" / "scene.mrb")
    made_desktop.settle(300)
    assert ui.resultsTable.item(0, 1).text() == kind.predicted
    assert ui.selectorLAP.currentNode().GetName() == "LAP"
    assert panel.parameters.model == "tiny"
    assert ui.thresholdSlider.value == pytest.approx(0.75)
    assert set(panel.saliency_maps(lesion.id, weighted=False)) == {"T2WI", "DWI", "LAP"}


def test_work_can_be_cancelled_again_and_again(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.explainCheck.checked = False
    _classify(made_desktop, widget)
    nodes, pids = _our_nodes(), set()
    for _round in range(4):
        ui.classifyButton.click()
        made_desktop.settle(20)
        start = time.monotonic()
        ui.classifyButton.click()
        assert made_desktop.wait(lambda: not panel.is_busy, 10)
        assert time.monotonic() - start < CANCELLED_WITHIN_S
        pids.add(panel.session.client.pid)
    assert ui.classifyButton.text == "Classify" and ui.classifyButton.enabled
    assert _our_nodes() == nodes
    _classify(made_desktop, widget)
    assert "✓" in ui.classifyStep.text
    last = panel.session.client.pid
    widget.cleanup()
    for pid in {*pids, last} - {None}:
        assert not Path(f"/proc/{pid}").exists()


def test_the_scene_may_change_while_the_worker_works(made_desktop: Any, widget: Any) -> None:
    import slicer

    widget.ui.classifyButton.click()
    slicer.mrmlScene.RemoveNode(widget.panel.parameters.volumeLAP)
    _finish(made_desktop, widget)
    assert "changed while" in widget.ui.classifyStatus.text
    assert widget.panel.result is None

    widget.ui.classifyButton.click()
    made_desktop.close_scene()
    _finish(made_desktop, widget)
    assert _our_nodes() == []
    assert widget.ui.classifyButton.text == "Classify"


def test_a_crash_of_the_worker_is_survived(made_desktop: Any, widget: Any) -> None:
    import os
    import signal

    widget.ui.classifyButton.click()
    os.kill(widget.panel.session.client.pid, signal.SIGKILL)
    _finish(made_desktop, widget)
    assert "ended unexpectedly" in widget.ui.classifyStatus.text
    _classify(made_desktop, widget)
    assert "✓" in widget.ui.classifyStep.text


def test_sequences_are_aligned_and_put_back(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.transformCombo.setCurrentIndex(0)
    ui.registerButton.click()
    assert ui.registerButton.text == "Cancel"
    _finish(made_desktop, widget)
    assert "!" not in ui.alignStep.text, ui.alignStatus.text
    assert ui.alignTable.rowCount >= 2
    for name in panel.aligned_sequences():
        node = panel.parameters.getValue(f"volume{name}").GetParentTransformNode()
        assert node.GetName() == f"{name} to T2WI"
    ui.undoRegisterButton.click()
    assert panel.aligned_sequences() == []
    assert panel.parameters.volumeLAP.GetParentTransformNode() is None


def test_the_logic_works_without_the_panel(made_desktop: Any, widget: Any) -> None:
    import slicer

    result, nodes = widget.logic.classify("tiny")
    assert [lesion.tasks["type"].taxonomy for lesion in result.lesions] == ["W7"]
    assert nodes.table.GetNumberOfRows() == 1
    assert nodes.segmentation is None or not slicer.mrmlScene.IsNodePresent(nodes.segmentation)
