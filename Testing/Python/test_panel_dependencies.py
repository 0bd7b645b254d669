"""Packages are asked for by what needs them, and what an action lists is all that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from dicom_phantoms import phantom, study_from_dicom
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from panel_desktop import ROOT, quiet_desktop
from tiny_bundles import tiny_bundle

BLOCKER = """
import sys
from importlib.machinery import PathFinder
blocked = set(sys.argv[1].split(","))
find = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in blocked else find(name, path, target)
PathFinder.find_spec = find_spec
"""
BLOCKED_WORKER = f"""{BLOCKER}
sys.argv = ["liverlesionai", "worker"]
from LiverLesionAI.cli import main
main()
"""
BROUGHT_ALONG = {"pydantic", "rich"}
"""What versions of typer need themselves, so that pip installs it with them."""

SHIPPED = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom", "requests", "pillow", "packaging")
"""Distributions that come with Slicer 5.12's Python and are used here."""


def _with_what_they_need(names: Iterable[str]) -> set[str]:
    """Distributions and what these need themselves, as pip would install it."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = requires(name) or ()
        except PackageNotFoundError:
            continue
        for needed in map(Requirement, lines):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
    return found


def _modules_beyond(distributions: set[str]) -> set[str]:
    """Top-level modules of this environment that none of the distributions brings."""
    return {
        module
        for module, bringers in packages_distributions().items()
        if not distributions & {canonicalize_name(name) for name in bringers} and module != "LiverLesionAI"
    }


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
    with _worker(blocked) as ask:
        return ask("register", arguments)


@contextmanager
def _worker(blocked: set[str]) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """A worker without some packages: command and arguments in, its answer out."""
    worker = subprocess.Popen(
        [sys.executable, "-c", BLOCKED_WORKER, ",".join(sorted(blocked))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert worker.stdin is not None and worker.stdout is not None
    stdin, stdout = worker.stdin, worker.stdout
    numbers = count(1)

    def ask(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        stdin.write(json.dumps({"id": next(numbers), "command": command, "arguments": arguments}) + "\n")
        stdin.flush()
        return next(event for event in map(json.loads, stdout) if event["event"] in ("result", "error"))

    with worker:
        yield ask
        stdin.close()


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


def test_what_is_asked_for_carries_the_whole_road(dependencies: Any, tmp_path: Path) -> None:
    """From a study out of DICOM to report, segmentation and structured report, beside what Slicer ships."""
    from LiverLesionAI.phantom.dicom import write_dicom_study
    from LiverLesionAI.worker.exchange import send_study

    wanted = {*dependencies.REQUIREMENTS, *SHIPPED}
    blocked = _modules_beyond(_with_what_they_need(wanted))
    assert {"pytest", "slicer_core", "lightning", "pandas"} & blocked and "highdicom" not in blocked
    write_dicom_study(phantom(), tmp_path / "dicom", vendor="siemens", layout="separate", distractors=False)
    study = study_from_dicom(tmp_path / "dicom", "siemens", "separate")
    instances = {
        name: [str(file) for file in image.dicom.files] for name, image in study.images.items() if image.dicom
    }
    sent = str(send_study(study, tmp_path / "study"))
    tiny_bundle(tmp_path / "tiny")
    model = {"model": str(tmp_path / "tiny"), "device": "cpu", "precision": "fp32"}
    with _worker(blocked) as ask:
        classified = ask("classify", {"study": sent, **model})["result"]
        explained = ask(
            "explain", {"study": sent, "results": classified["results"], "out": str(tmp_path / "maps")}
        )["result"]
        (tmp_path / "scene").mkdir()
        request = {"study": sent, "results": explained["results"], "out": str(tmp_path / "out")}
        saved = ask("save", {**request, "instances": instances, "scene": str(tmp_path / "scene")})["result"]
    assert {"report.html", "dicom/seg.dcm", "dicom/sr.dcm", "figures/lesion_1.png"} <= set(saved["files"])
    assert not [text for text in saved["warnings"] if "lack of" in text]


def test_a_sample_asks_for_what_it_needs(dependencies: Any, made_desktop: Any) -> None:
    import slicer

    slicer.app.start_up_completed()
    press = slicer.modules.sampleDataSources["Liver Lesion AI"][0]
    made_desktop.answers.append(False)
    with pytest.raises(RuntimeError, match="pip download"):
        press.customDownloader(press)
    assert "nibabel" in made_desktop.messages[0] and "torch" not in made_desktop.messages[0]


def test_a_sample_is_made_with_what_it_asks_for(dependencies: Any) -> None:
    blocked = _modules_beyond(_with_what_they_need([*dependencies.PACKAGES_OF["sample"], *SHIPPED]))
    code = BLOCKER + "from LiverLesionAI.phantom import generate_study; import LiverLesionAI.worker.exchange"
    subprocess.run([sys.executable, "-c", code, ",".join(sorted(blocked))], check=True, cwd=ROOT)


def test_a_case_is_read_with_what_it_asks_for(dependencies: Any) -> None:
    blocked = _modules_beyond(_with_what_they_need([*dependencies.PACKAGES_OF["read"], *SHIPPED]))
    code = (
        BLOCKER + "import LiverLesionAI.pipeline, LiverLesionAI.reader_study.session, LiverLesionAI.phantom"
    )
    subprocess.run([sys.executable, "-c", code, ",".join(sorted(blocked))], check=True, cwd=ROOT)


@pytest.mark.parametrize("action", ["sample", "register", "classify", "export", "read"])
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
