"""Cropping a lesion: the three rules, physical space, borders, the annotation channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import tilts

from LiverLesionAI.errors import PatchError, StudyError
from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inputs.intensity import intensity_limits, percentiles_of, with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchParameters, PatchPose, crop_side_mm
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.study import SequenceImage, Study

W = PatchParameters()


def _geometry(diameter: float) -> LesionGeometry:
    return LesionGeometry(diameter, 1.0, (0.0, 0.0, 0.0), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("diameter", "side"), [(6, 32), (15.99, 32), (16, 64), (31.99, 64), (32, 48), (60, 76)]
)
def test_crop_rules_and_their_boundaries(diameter: float, side: float) -> None:
    assert crop_side_mm(_geometry(diameter), diameter, W) == side


def test_a_flat_but_tall_lesion_still_fits_its_crop() -> None:
    assert crop_side_mm(_geometry(10), 50, W) == 50


@pytest.mark.parametrize("radius", [5.0, 12.0, 25.0])
def test_the_ball_is_where_and_as_large_as_it_should_be(ball_study, radius: float) -> None:
    lesion = extract_patches(ball_study(radius), 1, ("T2WI", "DWI", "LAP"), W)
    assert lesion.patches.shape == (3, 2, 64, 64, 64)
    assert lesion.patches.dtype == np.float32
    for image, annotation in lesion.patches:
        for channel in (image, annotation):
            volume = (channel > 0.5).sum() * (lesion.crop_mm / 64) ** 3
            assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.4)
            centre = np.argwhere(channel > 0.5).mean(axis=0)
            assert np.abs(centre - 31.5).max() * lesion.crop_mm / 64 < 3.5


def test_images_and_annotation_stay_in_zero_to_one(ball_study) -> None:
    lesion = extract_patches(ball_study(), 1, ("T2WI", "DWI"), replace(W, intensity="percentile"))
    assert lesion.patches.min() >= 0 and lesion.patches.max() <= 1


@settings(max_examples=15)
@given(
    angles=tilts(400),
    flips=st.tuples(*[st.booleans()] * 3),
    spacing=st.tuples(st.floats(0.8, 1.6), st.floats(0.8, 1.6), st.floats(2.0, 5.0)),
    offset=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_the_patch_shows_patient_space_whatever_the_grid(angles, flips, spacing, offset) -> None:
    """The same two balls, on an oblique and flipped grid: the smaller one stays left-anterior-superior."""
    axes = np.asarray(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    direction = (axes * np.where(flips, -1.0, 1.0)).ravel()
    size = np.ceil(np.array([90.0, 90.0, 90.0]) / spacing).astype(int)
    middle = np.asarray(offset, float)
    origin = middle - direction.reshape(3, 3) @ ((size - 1) / 2 * np.asarray(spacing))
    grid = {"origin": tuple(origin), "direction": tuple(direction)}
    toward = axes @ np.array([14.0, -14.0, 14.0])
    lesion = ball_image(tuple(map(int, size)), spacing, tuple(middle), 10, **grid)
    marker = ball_image(
        tuple(map(int, size)), spacing, tuple(middle + toward), 6, **grid, inside=300, outside=0
    )
    study = Study(
        "S", "made up", {"T2WI": SequenceImage(marker)}, lesions=sitk.Cast(lesion > 50, sitk.sitkUInt8)
    )
    patch = extract_patches(study, 1, ("T2WI",), W).patches[0, 0]
    z, y, x = np.argwhere(patch > 0.5).mean(axis=0) - 31.5
    assert (
        x == pytest.approx(14, abs=2.5)
        and y == pytest.approx(-14, abs=2.5)
        and z == pytest.approx(14, abs=3.5)
    )


def test_a_patch_lies_in_physical_space_on_its_image(ball_study) -> None:
    lesion = extract_patches(ball_study(12.0), 1, ("LAP",), W)
    patch = lesion.grid.image(lesion.patches[0, 0])
    centre = patch.TransformContinuousIndexToPhysicalPoint(
        np.argwhere(sitk.GetArrayFromImage(patch) > 0.5).mean(axis=0)[::-1].tolist()
    )
    assert np.allclose(centre, (60.0, 70.0, 50.0), atol=1.5)


def test_outside_the_image_is_zero() -> None:
    image = ball_image((40, 40, 20), (1.0, 1.0, 2.0), (2.0, 20.0, 20.0), 8, outside=50)
    study = Study(
        "S", "made up", {"T2WI": SequenceImage(image)}, lesions=sitk.Cast(image > 70, sitk.sitkUInt8)
    )
    patch = extract_patches(study, 1, ("T2WI",), W).patches[0, 0]
    assert (patch[:, :, 0] == 0).all()
    assert patch.max() == 1


def test_a_transform_is_applied_once_and_in_the_resampling_direction(ball_study) -> None:
    study = ball_study(10.0)
    shift = np.array([9.0, -6.0, 7.0])
    moved = sitk.Image(study.images["LAP"].image)
    moved.SetOrigin((np.asarray(moved.GetOrigin()) + shift).tolist())
    transform = sitk.TranslationTransform(3, shift.tolist())
    images = {**study.images, "LAP": SequenceImage(moved, transform)}
    expected = extract_patches(study, 1, ("LAP",), W).patches
    found = extract_patches(replace(study, images=images), 1, ("LAP",), W).patches
    assert np.allclose(found, expected, atol=1e-5)


def test_an_outline_of_its_own_is_used_for_its_sequence(ball_study) -> None:
    study = ball_study(10.0)
    smaller = ball_image((56, 56, 16), (2.6, 2.6, 7.0), (60.0, 70.0, 50.0), 6)
    study = replace(study, outlines={"DWI": sitk.Cast(smaller > 50, sitk.sitkUInt16)})
    lesion = extract_patches(study, 1, ("T2WI", "DWI", "LAP"), W)
    volumes = (lesion.patches[:, 1] > 0.5).sum(axis=(1, 2, 3))
    assert volumes[1] < 0.5 * volumes[0]
    assert volumes[2] == volumes[0]


@pytest.mark.parametrize("voxels", [[(4, 20, 20)], [(4, 20, 20), (4, 20, 26)], [(0, 0, 0)], [(8, 39, 39)]])
def test_one_voxel_several_components_and_corners_work(voxels) -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(100, 10, (9, 40, 40)).astype(np.float32))
    mask = np.zeros((9, 40, 40), np.uint8)
    for voxel in voxels:
        mask[voxel] = 1
    lesions = sitk.GetImageFromArray(mask)
    for grid in (image, lesions):
        grid.SetSpacing((0.4, 0.4, 7.0))
    study = Study("S", "made up", {"T2WI": SequenceImage(image)}, lesions=lesions)
    lesion = extract_patches(study, 1, ("T2WI",), W)
    assert lesion.patches[0, 1].max() > 0.01
    assert lesion.crop_mm == 32


def test_a_lesion_larger_than_the_image_works() -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(100, 10, (10, 30, 30)).astype(np.float32))
    lesions = sitk.GetImageFromArray(np.ones((14, 90, 90), np.uint8))
    lesions.SetOrigin((-30, -30, -2))
    study = Study("S", "made up", {"T2WI": SequenceImage(image)}, lesions=lesions)
    lesion = extract_patches(study, 1, ("T2WI",), W)
    assert lesion.crop_mm == 106 and lesion.patches[0, 0].max() > 0


def test_absent_and_uncovered_sequences_are_told_apart_from_present_ones(ball_study) -> None:
    study = ball_study(10.0)
    elsewhere = ball_image((20, 20, 20), (1.0, 1.0, 1.0), (10.0, 10.0, 10.0), 5, origin=(500.0, 0.0, 0.0))
    far = sitk.Image(elsewhere)
    study = replace(study, images={**study.images, "DP": SequenceImage(far)})
    lesion = extract_patches(study, 1, ("T2WI", "ADC", "DP"), W)
    assert lesion.present == (True, False, False)
    assert not lesion.patches[1:].any()
    assert len(lesion.warnings) == 1 and "DP" in lesion.warnings[0]


def test_no_sequence_over_the_lesion_is_an_error(ball_study) -> None:
    with pytest.raises(PatchError, match="HBP"):
        extract_patches(ball_study(), 1, ("HBP",), W)
    with pytest.raises(StudyError, match="no segmented lesions"):
        extract_patches(replace(ball_study(), lesions=None), 1, ("T2WI",), W)


def test_limits_are_measured_once_and_carried(ball_study) -> None:
    study = with_intensity_limits(ball_study(), W)
    assert all(image.intensity_limits == (20.0, 100.0) for image in study.images.values())
    partial = SequenceImage(study.images["DWI"].image, intensity_limits=(0.0, 400.0))
    assert intensity_limits(partial, W) == (0.0, 400.0)


def test_limits_of_an_almost_constant_image_fall_back_to_its_extremes() -> None:
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[0, 0, 0] = 5
    image = SequenceImage(sitk.GetImageFromArray(voxels))
    assert intensity_limits(image, replace(W, intensity="percentile")) == (0.0, 5.0)


def test_nearest_and_linear_sampling_differ_and_nearest_keeps_values(ball_study) -> None:
    study = ball_study(20.0)
    nearest = extract_patches(study, 1, ("T2WI",), W).patches[0, 0]
    linear = extract_patches(study, 1, ("T2WI",), replace(W, interpolation="linear")).patches[0, 0]
    assert not np.array_equal(nearest, linear)


def test_a_pose_rotates_scales_and_shifts_what_is_seen(ball_study) -> None:
    study = ball_study(10.0)
    plain = extract_patches(study, 1, ("LAP",), W)
    larger = extract_patches(study, 1, ("LAP",), W, PatchPose(scale=1.25))
    assert (larger.patches[0, 0] > 0.5).sum() == pytest.approx(
        1.25**3 * (plain.patches[0, 0] > 0.5).sum(), rel=0.15
    )
    shifted = extract_patches(study, 1, ("LAP",), W, PatchPose(shift_mm=(5.0, 0.0, 0.0)))
    centres = [np.argwhere(p.patches[0, 0] > 0.5).mean(axis=0) for p in (plain, shifted)]
    assert (centres[0] - centres[1]) == pytest.approx([0, 0, 5], abs=0.7)
    turned = extract_patches(study, 1, ("LAP",), W, PatchPose(rotation_deg=(0, 0, 30)))
    assert not np.array_equal(turned.patches, plain.patches)


def test_a_margin_only_counts_for_large_lesions(ball_study) -> None:
    pose = PatchPose(margin_mm=16.0)
    assert extract_patches(ball_study(10.0), 1, ("T2WI",), W, pose).crop_mm == 64
    plain = extract_patches(ball_study(25.0), 1, ("T2WI",), W)
    wide = extract_patches(ball_study(25.0), 1, ("T2WI",), W, pose)
    assert wide.crop_mm == plain.crop_mm + 16


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32])
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 60))
@settings(max_examples=40)
def test_counted_percentiles_are_those_of_sorted_voxels(kind: type, seed: int, count: int, span: int) -> None:
    voxels = np.random.default_rng(seed).integers(0, span, (count, 3)).astype(kind)
    voxels -= kind(0) if np.dtype(kind).kind == "u" else kind(span // 2)
    for percentiles in ((0.5, 99.5), (0, 50, 100)):
        assert percentiles_of(voxels, percentiles) == tuple(np.percentile(voxels, percentiles).tolist())


def test_counted_percentiles_span_the_whole_range_of_sixteen_bits() -> None:
    voxels = np.array([-32768, 32767, 0, 1], np.int16)
    assert percentiles_of(voxels, (0, 100)) == (-32768.0, 32767.0)
