"""Lesion masks in image files: label images, and segmentations as Slicer saves them (``.seg.nrrd``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.readers.images import labels_of, read_voxels
from LiverLesionAI.readers.masks import Outlined
from LiverLesionAI.readers.naming import name_in_results
from LiverLesionAI.readers.segments import Segment, lesions_among, terminology

_SEGMENT_KEY = re.compile(r"Segment(\d+)_(ID|Name|LabelValue|Layer|Tags)")
_TERMINOLOGY = re.compile(r"TerminologyEntry:([^|]*)")


@dataclass(frozen=True)
class _Stored:
    """A segment, and by which value in which component of the image it is stored."""

    segment: Segment
    layer: int
    value: int


def read_mask(path: Path) -> Outlined:
    """Read a lesion mask.

    Parameters
    ----------
    path
        A label image (0 is background, 1…N are lesions), or a segmentation that Slicer saved, whose segments
        may overlap in several layers.

    Returns
    -------
    Outlined
        As it was stored, not yet :func:`~LiverLesionAI.readers.masks.judged`; of overlapping segments the
        later one has the voxels in common.

    Raises
    ------
    StudyError
        If the file is no 3D image of labels, or no voxel is labelled.
    NoLesionError
        If all segments are organs.
    """
    image = read_voxels(path)
    stored = _stored_segments(image)
    layers = image.GetNumberOfComponentsPerPixel()
    if not stored:
        if layers > 1 and not path.name.lower().endswith(".seg.nrrd"):
            raise StudyError(
                f"{path} is a colour or vector image; a sequence or mask has one value per voxel."
            )
        if layers == 1:
            return Outlined(labels_of(image, path))
        stored = _nameless(image)
    chosen, warnings = lesions_among([each.segment for each in stored], path)
    numbers = {segment.number for segment in chosen}
    return _combined(image, [each for each in stored if each.segment.number in numbers], warnings, path)


def _stored_segments(image: sitk.Image) -> list[_Stored]:
    """Segments as Slicer's NRRD fields describe them (``vtkMRMLSegmentationStorageNode``), in their order."""
    fields: dict[int, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        if match := _SEGMENT_KEY.fullmatch(key):
            fields.setdefault(int(match[1]), {})[match[2]] = image.GetMetaData(key)
    layers = image.GetNumberOfComponentsPerPixel()
    return [_stored(number, said, layers) for number, said in sorted(fields.items())]


def _stored(index: int, said: dict[str, str], layers: int) -> _Stored:
    """A segment; older files give neither layer nor value, and keep each segment as ones in its own layer."""
    own_layer = layers > 1 and "Layer" not in said and "LabelValue" not in said
    layer, value = (index, 1) if own_layer else (0, index + 1)
    entry = _TERMINOLOGY.search(said.get("Tags", ""))
    codes, kind = terminology(entry[1] if entry else "")
    segment = Segment(index + 1, " ".join(said.get("Name", "").split()), codes, kind)
    return _Stored(segment, _number(said.get("Layer"), layer), _number(said.get("LabelValue"), value))


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.strip().isdecimal() else default


def _nameless(image: sitk.Image) -> list[_Stored]:
    """A segment for every value of every layer, where the file describes none."""
    layers = np.moveaxis(sitk.GetArrayViewFromImage(image), -1, 0)
    found = [(layer, int(value)) for layer, each in enumerate(layers) for value in np.unique(each[each > 0])]
    return [
        _Stored(Segment(number, ""), layer, value) for number, (layer, value) in enumerate(found, start=1)
    ]


def _combined(
    image: sitk.Image, stored: Sequence[_Stored], warnings: tuple[str, ...], path: Path
) -> Outlined:
    """One label image: segments keep their values where these are distinct, else they are numbered from 1."""
    voxels = sitk.GetArrayViewFromImage(image)
    layers = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
    values = [each.value for each in stored]
    distinct = len(set(values)) == len(values) and min(values) > 0 and max(values) <= np.iinfo(np.uint16).max
    labels = np.zeros(voxels.shape[:3], np.uint16)
    names, overlap = {}, False
    for number, each in enumerate(stored, start=1):
        if each.layer >= len(layers):
            raise StudyError(f"{path} lacks a layer of segment {each.segment.title}; export it again.")
        here = layers[each.layer] == each.value
        if not here.any():
            empty = f"Segment {each.segment.title} of {name_in_results(path)} is empty and was left out."
            warnings = (*warnings, empty)
            continue
        overlap |= bool(labels[here].any())
        label = each.value if distinct else number
        labels[here] = label
        if each.segment.name:
            names[label] = each.segment.name
    if overlap:
        warnings = (*warnings, overlap_warning(path))
    combined = sitk.GetImageFromArray(labels)
    combined.CopyInformation(image)
    return Outlined(combined, names, warnings)


def overlap_warning(what: Path | str) -> str:
    """What is said of segments that overlap in a label image."""
    return f"Segments of {name_in_results(what)} overlap: common voxels went to the later one."
