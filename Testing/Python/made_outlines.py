"""DICOM segmentations and structure sets, made up for the tests of the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom
import numpy as np
from made_dicom import FRAME_UID, STUDY_UID
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

LESION = (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm)
ORGAN = (codes.SCT.AnatomicalStructure, codes.SCT.Liver)
TISSUE = (codes.SCT.Tissue, codes.SCT.Tissue)


def segmentation(
    sources: Sequence[Dataset],
    masks: np.ndarray,
    names: Sequence[str],
    coded: tuple[Any, Any] = LESION,
    kind: str = "BINARY",
) -> highdicom.seg.Segmentation:
    """Segmentation of ``[z, y, x, segment]`` (``[z, y, x]`` for one segment) on the slices of a series."""
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=coded[0],
            segmented_property_type=coded[1],
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.99",
        series_number=99,
        sop_instance_uid="1.2.99.1",
        instance_number=1,
        manufacturer="nobody",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    )


def structure_set(
    regions: Mapping[str, Sequence[np.ndarray]],
    *,
    series_uid: str = "",
    kinds: Mapping[str, str] | None = None,
    geometric_type: str = "CLOSED_PLANAR",
) -> Dataset:
    """Structure set of contours (``[point, 3]``, LPS mm) by the regions' names.

    `kinds` are their interpreted types by name, `series_uid` the series they were drawn on.
    """
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, "1.2.98.1"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = STUDY_UID, "1.2.98", "RTSTRUCT"
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = (
        "4711",
        "Doe^Jane",
        "19501231",
        "F",
    )
    made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        described = _item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=FRAME_UID)
        made.StructureSetROISequence.append(described)
        drawn = [
            _item(
                ContourGeometricType=geometric_type,
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.6f}" for value in np.asarray(points).ravel()],
            )
            for points in contours
        ]
        made.ROIContourSequence.append(_item(ReferencedROINumber=number, ContourSequence=drawn))
        kind = (kinds or {}).get(name, "")
        observed = _item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=kind)
        made.RTROIObservationsSequence.append(observed)
    if series_uid:
        study = _item(RTReferencedSeriesSequence=[_item(SeriesInstanceUID=series_uid)])
        frame = _item(FrameOfReferenceUID=FRAME_UID, RTReferencedStudySequence=[study])
        made.ReferencedFrameOfReferenceSequence = [frame]
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def _item(**said: Any) -> Dataset:
    made = Dataset()
    for keyword, value in said.items():
        setattr(made, keyword, value)
    return made
