"""RT structure sets as lesion masks (DICOM PS3.3, A.19): closed contours in the slices of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError, StudyError
from LiverLesionAI.readers.contours import filled
from LiverLesionAI.readers.dicom.headers import frames_of, reals, text, whole
from LiverLesionAI.readers.dicom.instances import dicom_source
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.dicom.segmentations import Segmentation
from LiverLesionAI.readers.mask_files import overlap_warning
from LiverLesionAI.readers.masks import Outlined
from LiverLesionAI.readers.naming import name_in_results
from LiverLesionAI.readers.native import refuse_memory_short
from LiverLesionAI.readers.segments import Segment, lesions_among
from LiverLesionAI.study import SequenceImage

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True)
class _Region:
    """A region of interest: what is said of it, and its closed contours, each ``[point, 3]`` in LPS mm."""

    segment: Segment
    contours: tuple[np.ndarray, ...]


def read_structure_set(file: Path, images: Mapping[str, SequenceImage]) -> Segmentation:
    """Read the lesions of an RT structure set.

    Parameters
    ----------
    file
        The DICOM file.
    images
        Sequence to image of the study that it belongs to: its contours become voxels of the image that they
        were drawn on, else of the first one, in its frame of reference if possible, whose slices they lie in.

    Returns
    -------
    Segmentation
        Lesions 1…N in the order of the regions.

    Raises
    ------
    NoLesionError
        If all its regions are organs or what radiotherapy plans.
    DicomError
        If the file cannot be read, has no closed contour of a lesion, or they lie in the slices of no image.
    """
    try:
        dataset = open_dicom(file)
        regions = _regions(dataset)
        source = dicom_source(frames_of(dataset, file))
        frame_of_reference, series, instances = _references(dataset)
    except DicomError:
        raise
    except Exception as error:
        refuse_memory_short(error, file)
        reason = type(error).__name__
        raise DicomError(f"{file} cannot be read as a structure set ({reason}); export it again.") from None
    drawn = [region for region in regions if region.contours]
    if not drawn:
        raise DicomError(f"{file} has no closed contour; outline a lesion slice by slice.")
    chosen, said = lesions_among([region.segment for region in drawn], file)
    numbers = [segment.number for segment in chosen]
    source = replace(source, frame_of_reference=source.frame_of_reference or frame_of_reference)
    grids = _grids(images, series, source.frame_of_reference)
    labels, overlap = _labels([each for each in drawn if each.segment.number in numbers], grids, file)
    lesions = Outlined(
        labels,
        {label: segment.name for label, segment in enumerate(chosen, start=1) if segment.name},
        (*said, *_without_contours(regions, file), *([overlap_warning(file)] if overlap else ())),
    )
    return Segmentation(file, lesions, source, series, instances)


def _without_contours(regions: Sequence[_Region], file: Path) -> Iterator[str]:
    open_ones = [region.segment.title for region in regions if not region.contours]
    if open_ones:
        listed = ", ".join(open_ones[:8])
        yield f"Regions of {name_in_results(file)} without closed contours were left out: {listed}."


def _regions(dataset: Any) -> list[_Region]:
    contours = {
        whole(item.get("ReferencedROINumber")): tuple(_closed_contours(item))
        for item in dataset.get("ROIContourSequence") or ()
    }
    observed = {
        whole(item.get("ReferencedROINumber")): item
        for item in dataset.get("RTROIObservationsSequence") or ()
    }
    described = {whole(item.get("ROINumber")): item for item in dataset.get("StructureSetROISequence") or ()}
    return [
        _Region(_segment(number, described.get(number, {}), observed.get(number, {})), found)
        for number, found in contours.items()
        if number is not None
    ]


def _segment(number: int, described: Any, observed: Any) -> Segment:
    coded = list(observed.get("RTROIIdentificationCodeSequence") or ())
    interpreted = text(observed.get("RTROIInterpretedType")).upper()
    return Segment(
        number=number,
        name=text(described.get("ROIName")) or text(observed.get("ROIObservationLabel")),
        codes=frozenset((interpreted, *(text(code.get("CodeValue")) for code in coded))),
        kind=" ".join(text(code.get("CodeMeaning")) for code in coded),
    )


def _closed_contours(region: Any) -> Iterator[np.ndarray]:
    for contour in region.get("ContourSequence") or ():
        if text(contour.get("ContourGeometricType")).upper() in _CLOSED:
            points = np.array(reals(contour.get("ContourData"))).reshape(-1, 3)
            if len(points) > 2:
                yield points


def _references(dataset: Any) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """Frame of reference, and series and instances that a structure set was drawn on."""
    frames = list(dataset.get("ReferencedFrameOfReferenceSequence") or ())
    series = [
        item
        for frame in frames
        for study in frame.get("RTReferencedStudySequence") or ()
        for item in study.get("RTReferencedSeriesSequence") or ()
    ]
    images = [image for item in series for image in item.get("ContourImageSequence") or ()]
    for region in dataset.get("ROIContourSequence") or ():
        for contour in region.get("ContourSequence") or ():
            images += contour.get("ContourImageSequence") or ()
    rois = dataset.get("StructureSetROISequence") or ()
    stated = [text(frame.get("FrameOfReferenceUID")) for frame in frames]
    stated += [text(roi.get("ReferencedFrameOfReferenceUID")) for roi in rois]
    return (
        next((uid for uid in stated if uid), ""),
        tuple(dict.fromkeys(uid for item in series if (uid := text(item.get("SeriesInstanceUID"))))),
        frozenset(uid for image in images if (uid := text(image.get("ReferencedSOPInstanceUID")))),
    )


def _grids(
    images: Mapping[str, SequenceImage], series: tuple[str, ...], frame_of_reference: str
) -> list[sitk.Image]:
    """Images by likelihood: of the series contours were drawn on, in their frame of reference, others."""

    def rank(image: SequenceImage) -> int:
        if image.dicom is None:
            return 2
        drawn_on = image.dicom.series_uid in series
        return 0 if drawn_on else 1 if image.dicom.frame_of_reference == frame_of_reference else 2

    return [image.image for image in sorted(images.values(), key=rank)]


def _labels(regions: Sequence[_Region], grids: Sequence[sitk.Image], file: Path) -> tuple[sitk.Image, bool]:
    """One label image of regions, and whether they overlap: the later one has what they have in common."""
    for grid in grids:
        try:
            masks = [filled(region.contours, grid) for region in regions]
        except StudyError:
            continue
        labels = np.zeros(masks[0].shape, np.uint16)
        overlap = False
        for label, mask in enumerate(masks, start=1):
            overlap |= bool(labels[mask].any())
            labels[mask] = label
        if labels.any():
            image = sitk.GetImageFromArray(labels)
            image.CopyInformation(grid)
            return image, overlap
    raise DicomError(
        f"The contours of {file} lie in the slices of no image of the study, or reach beyond it; check that "
        "they belong together."
    )
