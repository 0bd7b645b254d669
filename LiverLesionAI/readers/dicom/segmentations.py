"""DICOM segmentations as lesion masks (DICOM PS3.3, A.51; label maps: Supplement 243), with highdicom."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import frames_of, text
from LiverLesionAI.readers.dicom.instances import dicom_source
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.mask_files import overlap_warning
from LiverLesionAI.readers.masks import Outlined
from LiverLesionAI.readers.native import refuse_memory_short
from LiverLesionAI.readers.segments import Segment, lesions_among
from LiverLesionAI.study import DicomSource

_BACKGROUND = "125040"
"""Code (DCM) of what label maps describe beside their segments."""


@dataclass(frozen=True)
class Segmentation:
    """Lesions that a DICOM object outlines.

    Attributes
    ----------
    file
        Where it lies.
    lesions
        Lesions 1…N in the order of the segments.
    dicom
        The object itself: its study, frame of reference and patient.
    source_series, source_instances
        Series and SOP instances that it was drawn on, as far as it says.
    """

    file: Path
    lesions: Outlined
    dicom: DicomSource
    source_series: tuple[str, ...] = ()
    source_instances: frozenset[str] = frozenset()


def read_segmentation(file: Path) -> Segmentation:
    """Read the lesions of a DICOM segmentation: binary, fractional (from one half on) or a label map.

    Parameters
    ----------
    file
        The DICOM file.

    Returns
    -------
    Segmentation
        On the segmentation's own grid, which may leave out slices at both ends.

    Raises
    ------
    NoLesionError
        If all its segments are organs.
    DicomError
        If the file cannot be read, or its segments are empty.
    """
    try:
        import highdicom
    except ImportError:
        raise DicomError(f"{file} needs highdicom to be read; install liverlesionai[dicom].") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = highdicom.seg.Segmentation.from_dataset(open_dicom(file), copy=False)
            described = [_segment(item) for item in dataset.SegmentSequence]
            source = dicom_source(frames_of(dataset, file))
            series, instances = _source_series(dataset), frozenset(_source_instances(dataset))
        except Exception as error:
            raise _unreadable(file, error) from None
        segments = [each for each in described if _BACKGROUND not in each.codes and each.number > 0]
        chosen, said = lesions_among(segments, file)
        try:
            labels, overlap = _combined(dataset, chosen)
        except RuntimeError as error:
            refuse_memory_short(error, file)
            raise DicomError(f"The frames of {file} make no regular volume; export it again.") from None
        except Exception as error:
            raise _unreadable(file, error) from None
    if not sitk.GetArrayViewFromImage(labels).any():
        raise DicomError(f"{file} is an empty segmentation, no voxel is labelled; segment a lesion.")
    names = {label: segment.name for label, segment in enumerate(chosen, start=1) if segment.name}
    return Segmentation(
        file=file,
        lesions=Outlined(labels, names, (*said, overlap_warning(file)) if overlap else said),
        dicom=source,
        source_series=series,
        source_instances=instances,
    )


def _segment(item: Any) -> Segment:
    keywords = ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")
    codes = [code for keyword in keywords for code in item.get(keyword) or ()]
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or ()
    return Segment(
        number=int(item.SegmentNumber),
        name=text(item.get("SegmentLabel")),
        codes=frozenset(text(code.get("CodeValue")) for code in codes),
        kind=" ".join(text(code.get("CodeMeaning")) for code in kinds),
    )


def _combined(dataset: Any, chosen: Sequence[Segment]) -> tuple[sitk.Image, bool]:
    """One label image of segments, and whether they overlap; one segment after the other is unpacked."""
    labels, affine, overlap = None, None, False
    for label, segment in enumerate(chosen, start=1):
        volume = dataset.get_volume(
            segment_numbers=[segment.number],
            combine_segments=False,
            rescale_fractional=True,
            allow_missing_positions=True,
        )
        here = volume.array[..., 0] >= 0.5
        if labels is None:
            labels, affine = np.zeros(here.shape, np.uint16), volume.affine
        overlap |= bool(labels[here].any())
        labels[here] = label
    assert labels is not None and affine is not None
    return _image(labels, affine), overlap


def _image(labels: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Image of an array whose axes run as the columns of the affine (LPS mm): slices, rows, columns."""
    image = sitk.GetImageFromArray(labels)
    axes = affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _source_series(dataset: Any) -> tuple[str, ...]:
    items = dataset.get("ReferencedSeriesSequence") or ()
    return tuple(dict.fromkeys(uid for item in items if (uid := text(item.get("SeriesInstanceUID")))))


def _source_instances(dataset: Any) -> Iterator[str]:
    """SOP instances that the frames were derived from (PS3.3, C.7.6.16.2.6)."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for groups in (*shared, *(dataset.get("PerFrameFunctionalGroupsSequence") or ())):
        for derivation in groups.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                if uid := text(source.get("ReferencedSOPInstanceUID")):
                    yield uid


def _unreadable(file: Path, error: Exception) -> DicomError:
    if isinstance(error, DicomError):
        return error
    refuse_memory_short(error, file)
    reason = type(error).__name__
    return DicomError(f"{file} cannot be read as a DICOM segmentation ({reason}); export it again.")


def on_grid_of(labels: sitk.Image, grids: Sequence[sitk.Image]) -> sitk.Image:
    """Return the labels on the first of the grids that they are part of, voxel for voxel, else unchanged."""
    for grid in grids:
        if _is_part_of(labels, grid):
            return sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    return labels


def _is_part_of(labels: sitk.Image, grid: sitk.Image) -> bool:
    if not np.allclose(np.abs(_axes(labels).T @ _axes(grid)), np.eye(3), atol=1e-3):
        return False
    if not np.allclose(labels.GetSpacing(), grid.GetSpacing(), rtol=1e-3):
        return False
    for corner in np.ndindex(2, 2, 2):
        voxel = [int(c) * (size - 1) for c, size in zip(corner, labels.GetSize(), strict=True)]
        point = labels.TransformIndexToPhysicalPoint(voxel)
        index = np.asarray(grid.TransformPhysicalPointToContinuousIndex(point))
        inside = (index > -0.5).all() and (index < np.asarray(grid.GetSize()) - 0.5).all()
        if not inside or np.abs(index - np.round(index)).max() > 0.05:
            return False
    return True


def _axes(image: sitk.Image) -> np.ndarray:
    return np.reshape(image.GetDirection(), (3, 3))
