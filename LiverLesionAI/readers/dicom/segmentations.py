"""DICOM segmentations as lesion masks (DICOM PS3.3, A.51), read with highdicom."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import SEGMENTATION, Frame, text
from LiverLesionAI.readers.dicom.scan import is_dicom, read_header

_ABNORMAL = {"49755003", "M-01000", "4147007", "M-03000", "108369006", "M-8000/1", "52988006", "M-01100"}
"""Codes (SNOMED CT and the older SRT) of morphologically abnormal structure, mass, neoplasm and lesion."""

_LESION_WORDS = re.compile(
    r"lesi|l[aä]sion|tumou?r|mass\b|hcc|icc|metast|cyst|zyste|kyste|h[ae]*mangiom|fnh|abs[cz]e|nodul|knoten|病灶|肿瘤|腫瘍",
    re.IGNORECASE,
)
_ORGAN_WORDS = re.compile(
    r"liver|leber|foie|hepar|肝|spleen|kidney|vessel|vein|artery|gallbladder", re.IGNORECASE
)


class NoLesionError(DicomError):
    """A segmentation outlines no lesion."""


@dataclass(frozen=True)
class Segmentation:
    """Lesions of a DICOM segmentation.

    Attributes
    ----------
    file
        Where it lies.
    labels
        Label image: lesions 1…N in the order of the segments.
    names
        Label to the segment's label.
    source_series
        Series that the segmentation was drawn on, as far as it says.
    warnings
        In words.
    """

    file: Path
    labels: sitk.Image
    names: dict[int, str]
    source_series: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def is_segmentation(file: Path) -> bool:
    """Whether a file is a DICOM segmentation."""
    if not file.is_file() or not is_dicom(file):
        return False
    header = read_header(file)
    return header is not None and str(header.get("SOPClassUID")) == SEGMENTATION


def segmentations_among(frames: Sequence[Frame]) -> tuple[Path, ...]:
    """Files of a scan that are segmentations."""
    return tuple(frame.file for frame in frames if frame.sop_class == SEGMENTATION)


def read_segmentation(file: Path) -> Segmentation:
    """Read the lesions of a DICOM segmentation.

    Segments that are coded or named as lesions are taken; where none is, all that are not named as an organ.

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
            dataset = highdicom.seg.segread(str(file))
            segments = _lesion_segments(dataset.SegmentSequence)
        except Exception as error:
            raise _unreadable(file, error) from None
        if not segments:
            raise NoLesionError(f"{file} holds organs, no lesion; segment the lesions or give --mask.")
        try:
            volume = dataset.get_volume(
                segment_numbers=[number for number, _ in segments],
                combine_segments=False,
                rescale_fractional=True,
                allow_missing_positions=True,
            )
        except Exception as error:
            raise _unreadable(file, error) from None
    labels, overlap = _combined(volume.array)
    if not labels.any():
        raise DicomError(f"{file} is an empty segmentation, no voxel is labelled; segment a lesion.")
    said = (f"Segments of {file.name} overlap: common voxels went to the later one.",) if overlap else ()
    return Segmentation(
        file=file,
        labels=_image(labels, volume.affine),
        names={label: name for label, (_, name) in enumerate(segments, start=1) if name},
        source_series=_source_series(dataset),
        warnings=said,
    )


def _lesion_segments(sequence: Sequence[Any]) -> list[tuple[int, str]]:
    """Number and label of the segments that are lesions."""
    described = [(int(item.SegmentNumber), text(item.get("SegmentLabel")), _codes(item)) for item in sequence]
    lesions = [
        (n, label) for n, label, codes in described if codes & _ABNORMAL or _LESION_WORDS.search(label)
    ]
    if lesions:
        return lesions
    return [(n, label) for n, label, _ in described if not _ORGAN_WORDS.search(label)]


def _codes(segment: Any) -> set[str]:
    codes = set()
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        for item in segment.get(keyword) or ():
            codes.add(text(item.get("CodeValue")))
    return codes


def _combined(segments: np.ndarray) -> tuple[np.ndarray, bool]:
    """One label image of an array ``[z, y, x, segment]`` of 0…1, and whether segments overlap."""
    masks = segments >= 0.5
    labels = np.zeros(masks.shape[:3], np.uint16)
    for index in range(masks.shape[3]):
        labels[masks[..., index]] = index + 1
    return labels, bool((masks.sum(axis=3) > 1).any())


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
    return tuple(dict.fromkeys(text(item.get("SeriesInstanceUID")) for item in items))


def _unreadable(file: Path, error: Exception) -> DicomError:
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
