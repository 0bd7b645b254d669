"""What Slicer and pip are told about the files, and the two ways to import the library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from LiverLesionAI import __version__

ROOT = Path(__file__).resolve().parents[2]

STAND_INS = """
import sys, types
for name in ("qt", "slicer", "slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.util"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["slicer.i18n"].tr = sys.modules["slicer.i18n"].translate = lambda *words: words[-1]
for name in ("", "Logic", "Test", "Widget"):
    setattr(sys.modules["slicer.ScriptedLoadableModule"], "ScriptedLoadableModule" + name, type(name, (), {}))
sys.modules["slicer.util"].VTKObservationMixin = type("VTKObservationMixin", (), {})
"""

LOAD = f"""
import importlib.util
def load(name):
    folder = {str(ROOT)!r} + ("" if name == "LiverLesionAI" else "/scripted_modules")
    spec = importlib.util.spec_from_file_location(name, folder + "/" + name + ".py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
"""
FILE_AS_SLICER_LOADS_IT = f"{LOAD}module = load('LiverLesionAI')\n"
FURTHER_MODULES = (
    "LiverSequenceRegistration",
    "LiverLesionPatches",
    "LiverReaderStudy",
    "LiverHCCDetection",
    "LiverLesionBatch",
)


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
    assert re.findall(r"unittest\(SCRIPT (\w+)\.py\)", text) == names
    for resource in _tracked("scripted_modules/Resources"):
        assert resource.removeprefix("scripted_modules/") in text
    for name in names:
        assert (ROOT / "scripted_modules" / "Resources" / "Icons" / f"{name}.png").is_file()


def test_resources_have_names_of_their_own() -> None:
    """In an installed Slicer the resources of all modules lie in one folder."""
    own = {name.removeprefix("Resources/") for name in _tracked("Resources")}
    further = _tracked("scripted_modules/Resources")
    assert not own & {name.removeprefix("scripted_modules/Resources/") for name in further}


def test_the_self_test_is_run_by_ctest() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "slicer_add_python_unittest(SCRIPT LiverLesionAI.py)" in text


CATALOGUE_FIELDS = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}
"""Fields of Slicer's extension catalogue, schema 1.0.1, with their types; no others are allowed."""


def test_the_extensions_index_can_take_the_extension() -> None:
    """The rules of the index' own checks that need no network, and what must agree with the build."""
    entry = json.loads((ROOT / "LiverLesionAI.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(CATALOGUE_FIELDS)
    for name, value in entry.items():
        assert isinstance(value, CATALOGUE_FIELDS[name]), name
    schema = r"https://.*/slicer-extension-catalog-entry-schema-v\d\.\d\.\d\.json#"
    assert re.fullmatch(schema, entry["$schema"])
    assert 1 <= entry["tier"] <= 5

    build = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    settings = dict(re.findall(r'^set\((EXTENSION_\w+) "(.*)"\)$', build, re.MULTILINE))
    project = re.search(r"^project\((\w+)\)$", build, re.MULTILINE)
    assert project is not None and project.group(1) == "LiverLesionAI"
    assert entry["category"] == settings["EXTENSION_CATEGORY"]
    assert entry["build_dependencies"] == settings["EXTENSION_DEPENDS"].split()
    assert entry["scm_url"].removesuffix(".git") == settings["EXTENSION_HOMEPAGE"]
    assert entry["scm_url"].rsplit("/", 1)[1].startswith("Slicer")
    assert settings["EXTENSION_CONTRIBUTORS"] and settings["EXTENSION_DESCRIPTION"]
    raw = f"https://raw.githubusercontent.com/LiverLesionAI/SlicerLiverLesionAI/{entry['scm_revision']}/"
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        for address in settings[name].split():
            assert address.startswith(raw) and (ROOT / address.removeprefix(raw)).is_file(), address
    assert (ROOT / "LICENSE").is_file()


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
        "import LiverLesionAI.inputs.patches\n"
        "print(module.LiverLesionAIWidget.__name__, classify_study.__name__, module.inputs.patches.__name__)"
    )
    assert _python(code) == "LiverLesionAIWidget classify_study LiverLesionAI.inputs.patches"


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


@pytest.mark.parametrize("name", FURTHER_MODULES)
@pytest.mark.parametrize("order", ["main first", "main last", "library first"])
def test_further_modules_load_in_any_order(name: str, order: str) -> None:
    """All share one library, whoever comes first; nothing heavy is imported."""
    lines = {
        "main first": f"main = load('LiverLesionAI'); further = load({name!r})",
        "main last": f"further = load({name!r}); main = load('LiverLesionAI')",
        "library first": (
            f"import LiverLesionAI.inputs.patches; further = load({name!r}); main = load('LiverLesionAI')"
        ),
    }[order]
    code = f"""{STAND_INS}{LOAD}{lines}
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionLib.console import StudyLogic
print(issubclass(further.{name}Logic, StudyLogic), issubclass(main.LiverLesionAILogic, StudyLogic),
      main.inputs.patches.extract_patches is extract_patches,
      [m for m in ('torch', 'monai') if m in sys.modules])"""
    assert _python(code) == "True True True []"


def test_nothing_at_the_root_is_taken_for_a_module() -> None:
    assert {Path(name).name for name in _tracked("*.py") if "/" not in name} == {"LiverLesionAI.py"}
