"""Files that foreign libraries wrote are whole, or the output is taken back: full disks, limits of size."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_studies import bspline, made_result, made_study, rigid
from made_training import settings, write_cohort, write_config
from packaging.version import Version
from tiny_bundles import tiny_bundle

from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import output_folder
from LiverLesionAI.mrml import new_scene, save_scene_folder
from LiverLesionAI.packing import packed_nrrd
from LiverLesionAI.scenes.show import show_study
from LiverLesionAI.writers.study_folder import write_study_folder
from LiverLesionAI.writers.volumes import write_image
from LiverLesionAI.written import (
    check_archive,
    check_image_file,
    check_scene_folder,
    check_transform_file,
)

COULD_NOT = "could not be written"


def cut_short(file: Path, check: Callable[[Path], None]) -> None:
    """See that a file passes, and none of its beginnings."""
    check(file)
    content = file.read_bytes()
    for length in (0, 1, len(content) // 3, len(content) - 8, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(OutputError, match=COULD_NOT):
            check(file)
    file.unlink()
    with pytest.raises(OutputError, match=COULD_NOT):
        check(file)


@pytest.mark.parametrize("name", ["i.nii.gz", "i.nii", "i.nrrd", "packed.nrrd"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_images_that_are_cut_short_are_noticed(tmp_path: Path, name: str, kind: type) -> None:
    voxels = np.zeros((4, 9, 11), kind)
    voxels[:2] = np.random.default_rng(0).integers(0, 99, (2, 9, 11))
    image = sitk.GetImageFromArray(voxels)
    if name == "packed.nrrd":
        sitk.WriteImage(image, str(tmp_path / name), useCompression=True)
    else:
        write_image(image, tmp_path / name)
    cut_short(tmp_path / name, lambda file: check_image_file(file, image))


def test_pictures_and_fields_that_are_cut_short_are_noticed(tmp_path: Path) -> None:
    picture = sitk.GetImageFromArray(np.arange(200, dtype=np.uint8).reshape(10, 20))
    field = sitk.GetImageFromArray(np.ones((3, 4, 5, 3)), isVector=True)
    for image, name in ((picture, "p.png"), (field, "f.nii.gz")):
        write_image(image, tmp_path / name)
        cut_short(tmp_path / name, lambda file, image=image: check_image_file(file, image))


def test_a_damaged_picture_is_noticed(tmp_path: Path) -> None:
    picture = sitk.GetImageFromArray(np.arange(200, dtype=np.uint8).reshape(10, 20))
    content = bytearray(write_image(picture, tmp_path / "p.png").read_bytes())
    content[50] ^= 1
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(OutputError, match=COULD_NOT):
        check_image_file(tmp_path / "p.png", picture)


MOVED = rigid((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    "transform",
    [MOVED, bspline(), sitk.CompositeTransform([MOVED, bspline()]), sitk.Transform(3, sitk.sitkIdentity)],
)
def test_transforms_that_are_cut_short_are_noticed(tmp_path: Path, transform: sitk.Transform) -> None:
    file = tmp_path / "t.tfm"
    sitk.WriteTransform(transform, file)
    cut_short(file, lambda path: check_transform_file(path, transform))


def test_a_scene_with_a_file_that_is_cut_short_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    study, scene = made_study(transform=bspline()), new_scene()
    show_study(scene, study, made_result(study))
    (tmp_path / "scene").mkdir()
    save_scene_folder(scene, tmp_path / "scene")
    images = sorted((tmp_path / "scene").rglob("*.nrrd"))
    assert len(images) >= 4 and any(file.name.endswith(".seg.nrrd") for file in images)
    for file in (*images, next((tmp_path / "scene").glob("*.mrml"))):
        content = file.read_bytes()
        for length in (0, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:length].rstrip(b"\n>") if file.suffix == ".mrml" else content[:length])
            with pytest.raises(OutputError, match=COULD_NOT):
                check_scene_folder(tmp_path / "scene")
        file.write_bytes(content)
    check_scene_folder(tmp_path / "scene")


def test_an_archive_that_is_cut_short_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("member", bytes(5000))
    cut_short(tmp_path / "a.zip", check_archive)


def test_the_message_names_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refusal, output_folder(tmp_path / "out") as folder:
        write_image(sitk.Image([4, 4, 4], sitk.sitkUInt8), folder / "none" / "i.nii.gz")
    assert str(tmp_path / "out" / "none" / "i.nii.gz") in str(refusal.value)


# --- whole commands under a limit of the size of files


LIMITED = """
import resource, sys
if __name__ == "__main__":
    limit = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from LiverLesionAI.cli import main
    main()
