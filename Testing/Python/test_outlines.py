"""Outlines carried through transforms to other grids and back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from hypothesis import example, given, settings
from hypothesis import strategies as st

from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.registration import outline_on_reference, outline_on_sequence
from LiverLesionAI.registration.outlines import inverse_within
from LiverLesionAI.study import SequenceImage


def oblique(angle: float) -> tuple[float, ...]:
    return tuple(sitk.Euler3DTransform((0, 0, 0), 0.3, 0.1, angle).GetMatrix())


@settings(max_examples=10)
@given(
    st.floats(-0.5, 0.5),
    st.tuples(*[st.floats(-15, 15)] * 3),
    st.floats(4.0, 15.0),
    st.sampled_from([3.0, 7.0]),
)
@example(0.0, (0.0, 12.0, 0.0), 10.5, 7.0)
@example(0.0, (5.0, 0.0, -5.25), 4.0, 7.0)
def test_outline_keeps_place_and_size_there_and_back(
    angle: float, shift: tuple[float, float, float], radius: float, thickness: float
) -> None:
    moved = sitk.Euler3DTransform((20.0, 20.0, 20.0), 0.1, -0.1, angle / 3, shift)
    grid = ball_image((80, 80, 14), (1.5, 1.5, 7.0), (55.0, 60.0, 48.0), radius)
    target = ball_image(
        (90, 90, int(200 / thickness)),
        (1.7, 1.7, thickness),
        (0.0, 0.0, 0.0),
        1.0,
        origin=(-20.0, -30.0, -45.0),
        direction=oblique(angle),
    )
    sequence = SequenceImage(target, moved)
    labels = sitk.Cast(grid > 50, sitk.sitkUInt8)
    there = outline_on_sequence(labels, sequence)
    before, after = lesion_geometry(labels, 1), lesion_geometry(there, 1)
    expected = moved.TransformPoint(before.centroid_lps_mm)
    half_a_slice = 3.5
    assert np.linalg.norm(np.subtract(after.centroid_lps_mm, expected)) < half_a_slice
    back = lesion_geometry(outline_on_reference(there, sequence, labels), 1)
    assert np.linalg.norm(np.subtract(back.centroid_lps_mm, before.centroid_lps_mm)) < half_a_slice
    if radius > 10:
        assert after.volume_ml == pytest.approx(before.volume_ml, rel=0.2)


def test_outline_has_no_holes_between_thick_slices() -> None:
    thick = ball_image((80, 80, 14), (1.5, 1.5, 7.0), (55.0, 60.0, 48.0), 16.0)
    thin = ball_image((100, 100, 90), (1.2, 1.2, 1.0), (0.0, 0.0, 0.0), 1.0)
    carried = outline_on_sequence(sitk.Cast(thick > 50, sitk.sitkUInt8), SequenceImage(thin))
    mask = sitk.GetArrayViewFromImage(carried) > 0
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    assert np.array_equal(slices, np.arange(slices[0], slices[-1] + 1))
    areas = mask.sum(axis=(1, 2))[slices]
    assert np.abs(np.diff(areas)).max() < 0.35 * areas.max()
    holes = sitk.BinaryFillhole(sitk.Cast(carried > 0, sitk.sitkUInt8)) != sitk.Cast(
        carried > 0, sitk.sitkUInt8
    )
    assert not sitk.GetArrayViewFromImage(holes).any()


def test_outline_stays_as_it_is_on_its_own_grid_and_small_lesions_are_not_lost() -> None:
    labels = sitk.Image([60, 60, 12], sitk.sitkUInt8)
    labels.SetSpacing((1.3, 1.3, 7.5))
    labels[30, 30, 6] = 1
    labels[10:14, 10:15, 3] = 4
    own = outline_on_sequence(labels, SequenceImage(labels, sitk.Euler3DTransform()))
    assert np.array_equal(sitk.GetArrayViewFromImage(own), sitk.GetArrayViewFromImage(labels))
    coarse = sitk.Image([16, 16, 12], sitk.sitkFloat32)
    coarse.SetSpacing((5.1, 5.1, 7.9))
    assert set(np.unique(sitk.GetArrayFromImage(outline_on_sequence(labels, SequenceImage(coarse))))) == {
        0,
        1,
        4,
    }
    coarse.SetOrigin((500.0, 0.0, 0.0))
    assert not sitk.GetArrayFromImage(outline_on_sequence(labels, SequenceImage(coarse))).any()


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_inverse_undoes_a_deformation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spline = sitk.BSplineTransform(3, 3)
    spline.SetTransformDomainOrigin((-100.0,) * 3)
    spline.SetTransformDomainPhysicalDimensions((200.0,) * 3)
    spline.SetTransformDomainMeshSize([3] * 3)
    spline.SetParameters(rng.uniform(-6, 6, len(spline.GetParameters())).tolist())
    both = sitk.CompositeTransform([sitk.TranslationTransform(3, rng.uniform(-12, 12, 3).tolist()), spline])
    inverse = inverse_within(both, np.full(3, -30.0), np.full(3, 30.0))
    for point in rng.uniform(-25, 25, (20, 3)).tolist():
        there_and_back = both.TransformPoint(inverse.TransformPoint(point))
        assert np.linalg.norm(np.subtract(there_and_back, point)) < 0.5
