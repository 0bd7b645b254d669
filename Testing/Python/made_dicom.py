"""Small DICOM series, written as scanners write them, for the tests of the reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

STUDY_UID = generate_uid(entropy_srcs=["study"])
FRAME_UID = generate_uid(entropy_srcs=["frame of reference"])
T2 = {
    "SeriesDescription": "t2_tse_fs_tra",
    "ScanningSequence": "SE",
    "EchoTime": 90.0,
    "RepetitionTime": 3500.0,
}
VIBE = {"ScanningSequence": "GR", "EchoTime": 1.9, "RepetitionTime": 4.2, "FlipAngle": 9.0}
OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


def image(
    size: tuple[int, int, int] = (16, 12, 5),
    spacing: tuple[float, float, float] = (1.5, 1.5, 4.0),
    origin: tuple[float, float, float] = (-20.0, 10.0, 30.0),
    direction: np.ndarray | None = None,
    seed: int = 0,
) -> sitk.Image:
    """Image of random integers, [x, y, z] voxels of LPS mm."""
    voxels = np.random.default_rng(seed).integers(0, 1000, size[::-1]).astype(np.int16)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    made.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    return made


def slices(volume: sitk.Image, number: int = 1, **said: Any) -> list[Dataset]:
    """Classic objects of one series; `said` are attributes by keyword, the same for all slices."""
    modality = said.get("Modality", "MR")
    series_uid = said.pop("SeriesInstanceUID", generate_uid(entropy_srcs=["series", str(number), str(said)]))
    voxels = sitk.GetArrayFromImage(volume)
    axes = np.reshape(volume.GetDirection(), (3, 3))
    made = []
    for index, pixels in enumerate(voxels):
        ds = Dataset()
        ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        ds.SOPInstanceUID = generate_uid(entropy_srcs=[series_uid, str(index), str(said)])
        ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY_UID, series_uid
        ds.FrameOfReferenceUID = FRAME_UID
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, number, index + 1
        ds.PatientID, ds.PatientName, ds.PatientBirthDate = "4711", "Doe^Jane", "19501231"
        ds.PatientSex, ds.StudyDate, ds.StudyTime = "F", "20200102", "080000"
        ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
        ds.Manufacturer, ds.SeriesDescription = "", ""
        ds.PositionReferenceIndicator = ""
        ds.ImagePositionPatient = list(volume.TransformIndexToPhysicalPoint((0, 0, index)))
        ds.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
        ds.PixelSpacing = [volume.GetSpacing()[1], volume.GetSpacing()[0]]
        ds.SliceThickness = volume.GetSpacing()[2]
        ds.Rows, ds.Columns = pixels.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, int(pixels.dtype.kind == "i")
        ds.PixelData = pixels.tobytes()
        for keyword, value in said.items():
            setattr(ds, keyword, value)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        made.append(ds)
    return made


def save(objects: Iterable[Dataset], folder: Path, name: str = "IM") -> list[Path]:
    """Write objects; the names say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, ds in enumerate(objects):
        file = folder / f"{name}{(index * 7919 + 13) % 9973:04d}"
        ds.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def write_study(folder: Path, sequences: Mapping[str, Mapping[str, Any]] | None = None) -> sitk.Image:
    """A study of a T2-weighted image and three phases on one grid; returns the T2-weighted image."""
    sequences = sequences or {
        "t2": T2,
        "pre": {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_pre"},
        "art": {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_art"},
        "ven": {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_ven"},
    }
    first = None
    for number, (name, said) in enumerate(sequences.items(), start=1):
        volume = image(seed=number)
        first = first if first is not None else volume
        save(slices(volume, number, **said), folder / name)
    assert first is not None
    return first
