"""The module Liver Reader Study, driven as a reader would: start, answer, pause, stop, go on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

from LiverLesionAI.reader_study.folder import make_reader_study
from LiverLesionAI.study import Study
from LiverLesionAI.writers.dataset import add_to_dataset

CLASSES = ("cyst", "HCC", "metastasis")


@pytest.fixture(scope="module")
def made_desktop() -> Iterator[Any]:
    """One desktop with the module."""
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        made.load(ROOT / "scripted_modules" / "LiverReaderStudy.py")
        yield made


@pytest.fixture
def reader_study(ball_study: Callable[..., Study], tmp_path: Path) -> Path:
    """Four studies, a lesion each, named after what they are, which nobody may see."""
    answers = []
    for number in range(4):
        truth = CLASSES[number % 3]
        study = replace(ball_study(), id=f"secret-{truth}-{number}", lesion_names={1: f"secret {truth}"})
        list(add_to_dataset(study, {1: "cyst"}, tmp_path / "data", f"P{number}"))
        answers.append(
            {"study_id": study.id, "lesion": "1", "truth": truth, "pred": "HCC"}
            | {"prob_cyst": "0.1", "prob_HCC": "0.7", "prob_metastasis": "0.2"}
        )
    with (tmp_path / "answers.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, answers[0])
        writer.writeheader()
        writer.writerows(answers)
    out = tmp_path / "study"
    make_reader_study(
        tmp_path / "data" / "cohort.csv", tmp_path / "answers.csv", out, ["A", "B"], "crossover", 2
    )
    return out


@pytest.fixture
def widget(made_desktop: Any, reader_study: Path) -> Iterator[Any]:
    import slicer

    made_desktop.close_scene()
    made_desktop.enter("LiverReaderStudy")
    widget = slicer.modules.LiverReaderStudyWidget
    widget.ui.studyFolderEdit.currentPath = str(reader_study)
    made_desktop.settle(50)
    yield widget
    widget.panel.reading.stop()
    widget.ui.studyFolderEdit.currentPath = ""
    assert made_desktop.taken_slot_errors() == []


def _start(made: Any, widget: Any, reader: str = "A") -> Any:
    ui = widget.ui
    ui.readerCombo.setCurrentIndex(ui.readerCombo.findText(reader))
    ui.startButton.click()
    made.settle(300)
    return ui


def _journal(study: Path, reader: str = "A") -> list[dict[str, Any]]:
    lines = (study / "answers" / f"{reader}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _volumes() -> list[str]:
    import slicer

    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))


def _answer(made: Any, ui: Any, row: int) -> None:
    ui.classTable.selectRow(row)
    made.settle(30)
    assert ui.answerButton.enabled
    ui.answerButton.click()
    made.settle(300)


def test_a_reader_walks_from_case_to_case(made_desktop: Any, widget: Any, reader_study: Path) -> None:
    import slicer

    ui = _start(made_desktop, widget)
    assert ui.startButton.text == "Stop reading" and not ui.readerCombo.enabled
    assert ui.caseLabel.text.startswith("Case C00"), ui.readerStatus.text
    assert _volumes() == []
    ui.showButton.click()
    made_desktop.settle(300)
    assert _volumes() == ["DWI", "LAP", "T2WI"] and ui.showButton.text == "Pause"
    assert not ui.answerButton.enabled and ui.classTable.rowCount == 3
    every = " ".join(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode"))
    assert "secret" not in every and "secret" not in ui.caseLabel.text
    for place in range(4):
        with_model = "with the model" in ui.caseLabel.text
        assert ui.modelTable.visible == with_model
        if with_model:
            assert ui.modelTable.item(0, 0).text() == "HCC"
        ui.confidenceSlider.value = 60 + place
        _answer(made_desktop, ui, place % 3)
    given = [line for line in _journal(reader_study) if line["event"] == "answered"]
    assert [(line["diagnosis"], line["confidence"]) for line in given] == [
        ("cyst", 60),
        ("HCC", 61),
        ("metastasis", 62),
        ("cyst", 63),
    ]
    assert all(line["seconds"] > 0 and line["openings"] == 1 for line in given)
    assert "Session 2 begins" in ui.caseStatus.text and _volumes() == []
    assert "Session 2: 0 of 4 cases. In all 4 of 8" in ui.readerStatus.text
    ui.showButton.click()
    made_desktop.settle(300)
    for place in range(4):
        _answer(made_desktop, ui, place % 3)
    assert "Every case has been answered" in ui.caseStatus.text and "✓" in ui.caseStep.text
    assert not ui.showButton.enabled and not ui.answerButton.enabled


def test_images_leave_the_screen_while_the_clock_stands(
    made_desktop: Any, widget: Any, reader_study: Path
) -> None:
    ui = _start(made_desktop, widget)
    ui.showButton.click()
    ui.showButton.click()
    made_desktop.settle(300)
    assert _volumes() == [] and ui.showButton.text == "Go on" and not ui.classTable.enabled
    before = widget.panel.reading.session.seconds
    made_desktop.settle(120)
    assert widget.panel.reading.session.seconds == before
    ui.showButton.click()
    made_desktop.settle(100)
    assert len(_volumes()) == 3 and widget.panel.reading.session.seconds > before
    _answer(made_desktop, ui, 1)
    assert _journal(reader_study)[1]["openings"] == 1


def test_a_closed_scene_ends_the_session_and_loses_no_answer(
    made_desktop: Any, widget: Any, reader_study: Path
) -> None:
    ui = _start(made_desktop, widget, "B")
    ui.showButton.click()
    _answer(made_desktop, ui, 0)
    made_desktop.close_scene()
    made_desktop.settle(300)
    assert widget.panel.reading.session is None and ui.startButton.text == "Start reading"
    _start(made_desktop, widget, "B")
    assert "1 of 4 cases" in ui.readerStatus.text
    ui.showButton.click()
    _answer(made_desktop, ui, 2)
    assert [line.get("openings") for line in _journal(reader_study, "B")][-1] is None
    answers = [line for line in _journal(reader_study, "B") if line["event"] == "answered"]
    assert [line["openings"] for line in answers] == [1, 2]


def test_what_cannot_be_read_is_said(made_desktop: Any, widget: Any, reader_study: Path) -> None:
    import shutil

    ui = widget.ui
    ui.studyFolderEdit.currentPath = str(reader_study.parent)
    made_desktop.settle(50)
    assert "holds no reader study" in ui.readerStatus.text and not ui.startButton.enabled
    ui.studyFolderEdit.currentPath = str(reader_study)
    shutil.rmtree(reader_study.parent / "data")
    _start(made_desktop, widget)
    ui.showButton.click()
    made_desktop.settle(300)
    assert "secret" in ui.caseStatus.text or "no" in ui.caseStatus.text.lower()
    assert not widget.panel.reading.session.is_open and not ui.answerButton.enabled


def test_the_console_reads_too(made_desktop: Any, widget: Any, reader_study: Path) -> None:
    logic = widget.logic
    session = logic.start(reader_study, "A")
    nodes = logic.show(session)
    assert set(nodes.volumes) == {"T2WI", "DWI", "LAP"}
    session.answer("HCC", 40)
    session.close()
    assert _journal(reader_study)[-1]["diagnosis"] == "HCC"


def test_the_self_test_passes(made_desktop: Any) -> None:
    import sys

    import slicer

    slicer.mrmlScene.Clear()
    case = sys.modules["LiverReaderStudy"].LiverReaderStudyTest()
    case.runTest()
