"""The panel at a glance: its line of state, its table of answers, its width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from panel_desktop import assigned_panel, classify, worker_desktop

from LiverLesionAI.study import Study

NARROW = 350


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


def body_width(made: Any) -> int:
    """How narrow the steps can be."""
    (frame,) = made._frames.values()
    area = frame.findChild(object, "stepsArea")
    return area.widget().minimumSizeHint().width()


def test_the_line_at_the_top_says_what_matters_most(made_desktop: Any, widget: Any) -> None:
    import slicer

    ui, panel = widget.ui, widget.panel
    assert ui.stateLabel.text == "Ready to classify."
    ui.explainCheck.checked = False
    ui.classifyButton.click()
    assert "%" in ui.stateLabel.text and panel.is_busy
    assert made_desktop.wait(lambda: not panel.is_busy, 120)
    made_desktop.settle(300)
    assert ui.stateLabel.text == "Classified: 1; decided: 0; not saved."
    kind = panel.result.lesions[0].tasks["type"]
    row = [ui.resultsTable.item(0, column) for column in (0, 1)]
    assert [item.text() for item in row] == ["lesion 1", kind.predicted]
    panel.classify.fail("A sentence.\nMore.")
    assert ui.stateLabel.text == "4  Classify: A sentence."
    panel.forget_errors()

    segmentation = panel.parameters.segmentation
    identifier = segmentation.GetSegmentation().GetNthSegmentID(0)
    volume = panel.chosen().anchor
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volume)
    voxels[tuple(axis[0] for axis in voxels.nonzero())] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, identifier, volume)
    made_desktop.settle(500)
    assert ui.stateLabel.text == "Out of date: lesion 1 was corrected after classifying; classify again."
    stale = ui.resultsTable.item(0, 1)
    assert stale.text() == f"({kind.predicted})" and "lesion 1 was corrected" in stale.toolTip()
    assert "✓" not in ui.classifyStep.text
    ui.explainCheck.checked = True


def test_an_error_goes_once_the_reader_mends_what_it_is_about(made_desktop: Any, widget: Any) -> None:
    import slicer

    ui, panel = widget.ui, widget.panel
    lesions = panel.parameters.segmentation
    ui.segmentationSelector.setCurrentNode(None)
    ui.classifyButton.click()
    assert ui.stateLabel.text.startswith("4  Classify: No segmentation is chosen")
    ui.segmentationSelector.setCurrentNode(lesions)
    made_desktop.settle(400)
    assert ui.stateLabel.text == "Ready to classify." and ui.classifyStatus.text == ""
    panel.save_step.fail("The folder is full.")
    ui.folderEdit.currentPath = "elsewhere"
    assert "full" not in ui.stateLabel.text and "!" not in ui.saveStep.text
    panel.classify.fail("The model reads another sequence.")
    ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("kim2020-phantom"))
    assert panel.classify.text == ""
    ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("tiny"))
    slicer.app.processEvents()


def test_a_click_that_is_waited_for_is_asked_for(made_desktop: Any, widget: Any) -> None:
    ui = widget.ui
    ui.oneClickButton.click()
    made_desktop.settle(400)
    assert ui.lesionsStatus.text == "Click into the middle of the lesion."
    ui.oneClickButton.click()
    made_desktop.settle(400)
    assert ui.lesionsStatus.text == "Lesions segmented: 1."


def test_an_answer_about_something_unlike_the_training_is_in_doubt_at_the_top(
    made_desktop: Any, widget: Any
) -> None:
    from LiverLesionAI.answers import OutOfDistribution
    from LiverLesionLib.panels.state_line import state_of

    classify(made_desktop, widget)
    panel = widget.panel
    (lesion,) = panel.result.lesions
    strange = replace(lesion, out_of_distribution=OutOfDistribution(2.0, 1.0, ()))
    result = replace(panel.result, lesions=(strange,))
    state = state_of(panel.steps, (), None, result, "", None)
    assert state.tone == "doubtful"
    assert state.text.startswith("Do not rely on the answer for lesion 1: unlike what the model was trained")


def test_only_answers_that_a_change_touches_are_out_of_date(made_desktop: Any, widget: Any) -> None:
    from LiverLesionAI.scenes.changes import Change
    from LiverLesionLib.steps.out_of_date import outdated

    classify(made_desktop, widget)
    result = widget.panel.result
    (lesion,) = result.lesions
    both = replace(result, lesions=(lesion, replace(lesion, id=2, name="lesion 2")))
    corrected, new = Change("corrected", "lesion 2"), Change("added", "lesion 3")
    moved = Change("moved", "LAP")
    assert outdated("lesion 1", both, (corrected, new)) == ""
    assert "lesion 2 was corrected" in outdated("lesion 2", both, (corrected, new))
    assert "LAP was moved" in outdated("lesion 1", both, (corrected, moved))
    assert "HBP was added" in outdated("lesion 1", both, (Change("added", "HBP"),))


def test_the_decision_stands_in_the_row_of_the_answer(made_desktop: Any, widget: Any) -> None:
    classify(made_desktop, widget)
    ui = widget.ui
    assert ui.resultsTable.item(0, 4).text() == ""
    ui.readerEdit.text = "A"
    ui.acceptButton.click()
    predicted = ui.resultsTable.item(0, 1).text()
    assert ui.resultsTable.item(0, 4).text() == "✓"
    assert ui.resultsTable.item(0, 4).toolTip() == f"{predicted}\nA"
    assert "decided: 1" in ui.stateLabel.text


def test_the_panel_can_be_narrow(made_desktop: Any, widget: Any) -> None:
    classify(made_desktop, widget)
    assert body_width(made_desktop) <= NARROW
    (frame,) = made_desktop._frames.values()
    assert frame.minimumSizeHint().width() <= NARROW


def test_a_preparation_can_be_cancelled_and_goes_with_the_scene(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.classifyButton.click()
    assert panel.is_busy and ui.classifyButton.text == "Cancel"
    ui.classifyButton.click()
    assert not panel.is_busy and panel.result is None
    assert "Cancelled" in ui.classifyStatus.text
    ui.classifyButton.click()
    made_desktop.close_scene()
    made_desktop.settle(300)
    assert not panel.is_busy and panel.result is None
