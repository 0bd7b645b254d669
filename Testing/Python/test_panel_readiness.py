"""The panel that gets its worker ready while the reader segments, and its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import SimpleITK as sitk
from panel_desktop import assigned_panel, classify, worker_desktop

from LiverLesionAI.study import Study


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with worker_desktop(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
def widget(made_desktop: Any, ball_study: Callable[..., Study]) -> Iterator[Any]:
    """The panel on a study of one ball that is outlined as two lesions."""
    study = ball_study()
    labels = sitk.GetArrayFromImage(study.lesions)
    labels[: labels.shape[0] // 2] *= 2
    lesions = sitk.GetImageFromArray(labels)
    lesions.CopyInformation(study.lesions)
    yield assigned_panel(made_desktop, replace(study, lesions=lesions))
    assert made_desktop.taken_slot_errors() == []


def press(widget: Any, key: str) -> None:
    (action,) = (each for each in widget.panel._shortcuts if each._qt.shortcut().toString() == key)
    action._qt.trigger()


def test_the_model_is_loaded_while_the_reader_segments(made_desktop: Any, widget: Any) -> None:
    panel, client = widget.panel, widget.panel.session.client
    assert not client.is_running
    loaded: list[tuple[str, float]] = []
    panel.session._on_progress = lambda step, fraction: loaded.append((step, fraction))
    assert made_desktop.wait(lambda: client.is_running, 10) and not panel.is_busy
    assert made_desktop.wait(lambda: not client.jobs, 60)
    assert loaded[-1] == ("load", 1.0) and "✓" not in widget.ui.classifyStep.text
    worker = client.pid
    classify(made_desktop, widget)
    assert client.pid == worker and len(panel.result.lesions) == 2


def test_keys_classify_and_go_from_lesion_to_lesion(made_desktop: Any, widget: Any) -> None:
    panel = widget.panel
    press(widget, "Ctrl+Return")
    assert panel.running is panel.classify
    assert made_desktop.wait(lambda: not panel.is_busy, 60) and panel.result is not None
    first, last = (lesion.id for lesion in panel.result.lesions)
    for key, selected in (("Alt+Up", first), ("Alt+Down", last), ("Alt+Down", last), ("Alt+Up", first)):
        press(widget, key)
        assert panel.selection.lesion.id == selected
        assert widget.ui.resultsTable.currentRow() == [first, last].index(selected)
