"""The main panel's alignment: a bar per sequence, comparison, manual offset, undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from panel_desktop import assigned_panel, finish, worker_desktop

from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.study import Study

MOVED_LPS = (5.0, 0.0, -4.0)
"""A reader's shift of 5 mm to the left and 4 mm to the feet."""


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
    panel.panel.align.compare.stop()
    assert made_desktop.taken_slot_errors() == []


def _choose(widget: Any, name: str) -> None:
    widget.ui.alignSequenceCombo.setCurrentIndex(widget.ui.alignSequenceCombo.findText(name))


def _view() -> Any:
    import slicer

    return slicer.mrmlScene.GetSingletonNode("LiverT2WI", "vtkMRMLSliceCompositeNode")


def _point_in(study: Study, name: str, point: tuple[float, ...] = (3.0, -7.0, 11.0)) -> np.ndarray:
    transform = study.images[name].transform
    return np.asarray(point if transform is None else transform.TransformPoint(point))


def _board(widget: Any) -> Any:
    import slicer

    return slicer.mrmlScene.GetFirstNodeByName("checkerboard")


def test_every_sequence_has_a_bar_of_its_own(
    made_desktop: Any, widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, align = widget.ui, widget.panel.align
    told: list[tuple[str, float, dict[str, int]]] = []
    heard = align.progress

    def progress(step: str, fraction: float) -> None:
        heard(step, fraction)
        bars = {ui.alignTable.item(row, 0).text(): ui.alignTable.cellWidget(row, 1).value for row in (0, 1)}
        told.append((step, fraction, bars))

    monkeypatch.setattr(align, "progress", progress)
    ui.registerButton.click()
    assert [ui.alignTable.item(row, 0).text() for row in (0, 1)] == ["DWI", "LAP"]
    assert not ui.shiftRSlider.enabled
    finish(made_desktop, widget)
    assert {step for step, *_ in told} == {"register DWI", "register LAP"}
    for step, fraction, bars in told:
        assert bars[step.removeprefix("register ")] == round(100 * fraction)
    assert ui.alignTable.cellWidget(0, 1) is None
    assert all("→" in ui.alignTable.item(row, 2).text() for row in (0, 1))
    assert ui.shiftRSlider.enabled
    before = [ui.alignTable.item(row, 2).text() for row in (0, 1)]
    widget.panel.refresh()
    assert [ui.alignTable.item(row, 2).text() for row in (0, 1)] == before


def test_a_transform_of_the_reader_s_own_stays(made_desktop: Any, widget: Any) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "mine")
    volume = widget.panel.parameters.volumeDWI
    volume.SetAndObserveTransformNodeID(node.GetID())
    matrix = node.GetMatrixTransformToParent()
    matrix.SetElement(0, 3, 2.0)
    node.SetMatrixTransformToParent(matrix)
    widget.ui.registerButton.click()
    finish(made_desktop, widget)
    assert "!" not in widget.ui.alignStep.text, widget.ui.alignStatus.text
    assert volume.GetParentTransformNode() is node
    widget.ui.undoRegisterButton.click()
    assert volume.GetParentTransformNode() is node


