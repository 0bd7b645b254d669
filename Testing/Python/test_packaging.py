"""What Slicer and pip are told about the files, and the two ways to import the library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from LiverLesionAI import __version__

ROOT = Path(__file__).resolve().parents[2]

STAND_INS = """
import sys, types
for name in ("slicer", "slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.util"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["slicer.i18n"].tr = sys.modules["slicer.i18n"].translate = lambda *words: words[-1]
for name in ("", "Logic", "Test", "Widget"):
    setattr(sys.modules["slicer.ScriptedLoadableModule"], "ScriptedLoadableModule" + name, type(name, (), {}))
sys.modules["slicer.util"].VTKObservationMixin = type("VTKObservationMixin", (), {})
"""

FILE_AS_SLICER_LOADS_IT = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("LiverLesionAI", {str(ROOT / "LiverLesionAI.py")!r})
module = importlib.util.module_from_spec(spec)
sys.modules["LiverLesionAI"] = module
spec.loader.exec_module(module)
"""


def _tracked(*patterns: str) -> set[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--", *patterns]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return set(done.stdout.split())


def _listed(variable: str) -> list[str]:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    block = re.search(rf"set\({variable}\n(.*?)\n  \)", text, re.DOTALL)
    assert block is not None
    return block.group(1).split()


def test_cmake_lists_every_script_once_and_no_other() -> None:
    listed = [*_listed("MODULE_PYTHON_SCRIPTS"), *_listed("PANEL_PYTHON_SCRIPTS")]
    assert len(listed) == len(set(listed))
    assert set(listed) == {"LiverLesionAI.py", *_tracked("LiverLesionAI/*.py", "LiverLesionLib/*.py")}


def test_cmake_lists_every_resource_and_no_other() -> None:
    templates = "LiverLesionAI/writers/templates"
    assert set(_listed("MODULE_PYTHON_RESOURCES")) == _tracked("Resources", templates)


def test_cmake_lists_every_further_module() -> None:
    text = (ROOT / "scripted_modules" / "CMakeLists.txt").read_text(encoding="utf-8")
    names = re.findall(r"NAME (\w+)", text)
    assert {f"scripted_modules/{name}.py" for name in names} == _tracked("scripted_modules/*.py")
    for resource in _tracked("scripted_modules/Resources"):
        assert resource.removeprefix("scripted_modules/") in text


def test_the_version_is_the_same_everywhere() -> None:
    stated = re.search(
        r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert stated is not None and stated.group(1) == __version__


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_folder_is_found_outside_slicer() -> None:
    assert "__init__" in _python("import LiverLesionAI; print(LiverLesionAI.__file__)")


def test_the_file_first_then_the_library() -> None:
    code = (
        f"{STAND_INS}{FILE_AS_SLICER_LOADS_IT}"
        "from LiverLesionAI.pipeline import classify_study\n"
        "import LiverLesionAI.patches\n"
        "print(module.LiverLesionAIWidget.__name__, classify_study.__name__, module.patches.__name__)"
    )
    assert _python(code) == "LiverLesionAIWidget classify_study LiverLesionAI.patches"


def test_the_library_first_then_the_file() -> None:
    code = (
        f"{STAND_INS}from LiverLesionAI.pipeline import classify_study as before\n{FILE_AS_SLICER_LOADS_IT}"
        "from LiverLesionAI.pipeline import classify_study as after\n"
        "print(before is after, module.pipeline.classify_study is before)"
    )
    assert _python(code) == "True True"


def test_loading_the_module_imports_neither_torch_nor_monai() -> None:
    code = f"{STAND_INS}{FILE_AS_SLICER_LOADS_IT}print([m for m in ('torch', 'monai') if m in sys.modules])"
    assert _python(code) == "[]"


def test_no_module_but_mrml_imports_slicer_or_qt() -> None:
    guilty = [
        file.relative_to(ROOT)
        for file in (ROOT / "LiverLesionAI").rglob("*.py")
        if "mrml" not in file.parts
        and re.search(r"^\s*(import|from) (slicer|qt|ctk)\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert guilty == []


def test_nothing_at_the_root_is_taken_for_a_module() -> None:
    assert {Path(name).name for name in _tracked("*.py") if "/" not in name} == {"LiverLesionAI.py"}
