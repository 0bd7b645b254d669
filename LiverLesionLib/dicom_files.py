"""Where the DICOM files of a volume are, as Slicer's DICOM database has it."""

from __future__ import annotations

from collections.abc import Mapping
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


def first_file(volume: Any) -> Path | None:
    """Return the file of a volume's first slice; None where it is not from DICOM or the file is gone."""
    uids = instance_uids(volume)
    return file_of(uids[0]) if uids else None


def instances_of(volumes: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the files of the sequences that were loaded from DICOM, as the worker's ``save`` takes them.

    Parameters
    ----------
    volumes
        Sequence to volume node.
    """
    return {
        name: [str(file) for file in instance_files(volume)]
        for name, volume in volumes.items()
        if instance_uids(volume)
    }


def instance_files(volume: Any) -> list[Path]:
    """Return the files of a volume node that are still there, in the order in which it names them."""
    return [file for file in map(file_of, instance_uids(volume)) if file is not None]
