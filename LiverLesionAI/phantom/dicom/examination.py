"""An examination as a scanner runs it: series, the volumes in them, and when each was acquired."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import SimpleITK as sitk

from LiverLesionAI.phantom.kinetics import ContrastAgent

from .vocabulary import Part, Style, Vendor

STUDY_START = datetime(2000, 1, 1, 8, 30)
INJECTION_S = 900.0
"""Seconds from the start of the study to the injection."""
_UIDS = uuid.uuid5(uuid.NAMESPACE_DNS, "phantom.liverlesionai.invalid")


@dataclass(frozen=True)
class Volume:
    """One stack of slices with what the scanner knows about it.

    Attributes
    ----------
    part
        Key of the vendor's names, :attr:`vocabulary.Style.parts`.
    image
        The voxels, 16-bit integers.
    sequence
        Sequence of :mod:`LiverLesionAI.sequences` that it is, None for what no model uses.
    start_s, duration_s
        Acquisition, seconds after `STUDY_START`.
    tr_ms, te_ms, flip_deg
        Timing of the pulse sequence; the echo time is the effective one.
    averages
        Number of averages.
    b_value
        Diffusion weighting in s/mm², None where there is none.
    enhanced
        Whether contrast had been injected.
    position
        Number of the volume in its series, from 1.
    """

    part: str
    image: sitk.Image
    sequence: str | None
    start_s: float
    duration_s: float
    tr_ms: float
    te_ms: float
    flip_deg: float
    averages: int = 1
    b_value: float | None = None
    enhanced: bool = False
    position: int = 1


@dataclass(frozen=True)
class Series:
    """One series.

    Attributes
    ----------
    uid
        SeriesInstanceUID.
    number
        SeriesNumber.
    part
        Names and pulse sequence, in the vendor's words.
    volumes
        In order of acquisition.
    source_uids
        SeriesInstanceUIDs of the series that it was computed from.
    """

    uid: str
    number: int
    part: Part
    volumes: tuple[Volume, ...]
    source_uids: tuple[str, ...] = ()

    @property
    def sequences(self) -> tuple[str, ...]:
        """Sequences that the series holds, in order; empty for localisers, reformats and the like."""
        return tuple(dict.fromkeys(v.sequence for v in self.volumes if v.sequence))

    @property
    def b_values(self) -> tuple[float, ...]:
        """b-values in the series, s/mm²."""
        return tuple(v.b_value for v in self.volumes if v.b_value is not None)


@dataclass(frozen=True)
class Examination:
    """One study on one scanner.

    Attributes
    ----------
    key
        Tells examinations apart: the UIDs are derived from it.
    number
        The phantom's seed, the only thing that names the patient.
    field_tesla
        Field strength in T.
    vendor, style
        The scanner's manufacturer, by name and with what it writes.
    agent
        Contrast agent.
    multi_frame
        Whether it is stored as Enhanced MR Image Storage, one file for each series.
    series
        In order of their numbers.
    """

    key: str
    number: int
    field_tesla: float
    vendor: Vendor
    style: Style
    agent: ContrastAgent
    multi_frame: bool
    series: tuple[Series, ...]

    def uid(self, *parts: str | int) -> str:
        """UID derived from the examination and a name within it (DICOM PS3.5 B.2)."""
        return derived_uid(self.key, *parts)

    def image_uid(self, series: Series, number: int = 1) -> str:
        """SOPInstanceUID of an image by its series and instance number."""
        return self.uid("image", series.uid, number)


def derived_uid(*parts: str | int) -> str:
    """The same name always gives the same UID, of the root 2.25 for UUIDs (DICOM PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_UIDS, '/'.join(map(str, parts))).int}"


def moment(seconds: float) -> datetime:
    """Time of day at which something happened that many seconds after the start of the study."""
    return STUDY_START + timedelta(seconds=seconds)
