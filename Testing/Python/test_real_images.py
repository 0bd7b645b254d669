"""Real images go down the road whatever their orientation; no clinical meaning is claimed for the answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_bundles import tiny_bundle
from typer.testing import CliRunner, Result

from LiverLesionAI.cli import app
from LiverLesionAI.sequences import W_SEQUENCES

OBLIQUE = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.15, 0.3)


def _oblique(image: sitk.Image) -> sitk.Image:
    turned = sitk.Image(image)
    axes = np.reshape(OBLIQUE.GetMatrix(), (3, 3)) @ np.reshape(image.GetDirection(), (3, 3))
    turned.SetDirection(axes.ravel().tolist())
    turned.SetOrigin(OBLIQUE.TransformPoint(image.GetOrigin()))
    return turned


ORIENTATIONS = {
    "as it is": lambda image: image,
    "RAS": lambda image: sitk.DICOMOrient(image, "RAS"),
    "left-handed": lambda image: sitk.DICOMOrient(image, "LPI"),
    "sagittal": lambda image: sitk.DICOMOrient(image, "PIR"),
    "oblique": _oblique,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights."""
    return tiny_bundle(tmp_path_factory.mktemp("models") / "tiny", sequences=W_SEQUENCES)


def _hand_made_mask(image: sitk.Image) -> sitk.Image:
    """A box in the right half of the body, in the image's middle slices."""
    voxels = np.zeros(image.GetSize()[::-1], np.uint8)
    z, y, x = (size // 2 for size in voxels.shape)
    voxels[z - 2 : z + 2, y - 8 : y + 8, x - 30 : x - 15] = 3
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(image)
    return mask


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_volume_lies_exactly_on_its_input(
    shared_data: Path, model: Path, tmp_path: Path, orientation: str
) -> None:
    turn = ORIENTATIONS[orientation]
    original = sitk.ReadImage(shared_data / "totalsegmentator" / "example_mr_sm.nii.gz")
    image, mask = turn(original), turn(_hand_made_mask(original))
    study, out = tmp_path / "real", tmp_path / "out"
    study.mkdir()
    for name in ("T2WI", "LAP"):
        sitk.WriteImage(image, study / f"{name}.nii.gz")
    sitk.WriteImage(mask, study / "lesions.nii.gz")
    done = _classified(study, out, model)
    assert done.exit_code == 0, done.stderr
    assert "DWI, ADC, T1WI, PVP, DP missing" in done.stderr
    result = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert result["study"]["missing"] == ["DWI", "ADC", "T1WI", "PVP", "DP"]
    (lesion,) = result["lesions"]
    assert lesion["id"] == 3 and lesion["tasks"]["type"]["predicted"]
    given = sitk.ReadImage(study / "lesions.nii.gz")
    for name in ("lesions", "lesion_classes", "registered/T2WI", "registered/LAP"):
        _same_grid(sitk.ReadImage(out / f"{name}.nii.gz"), given)
    assert np.array_equal(_voxels(sitk.ReadImage(out / "lesions.nii.gz")), _voxels(given))
    read = sitk.ReadImage(study / "LAP.nii.gz")
    assert np.allclose(_voxels(sitk.ReadImage(out / "registered" / "LAP.nii.gz")), _voxels(read), atol=0.51)


def test_the_answer_does_not_depend_on_how_the_file_stores_the_axes(
    shared_data: Path, model: Path, tmp_path: Path
) -> None:
    original = sitk.ReadImage(shared_data / "totalsegmentator" / "example_mr_sm.nii.gz")
    probabilities = []
    for orientation in ("as it is", "RAS", "left-handed", "sagittal"):
        turn = ORIENTATIONS[orientation]
        study, out = tmp_path / orientation / "real", tmp_path / orientation / "out"
        study.mkdir(parents=True)
        sitk.WriteImage(turn(original), study / "T2WI.nii.gz")
        sitk.WriteImage(turn(_hand_made_mask(original)), study / "lesions.nii.gz")
        done = _classified(study, out, model)
        assert done.exit_code == 0, done.stderr
        lesion = json.loads((out / "results.json").read_text(encoding="utf-8"))["lesions"][0]
        probabilities.append([*lesion["tasks"]["type"]["probabilities"].values(), lesion["diameter_mm"]])
    assert np.allclose(probabilities, probabilities[0], atol=1e-3)


def _classified(study: Path, out: Path, model: Path) -> Result:
    options = ["--model", str(model), "--no-register", "--no-saliency"]
    return CliRunner().invoke(app, ["classify", str(study), "--out", str(out), *options])


def _voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def _same_grid(found: sitk.Image, expected: sitk.Image) -> None:
    assert found.GetSize() == expected.GetSize()
    size = np.asarray(expected.GetSize(), float) - 1
    for corner in np.ndindex(2, 2, 2):
        index = (size * corner).tolist()
        a = found.TransformContinuousIndexToPhysicalPoint(index)
        b = expected.TransformContinuousIndexToPhysicalPoint(index)
        assert np.allclose(a, b, atol=1e-3)
