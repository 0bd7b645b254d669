"""Who an object is about: what tells two patients, two studies or two frames of reference apart.

Only digests are kept. An attribute that is missing is not equal to anything: it neither joins nor parts. What
anonymisers write over every patient's attribute (``ANONYMOUS``, ``19000101``) counts as missing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

_SEXES = ("M", "F")
"""O (other) is what anonymisers write over either."""

_NO_ID = re.compile(
    r"(de ?)?(anonym\w*|anon|id(entified)?|identification)|unknown|removed|redacted|masked|hidden|deleted"
    r"|none|null|n ?a|no ?(id|name|value)|not ?available|patient|pat|test|phi|[x0 ]*",
    re.IGNORECASE,
)
_LAST_YEAR_OF_NOBODY = "1900"


@dataclass(frozen=True)
class Identity:
    """What an object says of its patient, as digests; empty where nothing is said.

    Attributes
    ----------
    patient_id
        PatientID.
    birth_date
        PatientBirthDate.
    sex
        PatientSex, where it is M or F.
    issuer
        IssuerOfPatientID, where there is a PatientID.
    """

    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    issuer: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the object says whose it is."""
        return bool(self.patient_id)

    def differences(self, other: Identity) -> tuple[str, ...]:
        """Names of the DICOM attributes that both give and that differ; one is enough for two patients."""
        return tuple(
            _TITLES[each.name]
            for each in fields(self)
            if (mine := getattr(self, each.name)) and (others := getattr(other, each.name)) and mine != others
        )


_TITLES = {
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "issuer": "IssuerOfPatientID",
}

UNKNOWN = Identity()
"""Of an object that says nothing."""


def identity_of(get: Callable[[str], Any]) -> Identity:
    """Read the identity from a header.

    Parameters
    ----------
    get
        Keyword of an attribute to its value; None where it is missing.
    """
    patient, born = _text(get("PatientID")), _text(get("PatientBirthDate"))
    sex = _text(get("PatientSex")).upper()
    is_known = not _NO_ID.fullmatch(re.sub(r"[\W_]+", " ", patient).strip())
    return Identity(
        patient_id=_digest(patient) if is_known else "",
        birth_date=_digest(born) if born[:4] > _LAST_YEAR_OF_NOBODY else "",
        sex=_digest(sex) if sex in _SEXES else "",
        issuer=_digest(_text(get("IssuerOfPatientID"))) if is_known else "",
    )


def known_uid(value: Any) -> str:
    """Return a unique identifier; empty for what is none: words that anonymisers write over it, and zeros."""
    said = _text(value)
    return said if any(letter in "123456789" for letter in said) else ""


def frames_differ(one: str, other: str) -> bool:
    """Whether two FrameOfReferenceUIDs are known to be different.

    A missing one is neither equal nor different: it gives no reason to doubt that positions can be compared,
    as they can within one visit to the scanner, and none to believe it.
    """
    return bool(one and other and one != other)


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16] if value else ""
