"""The wheel is the whole product: what it holds, and that it runs by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from LiverLesionAI.resources import BUNDLES, LICENCE, RESOURCES

ROOT = Path(__file__).resolve().parents[2]
SHIPPED_RESOURCES = ("Resources/Bundles", "Resources/Colors")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (file,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(file)


def files_of(*folders: str) -> set[str]:
    """Files of the checkout that git knows or would take."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "--", *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return {name for name in done.stdout.split() if (ROOT / name).is_file()}


def test_a_checkout_has_its_resources_beside_the_library() -> None:
    assert RESOURCES == ROOT / "Resources" and BUNDLES.is_dir()
    assert LICENCE.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_holds_library_templates_and_resources_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "liverlesionai = LiverLesionAI.cli:main" in archive.read(entry_points).decode()
    about = {name for name in names if ".dist-info/" in name}
    assert any(name.endswith("/licenses/LICENSE") for name in about)
    resources = {f"LiverLesionAI/{name}" for name in files_of(*SHIPPED_RESOURCES)}
    assert names - about == files_of("LiverLesionAI") | resources


@pytest.mark.slow
def test_an_installed_wheel_classifies_with_its_own_bundle(
    wheel: Path, study_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(target), str(wheel)], check=True, timeout=120)

    def liverlesionai(*arguments: str | Path) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(target),
            "LIVERLESIONAI_BUNDLES": str(tmp_path / "none"),
        }
        command = [sys.executable, "-m", "LiverLesionAI", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    models = {model["name"]: model for model in json.loads(liverlesionai("models", "list", "--json"))}
    assert len(models) >= 14 and all(Path(each["path"]).is_relative_to(target) for each in models.values())
    model = models["wang2021-phantom"]
    plain = ("--no-register", "--no-saliency", "--json")
    result = json.loads(liverlesionai("classify", study_folder, "--out", tmp_path / "out", *plain))
    assert result["models"][0]["sha256"] == model["sha256"]
    assert set(result["lesions"][0]["tasks"]) == {"malignancy", "type"}
    assert (tmp_path / "out" / "report.html").is_file()
