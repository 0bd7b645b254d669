"""The desktop harness refuses what Slicer does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import STAND_INS, NotImitated, NotInSlicer, api_class, check_ui, quiet_desktop

UI = """<ui version="4.0"><widget class="{}" name="top">
<property name="{}"><bool>true</bool></property></widget></ui>"""
CONNECTION = """<ui version="4.0"><widget class="qMRMLWidget" name="top">
<widget class="qMRMLNodeComboBox" name="box"/></widget><connections><connection><sender>top</sender>
<signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>box</receiver><slot>{}</slot></connection></connections></ui>"""
MODULE = """
import qt
import slicer
from slicer.ScriptedLoadableModule import *

class Made(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Made"
        {in_module}

class MadeWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.button = qt.QPushButton("Press")
        self.layout.addWidget(self.button)
        {in_setup}
"""


@pytest.fixture
def made_desktop() -> Iterator[Any]:
    with quiet_desktop() as made:
        yield made


def _load(made: Any, folder: Path, in_setup: str = "pass", in_module: str = "pass") -> Any:
    file = folder / "Made.py"
    file.write_text(MODULE.format(in_setup=in_setup, in_module=in_module), encoding="utf-8")
    return made.load(file)


def test_a_plain_module_is_loaded(made_desktop: Any, tmp_path: Path) -> None:
    panel = _load(made_desktop, tmp_path, "self.button.toolTip = 'now'")
    assert panel.button.text == "Press"
    assert panel.button.toolTip == "now"


@pytest.mark.parametrize(
    "line",
    [
        "self.button.label = 'x'",
        "self.button.label",
        "self.button.setLabel('x')",
        "self.button.connect('pushed()', print)",
        "self.button.connect('clicked(int)', print)",
        "self.button.pushed.connect(print)",
        "qt.QPressButton()",
        "qt.QPushButton.Huge",
        "slicer.qMRMLNodeChooser()",
        "slicer.util.saveEverything()",
        "slicer.app.reboot()",
        "slicer.app.layoutManager().setGrid(2)",
        "slicer.modules.liverfinder",
        "slicer.mrmlScene.AddVolume()",
        "import ctk; ctk.ctkSlider()",
    ],
)
def test_what_slicer_has_not_is_refused(made_desktop: Any, tmp_path: Path, line: str) -> None:
    with pytest.raises(AttributeError):
        _load(made_desktop, tmp_path, line)


@pytest.mark.parametrize("line", ["parent.titel = 'x'", "parent.category = []"])
def test_a_module_says_only_what_slicer_asks(made_desktop: Any, tmp_path: Path, line: str) -> None:
    with pytest.raises(NotInSlicer):
        _load(made_desktop, tmp_path, in_module=line)


def test_what_the_harness_lacks_is_told_apart(made_desktop: Any, tmp_path: Path) -> None:
    with pytest.raises(NotImitated):
        _load(made_desktop, tmp_path, "slicer.app.openUrl('x')")


def test_a_property_is_no_method(made_desktop: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not callable"):
        _load(made_desktop, tmp_path, "self.button.text()")


def test_a_property_keeps_its_type(made_desktop: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        _load(made_desktop, tmp_path, "self.button.minimumSize = 'large'")


def test_signals_reach_slots_with_as_many_arguments_as_they_take(made_desktop: Any, tmp_path: Path) -> None:
    panel = _load(made_desktop, tmp_path)
    heard: list[Any] = []
    without = heard.append
    panel.button.checkable = True
    panel.button.connect("clicked(bool)", without)
    panel.button.clicked.connect(lambda: heard.append("none"))
    panel.button.click()
    assert heard == [True, "none"]
    panel.button.disconnect("clicked(bool)", without)
    panel.button.click()
    assert heard == [True, "none", "none"]


def test_errors_of_slots_are_kept(made_desktop: Any, tmp_path: Path) -> None:
    panel = _load(made_desktop, tmp_path)
    panel.button.connect("clicked()", lambda: 1 / 0)
    panel.button.click()
    assert [type(error) for error in made_desktop.taken_slot_errors()] == [ZeroDivisionError]


@pytest.mark.parametrize(
    "text",
    [
        UI.format("QLabelle", "enabled"),
        UI.format("ctkSliderWidget", "checkable"),
        UI.format("qMRMLNodeComboBox", "noneAllowed"),
        CONNECTION.format("setScene(vtkMRMLScene*)"),
    ],
)
def test_ui_files_are_checked(text: str) -> None:
    with pytest.raises(NotInSlicer):
        check_ui(text)


def test_right_ui_files_pass() -> None:
    check_ui(UI.format("ctkCollapsibleButton", "collapsed"))
    check_ui(CONNECTION.format("setMRMLScene(vtkMRMLScene*)"))


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_ins_have_nothing_that_slicer_has_not(name: str) -> None:
    """What a stand-in offers to a module is known to Slicer; the harness' own helpers are not reachable."""
    api = api_class(name)
    for signature in getattr(STAND_INS[name], "EVENTS", ()):
        assert signature in api.signals


def test_everything_is_taken_down() -> None:
    import sys

    import slicer

    before = set(vars(slicer))
    with quiet_desktop():
        assert hasattr(slicer, "app")
    assert set(vars(slicer)) == before
    assert not {"qt", "ctk", "slicer.i18n"} & set(sys.modules)
