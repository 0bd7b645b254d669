"""Where the DICOM files of a volume are, as Slicer's DICOM database has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

_UIDS = "DICOM.instanceUIDs"


def instance_uids(volume: Any) -> list[str]:
    """Return the SOPInstanceUIDs that a volume node was loaded from; empty where it is not from DICOM."""
    return (volume.GetAttribute(_UIDS) or "").split()


def file_of(uid: str) -> Path | None:
    """Return the file of an instance; None where the database does not know it or the file is gone."""
    database = getattr(slicer, "dicomDatabase", None)
    file = Path(database.fileForInstance(uid) or "") if database is not None else None
    return file if file is not None and file.is_file() else None


def instance_files(volume: Any) -> list[Path]:
    """Return the files of a volume node that are still there, in the order in which it names them."""
    return [file for file in map(file_of, instance_uids(volume)) if file is not None]
