"""``classify`` explains another class, another way, and writes the maps as DICOM, where that is asked for."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from pathlib import Path
from typing import get_args, get_type_hints

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantoms import phantom
from pydicom import dcmread
from test_cli import refused, run
from tiny_bundles import tiny_bundle

from LiverLesionAI.cli.commands import classify
from LiverLesionAI.explanation.settings import METHODS
from LiverLesionAI.phantom.dicom.cohort import write_dicom_phantom
from LiverLesionAI.results import PHANTOM_NOTICE
from LiverLesionAI.sequences import W_SEQUENCES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny", sequences=W_SEQUENCES)


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a phantom on disk as DICOM, explained as ICC."""
    root = tmp_path_factory.mktemp("asked")
    study = write_dicom_phantom(phantom(), root, layout="separate")
    asked = ("--no-register", "--parametric-maps", "--explain-class", "ICC")
    run("classify", study, "--out", root / "out", "--model", model, *asked)
    return root / "out"


def test_every_map_is_written_as_dicom_with_the_same_values_in_the_same_place(written: Path) -> None:
    maps = sorted((written / "saliency").iterdir())
    assert len(maps) == 2 * len(W_SEQUENCES)
    numbers, series, objects = set(), set(), set()
    for file in maps:
        expected = sitk.ReadImage(str(file))
        stem = file.name.removesuffix(".nii.gz")
        dicom = written / "dicom" / f"saliency_{stem}.dcm"
        volume = highdicom.imread(dicom).get_volume(apply_real_world_transform=False)
        values = sitk.GetArrayFromImage(expected)
        assert volume.spatial_shape == values.shape
        assert np.array_equal(np.sort(volume.array, axis=None), np.sort(values, axis=None))
        for index in [(0, 0, 0), (10, 20, 30), (15, 16, 17), (31, 31, 31)]:
            point = (volume.affine @ [*index, 1])[:3]
            place = expected.TransformPhysicalPointToIndex(point.tolist())
            assert point == pytest.approx(expected.TransformIndexToPhysicalPoint(place), abs=1e-3)
            assert volume.array[index] == expected[place]
        ds = dcmread(dicom, stop_before_pixels=True)
        numbers.add(ds.InstanceNumber)
        series.add(ds.SeriesInstanceUID)
        objects.add(ds.SOPInstanceUID)
        assert PHANTOM_NOTICE in ds.SeriesDescription
        explanation = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].LUTExplanation
        assert explanation.endswith(f"of lesion 1 in {stem.split('_')[1]} for ICC")
    assert numbers == set(range(1, len(maps) + 1)) and len(series) == 1 and len(objects) == len(maps)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not here")
def test_all_that_was_written_is_valid(written: Path) -> None:
    files = list((written / "dicom").iterdir())
    assert {"seg.dcm", "sr.dcm"} < {file.name for file in files}
    for file in files:
        checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        errors = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("Error")]
        assert not errors, (file.name, errors)


def test_the_result_tells_which_class_was_explained(written: Path) -> None:
    result = json.loads((written / "results.json").read_text(encoding="utf-8"))
    (lesion,) = result["lesions"]
    predicted = lesion["tasks"]["type"]["predicted"]
    assert predicted != "ICC"
    assert lesion["explained"] == {
        "type": "ICC",
        "malignancy": lesion["tasks"]["malignancy"]["predicted"],
    }
    assert result["provenance"]["parameters"]["saliency"]["target"] == "ICC"
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "what speaks for <strong>Intrahepatic cholangiocarcinoma</strong>" in page


def test_every_method_can_be_asked_for() -> None:
    options = get_type_hints(inspect.unwrap(classify))
    methods, _ = get_args(options["saliency_method"])
    assert get_args(methods) == METHODS


def test_gradients_tell_every_step(study_folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--no-register", "--saliency-method", "smoothgrad", "--progress", "jsonl")
    done = run("classify", study_folder, "--out", out, "--model", model, *asked)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    told = [event["fraction"] for event in events if event["step"] == "explain"]
    assert len(told) > 16 and told == sorted(told) and told[-1] == 1
    parameters = json.loads((out / "results.json").read_text(encoding="utf-8"))["provenance"]["parameters"]
    assert parameters["saliency"]["method"] == "smoothgrad"


def test_maps_of_a_study_that_is_no_dicom_are_not_written_and_it_is_said(
    study_folder: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("classify", study_folder, "--out", out, "--model", model, "--no-register", "--parametric-maps")
    assert "no DICOM parametric maps were written" in " ".join(done.stderr.split())
    assert not (out / "dicom").exists() and (out / "saliency").is_dir()


def test_a_class_that_there_is_not_is_refused_before_the_work(model: Path, tmp_path: Path) -> None:
    nowhere, out = tmp_path / "nowhere", tmp_path / "out"
    refused(
        ["classify", nowhere, "--out", out, "--model", model, "--explain-class", "HCA"], "HCA", "FNH", "HCC"
    )
    assert not out.exists()


@pytest.mark.parametrize("asked", [("--parametric-maps",), ("--explain-class", "HCC")])
def test_nothing_can_be_asked_of_maps_that_are_not_made(asked: tuple[str, ...], tmp_path: Path) -> None:
    done = run("classify", tmp_path, "--out", tmp_path / "out", "--no-saliency", *asked, check=2)
    assert "--no-saliency" in done.stderr
