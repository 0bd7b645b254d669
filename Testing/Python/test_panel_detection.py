"""The module Liver HCC Detection, driven as a reader would: look, reject, outline and classify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.options import DEFAULT_DETECTOR

NAME = "LiverHCCDetection"
SEED = 860_001


@pytest.fixture(scope="module")
def made_desktop() -> Iterator[Any]:
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        made.load(ROOT / "scripted_modules" / f"{NAME}.py")
        yield made


@pytest.fixture(scope="module")
def shown(made_desktop: Any) -> Any:
    """A phantom's hepatobiliary phase in an otherwise empty scene."""
    import slicer

    from LiverLesionAI.phantom import generate_study
    from LiverLesionAI.scenes.show import show_study

    made_desktop.close_scene()
    phantom = generate_study(SEED, classes=("HCC",), sequences=("HBP",), reference="HBP")
    return show_study(slicer.mrmlScene, phantom.study)


def _finish(made: Any, widget: Any) -> None:
    assert made.wait(lambda: not widget.panel.is_busy, 240), "the work did not end"
    made.settle(300)


def test_a_reader_looks_rejects_and_is_told_what_classifying_lacks(made_desktop: Any, shown: Any) -> None:
    import slicer

    made_desktop.enter(NAME)
    widget = getattr(slicer.modules, f"{NAME}Widget")
    ui = widget.ui
    assert not ui.detectButton.enabled
    assert ui.pointSlider.value == load_bundle(DEFAULT_DETECTOR).spec.patches.operating_point
    ui.assignButton.click()
    made_desktop.settle(300)
    assert ui.selectorHBP.currentNode() is shown.volumes["HBP"]
    ui.detectButton.click()
    assert ui.detectButton.text == "Cancel"
    _finish(made_desktop, widget)
    assert "✓" in ui.detectStep.text, ui.detectStatus.text
    assert "not for clinical use" in ui.detectStatus.text
    points = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    count = ui.candidateTable.rowCount
    assert points.GetNumberOfControlPoints() == count > 0
    assert any("evidence of HCC" in node.GetName() for node in _volumes())
    widget.panel.candidates.clicked(count - 1, 0)
    made_desktop.settle(100)
    assert json.loads(widget.panel.parameters.rejected) == [count]
    widget.panel.candidates.clicked(count - 1, 0)
    assert json.loads(widget.panel.parameters.rejected) == []
    for rank in range(2, count + 1):
        widget.panel.candidates.toggle_candidate(rank)
    ui.outlineButton.click()
    _finish(made_desktop, widget)
    assert "has none of the sequences that the model reads" in ui.candidatesStatus.text
    ui.pointSlider.value = 0.3
    made_desktop.settle(400)
    assert "look again" in ui.detectStatus.text
    assert made_desktop.taken_slot_errors() == []


def _volumes() -> list[Any]:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
