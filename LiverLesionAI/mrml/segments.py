"""Lesions as one segmentation node, a segment per lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.mrml.colours import LESION, terminology_entry
from LiverLesionAI.mrml.frames import image_at, numpy_matrix, ras, ras_directions, set_voxels, voxels_of
from LiverLesionAI.mrml.scene import Node, add_node, slicer_module
from LiverLesionAI.readers.segments import Segment as DescribedSegment
from LiverLesionAI.readers.segments import terminology
from LiverLesionAI.taxonomy import Code

_BINARY_LABELMAP = "Binary labelmap"
_LESION_TAG, _TITLE_TAG = "LiverLesionAI.lesion", "LiverLesionAI.title"
_CONTOUR_PIXELS = 2


@dataclass(frozen=True)
class Segment:
    """How one label of a label image shows as a segment.

    Attributes
    ----------
    label
        Value in the label image; the segment keeps it.
    name
        For people.
    colour
        sRGB in [0, 255].
    code
        Coded type of the segment.
    lesion
        The lesion's own name, kept in the file; the segment's where empty.
    segment_id
        Identifier of the segment in its node; made of the label where empty.
    """

    label: int
    name: str
    colour: tuple[int, int, int]
    code: Code = LESION
    lesion: str = ""
    segment_id: str = ""


@dataclass(frozen=True)
class SegmentedLabels:
    """A segmentation node as a label image.

    Attributes
    ----------
    image
        Label image on the segmentation's reference geometry, in the node's own frame, LPS mm.
    names
        Label to the lesion's name.
    overlap
        True where segments overlap: the voxels in common went to the later segment.
    """

    image: sitk.Image
    names: Mapping[int, str]
    overlap: bool


def add_segmentation(
    scene: Node, labels: sitk.Image, name: str, segments: Sequence[Segment], reference: Node
) -> Node:
    """Add a label image as one segmentation node, a segment per label, on the label image's own grid.

    Parameters
    ----------
    scene
        The scene.
    labels
        Label image, LPS mm, in the frame of `reference`.
    name
        The node's name.
    segments
        The labels to show.
    reference
        Volume node that the lesions were outlined on. It gets the reference-geometry role, which DICOM SEG
        export needs; its parent transform is shared.

    Returns
    -------
    vtkMRMLSegmentationNode
        As contours, not filled, in the slice views.
    """
    node = add_node(scene, "vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.AddDefaultStorageNode()
    image, segmentation = _oriented_image(labels), node.GetSegmentation()
    for segment in segments:
        segment_id = segment.segment_id or f"lesion_{segment.label}"
        segmentation.AddSegment(_vtk_segment(segment, image), segment_id)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), reference.GetID())
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    converter = slicer_module().vtkSegmentationConverter
    segmentation.SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
    )
    show_contours(node)
    return node


def show_contours(node: Node) -> None:
    """Show a segmentation node as contours in the slice views, so that what lies under it can be seen."""
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(_CONTOUR_PIXELS)


def segment_labels(node: Node) -> dict[str, int]:
    """Return segment ID to the label that the segment has in the label image of its node.

    Segments keep their label values where these are distinct, else they are numbered from 1 in order.
    """
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    labels = [segmentation.GetSegment(segment_id).GetLabelValue() for segment_id in ids]
    if len(set(labels)) < len(labels):
        labels = list(range(1, len(ids) + 1))
    return dict(zip(ids, labels, strict=True))


def described_segments(node: Node) -> list[DescribedSegment]:
    """Return what a segmentation node says of its segments, numbered by :func:`segment_labels`."""
    segmentation = node.GetSegmentation()
    found = [(label, segmentation.GetSegment(key)) for key, label in segment_labels(node).items()]
    return [
        DescribedSegment(
            label, lesion_name(each), *terminology(_tag(each, each.GetTerminologyEntryTagName()))
        )
        for label, each in found
    ]


def labels_from_segmentation(node: Node, labels: Mapping[str, int] | None = None) -> SegmentedLabels:
    """Return a segmentation node's segments as one label image.

    Parameters
    ----------
    node
        Segmentation node.
    labels
        Segment ID to the label wanted for it, segments without one being left out; by default
        :func:`segment_labels`.

    Raises
    ------
    StudyError
        If there is no segment.
    """
    segmentation = node.GetSegmentation()
    if not segmentation.GetNumberOfSegments() or not node.CreateBinaryLabelmapRepresentation():
        name = node.GetName()
        raise StudyError(f"Segmentation {name!r} of the scene has no segment; segment a lesion first.")
    labels = segment_labels(node) if labels is None else labels
    wanted = {
        label: segmentation.GetSegment(segment_id)
        for segment_id, label in labels.items()
        if segmentation.GetSegment(segment_id) is not None
    }
    grid = _common_grid(segmentation)
    kind = np.uint8 if max(wanted, default=0) < 256 else np.uint16
    array = np.zeros(grid.GetDimensions()[::-1], kind)
    overlap = False
    for label, segment in wanted.items():
        mask = _mask(segment, grid)
        overlap |= bool(array[mask].any())
        array[mask] = label
    return SegmentedLabels(
        image=_placed(array, grid),
        names={label: lesion_name(segment) for label, segment in wanted.items()},
        overlap=overlap,
    )


def style_segment(target: Any, segment: Segment) -> None:
    """Give a ``vtkSegment`` another name, colour and code; its voxels and its label stay."""
    target.SetName(segment.name)
    target.SetNameAutoGenerated(False)
    target.SetColor(*(value / 255 for value in segment.colour))
    target.SetColorAutoGenerated(False)
    target.SetTag(target.GetTerminologyEntryTagName(), terminology_entry(segment.code))
    target.SetTag(_LESION_TAG, quote(segment.lesion or segment.name))
    target.SetTag(_TITLE_TAG, quote(segment.name))


def segment_colour(segment: Any) -> tuple[int, int, int]:
    """Colour of a ``vtkSegment``, sRGB in [0, 255]."""
    red, green, blue = (round(255 * value) for value in segment.GetColor())
    return red, green, blue


def reference_volume(node: Node) -> Node | None:
    """Volume node that a segmentation was drawn on; None where unknown or `node` is no segmentation."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return None
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def _vtk_segment(segment: Segment, image: Any) -> Any:
    result = slicer_module().vtkSegment()
    result.SetLabelValue(segment.label)
    result.AddRepresentation(_BINARY_LABELMAP, image)
    style_segment(result, segment)
    return result


