"""Numbers that are none are refused at every door, and no answer is taken from one."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_studies import answer, bspline, made_result, made_study
from made_training import settings, write_config
from safetensors.torch import load_file, save_file
from tiny_bundles import tiny_bundle

from LiverLesionAI import mrml
from LiverLesionAI.bundles.install import add_bundle
from LiverLesionAI.bundles.store import ENVIRONMENT_VARIABLE, METADATA, load_bundle, sha256_of, verify_bundle
from LiverLesionAI.errors import BundleError, ConfigError, OutputError, StudyError
from LiverLesionAI.finite import checked_transform, finite_place, finite_voxels
from LiverLesionAI.inference import load_fold
from LiverLesionAI.inference.engine import probabilities
from LiverLesionAI.mrml import attributes
from LiverLesionAI.mrml.frames import vtk_matrix
from LiverLesionAI.networks.weights import save_weights
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.results import StudyResult
from LiverLesionAI.scenes.read import study_from_scene
from LiverLesionAI.training.config import read_config

FOLD = "models/fold_1.safetensors"
NAN, INF = math.nan, math.inf


# --- weights


def spoiled(bundle: Path, spoil: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """Change the weights of a member, and the hash that the metadata has of them."""
    tensors = load_file(bundle / FOLD)
    spoil(tensors)
    save_file(tensors, bundle / FOLD)
    content = json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    content["liver_lesion"]["files"][FOLD] = sha256_of(bundle / FOLD)
    (bundle / METADATA).write_text(json.dumps(content))
    return bundle


def last_kernel(tensors: dict[str, torch.Tensor]) -> str:
    return max(name for name, tensor in tensors.items() if tensor.ndim > 1)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_one_weight_that_is_no_number_is_found_at_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[last_kernel(tensors)].view(-1)[-1] = value

    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "shelf"))
    bundle = spoiled(tiny_bundle(tmp_path / "tiny"), spoil)
    load_fold(load_bundle(bundle), 0)
    for door in (verify_bundle, add_bundle, lambda path: load_fold(load_bundle(path), 1)):
        with pytest.raises(BundleError, match=r"fold_1\.safetensors: .* values that are not numbers"):
            door(bundle)
    assert list((tmp_path / "shelf").iterdir()) == []


def test_weights_of_another_kind_of_number_do_not_fit(tmp_path: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        name = last_kernel(tensors)
        tensors[name] = tensors[name].to(torch.int8)

    with pytest.raises(BundleError, match="is of type int8"):
        verify_bundle(spoiled(tiny_bundle(tmp_path / "tiny"), spoil))


def test_weights_that_half_precision_cannot_hold_are_not_written(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight[0, 0] = 1e6
    with pytest.raises(OutputError, match="lower learning rate"):
        save_weights(network, tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_logits_that_overflowed_give_no_probability() -> None:
    logits = np.array([[1.0, 2.0], [-INF, 2.0], [INF, 2.0], [NAN, 2.0]], np.float32)
    found = probabilities(logits)
    expected = torch.from_numpy(logits[0]).double().softmax(0).numpy()
    np.testing.assert_allclose(found[0], expected, rtol=1e-15)
    assert np.isnan(found[1:]).all()


# --- images


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30])
def test_voxels_that_cannot_be_worked_with(value: float) -> None:
    assert finite_voxels(np.array([-5.0, 1e6], np.float32)) and finite_voxels(np.array([3], np.int16))
    assert not finite_voxels(np.array([1.0, value, 2.0], np.float32))


def edited_nifti(file: Path, offset: int, value: float) -> None:
    """Write a float32 into the header of a NIfTI file (NIfTI-1, nifti1.h)."""
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[offset : offset + 4] = np.float32(value).tobytes()
    file.write_bytes(gzip.compress(bytes(content)))


SCALE, SPACING_X, SROW_X_SHIFT = 112, 80, 292


@pytest.mark.parametrize(
    ("offset", "value"),
    [(SCALE, 1e38), (SPACING_X, INF), (SPACING_X, NAN), (SROW_X_SHIFT, INF), (SROW_X_SHIFT, 1e30)],
)
def test_headers_that_make_numbers_overflow_are_refused(
    study_folder: Path, offset: int, value: float
) -> None:
    edited_nifti(study_folder / "T2WI.nii.gz", offset, value)
    with pytest.raises(StudyError, match=r"T2WI\.nii\.gz"):
        read_study_folder(study_folder)


def test_a_volume_of_a_scene_lies_where_a_scanner_may_be() -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    scene, image = mrml.new_scene(), made_study().images["T2WI"].image
    image.SetOrigin((0.0, 1e38, 0.0))
    mrml.add_volume(scene, image, "T2WI")
    with pytest.raises(StudyError, match="'T2WI' of the scene has a position that no scanner gives"):
        study_from_scene(scene, "S1", "scene")


# --- intensity limits


@pytest.mark.parametrize("limits", ["[NaN, 5]", "[0, Infinity]", "[-1e308, 1e308]", "[0, 1e999]", '"12"'])
def test_limits_of_a_folder_are_finite(study_folder: Path, limits: str) -> None:
    (study_folder / "acquisition.json").write_text(f'{{"DWI": {{"intensity_limits": {limits}}}}}')
    with pytest.raises(StudyError, match=r"acquisition\.json"):
        read_study_folder(study_folder)


@pytest.mark.parametrize("limits", ["nan nan", "0 inf", "5 5", "9 3", "0", "0 1 2", "low high"])
def test_limits_of_a_scene_are_finite(limits: str) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    scene = mrml.new_scene()
    node = mrml.add_volume(scene, made_study().images["T2WI"].image, "T2WI")
    node.SetAttribute(attributes.INTENSITY_LIMITS, limits)
    with pytest.raises(StudyError, match=r"'T2WI' of the scene has intensity limits"):
        study_from_scene(scene, "S1", "scene")


# --- transforms


def affine(*diagonal: float, shift: float = 0.0) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(np.diag(diagonal).ravel().tolist())
    transform.SetTranslation((shift, 0.0, 0.0))
    return transform


def deformation(value: float) -> sitk.Transform:
    field = np.zeros((4, 4, 4, 3))
    field[1, 2, 3, 0] = value
    return sitk.DisplacementFieldTransform(sitk.GetImageFromArray(field, isVector=True))


def spoiled_spline() -> sitk.Transform:
    transform = bspline()
    transform.SetParameters([NAN, *transform.GetParameters()[1:]])
    return transform


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (affine(1, 1, 0), "scales by 0 to 1"),
        (affine(1e3, 1e-3, 1), "scales by"),
        (affine(1e-3, 1e-3, 1e-3), "scales by"),
        (affine(-1, 1, 1), "mirror"),
        (affine(1, NAN, 1), "not numbers"),
        (affine(1, 1, 1, shift=INF), "not numbers"),
        (affine(1, 1, 1, shift=1e38), r"moves by 1e\+35 m"),
        (sitk.Euler3DTransform((1e30, 0, 0), 0.0, 0.0, 0.1), "moves by .* m, as nothing between images"),
        (deformation(-1e38), "moves by"),
        (sitk.CompositeTransform([sitk.Euler3DTransform(), deformation(2e5)]), "moves by 200 m"),
        (deformation(NAN), "not numbers"),
        (spoiled_spline(), "not numbers"),
        (sitk.CompositeTransform([sitk.Euler3DTransform(), deformation(INF)]), "not numbers"),
        (sitk.Euler2DTransform(), "2 dimensions"),
    ],
)
def test_transforms_that_no_patient_undergoes(transform: sitk.Transform, said: str) -> None:
    with pytest.raises(StudyError, match=f"way .*{said}"):
        checked_transform(transform, "way")


@pytest.mark.parametrize("transform", [affine(1.2, 0.8, 1, shift=30), deformation(9.0), bspline()])
def test_transforms_of_patients_are_left_alone(transform: sitk.Transform) -> None:
    assert checked_transform(transform, "way") is transform


def test_a_direction_that_itk_cannot_invert_is_no_place() -> None:
    image = sitk.Image(4, 4, 4, sitk.sitkUInt8)
    assert finite_place(image)
    image.SetSpacing((1, 1, 2))
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.25, 0, 2.3e-308).GetMatrix())
    assert not finite_place(image)


def test_a_singular_transform_of_a_folder_is_refused(study_folder: Path) -> None:
    (study_folder / "transforms").mkdir()
    sitk.WriteTransform(affine(1, 0, 1), study_folder / "transforms" / "DWI.tfm")
    with pytest.raises(StudyError, match=r"DWI\.tfm scales by 0"):
        read_study_folder(study_folder)


@pytest.mark.parametrize(
    "matrix", [np.diag([1.0, 0, 1, 1]), np.diag([1, NAN, 1, 1]), np.diag([9.0, 9, 9, 1])]
)
def test_a_singular_transform_of_a_scene_is_refused(matrix: np.ndarray) -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    assert slicer
    scene = mrml.new_scene()
    nodes = [mrml.add_volume(scene, made_study().images[name].image, name) for name in ("T2WI", "LAP")]
    node = mrml.add_transform(scene, sitk.Transform(3, sitk.sitkIdentity), "way")
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    nodes[1].SetAndObserveTransformNodeID(node.GetID())
    with pytest.raises(StudyError, match=r"Transform 'way'|The transform from 'T2WI' to 'LAP'"):
        study_from_scene(scene, "S1", "scene")


# --- results


def test_results_never_hold_a_number_that_is_none() -> None:
    result = made_result(made_study())
    task = replace(answer("W7", "HCC"), std={"HCC": NAN})
    spoiled_result = replace(result, lesions=(replace(result.lesions[0], tasks={"type": task}),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        spoiled_result.to_json()
    with pytest.raises(StudyError, match="not numbers"):
        StudyResult.from_dict(spoiled_result.to_dict())
    with pytest.raises(StudyError, match="not numbers"):
        StudyResult.from_dict(
            json.loads(result.to_json().replace('"volume_ml": ', '"volume_ml": NaN, "x": '))
        )


# --- settings


@pytest.mark.parametrize("value", [NAN, INF])
def test_settings_of_a_bundle_are_finite(tmp_path: Path, value: float) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    content = json.loads((bundle / METADATA).read_text(encoding="utf-8"))
    content["liver_lesion"]["patches"]["spacing_mm"] = value
    (bundle / METADATA).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"patches: .*not finite"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"optimisation": {"learning_rate": INF}},
        {"optimisation": {"weight_decay": NAN}},
        {"patches": {"margin_mm": NAN}},
        {"augmentation": {"gain": INF}},
        {"variants": {"rotation_deg": [0, 0, INF]}},
    ],
)
def test_settings_of_a_training_are_finite(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_config(tmp_path / "c.yaml", settings(tmp_path / "cohort.csv", **change))
    with pytest.raises(ConfigError, match=rf"{next(iter(change))}.*finite"):
        read_config(path)
