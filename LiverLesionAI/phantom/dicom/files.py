"""DICOM files of the phantom on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_IMPLEMENTATION = "LIVERLESIONAI"


def save(ds: Dataset, path: Path, *, implicit_vr: bool) -> None:
    """Write an object with its file meta information, little endian."""
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit_vr else ExplicitVRLittleEndian
    meta.ImplementationVersionName = _IMPLEMENTATION
    ds.file_meta = meta
    dcmwrite(path, ds, enforce_file_format=True)
