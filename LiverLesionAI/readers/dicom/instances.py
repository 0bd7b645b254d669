"""Which DICOM instance shows which slice of an image that another program loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import Frame, frames_of
from LiverLesionAI.readers.dicom.scan import read_header
from LiverLesionAI.study import DicomSource

SAME_SLICE = 0.1
"""A frame may lie this part of a voxel beside its slice."""


def source_of(image: sitk.Image, files: Sequence[Path]) -> DicomSource:
    """Find the frame of every slice of an image by its place.

    Parameters
    ----------
    image
        LPS mm, on the grid of the series: neither resampled nor cut.
    files
        The files that it was loaded from, in any order.

    Raises
    ------
    DicomError
        If a file cannot be read, or the slices are not those of the files one by one.
    """
    slices: dict[int, Frame] = {}
    for frame in _frames(files):
        index = _slice_of(frame, image)
        if index is None:
            raise DicomError(f"{frame.file.name} is no slice of the image that was loaded from it.")
        if index in slices:
            raise DicomError(f"{frame.file.name} and {slices[index].file.name} show the same slice.")
        slices[index] = frame
    missing = image.GetDepth() - len(slices)
    if missing:
        raise DicomError(f"the files of {missing} of {image.GetDepth()} slices are missing.")
    ordered = [slices[index] for index in range(image.GetDepth())]
    if len({frame.series_uid for frame in ordered}) > 1:
        raise DicomError("the slices come from several series.")
    return dicom_source(ordered)


def dicom_source(frames: Sequence[Frame]) -> DicomSource:
    """Where slices stand in DICOM, in the order of the frames given, all of one series."""
    first = frames[0]
    return DicomSource(
        series_uid=first.series_uid,
        files=tuple(frame.file for frame in frames),
        frames=tuple(frame.number for frame in frames),
        study_uid=first.study_uid,
        frame_of_reference=next((f.frame_of_reference for f in frames if f.frame_of_reference), ""),
        identity=first.identity,
    )


def _frames(files: Sequence[Path]) -> list[Frame]:
    frames: list[Frame] = []
    for file in dict.fromkeys(files):
        dataset = read_header(file)
        if dataset is None:
            raise DicomError(f"{file.name} cannot be read any more.")
        frames += frames_of(dataset, file)
    return frames


def _slice_of(frame: Frame, image: sitk.Image) -> int | None:
    """Index of the slice whose corner, size and plane are those of a frame; None where there is none."""
    if frame.position is None or (frame.columns, frame.rows) != image.GetSize()[:2]:
        return None
    x, y, z = image.TransformPhysicalPointToContinuousIndex(frame.position)
    if max(abs(x), abs(y), abs(z - round(z))) > SAME_SLICE or not 0 <= round(z) < image.GetDepth():
        return None
    return round(z)