"""


def under_limit(tmp_path: Path, limit: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("resource", reason="no limits of files here")
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    command = [sys.executable, str(script), str(limit), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "S1").mkdir()
    for _file in write_study_folder(made_study(transform=bspline()), tmp_path / "S1"):
        pass
    return tmp_path / "S1"


def assert_taken_back(done: subprocess.CompletedProcess[str], out: Path) -> None:
    assert done.returncode == 3, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and str(out) in last and "Traceback" not in done.stderr
    assert [path.name for path in out.parent.iterdir() if path.name.startswith((".out", "out"))] == []


@pytest.mark.parametrize("limit", [3_000, 20_000, 100_000])
def test_classify_leaves_nothing_damaged(study: Path, tmp_path: Path, limit: int) -> None:
    model = tiny_bundle(tmp_path / "tiny")
    out = tmp_path / "out"
    done = under_limit(tmp_path, limit, "classify", study, "--out", out, "--model", model, "--no-register")
    assert_taken_back(done, out)


@pytest.mark.parametrize("limit", [3_000, 15_000])
def test_register_leaves_nothing_damaged(study: Path, tmp_path: Path, limit: int) -> None:
    done = under_limit(tmp_path, limit, "register", study, "--out", tmp_path / "out", "--transform", "rigid")
    assert_taken_back(done, tmp_path / "out")


@pytest.mark.parametrize("limit", [3_000, 100_000])
def test_phantom_leaves_nothing_damaged(tmp_path: Path, limit: int) -> None:
    done = under_limit(tmp_path, limit, "phantom", "--lesion-centred", "--out", tmp_path / "out")
    assert_taken_back(done, tmp_path / "out")


@pytest.mark.parametrize("limit", [3_000, 90_000])
def test_adding_a_model_leaves_nothing_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    shelf = tmp_path / "out"
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(shelf))
    done = under_limit(tmp_path, limit, "models", "add", tiny_bundle(tmp_path / "tiny"))
    assert done.returncode == 3 and str(shelf) in done.stderr and list(shelf.iterdir()) == []


OLDER_TORCH = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.13"), reason="older torch writes a file of its own to train"
)


@pytest.mark.parametrize(
    "limit",
    [pytest.param(2_000, marks=OLDER_TORCH), 100_000, pytest.param(500_000, marks=pytest.mark.slow)],
)
def test_training_tells_that_it_cannot_write(tmp_path: Path, limit: int) -> None:
    """Configuration, patches and checkpoints; what was finished before stays and is whole."""
    (tmp_path / "cohort").mkdir()
    path = write_config(tmp_path / "c.yaml", settings(write_cohort(tmp_path / "cohort")))
    done = under_limit(tmp_path, limit, "train", path, "--out", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and str(tmp_path / "run") in last and "cannot be written" in last
    hidden = [file for file in (tmp_path / "run").rglob("*") if file.name.startswith(".")]
    assert hidden == [] and not list((tmp_path / "run").glob("folds/*/*.ckpt"))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_raw_voxels_of_a_nrrd_file_are_packed_whatever_ends_its_lines(
    tmp_path: Path, line_end: bytes
) -> None:
    image = sitk.GetImageFromArray(np.arange(1000, dtype=np.int16).reshape(10, 10, 10) * 2570 + 13)
    raw = write_image(image, tmp_path / "raw.nrrd").read_bytes()
    header, voxels = raw.split(b"\n\n", 1)
    packed = packed_nrrd(header.replace(b"\n", line_end) + line_end * 2 + voxels)
    assert gzip.decompress(packed.split(line_end * 2, 1)[1]) == voxels
    (tmp_path / "packed.nrrd").write_bytes(packed)
    if line_end == b"\n":
        again = sitk.ReadImage(str(tmp_path / "packed.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))
    for other in (packed, raw[:20], b""):
        with pytest.raises(ValueError, match="no NRRD file with raw voxels"):
            packed_nrrd(other)


def test_a_packed_file_is_the_same_every_time_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.int16))
    first, second = (write_image(image, tmp_path / f"{name}.nii.gz").read_bytes() for name in "ab")
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]
