"""Age and sex of a patient, as DICOM files tell them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.study import ClinicalValue

_SEXES = {"F": "female", "M": "male"}
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_FIRST_YEAR = 1900
"""Programs that take out names put a day of 1900 or before in the place of a birthday."""


def age_and_sex(file: Path) -> dict[str, ClinicalValue]:
    """Read a patient's age and sex as clinical data (DICOM PS3.3 C.7.1.1, C.7.2.2).

    Parameters
    ----------
    file
        A file of the study.

    Returns
    -------
    dict
        ``age`` in whole years at the time of the study and ``sex``, as far as the file tells them.

    Raises
    ------
    DicomError
        If it cannot be read.
    """
    try:
        header = open_dicom(file, stop_before_pixels=True)
    except DicomError:
        raise
    except Exception:
        raise DicomError(f"{file} cannot be read as DICOM; give the age and sex yourself.") from None
    found: dict[str, ClinicalValue] = {}
    age = _age(str(header.get("PatientAge", "") or "")) or _age_at_study(header)
    if age is not None:
        found["age"] = age
    sex = _SEXES.get(str(header.get("PatientSex", "") or "").strip().upper())
    if sex is not None:
        found["sex"] = sex
    return found


def _age(text: str) -> int | None:
    """Whole years of an age string such as ``063Y``."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper())
    return int(int(match[1]) / _PER_YEAR[match[2]]) if match else None


def _age_at_study(header: Any) -> int | None:
    born, scanned = (_date(header.get(name)) for name in ("PatientBirthDate", "StudyDate"))
    if born is None or scanned is None or scanned < born or born.year <= _FIRST_YEAR:
        return None
    had_birthday = (scanned.month, scanned.day) >= (born.month, born.day)
    return scanned.year - born.year - (not had_birthday)


def _date(value: object) -> datetime | None:
    try:
        return datetime.strptime(str(value or "").strip(), "%Y%m%d")
    except ValueError:
        return None
