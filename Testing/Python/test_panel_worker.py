"""The main panel when work is cancelled, the worker crashes or the scene changes meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import assigned_panel, classify, finish, our_nodes, worker_desktop

from LiverLesionAI.study import Study

CANCELLED_WITHIN_S = 1.5
"""A second, as promised, and the timer's slack on a busy machine."""


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


def test_work_can_be_cancelled_again_and_again(made_desktop: Any, widget: Any) -> None:
    ui, panel = widget.ui, widget.panel
    ui.explainCheck.checked = False
    classify(made_desktop, widget)
    nodes, pids = our_nodes(), set()
    for _round in range(4):
        ui.classifyButton.click()
        made_desktop.settle(20)
        start = time.monotonic()
        ui.classifyButton.click()
        assert made_desktop.wait(lambda: not panel.is_busy, 10)
        assert time.monotonic() - start < CANCELLED_WITHIN_S
        pids.add(panel.session.client.pid)
    assert ui.classifyButton.text == "Classify" and ui.classifyButton.enabled
    assert our_nodes() == nodes
    classify(made_desktop, widget)
    assert "✓" in ui.classifyStep.text
    last = panel.session.client.pid
    panel.session.close()
    for pid in {*pids, last} - {None}:
        assert not Path(f"/proc/{pid}").exists()


def test_the_scene_may_change_while_the_worker_works(made_desktop: Any, widget: Any) -> None:
    import slicer

    widget.ui.classifyButton.click()
    slicer.mrmlScene.RemoveNode(widget.panel.parameters.volumeLAP)
    finish(made_desktop, widget)
    assert "changed while" in widget.ui.classifyStatus.text
    assert widget.panel.result is None

    widget.ui.classifyButton.click()
    made_desktop.close_scene()
    finish(made_desktop, widget)
    assert our_nodes() == []
    assert widget.ui.classifyButton.text == "Classify"


def test_a_crash_of_the_worker_is_survived(made_desktop: Any, widget: Any) -> None:
    widget.ui.classifyButton.click()
    os.kill(widget.panel.session.client.pid, signal.SIGKILL)
    finish(made_desktop, widget)
    assert "ended unexpectedly" in widget.ui.classifyStatus.text
    classify(made_desktop, widget)
    assert "✓" in widget.ui.classifyStep.text
