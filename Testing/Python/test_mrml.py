"""The bridge to MRML, on real nodes of slicer-core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_studies import (
    bspline,
    centres,
    directions,
    filled,
    grid,
    misplacement,
    rigid,
    same_voxels,
)

from LiverLesionAI import mrml
from LiverLesionAI.errors import StudyError

pytest.importorskip("slicer", reason="slicer-core is not installed")

RESOURCES = Path(__file__).parents[2] / "Resources"
few = settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))


def ras(point):
    return [-point[0], -point[1], point[2]]


def same_place(first: sitk.Image, second: sitk.Image, tolerance: float = 0.0) -> bool:
    """Whether two images have the same grid: origin and spacing in mm, directions as unit vectors."""
    return first.GetSize() == second.GetSize() and all(
        np.allclose(getattr(first, part)(), getattr(second, part)(), rtol=0, atol=tolerance)
        for part in ("GetOrigin", "GetSpacing", "GetDirection")
    )


def displacement_field() -> sitk.Transform:
    frame = grid((24, 24, 24), (10.0, 10.0, 10.0), np.eye(3), (0.0, 0.0, 0.0))
    field = sitk.TransformToDisplacementField(
        bspline(), sitk.sitkVectorFloat64, frame.GetSize(), frame.GetOrigin(), frame.GetSpacing()
    )
    return sitk.DisplacementFieldTransform(field)


# --- volumes


@few
@given(
    directions(),
    centres,
    st.sampled_from([sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkFloat64]),
)
def test_a_volume_comes_back_exactly(direction, centre, pixel):
    frame = grid((5, 4, 3), (0.7, 1.3, 4.1), direction, centre, pixel)
    voxels = np.arange(60).reshape(3, 4, 5).astype(sitk.GetArrayViewFromImage(frame).dtype)
    image = filled(frame, voxels)
    back = mrml.image_from_volume(mrml.add_volume(mrml.new_scene(), image, "LAP"))
    assert same_place(back, image, 1e-14)
    assert same_voxels(back, image)
    assert back.GetPixelID() == pixel


@few
@given(directions(), centres)
def test_every_voxel_of_a_node_lies_where_it_lies_in_the_image(direction, centre):
    import vtk

    frame = grid((5, 4, 3), (0.7, 1.3, 4.1), direction, centre)
    node, to_ras = mrml.add_volume(mrml.new_scene(), frame, "LAP"), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    for index in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (0, 0, 2), (4, 3, 2)):
        expected = ras(frame.TransformIndexToPhysicalPoint(index))
        assert np.allclose(to_ras.MultiplyPoint((*index, 1))[:3], expected, rtol=0, atol=1e-10)


def test_volumes_without_single_values_are_refused():
    import vtk

    scene = mrml.new_scene()
    empty = mrml.add_node(scene, "vtkMRMLScalarVolumeNode", "LAP")
    with pytest.raises(StudyError, match="'LAP' of the scene has no voxels"):
        mrml.image_from_volume(empty)
    data = vtk.vtkImageData()
    data.SetDimensions(2, 2, 2)
    data.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    empty.SetAndObserveImageData(data)
    with pytest.raises(StudyError, match="vectors or colours"):
        mrml.image_from_volume(empty)


# --- transforms


@pytest.mark.parametrize(
    "transform",
    [
        rigid((0.2, -0.1, 0.3), (7.0, -3.0, 12.0)),
        sitk.AffineTransform((1.1, 0.1, 0.0, -0.05, 0.9, 0.02, 0.0, 0.1, 1.05), (3.0, 4.0, 5.0)),
        sitk.CompositeTransform(
            [rigid((0.1, 0.0, 0.0), (1.0, 2.0, 3.0)), rigid((0.0, 0.2, 0.0), (0.0, 5.0, 0.0))]
        ),
        bspline(),
        displacement_field(),
        sitk.CompositeTransform([rigid((0.1, 0.0, -0.1), (5.0, 0.0, 3.0)), bspline(1)]),
    ],
    ids=["rigid", "affine", "two rigids", "b-spline", "displacement field", "rigid and b-spline"],
)
def test_a_sequence_under_its_transform_shows_in_the_reference_frame(transform):
    scene = mrml.new_scene()
    frame = grid((4, 4, 4), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    reference, sequence = mrml.add_volume(scene, frame, "T2WI"), mrml.add_volume(scene, frame, "LAP")
    sequence.SetAndObserveTransformNodeID(mrml.add_transform(scene, transform, "way").GetID())
    back = mrml.transform_between(reference, sequence)
    for point in ((0.0, 0.0, 0.0), (31.0, -22.0, 14.0), (-45.0, 30.0, -28.0)):
        in_sequence = transform.TransformPoint(point)
        assert not np.allclose(in_sequence, point, atol=0.5)
        shown = [0.0, 0.0, 0.0]
        sequence.TransformPointToWorld(ras(in_sequence), shown)
        assert np.allclose(ras(shown), point, rtol=0, atol=0.05)
        assert np.allclose(mrml.point_in_world(sequence, in_sequence), point, rtol=0, atol=0.05)
        assert np.allclose(back.TransformPoint(point), in_sequence, rtol=0, atol=1e-9)


def test_frames_that_agree_need_no_transform():
    scene = mrml.new_scene()
    frame = grid((4, 4, 4), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    first, second = mrml.add_volume(scene, frame, "T2WI"), mrml.add_volume(scene, frame, "LAP")
    assert mrml.transform_between(first, second) is None
    shared = mrml.add_transform(scene, bspline(), "both")
    for node in (first, second):
        node.SetAndObserveTransformNodeID(shared.GetID())
    assert mrml.transform_between(first, second) is None


def test_an_inverted_deformation_is_refused_with_a_way_out():
    scene = mrml.new_scene()
    frame = grid((4, 4, 4), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    reference, sequence = mrml.add_volume(scene, frame, "T2WI"), mrml.add_volume(scene, frame, "LAP")
    reference.SetAndObserveTransformNodeID(mrml.add_transform(scene, bspline(), "way").GetID())
    with pytest.raises(StudyError, match="'T2WI' to 'LAP' is stored as an inverse"):
        mrml.transform_between(reference, sequence)


# --- segmentations


@few
@given(directions(), centres)
def test_segments_keep_labels_voxels_and_grid(direction, centre):
    frame = grid((9, 8, 7), (0.7, 1.3, 4.1), direction, centre)
    voxels = np.zeros((7, 8, 9), np.uint16)
    voxels[1:3, 1:4, 2:5], voxels[5, 6, 7] = 2, 300
    labels = filled(frame, voxels)
    scene = mrml.new_scene()
    segments = [
        mrml.Segment(2, "lesion 2: HCC", (213, 94, 0), lesion="big"),
        mrml.Segment(300, "far", (1, 2, 3)),
    ]
    reference = mrml.add_volume(scene, frame, "T2WI")
    back = mrml.labels_from_segmentation(
        mrml.add_segmentation(scene, labels, "outlines", segments, reference)
    )
    assert same_voxels(back.image, labels)
    assert same_place(back.image, labels, 1e-9)
    assert back.names == {2: "big", 300: "far"}
    assert not back.overlap


def test_a_segment_drawn_as_a_surface_becomes_a_label():
    import vtk

    scene = mrml.new_scene()
    sphere = vtk.vtkSphereSource()
    sphere.SetRadius(10)
    sphere.SetPhiResolution(32)
    sphere.SetThetaResolution(32)
    sphere.Update()
    node = mrml.add_node(scene, "vtkMRMLSegmentationNode", "surface")
    node.SetSourceRepresentationToClosedSurface()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "tumour", (1.0, 0.0, 0.0))
    frame = grid((40, 40, 40), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    node.SetReferenceImageGeometryParameterFromVolumeNode(mrml.add_volume(scene, frame, "T2WI"))
    back = mrml.labels_from_segmentation(node)
    assert back.names == {1: "tumour"}
    assert misplacement(back.image, frame) < 1e-9
    assert sitk.GetArrayFromImage(back.image).sum() == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.05)


def test_overlapping_segments_of_layers_are_numbered_in_order_and_reported():
    """Slicer gives segments of different layers the same label value."""
    scene = mrml.new_scene()
    frame = grid((6, 6, 6), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    node = None
    for number, start in enumerate((1, 3)):
        voxels = np.zeros((6, 6, 6), np.uint8)
        voxels[start : start + 3, 2:4, 2:4] = 1
        other = mrml.add_segmentation(
            scene,
            filled(frame, voxels),
            "outlines",
            [mrml.Segment(1, f"tumour {number}", (9, 9, 9))],
            mrml.add_volume(scene, frame, "T2WI"),
        )
        if node is None:
            node = other
        else:
            node.GetSegmentation().AddSegment(other.GetSegmentation().GetNthSegment(0), "second")
    back = mrml.labels_from_segmentation(node)
    counts = np.bincount(sitk.GetArrayViewFromImage(back.image).ravel())
    assert counts.tolist() == [216 - 20, 8, 12]
    assert back.names == {1: "tumour 0", 2: "tumour 1"}
    assert back.overlap


def test_an_image_without_voxels_is_told() -> None:
    from vtk import vtkImageData

    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.mrml.frames import voxels_of

    with pytest.raises(StudyError, match="has no voxels"):
        voxels_of(vtkImageData())
