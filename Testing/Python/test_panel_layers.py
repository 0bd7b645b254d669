"""The panel's layers: panels put steps together, steps use controls, and no import runs up or in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "LiverLesionLib"
RANKS = {"": 0, "controls": 1, "steps": 2, "panels": 3}
"""Folder to how high it stands; what lies beside the folders is used by all of them."""
CONSOLE = "LiverLesionLib.console"


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for file in sorted(FOLDER.rglob("*.py"))}


def imported(file: Path) -> set[str]:
    """Modules of the panel that a file imports, for checking types too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                found.add(whole if whole in FILES else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found & set(FILES)


def rank(module: str) -> int:
    parts = module.split(".")
    return max(RANKS.values()) if module == CONSOLE else RANKS[parts[1] if len(parts) > 2 else ""]


@pytest.mark.parametrize("module", [name for name in FILES if name.count(".") > 0])
def test_no_import_runs_up(module: str) -> None:
    assert [name for name in imported(FILES[module]) if rank(name) > rank(module)] == []


def test_no_imports_run_in_a_circle() -> None:
    assert len(list(TopologicalSorter({name: imported(FILES[name]) for name in FILES}).static_order())) > 30


def test_steps_know_each_other_only_by_what_is_common() -> None:
    """A step's own file imports the bases and the jobs, and no step with a place in a panel."""
    steps = {name for name in FILES if name.startswith("LiverLesionLib.steps.") and name.endswith("_step")}
    own = steps - {"LiverLesionLib.steps.work_step"}
    found = {(name, other) for name in own for other in imported(FILES[name]) & own}
    assert found == {("LiverLesionLib.steps.scope_step", "LiverLesionLib.steps.align_step")}


def test_only_the_library_s_mrml_turns_right_into_left() -> None:
    """Panels move and measure through the library, which knows both frames."""
    assert [name for name, file in FILES.items() if "mrml.frames" in file.read_text(encoding="utf-8")] == []


def test_no_file_is_a_house_of_its_own() -> None:
    folders = (FOLDER, ROOT / "LiverLesionAI" / "scenes", ROOT / "LiverLesionAI" / "mrml")
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert [file for file in files if len(file.read_text(encoding="utf-8").splitlines()) > 400] == []
