"""The main panel without its worker: choosing, measuring, one click, the scene's comings and goings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.study import Study

NAME = "LiverLesionAI"


@pytest.fixture(scope="module")
def phantom() -> Any:
    return generate_lesion(800_003, "HCC")


@pytest.fixture
def made_desktop() -> Iterator[Any]:
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        made.enter(NAME)
        yield made


@pytest.fixture
def widget(made_desktop: Any) -> Any:
    import slicer

    return slicer.modules.LiverLesionAIWidget


def _show(study: Study) -> Any:
    import slicer

    from LiverLesionAI.scenes.show import show_study

    return show_study(slicer.mrmlScene, study)


def _assign(made_desktop: Any, widget: Any) -> None:
    widget.ui.assignButton.click()
    made_desktop.settle(300)


def test_sequences_are_assigned_with_reasons(made_desktop: Any, widget: Any, phantom: Any) -> None:
    nodes = _show(phantom.study)
    _assign(made_desktop, widget)
    for name, node in nodes.volumes.items():
        selector = getattr(widget.ui, f"selector{name}")
        assert selector.currentNode() is node
        assert name in selector.toolTip
    assert widget.ui.referenceCombo.currentText == phantom.study.reference
    assert widget.ui.selectorHBP.currentNode() is None
    assert "gray" in widget.ui.labelHBP.styleSheet
    assert "✓" in widget.ui.studyStep.text


def test_selectors_are_those_that_the_model_reads(
    made_desktop: Any, widget: Any, ball_study: Callable[..., Study]
) -> None:
    """MRI or CT; what was chosen besides stays on show."""
    ui = widget.ui

    def shown() -> list[str]:
        from LiverLesionLib.parameters import SEQUENCES

        return [name for name in SEQUENCES if getattr(ui, f"selector{name}").visible]

    phases = ["CT_PLAIN", "CT_ART", "CT_PORTAL", "CT_DELAY"]
    assert shown()[0] == "T2WI" and not set(phases) & set(shown())
    ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("yasaka2018"))
    made_desktop.settle(300)
    assert shown() == phases
    nodes = _show(ball_study(sequences=("CT_ART", "CT_DELAY")))
    _assign(made_desktop, widget)
    assert ui.selectorCT_DELAY.currentNode() is nodes.volumes["CT_DELAY"]
    assert ui.studyStatus.text == "2 sequences, reference CT_ART. Not in this study: CT_PLAIN, CT_PORTAL."
    ui.modelCombo.setCurrentIndex(0)
    made_desktop.settle(300)
    assert shown()[0] == "T2WI" and shown()[-2:] == ["CT_ART", "CT_DELAY"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"schema": "liverlesionai.results.v9"}', "of schema 'liverlesionai.results.v9'"),
        ("no json", "damaged"),
        ("[]", "no JSON object"),
    ],
)
def test_a_result_that_cannot_be_read_is_told(
    made_desktop: Any, widget: Any, ball_study: Callable[..., Study], tmp_path: Path, text: str, told: str
) -> None:
    import slicer

    from LiverLesionAI import mrml

    _show(ball_study())
    widget.panel.parameters.result = text
    mrml.save_scene(slicer.mrmlScene, tmp_path / "scene.mrb")
    made_desktop.close_scene()
    made_desktop.open_scene(tmp_path / "scene.mrb")
    made_desktop.settle(300)
    ui, panel = widget.ui, widget.panel
    assert told in ui.classifyStatus.text and "classify" in ui.classifyStatus.text
    assert panel.result is None and panel.parameters.result == text
    _assign(made_desktop, widget)
    assert "✓" in ui.studyStep.text and ui.classifyButton.enabled
    assert panel.parameters.result == text


def test_a_panel_is_made_on_a_result_that_needs_a_missing_package(
    made_desktop: Any, widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from LiverLesionLib.panels.main_panel import MainPanel

    widget.panel.parameters.result = '{"schema": "liverlesionai.results.v2"}'
    monkeypatch.setitem(sys.modules, "pydantic", None)
    panel = MainPanel(widget, widget.ui, widget.logic)
    assert panel.result is None and "package pydantic" in widget.ui.classifyStatus.text
    panel.close()


def test_a_binary_answer_is_left_out_beside_others_unless_it_is_the_primary_one(made_desktop: Any) -> None:
    from made_studies import answer

    from LiverLesionLib.steps.answers import Answered

    malignancy, kind = answer("binary", "malignant"), answer("W7", "HCC", primary=True)
    tasks = {"malignancy": malignancy, "type": kind}
    assert len(Answered("lesion 1", kind, tasks, 1).classes()) == len(kind.probabilities)
    both = Answered("lesion 1", malignancy, tasks, 1).classes()
    assert [row[0] for row in both if len(row) == 1] == ["Malignancy", "Type"]
    assert len(both) == 2 + 2 + len(kind.probabilities)


def test_a_set_stands_in_place_of_a_class_where_the_model_cannot_tell(made_desktop: Any) -> None:
    from dataclasses import replace

    from made_studies import answer

    from LiverLesionAI.answers import OutOfDistribution
    from LiverLesionLib.controls.bars import Bar, Chip, Tipped
    from LiverLesionLib.steps.answers import Answered

    plain = answer("W7", "HCC", primary=True)
    softer = {name: 0.5 * p + 0.5 / 7 for name, p in plain.probabilities.items()}

    def shown(*held: str) -> Answered:
        kind = replace(plain, calibrated=softer, prediction_set=held, coverage=0.9)
        unlike = OutOfDistribution(3.0, 1.2) if len(held) > 1 else None
        return Answered("lesion 1", kind, {"type": kind}, 5, 1, unlike=unlike)

    name, kind, bar, *_ = shown("HCC", "metastasis").row()
    assert isinstance(name, Tipped) and name.text == "lesion 1 ⚠"
    assert name.tip.startswith("Unlike what the model was trained on") and name.tip.endswith(".")
    assert isinstance(kind, Chip) and kind.text == "HCC or metastasis (90%)"
    assert kind.tip.startswith("HCC or metastasis: such")
    assert isinstance(bar, Bar) and bar.value == softer["HCC"] != plain.probability
    several = shown("HCC", "ICC", "metastasis")
    assert isinstance(several.row()[1], Chip) and several.row()[1].text == "HCC or 2 others (90 %)"
    assert [line.partition(" ")[0] for line in several.remarks] == ["Unlike", "HCC"]
    name, kind, *_ = shown("HCC").row()
    assert name == "lesion 1" and isinstance(kind, Chip) and kind.text == "HCC"
    assert Answered("lesion 1", plain, {"type": plain}, 5).remarks == []


def test_names_of_scanners_are_understood(
    made_desktop: Any, widget: Any, ball_study: Callable[..., Study]
) -> None:
    nodes = _show(ball_study())
    given = {"T2WI": "5: t2_haste_fs_tra", "DWI": "7: ep2d_diff_b800", "LAP": "11: t1_vibe_fs_tra_arterial"}
    for name, node in nodes.volumes.items():
        node.SetName(given[name])
        node.RemoveAttribute("LiverLesionAI.sequence")
    _assign(made_desktop, widget)
    for name, node in nodes.volumes.items():
        assert getattr(widget.ui, f"selector{name}").currentNode() is node


def test_one_study_of_several_is_chosen(
    made_desktop: Any, widget: Any, phantom: Any, ball_study: Callable[..., Study]
) -> None:
    _show(phantom.study)
    second = _show(ball_study())
    made_desktop.settle(300)
    combo = widget.ui.studyCombo
    assert combo.count == 3
    combo.setCurrentIndex(combo.findText("ball"))
    _assign(made_desktop, widget)
    assert widget.ui.selectorLAP.currentNode() is second.volumes["LAP"]
    assert widget.ui.selectorPVP.currentNode() is None


def test_a_volume_can_be_changed_by_hand(made_desktop: Any, widget: Any, phantom: Any) -> None:
    nodes = _show(phantom.study)
    _assign(made_desktop, widget)
    widget.ui.selectorDP.setCurrentNode(None)
    made_desktop.settle(300)
    assert "HBP" in widget.ui.studyStatus.text and "DP" in widget.ui.studyStatus.text
    assert widget.panel.parameters.volumeDP is None
    widget.ui.selectorHBP.setCurrentNode(nodes.volumes["DP"])
    assert widget.panel.parameters.volumeHBP is nodes.volumes["DP"]


def test_one_volume_for_two_sequences_is_refused(made_desktop: Any, widget: Any, phantom: Any) -> None:
    import slicer

    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.scenes.read import study_of

    nodes = _show(phantom.study)
    _assign(made_desktop, widget)
    widget.ui.selectorPVP.setCurrentNode(nodes.volumes["LAP"])
    made_desktop.settle(300)
    assert "One volume is chosen for LAP and PVP" in widget.ui.studyStatus.text
    assert "✓" not in widget.ui.studyStep.text
    with pytest.raises(StudyError, match="One volume is chosen for LAP and PVP"):
        study_of(slicer.mrmlScene, widget.panel.chosen())
    widget.ui.selectorPVP.setCurrentNode(nodes.volumes["PVP"])
    made_desktop.settle(300)
    assert "✓" in widget.ui.studyStep.text


def test_lesions_are_measured_and_jumped_to(made_desktop: Any, widget: Any, phantom: Any) -> None:
    import slicer

    from LiverLesionAI.geometry import lesion_geometry

    _show(phantom.study)
    _assign(made_desktop, widget)
    truth = lesion_geometry(phantom.study.outlined_lesions, 1)
    assert widget.ui.lesionTable.rowCount == 1
    assert widget.ui.lesionTable.item(0, 1).text() == f"{truth.diameter_mm:.0f}"
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    widget.ui.layoutButton.click()
    widget.panel.lesions.select(1)
    view = slicer.mrmlScene.GetSingletonNode("LiverT2WI", "vtkMRMLSliceNode")
    x, y, z = truth.centroid_lps_mm
    shown = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert shown == pytest.approx([-x, -y, z], abs=0.5)


def test_an_empty_segment_is_told(made_desktop: Any, widget: Any, phantom: Any) -> None:
    nodes = _show(phantom.study)
    _assign(made_desktop, widget)
    assert widget.ui.lesionsStatus.text.endswith("Lesions segmented: 1.")
    nodes.segmentation.GetSegmentation().AddEmptySegment("", "not painted")
    made_desktop.settle(300)
    assert widget.ui.lesionsStatus.text.endswith("Lesions segmented: 1. Empty, and left out: not painted.")


def test_a_new_segment_appears_in_the_table(made_desktop: Any, widget: Any, phantom: Any) -> None:
    import numpy as np
    import slicer

    nodes = _show(phantom.study)
    _assign(made_desktop, widget)
    widget.ui.segmentEditor.onAddSegment()
    segment = widget.ui.segmentEditor.currentSegmentID()
    volume = nodes.volumes[phantom.study.reference]
    voxels = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    voxels[2:4, 2:8, 2:8] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, nodes.segmentation, segment, volume)
    assert made_desktop.wait(lambda: widget.ui.lesionTable.rowCount == 2, 5)


def test_one_click_outlines_a_lesion(made_desktop: Any, widget: Any, phantom: Any) -> None:
    import slicer

    from LiverLesionAI.geometry import lesion_geometry

    _show(phantom.study)
    _assign(made_desktop, widget)
    widget.ui.segmentationSelector.setCurrentNode(None)
    truth = lesion_geometry(phantom.study.outlined_lesions, 1)
    widget.ui.oneClickButton.click()
    points = slicer.mrmlScene.GetFirstNodeByName("LiverLesionAI click")
    x, y, z = truth.centroid_lps_mm
    points.AddControlPoint([-x, -y, z])
    made_desktop.settle(300)
    assert slicer.mrmlScene.GetFirstNodeByName("LiverLesionAI click") is None
    assert not widget.ui.oneClickButton.checked
    assert "!" not in widget.ui.lesionsStep.text, widget.ui.lesionsStatus.text
    (row,) = widget.logic.lesions(widget.panel.parameters.segmentation)
    assert row.diameter_mm == pytest.approx(truth.diameter_mm, rel=0.3)
    widget.ui.loosenessSlider.value = -1.0
    (smaller,) = widget.logic.lesions(widget.panel.parameters.segmentation)
    assert smaller.volume_ml < row.volume_ml


def test_a_click_beside_every_lesion_is_told(made_desktop: Any, widget: Any, phantom: Any) -> None:
    import slicer

    _show(phantom.study)
    _assign(made_desktop, widget)
    widget.ui.oneClickButton.click()
    slicer.mrmlScene.GetFirstNodeByName("LiverLesionAI click").AddControlPoint([5000.0, 0.0, 0.0])
    made_desktop.settle()
    assert "!" in widget.ui.lesionsStep.text
    assert widget.panel.parameters.segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_closing_the_scene_empties_the_panel(made_desktop: Any, widget: Any, phantom: Any) -> None:
    _show(phantom.study)
    _assign(made_desktop, widget)
    made_desktop.close_scene()
    made_desktop.settle(300)
    assert "✓" not in widget.ui.studyStep.text
    assert widget.ui.selectorT2WI.currentNode() is None
    assert widget.ui.lesionTable.rowCount == 0
    _show(phantom.study)
    _assign(made_desktop, widget)
    assert widget.ui.lesionTable.rowCount == 1


def test_the_module_can_be_reloaded(kept_library: None, made_desktop: Any, widget: Any, phantom: Any) -> None:
    import slicer

    _show(phantom.study)
    _assign(made_desktop, widget)
    widget.onReload()
    fresh = slicer.modules.LiverLesionAIWidget
    assert fresh is not widget
    made_desktop.enter(NAME)
    assert fresh.ui.selectorT2WI.currentNode() is not None
    assert fresh.ui.lesionTable.rowCount == 1
    assert not widget.Observations


def test_missing_packages_are_asked_for_once(
    made_desktop: Any, widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    dependencies = sys.modules["LiverLesionLib.dependencies"]
    monkeypatch.setattr(dependencies, "find_spec", lambda name: None if name == "monai" else object())
    made_desktop.answers.append(False)
    widget.ui.classifyButton.click()
    assert len(made_desktop.messages) == 1
    assert "monai" in made_desktop.messages[0]
    assert "pip download monai" in widget.ui.classifyStatus.text


def test_classifying_without_lesions_is_explained(made_desktop: Any, widget: Any) -> None:
    widget.ui.classifyButton.click()
    assert "segment a lesion" in widget.ui.classifyStatus.text
    assert widget.panel.session.client.pid is None


def test_the_build_lists_every_file_of_the_panel() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    block = text.split("set(PANEL_PYTHON_SCRIPTS\n")[1].split("\n  )")[0]
    there = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "LiverLesionLib").rglob("*.py"))
    assert block.split() == there


def _sources() -> list[Path]:
    folders = (ROOT, ROOT / "scripted_modules")
    modules = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    return [*sorted((ROOT / "LiverLesionLib").rglob("*.py")), *modules]


@pytest.mark.parametrize("file", _sources(), ids=lambda file: file.name)
def test_every_text_for_users_can_be_translated(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            shown = node.targets[0].attr in ("text", "toolTip", "title", "windowTitle")
            assert not (shown and _is_words(node.value)), f"{file.name}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say":
            assert not any(map(_is_words, node.args)), f"{file.name}:{node.lineno}"


def _is_words(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(node.value)
