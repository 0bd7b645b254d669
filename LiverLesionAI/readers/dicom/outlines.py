"""DICOM objects that outline lesions: found, read, and checked against the images that they are laid on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.headers import (
    LABEL_MAP_SEGMENTATION,
    SEGMENTATION,
    STRUCTURE_SET,
    Frame,
    text,
)
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.dicom.scan import Scan
from LiverLesionAI.readers.dicom.segmentations import Segmentation, read_segmentation
from LiverLesionAI.readers.dicom.structure_sets import read_structure_set
from LiverLesionAI.readers.naming import file_in_results
from LiverLesionAI.readers.segments import NoLesionError
from LiverLesionAI.study import DicomSource, SequenceImage

_OUTLINE_CLASSES = (SEGMENTATION, LABEL_MAP_SEGMENTATION, STRUCTURE_SET)


class OtherStudyError(DicomError):
    """An object was drawn in another examination."""


def read_outlines(file: Path, images: Mapping[str, SequenceImage]) -> Segmentation:
    """Read the lesions of a DICOM segmentation or RT structure set.

    Parameters
    ----------
    file
        The DICOM file.
    images
        Sequence to image of the study that it belongs to.

    Raises
    ------
    NoLesionError
        If it outlines organs only.
    DicomError
        If it is neither or cannot be read.
    """
    from pydicom.uid import UID

    sop_class = _class_of(file)
    if sop_class == STRUCTURE_SET:
        return read_structure_set(file, images)
    if sop_class in _OUTLINE_CLASSES:
        return read_segmentation(file)
    kind = f"a DICOM object of class {UID(sop_class).name}" if sop_class else "damaged or of no DICOM class"
    raise DicomError(
        f"{file} is {kind} and no lesion mask; give a segmentation, an RT structure set or a label image."
    )


def outlines_inside(
    found: Scan, images: Mapping[str, SequenceImage], sources: Sequence[DicomSource]
) -> tuple[Segmentation | None, tuple[str, ...]]:
    """Find the object that outlines a study's lesions among the files of a scan.

    Parameters
    ----------
    found
        The scan.
    images
        Sequence to image of the study.
    sources
        The study's series.

    Returns
    -------
    segmentation : Segmentation or None
        None where there is none.
    warnings : tuple of str
        Which objects were left out, and why.

    Raises
    ------
    DicomError
        If one cannot be read or is of another patient, or several could be meant.
    """
    lesions: list[Segmentation] = []
    warnings: list[str] = []
    for file in _outline_files(found):
        try:
            segmentation = with_source_series(read_outlines(file, images), found.frames)
            check_same_study(segmentation, sources)
        except NoLesionError:
            warnings.append(
                f"The segmentation {file_in_results(file)} holds organs, no lesion, and was left out."
            )
        except OtherStudyError:
            warnings.append(f"The segmentation {file_in_results(file)} is of another study and was left out.")
        else:
            lesions.append(segmentation)
    chosen = {source.series_uid for source in sources_of(images)}
    drawn_here = [each for each in lesions if chosen & set(each.source_series)]
    if drawn_here:
        elsewhere = {each.file for each in lesions} - {each.file for each in drawn_here}
        said = "was not drawn on these images and was left out."
        warnings += [f"The segmentation {file_in_results(file)} {said}" for file in sorted(elsewhere)]
        lesions = drawn_here
    if len(lesions) > 1:
        names = ", ".join(str(segmentation.file) for segmentation in lesions)
        raise DicomError(f"The lesions could be any of {names}; say which by --mask.")
    return (lesions[0] if lesions else None), tuple(warnings)


def with_source_series(segmentation: Segmentation, frames: Sequence[Frame]) -> Segmentation:
    """Return an object with the series of its source images, where it names only the images."""
    if segmentation.source_series:
        return segmentation
    series = [frame.series_uid for frame in frames if frame.sop_uid in segmentation.source_instances]
    return replace(segmentation, source_series=tuple(dict.fromkeys(uid for uid in series if uid)))


def check_same_study(segmentation: Segmentation, sources: Sequence[DicomSource]) -> None:
    """Check that an object was drawn in the examination of the images; what is missing is no difference.

    Raises
    ------
    OtherStudyError
        If study and frame of reference are others.
    DicomError
        If the patient is another one.
    """
    own = segmentation.dicom
    differing = {name for source in sources for name in own.identity.differences(source.identity)}
    if differing:
        raise DicomError(
            f"{segmentation.file} is of another patient than the images ({', '.join(sorted(differing))}); "
            "give the mask of these images."
        )
    if _is_other_study(own, sources) and _is_other_frame(own, sources):
        raise OtherStudyError(
            f"{segmentation.file} is of another study than the images, in another frame of reference; give "
            "the mask of these images."
        )


def doubts(segmentation: Segmentation, images: Mapping[str, SequenceImage], reference: str) -> Iterator[str]:
    """Say where an object does not quite match the images that it is laid on."""
    own = segmentation.dicom
    if _is_other_study(own, sources_of(images)):
        yield "The segmentation is of another study than the images (StudyInstanceUID)."
    drawn_beside = images[reference].dicom
    if drawn_beside is not None and _is_other_frame(own, [drawn_beside]):
        yield (
            f"The segmentation has another frame of reference than {reference}: whether its lesions "
            "lie where they belong is not known."
        )


def _is_other_study(own: DicomSource, sources: Sequence[DicomSource]) -> bool:
    stated = [source.study_uid for source in sources if source.study_uid]
    return bool(own.study_uid and stated) and own.study_uid not in stated


def _is_other_frame(own: DicomSource, sources: Sequence[DicomSource]) -> bool:
    stated = [source.frame_of_reference for source in sources if source.frame_of_reference]
    return bool(own.frame_of_reference and stated) and own.frame_of_reference not in stated


def sources_of(images: Mapping[str, SequenceImage]) -> list[DicomSource]:
    """Where images stand in DICOM, as far as they do."""
    return [image.dicom for image in images.values() if image.dicom is not None]


def _outline_files(found: Scan) -> Iterator[Path]:
    """Files of a scan that outline something, also those that say of no series that they belong to it."""
    for frame in found.frames:
        if frame.sop_class in _OUTLINE_CLASSES:
            yield frame.file
    for file in found.unreadable:
        if _class_of(file) in _OUTLINE_CLASSES:
            yield file


def _class_of(file: Path) -> str:
    """SOPClassUID of a file; empty where it cannot be read."""
    try:
        dataset = open_dicom(file, stop_before_pixels=True)
        return text(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID"))
    except Exception:
        return ""
