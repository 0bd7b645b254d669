"""The main panel's lesions: outlines corrected on single sequences, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from panel_desktop import assigned_panel, classify, worker_desktop

from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.registration import outline_on_sequence
from LiverLesionAI.study import Study


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One desktop, so that the worker stays warm from test to test."""
    with worker_desktop(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def widget(made_desktop: Any, ball_study: Callable[..., Study]) -> Iterator[Any]:
    """The panel on a study of one ball, with slice views."""
    panel = assigned_panel(made_desktop, ball_study())
    panel.ui.layoutButton.click()
    yield panel
    assert made_desktop.taken_slot_errors() == []


def _choose(widget: Any, name: str) -> None:
    widget.ui.outlineCombo.setCurrentIndex(widget.panel.lesions.outlines._names.index(name))


def _outlines(name: str) -> Any:
    import slicer

    return slicer.mrmlScene.GetFirstNodeByName(f"Lesions on {name}")


def _correct(widget: Any, name: str) -> Any:
    _choose(widget, name)
    widget.ui.correctOutlineButton.click()
    assert "!" not in widget.ui.lesionsStep.text, widget.ui.lesionsStatus.text
    return _outlines(name)


def _erase_above(node: Any, volume: Any, slices: int) -> None:
    """Erase all but the lowest slices of a lesion, as a reader would."""
    import slicer

    segment = node.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
    lowest = np.flatnonzero(voxels.any(axis=(1, 2)))[0]
    voxels[lowest + slices :] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, volume)


def test_the_table_says_where_a_lesion_lies(widget: Any) -> None:
    (row,) = widget.panel.lesions.rows
    cells = [widget.ui.lesionTable.item(0, column) for column in range(4)]
    assert [cell.text() for cell in cells] == ["lesion 1", f"{row.diameter_mm:.0f}", "4.1", "9/18"]
    assert cells[3].toolTip() == "Centre: L60 P70 S49 mm"
    assert row.centroid_lps_mm == pytest.approx((60.0, 70.0, 49.4), abs=0.1)


def test_slices_are_counted_from_the_feet(widget: Any) -> None:
    from LiverLesionAI import mrml

    volume = widget.panel.parameters.volumeT2WI
    image = mrml.image_from_volume(volume)
    lowest, highest = (image.TransformIndexToPhysicalPoint([50, 50, level]) for level in (0, 17))
    assert mrml.slice_number(volume, lowest) == (1, 18)
    assert mrml.slice_number(volume, highest) == (18, 18)
    assert mrml.slice_number(volume, (0.0, 0.0, 1e4)) == (18, 18)
    turned = mrml.add_volume(volume.GetScene(), sitk.Flip(image, [False, False, True]), "upside down")
    assert mrml.slice_number(turned, lowest) == (1, 18)


def test_outlines_are_carried_to_a_sequence(widget: Any) -> None:
    study = widget.panel.study()
    node = _correct(widget, "LAP")
    lesions = widget.panel.parameters.segmentation
    assert node.GetSegmentation().GetNthSegmentID(0) == lesions.GetSegmentation().GetNthSegmentID(0)
    assert widget.ui.segmentEditor.segmentationNode() is node
    assert widget.ui.segmentEditor.sourceVolumeNode() is widget.panel.parameters.volumeLAP
    assert node.GetDisplayVisibility() and not lesions.GetDisplayVisibility()
    outline = widget.panel.study().outlines["LAP"]
    wanted = outline_on_sequence(study.outlined_lesions, study.images["LAP"])
    assert np.array_equal(sitk.GetArrayFromImage(outline), sitk.GetArrayFromImage(wanted))
    assert widget.ui.outlineCombo.currentText == "LAP, corrected"
    _choose(widget, "T2WI")
    assert widget.ui.segmentEditor.segmentationNode() is lesions
    assert lesions.GetDisplayVisibility() and not node.GetDisplayVisibility()


def test_without_outlines_of_its_own_a_sequence_is_only_looked_at(widget: Any) -> None:
    import slicer

    _choose(widget, "DWI")
    view = slicer.mrmlScene.GetSingletonNode("LiverT2WI", "vtkMRMLSliceCompositeNode")
    assert view.GetBackgroundVolumeID() == widget.panel.parameters.volumeDWI.GetID()
    assert not widget.ui.segmentEditor.enabled
    assert "Correct here" in widget.ui.lesionsStatus.text
    assert widget.ui.correctOutlineButton.enabled and not widget.ui.discardOutlineButton.enabled
    widget.ui.oneClickButton.click()
    widget.ui.oneClickButton.click()
    _choose(widget, "T2WI")
    assert widget.ui.segmentEditor.enabled


def test_the_classifier_takes_the_corrected_outline(widget: Any) -> None:
    from LiverLesionAI.inputs.patch_grid import PatchParameters
    from LiverLesionAI.inputs.patches import extract_patches

    names = ["T2WI", "LAP"]
    before = extract_patches(widget.panel.study(), 1, names, PatchParameters()).patches
    _erase_above(_correct(widget, "LAP"), widget.panel.parameters.volumeLAP, 2)
    study = widget.panel.study()
    cut = lesion_geometry(study.outlines["LAP"], 1)
    assert cut.volume_ml < 0.5 * lesion_geometry(study.outlined_lesions, 1).volume_ml
    after = extract_patches(study, 1, names, PatchParameters()).patches
    assert np.array_equal(before[0], after[0]) and np.array_equal(before[1, 0], after[1, 0])
    assert after[1, 1].sum() < 0.6 * before[1, 1].sum()


