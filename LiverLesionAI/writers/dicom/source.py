"""The series that results belong to, and what all objects made from it have in common."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

import LiverLesionAI
from LiverLesionAI.errors import DicomError
from LiverLesionAI.identity import known_uid
from LiverLesionAI.results import PHANTOM_NOTICE, StudyResult
from LiverLesionAI.study import SequenceImage, Study

if TYPE_CHECKING:
    from highdicom import ContributingEquipment, Volume
    from pydicom.dataset import Dataset

MAKER = "LiverLesionAI"
RESEARCH_NOTICE = "research software: not for clinical use"
TEXT_LIMIT = 64
"""Characters that a value of VR LO holds."""
DESCRIPTION_LIMIT = 1024
"""Characters that a value of VR ST holds."""
CHARACTER_SET = "ISO_IR 192"
"""UTF-8, so that a lesion may have any name."""
_UIDS_OF_AN_OBJECT = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UIDS = uuid.uuid5(uuid.NAMESPACE_DNS, "results.liverlesionai.invalid")
_IDENTIFYING_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "PatientName",
)


_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes of type 2, which the libraries expect even where de-identification has removed them."""


@dataclass(frozen=True)
class SliceReference:
    """The image or frame that shows one slice.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid
        The object.
    frame
        Number of the frame, counted from 1; None in objects of a single frame.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None


@dataclass(frozen=True)
class SourceSeries:
    """Headers of the series that the lesions are outlined on.

    Attributes
    ----------
    objects
        One header for each file, without pixels.
    slices
        One reference for each slice, in the order of the image's z index.
    """

    objects: tuple[Dataset, ...]
    slices: tuple[SliceReference, ...]

    @property
    def first(self) -> Dataset:
        """Any of the headers: for patient, study and frame of reference."""
        return self.objects[0]

    @property
    def is_multi_frame(self) -> bool:
        """Whether the objects hold several frames each."""
        return "NumberOfFrames" in self.first

    @property
    def main(self) -> list[Dataset]:
        """The objects that frames are matched with: all single-frame ones, or one multi-frame object."""
        return [self.first] if self.is_multi_frame else list(self.objects)

    @property
    def further(self) -> list[Dataset] | None:
        """The objects beyond `main`, None where there are none."""
        return list(self.objects[len(self.main) :]) or None


def read_source(sequence: SequenceImage | None) -> SourceSeries:
    """Read the headers of the series that a sequence came from.

    Raises
    ------
    DicomError
        If the sequence did not come from DICOM, or a file is gone, cannot be read any more, names no frame of
        reference, study or series, or carries the SOPInstanceUID of another one.
    """
    source = None if sequence is None else sequence.dicom
    if sequence is None or source is None:
        raise DicomError("The images did not come from DICOM; read the study from its DICOM folder.")
    headers = {file: _header(file) for file in dict.fromkeys(source.files)}
    for file, frame in zip(source.files, source.frames, strict=True):
        if not known_uid(headers[file].get("FrameOfReferenceUID")):
            raise DicomError(f"{file} names no frame of reference, so no DICOM object can be placed in it.")
        _complete(headers[file], frame, sequence.image, file)
    _check_can_be_named(headers)
    slices = tuple(
        SliceReference(
            str(headers[file].SOPClassUID),
            str(headers[file].get("SOPInstanceUID")),
            frame if "NumberOfFrames" in headers[file] else None,
        )
        for file, frame in zip(source.files, source.frames, strict=True)
    )
    return SourceSeries(tuple(headers.values()), slices)


def _has_uids(header: Dataset) -> bool:
    return all(known_uid(header.get(keyword)) for keyword in _UIDS_OF_AN_OBJECT)


def _check_can_be_named(headers: Mapping[Path, Dataset]) -> None:
    """Refuse files that no other object can refer to: UIDs are missing, overwritten or repeated."""
    seen: set[str] = set()
    for file, header in headers.items():
        for keyword in _UIDS_OF_AN_OBJECT:
            if not known_uid(header.get(keyword)):
                raise DicomError(f"{file} has no {keyword}, so no DICOM object can refer to it.")
        if header.SOPInstanceUID in seen:
            raise DicomError(
                f"{file} has the SOPInstanceUID of another slice, so no DICOM object can refer to it."
            )
        seen.add(header.SOPInstanceUID)


def _complete(header: Dataset, frame: int, image: sitk.Image, file: Path) -> None:
    """Give the header in memory what the libraries look for in one place only.

    Attributes of type 2 and the slice thickness may be absent, and so may the class of the object, which the
    file's meta information repeats; pixel measures and orientation of a multi-frame object may stand with
    each frame or with all of them (PS3.3 C.7.6.16). A single frame may be counted as such.

    Raises
    ------
    DicomError
        If it has several frames and does not describe them by functional groups.
    """
    if not header.get("SOPClassUID") and (repeated := header.file_meta.get("MediaStorageSOPClassUID")):
        header.SOPClassUID = repeated
    if "NumberOfFrames" in header and "SharedFunctionalGroupsSequence" not in header:
        if int(header.NumberOfFrames or 1) > 1:
            raise DicomError(
                f"{file} has frames without functional groups, so no DICOM object can refer to them."
            )
        del header.NumberOfFrames
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    if "NumberOfFrames" not in header:
        if header.get("SliceThickness") is None:
            header.SliceThickness = image.GetSpacing()[2]
        return
    shared, own = header.SharedFunctionalGroupsSequence[0], header.PerFrameFunctionalGroupsSequence[frame - 1]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if keyword not in shared:
            setattr(shared, keyword, own[keyword].value)


def other_evidence(study: Study) -> tuple[Dataset, ...]:
    """What identifies the images of the sequences beside the reference, which the model saw as well.

    Images that UIDs do not identify, since they are missing or repeated, are left out.

    Raises
    ------
    DicomError
        If a file is gone or cannot be read any more.
    """
    sources = [image.dicom for name, image in study.images.items() if name != study.reference]
    reference = study.images[study.reference].dicom
    known = set(reference.files) if reference else set()
    files = dict.fromkeys(file for source in sources if source for file in source.files)
    headers = [_header(file, _IDENTIFYING_TAGS) for file in files if file not in known]
    return tuple({header.SOPInstanceUID: header for header in headers if _has_uids(header)}.values())


def _header(file: Path, tags: tuple[str, ...] | None = None) -> Dataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(file, stop_before_pixels=True, specific_tags=list(tags) if tags else None, force=True)
    except (OSError, InvalidDicomError) as error:
        raise DicomError(
            f"{file} was read as a part of the study but cannot be read any more ({error}); "
            "keep the study where it is while it is classified."
        ) from None


def label_in_dicom(study: Study, lesion_id: int) -> str:
    """A lesion's name as one value of VR LO, in which a backslash would part two (PS3.5 6.2)."""
    return study.lesion_name(lesion_id).replace("\\", "/")[:TEXT_LIMIT]


