"""What machine and system refuse or take amiss, memory, long paths and odd names: one sentence each."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from made_studies import made_study
from odd_names import LATIN_1, posix
from typer.testing import CliRunner

from LiverLesionAI.cli.commands import OWN_FAULT, UNUSABLE_INPUT, app
from LiverLesionAI.errors import LiverLesionError, MemoryShortError, OutputError, StudyError, printable
from LiverLesionAI.files import output_folder
from LiverLesionAI.limits import available_bytes, check_memory, is_memory_short
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.study import Study
from LiverLesionAI.worker import protocol
from LiverLesionAI.worker.client import WorkerClient, WorkerError
from LiverLesionAI.writers.study_folder import write_study_folder
from LiverLesionAI.writers.volumes import write_image, write_transforms

# --- memory


@posix
def test_the_limit_of_the_process_counts_as_memory() -> None:
    code = (
        "import resource; from LiverLesionAI.limits import *;"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 30


def test_what_fits_passes() -> None:
    available = available_bytes()
    assert available is None or available > 0
    check_memory(1000, "A test")
    with pytest.raises(MemoryShortError):
        check_memory(1 << 60, "A test")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("ITK ERROR: Image: Failed to allocate memory for image."),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        OSError(12, "Cannot allocate memory"),
        ImportError("libvtk.so: failed to map segment from shared object"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_ran_out_is_recognised(error: Exception) -> None:
    assert is_memory_short(error)
    assert not is_memory_short(RuntimeError("Unable to determine ImageIO reader"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (ValueError("embedded null byte"), "NUL character"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "No space left"),
        (OSError(errno.EACCES, "Permission denied", "/data/x"), "/data/x cannot be used: Permission denied"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "a/" * 3000),
            "cannot be used: File name too long",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_machine_and_system_refuse_is_no_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("LiverLesionAI.pipeline.read_study", refuse)
    done = CliRunner().invoke(app, ["classify", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == UNUSABLE_INPUT
    assert sentence in done.output and "fault" not in done.output and len(done.output) < 400


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(errno.ENOENT, "No such file", "x")])
def test_our_own_mistakes_stay_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("LiverLesionAI.pipeline.read_study", fail)
    done = CliRunner().invoke(app, ["classify", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == OWN_FAULT and "fault of LiverLesionAI" in done.output


@posix
@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "PATH", "--out", "out"],
        ["classify", "STUDY", "--out", "PATH"],
        ["classify", "STUDY", "--out", "out", "--mask", "PATH"],
        ["classify", "STUDY", "--out", "out", "--model", "PATH"],
        ["register", "PATH.mrb", "--out", "out"],
        ["identify", "PATH"],
        ["train", "PATH", "--out", "out"],
        ["phantom", "--out", "PATH"],
        ["models", "show", "PATH"],
        ["models", "verify", "PATH"],
        ["models", "add", "PATH"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("path", ["a/" * 3000, "a" * 300], ids=["path", "name"])
def test_paths_that_are_too_long_are_refused(
    tmp_path: Path, study_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], path: str
) -> None:
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(tmp_path / "bundles"))
    monkeypatch.chdir(tmp_path)
    given = [word.replace("PATH", f"/{path}").replace("STUDY", str(study_folder)) for word in arguments]
    done = CliRunner().invoke(app, given)
    assert done.exit_code in (2, UNUSABLE_INPUT), done.output
    assert "fault" not in done.output


# --- names


def test_printable_leaves_every_real_text_alone() -> None:
    for text in ("", "Zürich", "肝臓", "a\tb"):
        assert printable(text) is text
    assert printable(LATIN_1) == "Z?rich"
    printable("\udfff\ud800").encode()
    assert str(LiverLesionError(f"{LATIN_1} is wrong")) == "Z?rich is wrong"


@posix
@pytest.mark.parametrize("name", [LATIN_1, "Zürich"])
def test_a_study_in_a_folder_of_any_name_is_read(
    tmp_path: Path, ball_study: Callable[..., Study], name: str
) -> None:
    folder = tmp_path / name
    plain = tmp_path / "plain"
    plain.mkdir()
    study = ball_study()
    for sequence, image in study.images.items():
        sitk.WriteImage(image.image, plain / f"{sequence}.nii.gz")
    sitk.WriteImage(study.lesions, plain / "lesions.nrrd")
    (plain / "transforms").mkdir()
    sitk.WriteTransform(sitk.Euler3DTransform(), plain / "transforms" / "DWI.tfm")
    shutil.move(plain, folder)
    read = read_study_folder(folder)
    assert read.images["DWI"].transform is not None
    read.id.encode()
    assert read.lesion_ids == (1,)


@posix
def test_an_image_of_a_name_that_is_no_utf_8_is_named_in_the_sentence(tmp_path: Path) -> None:
    (tmp_path / f"T2WI{LATIN_1}.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(StudyError) as caught:
        read_study_folder(tmp_path)
    str(caught.value).encode()


@posix
def test_output_of_a_name_that_is_no_utf_8_is_refused_by_every_writer(tmp_path: Path) -> None:
    folder = tmp_path / LATIN_1
    folder.mkdir()
    with pytest.raises(OutputError, match="not UTF-8"), output_folder(folder):
        pass
    study = made_study(transform=sitk.Euler3DTransform())
    with pytest.raises(OutputError, match="not UTF-8"):
        write_image(study.images["T2WI"].image, folder / "a.nrrd")
    with pytest.raises(OutputError, match="not UTF-8"):
        write_transforms(study, folder)
    assert not any(folder.iterdir())


@posix
def test_the_worker_reads_folders_of_any_name_and_answers_in_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / LATIN_1
    (tmp_path / "plain").mkdir()
    for _file in write_study_folder(made_study(), tmp_path / "plain"):
        pass
    shutil.move(tmp_path / "plain", folder)
    (folder / "LAP.nii.gz").write_bytes(b"no image")
    with WorkerClient() as worker:
        with pytest.raises(WorkerError, match=r"Z\?rich/LAP\.nii\.gz") as caught:
            worker.call("register", study=str(folder), out=str(tmp_path / "out"))
        assert caught.value.kind == protocol.INPUT
        (folder / "LAP.nii.gz").unlink()
        with pytest.raises(WorkerError, match="not UTF-8"):
            worker.call("register", study=str(folder), out=str(folder / "out"), transform="rigid")
        worker.call("register", study=str(folder), out=str(tmp_path / "out"), transform="rigid")