def test_a_manual_offset_moves_the_image_as_it_is_seen(widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    _choose(widget, "LAP")
    ui.shiftRSlider.value, ui.shiftSSlider.value = -5.0, -4.0
    volume = panel.parameters.volumeLAP
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld([1.0, 2.0, 3.0], world)
    assert world == pytest.approx([-4.0, 2.0, -1.0])
    assert _point_in(panel.study(), "LAP") == pytest.approx(np.subtract((3.0, -7.0, 11.0), MOVED_LPS))
    assert panel.study().images["DWI"].transform is None
    panel.refresh()
    assert ui.alignTable.item(1, 1).text() == "as scanned, moved 6.4 mm"
    assert ui.undoRegisterButton.enabled


def test_a_manual_offset_goes_on_top_of_a_deformation(
    made_desktop: Any, widget: Any, ball_study: Callable[..., Study], tmp_path: Path
) -> None:
    """What the worker gets is the deformation and then the offset."""
    import slicer

    from LiverLesionAI.scenes.alignment import add_alignment
    from LiverLesionAI.worker.exchange import receive_study, send_study

    panel = widget.panel
    deformation = _deformation(panel.study().images["T2WI"].image)
    report = {"transform": "bspline", "metric_before": 1.0, "metric_after": 1.2}
    add_alignment(slicer.mrmlScene, panel.chosen(), {"LAP": deformation}, {"LAP": report})
    panel.refresh()
    point = (4.0, 6.0, -3.0)
    assert _point_in(panel.study(), "LAP", point) == pytest.approx(
        deformation.TransformPoint(point), abs=1e-3
    )
    _choose(widget, "LAP")
    widget.ui.shiftRSlider.value, widget.ui.shiftSSlider.value = -5.0, -4.0
    wanted = deformation.TransformPoint(np.subtract(point, MOVED_LPS).tolist())
    assert np.abs(np.subtract(wanted, deformation.TransformPoint(point))).max() > 3
    study = receive_study(send_study(panel.study(), tmp_path))
    assert _point_in(study, "LAP", point) == pytest.approx(wanted, abs=1e-3)
    panel.refresh()
    assert widget.ui.alignTable.item(1, 1).text() == "deformable, moved 6.4 mm"
    widget.ui.resetOffsetButton.click()
    assert _point_in(panel.study(), "LAP", point) == pytest.approx(
        deformation.TransformPoint(point), abs=1e-3
    )


def _deformation(grid: sitk.Image) -> sitk.Transform:
    transform = sitk.BSplineTransformInitializer(grid, [4, 4, 4], 3)
    numbers = np.random.default_rng(5).uniform(-3, 3, len(transform.GetParameters()))
    transform.SetParameters(numbers.tolist())
    return transform


def test_the_classifier_sees_the_manual_offset(widget: Any) -> None:
    panel, parameters, names = widget.panel, PatchParameters(interpolation="linear"), ["T2WI", "LAP"]
    study = panel.study()
    before = extract_patches(study, 1, names, parameters).patches
    _choose(widget, "LAP")
    widget.ui.shiftRSlider.value = -5.0
    moved = study.with_transforms({"LAP": sitk.TranslationTransform(3, (-5.0, 0.0, 0.0))})
    after = extract_patches(panel.study(), 1, names, parameters).patches
    assert np.allclose(after, extract_patches(moved, 1, names, parameters).patches, atol=1e-4)
    assert np.array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0.5


def test_a_turn_is_clockwise_about_the_lesion(widget: Any) -> None:
    centre = widget.panel.align.centre_lps_mm()
    _choose(widget, "DWI")
    widget.ui.turnSlider.value = 90.0
    assert widget.ui.turnSlider.value == 30.0
    volume = widget.panel.parameters.volumeDWI
    x, y, z = -centre[0], -centre[1], centre[2]
    there, beside = [0.0] * 3, [0.0] * 3
    volume.TransformPointToWorld([x, y, z], there)
    volume.TransformPointToWorld([x + 10.0, y, z], beside)
    assert there == pytest.approx([x, y, z])
    assert beside == pytest.approx([x + 10 * np.cos(np.pi / 6), y + 5.0, z])


def test_a_manual_offset_follows_the_world_s_axes_below_a_turned_study(widget: Any) -> None:
    import slicer

    outer = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned patient")
    matrix = outer.GetMatrixTransformToParent()
    for row, column, value in ((0, 0, 0.0), (0, 1, -1.0), (1, 0, 1.0), (1, 1, 0.0), (2, 3, 30.0)):
        matrix.SetElement(row, column, value)
    outer.SetMatrixTransformToParent(matrix)
    for name in ("T2WI", "DWI", "LAP"):
        widget.panel.parameters.getValue(f"volume{name}").SetAndObserveTransformNodeID(outer.GetID())
    widget.panel.parameters.segmentation.SetAndObserveTransformNodeID(outer.GetID())
    volume = widget.panel.parameters.volumeLAP
    before, after = [0.0] * 3, [0.0] * 3
    volume.TransformPointToWorld([1.0, 2.0, 3.0], before)
    _choose(widget, "LAP")
    widget.ui.shiftRSlider.value = 6.0
    volume.TransformPointToWorld([1.0, 2.0, 3.0], after)
    assert np.subtract(after, before) == pytest.approx([6.0, 0.0, 0.0])
    assert widget.ui.shiftRSlider.value == 6.0
    widget.panel.refresh()
    widget.ui.undoRegisterButton.click()
    assert volume.GetParentTransformNode() is outer


def test_manual_offsets_are_undone_movement_by_movement(widget: Any) -> None:
    ui, volume = widget.ui, widget.panel.parameters.volumeLAP
    _choose(widget, "LAP")
    for value in (1.0, 2.0, 3.0):
        ui.shiftRSlider.value = value
    ui.shiftASlider.value = 2.0
    _choose(widget, "DWI")
    assert ui.shiftRSlider.value == 0.0
    ui.shiftSSlider.value = 7.0
    widget.panel.refresh()
    ui.undoOffsetButton.click()
    assert ui.alignSequenceCombo.currentText == "DWI" and ui.shiftSSlider.value == 0.0
    assert widget.panel.parameters.volumeDWI.GetParentTransformNode() is None
    ui.undoOffsetButton.click()
    assert ui.alignSequenceCombo.currentText == "LAP"
    assert (ui.shiftRSlider.value, ui.shiftASlider.value) == (3.0, 0.0)
    ui.undoOffsetButton.click()
    assert ui.shiftRSlider.value == 0.0 and not ui.undoOffsetButton.enabled
    assert volume.GetParentTransformNode() is None


def test_undo_takes_manual_offsets_back_too(made_desktop: Any, widget: Any) -> None:
    import slicer

    widget.ui.registerButton.click()
    finish(made_desktop, widget)
    _choose(widget, "LAP")
    widget.ui.shiftASlider.value = 3.0
    widget.panel.refresh()
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLTransformNode")}
    assert {"LAP to T2WI", "DWI to T2WI", "LAP manual offset"} <= names
    widget.ui.undoRegisterButton.click()
    assert widget.panel.parameters.volumeLAP.GetParentTransformNode() is None
    left = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLTransformNode")}
    assert not left & {"LAP to T2WI", "DWI to T2WI", "LAP manual offset"}
    assert widget.ui.alignTable.rowCount == 0


def test_flicker_shows_both_in_turn_and_ends_with_the_module(made_desktop: Any, widget: Any) -> None:
    import slicer

    parameters = widget.panel.parameters
    slicer.util.setSliceViewerLayers(background=parameters.volumeDWI, foreground=None)
    _choose(widget, "LAP")
    widget.ui.flickerButton.click()
    assert _view().GetBackgroundVolumeID() == parameters.volumeT2WI.GetID()
    assert _view().GetForegroundVolumeID() == parameters.volumeLAP.GetID()
    seen = set()
    for _turn in range(2):
        shown = _view().GetForegroundOpacity()
        seen.add(shown)
        assert made_desktop.wait(lambda shown=shown: _view().GetForegroundOpacity() != shown, 3)
    assert seen == {0.0, 1.0}
    widget.exit()
    assert not widget.ui.flickerButton.checked
    assert _view().GetBackgroundVolumeID() == parameters.volumeDWI.GetID()
    assert _view().GetForegroundVolumeID() is None
    now = _view().GetForegroundOpacity()
    made_desktop.settle(1200)
    assert _view().GetForegroundOpacity() == now
    made_desktop.enter("LiverLesionAI")


def test_fading_ends_flicker(widget: Any) -> None:
    widget.ui.flickerButton.click()
    widget.ui.fadeSlider.value = 0.3
    assert not widget.ui.flickerButton.checked
    assert _view().GetForegroundOpacity() == pytest.approx(0.3)


def test_checkerboard_shows_tiles_of_both_and_follows_the_offset(made_desktop: Any, widget: Any) -> None:
    import slicer

    parameters = widget.panel.parameters
    slicer.util.setSliceViewerLayers(background=parameters.volumeDWI)
    for name in ("T2WI", "DWI", "LAP"):
        voxels = slicer.util.arrayFromVolume(parameters.getValue(f"volume{name}"))
        parameters.getValue(f"volume{name}").GetDisplayNode().SetWindowLevelMinMax(
            float(voxels.min()), float(voxels.max())
        )
    _choose(widget, "LAP")
    widget.ui.checkerboardButton.click()
    board = _board(widget)
    assert _view().GetBackgroundVolumeID() == board.GetID()
    reference = slicer.util.arrayFromVolume(parameters.volumeT2WI)
    shown = slicer.util.arrayFromVolume(board)
    assert shown.shape == reference.shape
    display = parameters.volumeT2WI.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    of_reference = np.isclose(shown, np.clip((reference - low) / (high - low), 0, 1), atol=1e-5)
    spacing = parameters.volumeT2WI.GetSpacing()
    tile = int(20 // spacing[0])
    assert of_reference[:, : int(20 // spacing[1]), :tile].all()
    assert not of_reference.all()
    widget.ui.shiftRSlider.value = 10.0
    made_desktop.settle(500)
    moved = slicer.util.arrayFromVolume(_board(widget))
    assert np.isclose(moved, np.clip((reference - low) / (high - low), 0, 1), atol=1e-5)[
        of_reference & (moved == shown)
    ].any()
    assert (moved != shown).any()
    _choose(widget, "DWI")
    assert _board(widget) is not None
    widget.ui.checkerboardButton.click()
    assert _board(widget) is None
    assert _view().GetBackgroundVolumeID() == parameters.volumeDWI.GetID()


def test_comparing_survives_what_the_scene_loses(made_desktop: Any, widget: Any) -> None:
    import slicer

    _choose(widget, "LAP")
    widget.ui.checkerboardButton.click()
    slicer.mrmlScene.RemoveNode(_board(widget))
    made_desktop.settle(400)
    assert not widget.ui.checkerboardButton.checked
    widget.ui.flickerButton.click()
    slicer.mrmlScene.RemoveNode(widget.panel.parameters.volumeLAP)
    slicer.mrmlScene.RemoveNode(widget.panel.parameters.volumeDWI)
    made_desktop.settle(400)
    assert not widget.ui.flickerButton.checked and not widget.ui.flickerButton.enabled
    made_desktop.close_scene()
    assert widget.ui.alignSequenceCombo.count == 0 or widget.panel.parameters is not None


def test_offset_and_table_come_back_with_the_scene(made_desktop: Any, widget: Any, tmp_path: Path) -> None:
    import slicer

    from LiverLesionAI import mrml

    widget.ui.registerButton.click()
    finish(made_desktop, widget)
    _choose(widget, "LAP")
    widget.ui.shiftRSlider.value, widget.ui.turnSlider.value = 4.0, 10.0
    widget.panel.refresh()
    rows = [widget.ui.alignTable.item(row, 1).text() for row in (0, 1)]
    mrml.save_scene(slicer.mrmlScene, tmp_path / "scene.mrb")
    made_desktop.close_scene()
    made_desktop.open_scene(tmp_path / "scene.mrb")
    made_desktop.settle(300)
    assert [widget.ui.alignTable.item(row, 1).text() for row in (0, 1)] == rows
    _choose(widget, "LAP")
    assert widget.ui.shiftRSlider.value == pytest.approx(4.0)
    assert widget.ui.turnSlider.value == pytest.approx(10.0)
