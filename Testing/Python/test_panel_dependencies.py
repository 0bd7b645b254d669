"""Packages are asked for by what needs them, and what an action lists is all that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

BLOCKED_WORKER = """
import sys
blocked = set(sys.argv[1].split(","))
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["liverlesionai", "worker"]
from LiverLesionAI.cli import main
main()
"""
BROUGHT_ALONG = {"pydantic", "rich"}
"""What versions of typer need themselves, so that pip installs it with them."""


@pytest.fixture
def made_desktop() -> Iterator[Any]:
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        made.load(ROOT / "scripted_modules" / "LiverSequenceRegistration.py")
        made.load(ROOT / "scripted_modules" / "LiverLesionPatches.py")
        yield made


@pytest.fixture
def dependencies(made_desktop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel's dependencies, on a machine that has none of the packages."""
    module = sys.modules["LiverLesionLib.dependencies"]
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    return module


def _registered(study: Path, out: Path, blocked: set[str]) -> dict[str, Any]:
    """The worker's answer to a registration without some packages."""
    arguments = {"study": str(study), "out": str(out), "transform": "rigid", "scope": "lesion"}
    worker = subprocess.Popen(
        [sys.executable, "-c", BLOCKED_WORKER, ",".join(sorted(blocked))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert worker.stdin is not None and worker.stdout is not None
    with worker:
        request = {"id": 1, "command": "register", "arguments": arguments}
        worker.stdin.write(json.dumps(request) + "\n")
        worker.stdin.flush()
        events = map(json.loads, worker.stdout)
        answer = next(event for event in events if event["event"] in ("result", "error"))
        worker.stdin.close()
    return answer


def test_registering_needs_no_more_than_it_lists(dependencies: Any, tmp_path: Path) -> None:
    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.worker.exchange import send_study

    phantom = generate_lesion(800_010, "HCC", misalign_mm=(12.0, 0.0), sequences=("T2WI", "LAP"))
    study = send_study(phantom.study, tmp_path / "study")
    listed = set(dependencies.PACKAGES_OF["register"])
    blocked = set(dependencies.REQUIREMENTS) - listed - BROUGHT_ALONG
    assert "torch" in blocked
    answer = _registered(study, tmp_path / "out", blocked)
    assert answer["event"] == "result" and set(answer["result"]["transforms"]) == {"LAP"}
    assert _registered(study, tmp_path / "out", {*blocked, "SimpleITK"})["event"] == "error"


@pytest.mark.parametrize("action", ["register", "classify", "export"])
def test_an_action_asks_for_its_own_packages(dependencies: Any, made_desktop: Any, action: Any) -> None:
    made_desktop.answers.append(False)
    with pytest.raises(RuntimeError, match="pip download"):
        dependencies.ensure_packages(action)
    (question,) = made_desktop.messages
    asked = {name for name in dependencies.REQUIREMENTS if name in question}
    assert asked == set(dependencies.PACKAGES_OF[action])
    assert ("torch" in asked) == (action == "classify")


@pytest.mark.parametrize(
    "module, button, status, torch",
    [
        ("LiverLesionAI", "registerButton", "alignStatus", False),
        ("LiverSequenceRegistration", "registerButton", "alignStatus", False),
        ("LiverLesionAI", "classifyButton", "classifyStatus", True),
    ],
)
def test_a_button_asks_for_what_it_needs(
    dependencies: Any, made_desktop: Any, module: str, button: str, status: str, torch: bool
) -> None:
    import slicer

    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.scenes.show import show_study

    show_study(slicer.mrmlScene, generate_lesion(800_003, "cyst", sequences=("T2WI", "LAP")).study)
    made_desktop.enter(module)
    widget = getattr(slicer.modules, f"{module}Widget")
    widget.ui.assignButton.click()
    made_desktop.settle(300)
    made_desktop.answers.append(False)
    getattr(widget.ui, button).click()
    assert ("torch" in made_desktop.messages[0]) == torch
    assert "pip download" in getattr(widget.ui, status).text
