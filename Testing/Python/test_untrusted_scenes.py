"""Scenes that lie, are cut short or carry odd names: one sentence each, before Slicer breaks down."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from made_studies import bspline, made_result, made_study
from odd_names import LATIN_1, posix

from LiverLesionAI.errors import StudyError


@pytest.fixture
def scene_files(tmp_path: Path) -> dict[str, bytes]:
    """The members of a bundle that our own writer made."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from LiverLesionAI.scenes.show import write_scene

    study = made_study(transform=bspline())
    (tmp_path / "whole").mkdir()
    write_scene(study, made_result(study), tmp_path / "whole" / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "whole" / "scene.mrb") as bundle:
        return {name: bundle.read(name) for name in bundle.namelist() if not name.endswith("/")}


def _packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path


def _named(files: dict[str, bytes], end: str) -> str:
    return next(name for name in files if name.endswith(end))


@pytest.mark.parametrize("end", ["segments.seg.nrrd", "LAP.nrrd", ".h5"])
@pytest.mark.parametrize("part", [0.4, 0.97])
def test_a_scene_with_a_file_cut_short_is_refused(
    tmp_path: Path, scene_files: dict[str, bytes], end: str, part: float
) -> None:
    from LiverLesionAI.scenes.file import read_scene

    name = _named(scene_files, end)
    files = {**scene_files, name: scene_files[name][: int(part * len(scene_files[name]))]}
    with pytest.raises(StudyError, match=r"short\.mrb"):
        read_scene(_packed(tmp_path / "short.mrb", files))


def test_what_a_scene_claims_is_checked_before_slicer_reads_it(
    tmp_path: Path, scene_files: dict[str, bytes]
) -> None:
    from LiverLesionAI.scenes.file import read_scene

    name = _named(scene_files, "LAP.nrrd")
    files = {**scene_files, name: scene_files[name].replace(b"sizes: 44 40", b"sizes: 44000 40")}
    assert files != scene_files
    with pytest.raises(StudyError, match=r"big\.mrb: scene/Data/LAP\.nrrd is damaged or cut short"):
        read_scene(_packed(tmp_path / "big.mrb", files))


def test_archives_that_are_encrypted_doubled_or_bombs_are_refused(
    tmp_path: Path, scene_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from LiverLesionAI.mrml.scene_files import unpack_scene

    path = _packed(tmp_path / "scene.mrb", scene_files)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        content[start + offset] |= 1
    (tmp_path / "secret.mrb").write_bytes(content)
    with pytest.raises(StudyError, match=r"secret\.mrb is encrypted"):
        unpack_scene(tmp_path / "secret.mrb", tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "twice.mrb", "w") as bundle, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            bundle.writestr("scene/scene.mrml", scene_files["scene/scene.mrml"])
    with pytest.raises(StudyError, match=r"twice\.mrb holds 'scene/scene.mrml' twice"):
        unpack_scene(tmp_path / "twice.mrb", tmp_path / "whole")
    monkeypatch.setattr("LiverLesionAI.limits._HARMLESS_BYTES", 1000)
    _packed(tmp_path / "bomb.mrb", {**scene_files, "scene/Data/zeros.nrrd": bytes(100_000_000)})
    with pytest.raises(StudyError, match=r"bomb\.mrb would unpack to 0\.1 GiB"):
        unpack_scene(tmp_path / "bomb.mrb", tmp_path / "whole")
    assert [file.name for file in (tmp_path / "whole").iterdir()] == ["scene.mrb"]


def test_damaged_members_of_an_archive_are_refused(tmp_path: Path, scene_files: dict[str, bytes]) -> None:
    from LiverLesionAI.mrml.scene_files import unpack_scene

    path = _packed(tmp_path / "scene.mrb", scene_files)
    with zipfile.ZipFile(path) as bundle:
        info = bundle.getinfo(_named(scene_files, "LAP.nrrd"))
    content = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start + 20 : start + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"scene\.mrb is not a Slicer scene bundle, or it is damaged"):
        unpack_scene(path, tmp_path / "whole")


@posix
def test_a_scene_in_a_folder_of_any_name_is_read(tmp_path: Path, scene_files: dict[str, bytes]) -> None:
    from LiverLesionAI.scenes.file import read_scene

    folder = tmp_path / LATIN_1
    folder.mkdir()
    path = _packed(tmp_path / "scene.mrb", scene_files)
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(folder)
    for scene in (folder / "scene" / "scene.mrml", path.rename(folder / f"{LATIN_1}.mrb")):
        assert read_scene(scene).sequences == ("T2WI", "T1WI", "LAP")


@posix
def test_a_reader_that_runs_out_of_memory_says_so(tmp_path: Path, scene_files: dict[str, bytes]) -> None:
    path = _packed(tmp_path / "scene.mrb", scene_files)
    code = (
        "import resource, sys; from LiverLesionAI.scenes.file import read_scene;"
        "limit = int(open('/proc/self/statm').read().split()[0]) * 4096 + (150 << 20);"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try: read_scene(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MemoryShortError") and "slicer-core" not in done.stdout


def test_our_own_faults_in_the_other_process_stay_faults(
    tmp_path: Path, scene_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from LiverLesionAI.scenes import file

    path = _packed(tmp_path / "scene.mrb", scene_files)
    monkeypatch.setattr(file, "python_executable", lambda: shutil.which("false"))
    monkeypatch.setattr(file, "_FAULT", 7)
    with pytest.raises(StudyError, match="breaks down"):
        file.read_scene(path)
    monkeypatch.undo()
    broken = tmp_path / "library"
    (broken / "slicer").mkdir(parents=True)
    (broken / "slicer" / "__init__.py").write_text("1 / 0\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(RuntimeError, match=r"scene\.mrb: ZeroDivisionError"):
        file.read_scene(path)