def _oriented_image(labels: sitk.Image) -> Any:
    image = slicer_module().vtkOrientedImageData()
    array = sitk.GetArrayViewFromImage(labels)
    set_voxels(image, array.astype(np.uint8 if array.max(initial=0) < 256 else np.uint16))
    image.SetSpacing(labels.GetSpacing())
    image.SetOrigin(ras(labels.GetOrigin()))
    image.SetDirections(ras_directions(labels).tolist())
    return image


def _common_grid(segmentation: Any) -> Any:
    from LiverLesionAI.mrml import vtk_classes as vtk

    slicer = slicer_module()
    ids = vtk.vtkStringArray()
    segmentation.GetSegmentIDs(ids)
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    geometry = segmentation.DetermineCommonLabelmapGeometry(extent, ids)
    grid = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, grid, False)
    return grid


def _mask(segment: Any, grid: Any) -> np.ndarray:
    """Voxels of a segment on a grid, [z, y, x]."""
    slicer = slicer_module()
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        segment.GetRepresentation(_BINARY_LABELMAP), grid, resampled
    )
    return voxels_of(resampled) == segment.GetLabelValue()


def _placed(array: np.ndarray, grid: Any) -> sitk.Image:
    from LiverLesionAI.mrml import vtk_classes as vtk

    to_ras, directions = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    grid.GetImageToWorldMatrix(to_ras)
    grid.GetDirectionMatrix(directions)
    corner = numpy_matrix(to_ras) @ (*grid.GetExtent()[::2], 1)
    return image_at(array, corner[:3].tolist(), grid.GetSpacing(), numpy_matrix(directions)[:3, :3])


def lesion_name(segment: Any) -> str:
    """The lesion's own name of a ``vtkSegment``, without its class; a name given by hand since counts."""
    shown = segment.GetName()
    own, title = _tag(segment, _LESION_TAG), _tag(segment, _TITLE_TAG)
    return own if own and title in (shown, "") else shown


def _tag(segment: Any, name: str) -> str:
    from LiverLesionAI.mrml import vtk_classes as vtk

    value = vtk.reference("")
    return unquote(str(value)) if segment.GetTag(name, value) else ""
