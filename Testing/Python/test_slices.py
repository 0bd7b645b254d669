"""Cross-sections of lesions: where they lie, what they show, how training varies and packs them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import tilts

from LiverLesionAI.errors import PatchError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.inputs.clinical import CODE_LENGTH, code_places, coded_patient
from LiverLesionAI.inputs.slice_batches import batch, packed
from LiverLesionAI.inputs.slice_stack import SlicePose
from LiverLesionAI.inputs.slices import SliceParameters, extract_slices, slice_stack
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.systems.recipe import Draw
from LiverLesionAI.systems.zhen2020 import Augmentation

SMALL = SliceParameters(size=75)


@settings(max_examples=30)
@given(
    angles=tilts(400),
    flips=st.tuples(*[st.booleans()] * 3),
    spacing=st.tuples(st.floats(0.8, 1.6), st.floats(0.8, 1.6), st.floats(2.0, 5.0)),
    radius=st.floats(6.0, 20.0),
)
def test_slices_hold_the_lesion_seven_millimetres_apart(angles, flips, spacing, radius) -> None:
    axes = np.asarray(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    direction = (axes * np.where(flips, -1.0, 1.0)).ravel()
    size = np.ceil(np.full(3, 90.0) / spacing).astype(int)
    origin = -direction.reshape(3, 3) @ ((size - 1) / 2 * np.asarray(spacing))
    ball = ball_image(
        tuple(map(int, size)),
        spacing,
        (0.0, 0.0, 0.0),
        radius,
        origin=tuple(origin),
        direction=tuple(direction),
    )
    lesions = sitk.Cast(ball > 50, sitk.sitkUInt8)
    stack = slice_stack(lesions, lesion_geometry(lesions, 1), SMALL)
    assert np.allclose(stack.axes @ stack.axes.T, np.eye(3)) and np.all(np.diag(stack.axes) > 0)
    centres = np.array([stack.slice_centre_lps_mm(i) for i in range(stack.count)])
    assert np.allclose(np.diff(centres, axis=0), 7 * stack.axes[:, 2])
    assert abs(stack.count - 2 * radius / 7) <= 1.3
    inside = stack.sample(lesions, None, sitk.sitkNearestNeighbor, 0.0) > 0.5
    rim = np.concatenate([inside[:, [0, -1]].ravel(), inside[:, :, [0, -1]].ravel()])
    assert inside.any() and not rim.any()


def test_a_slice_shows_patient_space(ball_study) -> None:
    """A marker to the left, in front and above of the lesion is found there, through a transform as well."""
    study = ball_study(10.0, ("T2WI",))
    marker = ball_image((140, 140, 90), (1.0, 1.0, 1.2), (69.0, 62.0, 57.0), 4, inside=300, outside=0)
    shifted = sitk.TranslationTransform(3, (5.0, -3.0, 2.0))
    moved = ball_image((140, 140, 90), (1.0, 1.0, 1.2), (74.0, 59.0, 59.0), 4, inside=300, outside=0)
    images = {
        "T2WI": study.images["T2WI"],
        "DWI": SequenceImage(marker),
        "LAP": SequenceImage(moved, shifted),
    }
    slices = extract_slices(replace(study, images=images), 1, ("DWI", "LAP"), SMALL)
    for channel in range(2):
        volume = slices.stack.image(slices.images[:, channel])
        bright = np.argwhere(sitk.GetArrayFromImage(volume) > 0.5)
        found = volume.TransformContinuousIndexToPhysicalPoint(bright.mean(axis=0)[::-1].tolist())
        assert np.allclose(found, (69.0, 62.0, 57.0), atol=(1.0, 1.0, 3.5))


def test_surroundings_are_wider_and_have_the_same_middle(ball_study) -> None:
    """A marker beyond the square around the lesion is seen by them alone, where it lies."""
    study = ball_study(10.0, ("T2WI",))
    x, y, z = extract_slices(study, 1, ("T2WI",), SMALL).stack.centre_lps_mm
    beside = (x + 38.0, y - 20.0, z)
    marker = ball_image((140, 140, 90), (1.0, 1.0, 1.2), beside, 6, inside=300, outside=0)
    shown = replace(study, images={"LAP": SequenceImage(marker)})
    slices = extract_slices(shown, 1, ("DWI", "LAP"), replace(SMALL, surroundings_mm=112.0))
    assert slices.images.max() == 0 and len(slices.surroundings) == slices.stack.count
    middle = slices.surroundings[slices.stack.count // 2]
    assert middle.side_mm == pytest.approx(112) and middle.images.shape == (2, 37, 37)
    assert middle.images[0].max() == 0
    y, x = (np.argwhere(middle.images[1] > 0.5).mean(axis=0) - 18) * 112 / 37
    assert (x, y) == pytest.approx((38, -20), abs=1.5)
    near = extract_slices(shown, 1, ("LAP",), replace(SMALL, surroundings_mm=20.0))
    assert near.surroundings[0].side_mm == pytest.approx(near.stack.side_mm)
    posed = extract_slices(shown, 1, ("LAP",), replace(SMALL, surroundings_mm=112.0), SlicePose())
    assert not posed.surroundings and not extract_slices(shown, 1, ("LAP",), SMALL).surroundings


def test_a_pose_turns_scales_and_shifts(ball_study) -> None:
    study = ball_study(10.0, ("LAP",))
    plain = extract_slices(study, 1, ("LAP",), SMALL)
    same = extract_slices(study, 1, ("LAP",), SMALL, SlicePose())
    assert np.allclose(plain.images, same.images, atol=1e-5)
    larger = extract_slices(study, 1, ("LAP",), SMALL, SlicePose(scale=1.3))
    middle = plain.stack.count // 2
    grown = (larger.images[middle, 0] > 0.5).sum() / (plain.images[middle, 0] > 0.5).sum()
    assert grown == pytest.approx(1.69, rel=0.08)
    moved = extract_slices(study, 1, ("LAP",), SMALL, SlicePose(rotation_deg=90, shift_mm=(6.0, 0.0, 0.0)))
    y, x = np.argwhere(moved.images[middle, 0] > 0.5).mean(axis=0) - 37
    assert x * plain.stack.pixel_mm == pytest.approx(0, abs=0.8)
    assert abs(y) * plain.stack.pixel_mm == pytest.approx(6, abs=0.8)
    assert moved.stack == plain.stack and len(moved.images) == len(plain.images)


def test_coarse_pixels_are_means_and_fine_ones_are_not(ball_study) -> None:
    """Checks finer than a pixel come out grey where the lesion is large, not as moiré."""
    voxels = np.indices((24, 300, 300)).sum(axis=0) % 2
    image = sitk.GetImageFromArray(voxels.astype(np.float32))
    image.SetSpacing((0.7, 0.7, 7.0))
    mask = np.zeros(voxels.shape, np.uint8)
    mask[10:14, 40:260, 40:260] = 1
    lesions = sitk.GetImageFromArray(mask)
    lesions.CopyInformation(image)
    study = Study("S", "made up", {"T2WI": SequenceImage(image)}, lesions=lesions)
    slices = extract_slices(study, 1, ("T2WI",), SMALL)
    assert slices.stack.pixel_mm > 2 and slices.images[:, 0, 10:-10, 10:-10].std() < 0.1


def test_absent_and_uncovered_sequences(ball_study) -> None:
    study = ball_study()
    far = ball_image((20, 20, 10), (1.0, 1.0, 1.0), (500.0, 500.0, 500.0), 4, origin=(490.0, 490.0, 490.0))
    study = replace(study, images={**study.images, "PVP": SequenceImage(far)})
    slices = extract_slices(study, 1, ("T2WI", "PVP", "DP"), SMALL)
    assert slices.present == (True, False, False) and not slices.images[:, 1:].any()
    assert "PVP does not cover lesion 1" in slices.warnings[0]
    with pytest.raises(PatchError, match="lies outside every sequence that the model reads"):
        extract_slices(study, 1, ("PVP", "DP"), SMALL)
    with pytest.raises(
        PatchError, match=r"none of the sequences that the model reads \(DP\); choose another"
    ):
        extract_slices(study, 1, ("DP",), SMALL)


def test_a_lesion_of_one_voxel_has_one_slice(ball_study) -> None:
    study = ball_study()
    tiny = sitk.Image(study.lesions) * 0
    tiny[40, 50, 8] = 1
    slices = extract_slices(replace(study, lesions=tiny), 1, ("T2WI",), SMALL)
    assert slices.stack.count == 1 and slices.stack.side_mm == pytest.approx(40)


def test_bytes_bring_images_and_codes_back() -> None:
    images = [np.random.default_rng(i).random((3, 75, 75)).astype(np.float32) for i in range(2)]
    codes = coded_patient({"sex": "f", "afp": 500}).codes
    stored = packed(images, codes)
    assert stored.dtype == np.uint8 and len(stored) == 2
    shown, present, clinical = batch([stored], [(True, False, True)], [Draw(variant=1)], None)
    assert np.abs(shown[0].numpy() - images[1]).max() <= 0.5 / 255 + 1e-6
    assert present.tolist() == [[True, False, True]] and np.array_equal(clinical[0].numpy(), codes)


def test_augmentation_forgets_fields_and_sequences_but_invents_nothing() -> None:
    image = np.random.default_rng(0).random((3, 75, 75)).astype(np.float32)
    codes = coded_patient({"sex": "f", "afp": 500, "age": 70}).codes
    stored = packed([image], codes)
    settings = Augmentation(sequence_dropout=0.5, field_dropout=0.3, clinical_dropout=0.2)
    draws = [Draw(0, np.random.default_rng(i)) for i in range(300)]
    shown, present, clinical = batch([stored] * 300, [(True, True, False)] * 300, draws, settings)
    assert float(shown.min()) >= 0 and float(shown.max()) <= 1
    assert present.any(dim=1).all() and not present[:, 2].any() and 0.3 < present[:, 0].float().mean() < 0.9
    for name, place in code_places().items():
        part = clinical[:, place].numpy()
        assert np.all(part.sum(axis=1) == 1)
        known = part[:, :-1].sum(axis=1)
        if name in ("sex", "afp", "age"):
            assert known.mean() == pytest.approx(0.7 * 0.8, abs=0.1)
            assert np.all(part[known == 1] == codes[place])
        else:
            assert not known.any()
    assert clinical.shape == (300, CODE_LENGTH)


@pytest.mark.parametrize(
    "wrong", [{"size": 74}, {"slice_spacing_mm": 0}, {"percentiles": (5, 5)}, {"margin_mm": -1}]
)
def test_settings_that_no_slice_can_have_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SliceParameters(**wrong)
