"""Who an object is about: what tells two patients, two studies or two frames of reference apart.

Only digests are kept. An attribute that is missing is not equal to anything: it neither joins nor parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

_SEXES = ("M", "F")
"""O (other) is what anonymisers write over either."""


@dataclass(frozen=True)
class Identity:
    """What an object says of its patient, as digests; empty where nothing is said.

    Attributes
    ----------
    patient_id
        PatientID with IssuerOfPatientID.
    birth_date
        PatientBirthDate.
    sex
        PatientSex, where it is M or F.
    """

    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the object says whose it is."""
        return bool(self.patient_id)

    def differences(self, other: Identity) -> tuple[str, ...]:
        """Names of the DICOM attributes that both give and that differ; one is enough for two patients."""
        titles = {"patient_id": "PatientID", "birth_date": "PatientBirthDate", "sex": "PatientSex"}
        return tuple(
            titles[each.name]
            for each in fields(self)
            if (mine := getattr(self, each.name)) and (others := getattr(other, each.name)) and mine != others
        )


UNKNOWN = Identity()
"""Of an object that says nothing."""


def identity_of(get: Callable[[str], Any]) -> Identity:
    """Read the identity from a header.

    Parameters
    ----------
    get
        Keyword of an attribute to its value; None where it is missing.
    """
    patient, issuer = _text(get("PatientID")), _text(get("IssuerOfPatientID"))
    sex = _text(get("PatientSex")).upper()
    return Identity(
        patient_id=_digest(patient, issuer) if patient else "",
        birth_date=_digest(_text(get("PatientBirthDate"))),
        sex=_digest(sex) if sex in _SEXES else "",
    )


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _digest(*values: str) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()[:16] if any(values) else ""
