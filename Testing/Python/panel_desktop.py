"""The desktop harness for the tests of the panels; skips where PySide6 is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

from desktop_harness.api import NotImitated, NotInSlicer, api_class  # noqa: E402
from desktop_harness.desktop import desktop  # noqa: E402
from desktop_harness.ui import check_ui  # noqa: E402
from desktop_harness.widgets import STAND_INS  # noqa: E402

__all__ = [
    "ROOT",
    "STAND_INS",
    "NotImitated",
    "NotInSlicer",
    "api_class",
    "assigned_panel",
    "check_ui",
    "classify",
    "finish",
    "our_nodes",
    "quiet_desktop",
    "saliency_maps",
    "worker_desktop",
]


@contextmanager
def quiet_desktop() -> Iterator[Any]:
    """Put up the desktop; slots that raised make the test fail."""
    with desktop() as made:
        yield made
        errors = made.taken_slot_errors()
        if errors:
            raise errors[0]


@contextmanager
def worker_desktop(models: Path) -> Iterator[Any]:
    """Put up the desktop with the main panel and a tiny model in a folder."""
    from tiny_bundles import tiny_bundle

    tiny_bundle(models / "tiny")
    with pytest.MonkeyPatch.context() as patch, quiet_desktop() as made:
        patch.setenv("LIVERLESIONAI_BUNDLES", str(models))
        made.load(ROOT / "LiverLesionAI.py")
        made.enter("LiverLesionAI")
        yield made


def assigned_panel(made: Any, study: Any) -> Any:
    """Empty the scene, show a study, assign its sequences, choose the tiny model; returns the widget."""
    import slicer

    from LiverLesionAI.scenes.show import show_study

    made.close_scene()
    show_study(slicer.mrmlScene, study)
    widget = slicer.modules.LiverLesionAIWidget
    widget.ui.assignButton.click()
    combo = widget.ui.modelCombo
    combo.setCurrentIndex(combo.findText("tiny"))
    assert widget.panel.parameters.model == "tiny"
    return widget


def finish(made: Any, widget: Any) -> None:
    """Wait until the worker has answered and the panel shows it."""
    assert made.wait(lambda: not widget.panel.is_busy, 120), "the worker did not answer"
    made.settle(300)


def classify(made: Any, widget: Any) -> None:
    """Press Classify and wait."""
    widget.ui.classifyButton.click()
    assert widget.ui.classifyButton.text == "Cancel"
    finish(made, widget)


def saliency_maps(widget: Any, lesion_id: int, *, weighted: bool) -> dict[str, Any]:
    """Sequence to the saliency volume of a lesion of the panel's result."""
    import slicer

    from LiverLesionAI.scenes.saliency import lesion_maps

    return lesion_maps(slicer.mrmlScene, widget.panel.result.study.id, lesion_id, weighted=weighted)


def our_nodes() -> list[str]:
    """Names of the nodes that belong to a study, in order."""
    import slicer

    from LiverLesionAI import mrml
    from LiverLesionAI.mrml import attributes

    nodes = mrml.nodes_of(slicer.mrmlScene, "vtkMRMLNode")
    return sorted(node.GetName() for node in nodes if node.GetAttribute(attributes.STUDY))