def as_volume(image: sitk.Image, source: SourceSeries) -> Volume:
    """Image as highdicom's volume in the source's frame of reference, axes [slice, row, column]."""
    from highdicom import Volume

    direction, spacing = np.reshape(image.GetDirection(), (3, 3)), np.asarray(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = (direction * spacing)[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return Volume(
        sitk.GetArrayFromImage(image),
        affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=str(source.first.FrameOfReferenceUID),
    )


def notice(result: StudyResult) -> str:
    """Sentence that says what the results must not be used for."""
    return PHANTOM_NOTICE if result.is_phantom_trained else RESEARCH_NOTICE


def derived_uid(result: StudyResult, source: SourceSeries, *what: str) -> str:
    """UID that is the same for the same result of the same study, root 2.25 (DICOM PS3.5 B.2)."""
    name = "/".join((str(source.first.StudyInstanceUID), result.to_json(), *what))
    return f"2.25.{uuid.uuid5(_UIDS, name).int}"


def tracking_uid(source: SourceSeries, lesion_id: int | str) -> str:
    """UID of a lesion, the same in every object and run on this study."""
    return f"2.25.{uuid.uuid5(_UIDS, f'{source.first.StudyInstanceUID}/lesion/{lesion_id}').int}"


def device_uid() -> str:
    """UID of this version of the program as the observer of a report."""
    return f"2.25.{uuid.uuid5(_UIDS, f'device/{LiverLesionAI.__version__}').int}"


def stamp(ds: Dataset, result: StudyResult, title: str) -> None:
    """Name the series, with the notice, say what made it, and take out what changes between two writings.

    Every time of making becomes the start of the run, and random UIDs within the object are derived from its
    own.
    """
    started = datetime.fromisoformat(result.provenance.started.replace("Z", "+00:00")).astimezone()
    date, time = started.strftime("%Y%m%d"), started.strftime("%H%M%S")
    ds.SeriesDescription = f"{MAKER} {title}, {notice(result)}"[:TEXT_LIMIT]
    ds.ContributingEquipmentSequence = [*ds.get("ContributingEquipmentSequence", ()), _maker(result)]
    for keyword in _times_in(ds):
        setattr(ds, keyword, date if keyword.endswith("Date") else time)
    for item in ds.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = date + time
    organisation = f"2.25.{uuid.uuid5(_UIDS, f'{ds.SOPInstanceUID}/dimensions').int}"
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in ds.get(keyword, ()):
            item.DimensionOrganizationUID = organisation


def _maker(result: StudyResult) -> ContributingEquipment:
    """This program with models and parameters, for the attributes of every object (PS3.3 C.12.1)."""
    from highdicom import ContributingEquipment
    from pydicom.sr.codedict import codes

    models = [
        f"model {each.name} {each.version}, intended use {each.intended_use}, sha256 {each.sha256}"
        for each in result.models
    ]
    parameters = json.dumps(result.provenance.parameters, separators=(",", ":"))
    return ContributingEquipment(
        manufacturer=MAKER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=MAKER,
        software_versions=LiverLesionAI.__version__,
        contribution_description="; ".join([*models, parameters])[:DESCRIPTION_LIMIT],
    )


def _times_in(ds: Dataset) -> Iterator[str]:
    """The attributes of the object's own making that are present; the study's and the images' stay."""
    for kind in ("InstanceCreation", "Series", "Content"):
        yield from (kind + part for part in ("Date", "Time") if kind + part in ds)


def save(ds: Dataset, file: Path) -> Path:
    """Write an object and return its path."""
    ds.save_as(file, enforce_file_format=True)
    return file
