"""Files that lie, are cut short or carry odd names: one sentence each, before C++ or memory breaks down."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_dicom
import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import bspline, made_result, made_study
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian
from typer.testing import CliRunner

from LiverLesionAI.cli.commands import OWN_FAULT, UNUSABLE_INPUT, app
from LiverLesionAI.cohort import read_rows
from LiverLesionAI.errors import (
    DicomError,
    LiverLesionError,
    MemoryShortError,
    OutputError,
    StudyError,
    printable,
)
from LiverLesionAI.files import output_folder
from LiverLesionAI.limits import available_bytes, check_memory, is_memory_short
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.claims import check_claims
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.readers.images import read_sequence_image
from LiverLesionAI.readers.transforms import read_transform
from LiverLesionAI.study import Study
from LiverLesionAI.training.config import read_config
from LiverLesionAI.worker import protocol
from LiverLesionAI.worker.client import WorkerClient, WorkerError
from LiverLesionAI.writers.study_folder import write_study_folder
from LiverLesionAI.writers.volumes import write_image, write_transforms

LATIN_1 = os.fsdecode("Zürich".encode("latin-1"))
posix = pytest.mark.skipif(sys.platform == "win32", reason="names are bytes, and address space has a limit")


# --- transforms


@pytest.mark.parametrize(
    "transform",
    [
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.TranslationTransform(3, (1.0, 2.0, 3.0)),
        sitk.ScaleTransform(3, (1.0, 1.1, 1.2)),
        sitk.AffineTransform(3),
        sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3),
        sitk.VersorTransform((0.0, 0.0, 1.0), 0.2),
        sitk.VersorRigid3DTransform((0.0, 0.0, 1.0), 0.2),
        sitk.Similarity3DTransform(),
        sitk.ScaleVersor3DTransform(),
        sitk.ScaleSkewVersor3DTransform(),
        bspline(),
        sitk.DisplacementFieldTransform(sitk.Image([4, 5, 6], sitk.sitkVectorFloat64)),
        sitk.CompositeTransform([sitk.AffineTransform(3), bspline(), sitk.Euler3DTransform()]),
    ],
    ids=lambda transform: transform.GetName(),
)
def test_every_kind_of_transform_is_read_and_refused_when_it_lacks_a_parameter(
    tmp_path: Path, transform: sitk.Transform
) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(transform, str(file))
    point = (3.0, -7.0, 11.0)
    assert read_transform(file).TransformPoint(point) == pytest.approx(transform.TransformPoint(point))
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key, _, values = line.partition(":")
        if key in ("Parameters", "FixedParameters") and values.split():
            shorter = [*lines[:number], f"{key}: {' '.join(values.split()[:-2])}", *lines[number + 1 :]]
            file.write_text("\n".join(shorter) + "\n")
            with pytest.raises(
                StudyError, match=r"LAP\.tfm cannot be read as a transform: .*(instead of|grid)"
            ):
                read_transform(file)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Euler3DTransform_double_3_3", "Euler2DTransform_double_2_2", "it has 2 dimensions"),
        ("Euler3DTransform_double_3_3", "ThinPlateTransform_double_3_3", "are not read here"),
        ("Euler3DTransform_double_3_3", "Euler3DTransform", "none of ITK's"),
        ("0.5", "nan", "not all finite"),
        ("0.5", "1e999", "not all finite"),
        ("0.5", "half", "not all numbers"),
        ("#Insight Transform File V1.0", "#Other", "does not begin"),
        ("Fixed", "Loose", "none of ITK's"),
        ("FixedParameters", "Parameters", "wrong place"),
        ("0.5", "Ü", "no text file"),
    ],
)
def test_transforms_that_are_none_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(sitk.Euler3DTransform((0, 0, 0), 0.5, 0.0, 0.0), str(file))
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new, 1), encoding="latin-1")
    with pytest.raises(StudyError, match=reason):
        read_transform(file)


def test_a_grid_of_gigabytes_is_refused_before_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(bspline(), str(file))
    lines = file.read_text(encoding="utf-8").splitlines()
    fixed = next(line for line in lines if line.startswith("Fixed")).split()
    lines[lines.index(" ".join(fixed))] = " ".join([fixed[0], "100000", "100000", *fixed[3:]])
    file.write_text("\n".join(lines))
    with pytest.raises(StudyError, match="no possible size"):
        read_transform(file)


# --- image headers


def _image(path: Path, compressed: bool = True) -> Path:
    voxels = np.random.default_rng(0).normal(100, 20, (6, 8, 10)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), compressed)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_honest_headers_pass(tmp_path: Path, name: str) -> None:
    check_claims(_image(tmp_path / name))
    check_claims(_image(tmp_path / name, compressed=False))


def _claiming(path: Path, side: int) -> Path:
    """An image whose header claims `side`³ voxels."""
    _image(path)
    packed = path.name.endswith(".gz")
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    if ".nii" in path.name:
        changed = content[:40] + struct.pack("<4h", 3, side, side, side) + content[48:]
    else:
        shape = b"10 8 6"
        assert shape in content
        changed = content.replace(shape, f"{side} {side} {side}".encode(), 1)
    path.write_bytes(gzip.compress(changed) if packed else changed)
    return path


@pytest.mark.parametrize("name", ["T2WI.nii", "T2WI.nii.gz", "T2WI.nrrd", "T2WI.mha"])
def test_headers_that_claim_more_than_the_file_can_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match=f"{name} is damaged or cut short"):
        read_sequence_image(_claiming(tmp_path / name, 300))
    with pytest.raises(StudyError, match=f"{name} claims 30000 × 30000 × 30000 voxels"):
        read_sequence_image(_claiming(tmp_path / name, 30000))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (108, float("nan"), "vox_offset"),
        (108, -5.0, "vox_offset"),
        (108, 100.0, "vox_offset"),
        (108, 1e9, "cut short"),
        (116, float("inf"), "scl_inter"),
        (116, float("nan"), "scl_inter"),
    ],
)
def test_impossible_places_and_scalings_of_nifti_voxels_are_named(
    tmp_path: Path, field: int, value: float, reason: str
) -> None:
    file = _image(tmp_path / "T2WI.nii", compressed=False)
    content = bytearray(file.read_bytes())
    struct.pack_into("<f", content, field, value)
    file.write_bytes(content)
    with pytest.raises(StudyError, match=reason):
        read_sequence_image(file)


def test_voxels_at_the_usual_place_may_leave_it_unsaid(tmp_path: Path) -> None:
    file = _image(tmp_path / "T2WI.nii", compressed=False)
    content = bytearray(file.read_bytes())
    for field, value in ((108, 0.0), (112, float("nan")), (116, float("nan"))):
        struct.pack_into("<f", content, field, value)
    file.write_bytes(content)
    check_claims(file)


def test_a_cut_file_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    file = _claiming(tmp_path / "T2WI.nii.gz", 900)
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(StudyError, match="claims"):
        check_claims(file)


def test_an_image_that_does_not_fit_the_machine_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _image(tmp_path / "T2WI.nii.gz")
    monkeypatch.setattr("LiverLesionAI.limits.available_bytes", lambda: 4000)
    with pytest.raises(MemoryShortError, match=r"T2WI\.nii\.gz, with 480 voxels, needs .* GiB of memory"):
        read_sequence_image(file)


@pytest.mark.parametrize("limits", [[0, 1e-300], [1e17, 1e17 + 32]])
def test_intensities_that_single_precision_cannot_tell_apart_are_no_limits(
    study_folder: Path, limits: list[float]
) -> None:
    (study_folder / "acquisition.json").write_text(json.dumps({"T2WI": {"intensity_limits": limits}}))
    with pytest.raises(StudyError, match=r"acquisition\.json is not of the form"):
        read_study_folder(study_folder)


def test_an_image_that_single_precision_cannot_tell_from_a_constant_is_refused(tmp_path: Path) -> None:
    voxels = np.zeros((4, 4, 4))
    voxels[1] = 1e-300
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "T2WI.nrrd"))
    with pytest.raises(StudyError, match="same value"):
        read_sequence_image(tmp_path / "T2WI.nrrd")


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


# --- DICOM


def _deflated(folder: Path) -> list[Path]:
    objects = made_dicom.slices(made_dicom.image(size=(600, 600, 4)) * 0 + 1, **made_dicom.T2)
    for ds in objects:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return made_dicom.save(objects, folder)


def test_deflated_objects_are_read_and_bombs_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _deflated(tmp_path)
    assert len(scan(tmp_path).images) == 4
    monkeypatch.setattr("LiverLesionAI.limits._HARMLESS_BYTES", 500_000)
    with pytest.raises(DicomError, match="unpacks to more than"):
        open_dicom(files[0])
    with pytest.raises(DicomError):
        scan(tmp_path)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImageType", "InstanceNumber", "Rows"])
def test_one_damaged_element_does_not_fail_the_folder(tmp_path: Path, keyword: str) -> None:
    """Whatever its kind of value is said to be, and wherever it is said to end."""
    made_dicom.write_study(tmp_path)
    file = next(file for file in sorted((tmp_path / "t2").iterdir()))
    content = file.read_bytes()
    tag = Tag(keyword)
    start = content.find(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"))
    for kind in (b"SQ", b"OB", b"XX", b"UN", b"AT", b"FD"):
        file.write_bytes(content[: start + 4] + kind + content[start + 6 :])
        assert {item.sequence for item in identify(tmp_path)} >= {"T1WI"}
        try:
            assert "T1WI" in read_study(tmp_path).images
        except StudyError as error:
            assert str(tmp_path) in str(error)


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


# --- scenes


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


@pytest.mark.parametrize("name", ["clinical.json", "acquisition.json", "cohort.csv", "config.yaml"])
def test_files_of_text_have_a_size(
    tmp_path: Path, study_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("LiverLesionAI.limits.MAX_TEXT_BYTES", 1000)
    file = study_folder / name
    file.write_bytes(b" " * 2000)
    readers = {"cohort.csv": read_rows, "config.yaml": read_config}
    with pytest.raises(LiverLesionError, match=f"{name} is larger than such a file may be"):
        readers.get(name, lambda path: read_study_folder(path.parent))(file)