def test_lesions_that_were_not_corrected_are_carried_over(widget: Any) -> None:
    import slicer

    lesions, volume = widget.panel.parameters.segmentation, widget.panel.parameters.volumeT2WI
    node = _correct(widget, "LAP")
    second = lesions.GetSegmentation().AddEmptySegment("", "second")
    voxels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    voxels[3:6, 60:70, 60:70] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, lesions, second, volume)
    study = widget.panel.study()
    assert study.lesion_ids == (1, 2)
    wanted = outline_on_sequence(study.outlined_lesions == 2, study.images["LAP"])
    found = sitk.GetArrayFromImage(study.outlines["LAP"]) == 2
    assert np.array_equal(found, sitk.GetArrayFromImage(wanted) == 1)
    first = node.GetSegmentation().GetNthSegmentID(0)
    lesions.GetSegmentation().RemoveSegment(first)
    study = widget.panel.study()
    (label,) = study.lesion_ids
    left = lesion_geometry(study.outlines["LAP"], label)
    assert left.centroid_lps_mm == pytest.approx(
        lesion_geometry(study.outlined_lesions, label).centroid_lps_mm, abs=3
    )


def test_outlines_move_with_their_sequence(widget: Any) -> None:
    node = _correct(widget, "LAP")
    before = sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"])
    widget.ui.alignSequenceCombo.setCurrentIndex(widget.ui.alignSequenceCombo.findText("LAP"))
    widget.ui.shiftRSlider.value = 12.0
    volume = widget.panel.parameters.volumeLAP
    assert node.GetParentTransformNode() is volume.GetParentTransformNode() is not None
    assert np.array_equal(sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"]), before)
    widget.panel.refresh()
    widget.ui.undoRegisterButton.click()
    assert node.GetParentTransformNode() is None


def test_outlines_stay_when_the_result_comes_and_take_its_colours(made_desktop: Any, widget: Any) -> None:
    import slicer

    widget.ui.explainCheck.checked = False
    node = _correct(widget, "LAP")
    _erase_above(node, widget.panel.parameters.volumeLAP, 2)
    drawn = sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"])
    for _round in range(2):
        classify(made_desktop, widget)
        assert "✓" in widget.ui.classifyStep.text, widget.ui.classifyStatus.text
        segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        assert sorted(each.GetName() for each in segmentations) == ["Lesions on LAP", "ball lesion segments"]
    lesions = widget.panel.parameters.segmentation.GetSegmentation()
    colour = lesions.GetNthSegment(0).GetColor()
    assert node.GetSegmentation().GetNthSegment(0).GetColor() == colour
    assert np.array_equal(sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"]), drawn)


def test_discarding_takes_the_reference_s_outlines_again(widget: Any) -> None:
    _correct(widget, "LAP")
    widget.ui.discardOutlineButton.click()
    assert _outlines("LAP") is None
    assert widget.panel.study().outlines == {}
    assert widget.ui.segmentEditor.segmentationNode() is widget.panel.parameters.segmentation
    assert widget.panel.parameters.segmentation.GetDisplayVisibility()


def test_a_sequence_that_misses_a_lesion_is_told(widget: Any) -> None:
    widget.ui.alignSequenceCombo.setCurrentIndex(widget.ui.alignSequenceCombo.findText("DWI"))
    widget.ui.shiftSSlider.value = 40.0
    import slicer

    far = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "far away")
    matrix = far.GetMatrixTransformToParent()
    matrix.SetElement(2, 3, 500.0)
    far.SetMatrixTransformToParent(matrix)
    widget.panel.parameters.volumeDWI.SetAndObserveTransformNodeID(far.GetID())
    _choose(widget, "DWI")
    widget.ui.correctOutlineButton.click()
    assert "does not cover lesion 1" in widget.ui.lesionsStatus.text


def test_corrected_outlines_come_back_and_reach_the_command_line(
    made_desktop: Any, widget: Any, tmp_path: Path
) -> None:
    import slicer

    from LiverLesionAI import mrml
    from LiverLesionAI.pipeline import read_study

    _erase_above(_correct(widget, "LAP"), widget.panel.parameters.volumeLAP, 2)
    drawn = sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"])
    mrml.save_scene(slicer.mrmlScene, tmp_path / "scene.mrb")
    read = read_study(tmp_path / "scene.mrb")
    assert np.array_equal(sitk.GetArrayFromImage(read.outlines["LAP"]), drawn)
    made_desktop.close_scene()
    made_desktop.open_scene(tmp_path / "scene.mrb")
    made_desktop.settle(300)
    assert np.array_equal(sitk.GetArrayFromImage(widget.panel.study().outlines["LAP"]), drawn)
    assert widget.ui.outlineCombo.findText("LAP, corrected") >= 0
