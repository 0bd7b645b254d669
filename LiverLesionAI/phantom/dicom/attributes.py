"""Attributes that classic and enhanced objects share: patient, study, series, equipment, contrast."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .examination import INJECTION_S, STUDY_START, Examination, Series, Volume, moment
from .vocabulary import Style

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTICE = "digital phantom, not a patient"
WEIGHT_KG = 70
DOSE_ML_PER_KG = {"gadobenate": 0.2, "gadoxetate": 0.1}
MG_PER_ML = {"gadobenate": 529.0, "gadoxetate": 181.43}
"""Concentration of the solutions for injection, as on their labels."""
_BRANDS = {"gadobenate": "MultiHance", "gadoxetate": "Primovist"}
_STORED_12_BIT = 4095
_LARMOR_MHZ = 42.577


def decimal(value: float) -> str:
    """Decimal string of at most 16 characters (VR DS), as precise as that allows."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))


def decimals(values: NDArray | tuple[float, ...] | list[float]) -> list[str]:
    """Decimal strings of a vector."""
    return [decimal(v) for v in values]


def date(when: datetime) -> str:
    """Value of VR DA."""
    return when.strftime("%Y%m%d")


def time(when: datetime) -> str:
    """Value of VR TM."""
    return when.strftime("%H%M%S.%f")


def common(examination: Examination, series: Series) -> Dataset:
    """Patient, study, series, frame of reference and equipment (PS3.3 C.7.1–C.7.5, C.8.13.6).

    The subject is marked as a quality control phantom, (0010,0200), and the study's description says so.
    """
    from pydicom.dataset import Dataset

    style, name = examination.style, f"{examination.number:06d}"
    start = moment(series.volumes[0].start_s)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = f"PHANTOM^{name}"
    ds.PatientID = f"PHANTOM-{name}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.PatientWeight = decimal(WEIGHT_KG)
    ds.QualityControlSubject = "YES"
    ds.StudyInstanceUID = examination.uid("study")
    ds.StudyDate, ds.StudyTime = date(STUDY_START), time(STUDY_START)
    ds.StudyID = "1"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = f"MRI liver ({NOTICE})"
    ds.Modality = "MR"
    ds.SeriesInstanceUID = series.uid
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series.part.description
    ds.ProtocolName = series.part.protocol
    ds.SeriesDate, ds.SeriesTime = date(start), time(start)
    ds.BodyPartExamined = "ABDOMEN"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = examination.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = style.manufacturer
    ds.ManufacturerModelName = style.models[examination.field_tesla]
    ds.SoftwareVersions = style.software.split("\\")
    ds.StationName = style.station
    ds.DeviceSerialNumber = "00000"
    ds.InstitutionName = ""
    return ds


def contrast(ds: Dataset, examination: Examination, volume: Volume) -> None:
    """Contrast/Bolus module (PS3.3 C.7.6.4), as much of it as the vendor's users fill in."""
    if not volume.enhanced:
        return
    agent, vendor = examination.agent.name, examination.vendor
    ds.ContrastBolusAgent = _BRANDS[agent]
    ds.ContrastBolusRoute = "IV"
    if vendor == "siemens":
        ds.ContrastBolusVolume = decimal(DOSE_ML_PER_KG[agent] * WEIGHT_KG)
        ds.ContrastBolusStartTime = time(moment(INJECTION_S))


def frequency_mhz(examination: Examination) -> float:
    """Larmor frequency of hydrogen."""
    return _LARMOR_MHZ * examination.field_tesla


def stored_values(array: NDArray[np.int16], style: Style) -> tuple[NDArray, float, int]:
    """Pixels as a vendor stores them, the slope that gives the values back, and the bits stored.

    GE writes signed 16-bit values; Siemens 12-bit ones where they suffice; Philips scales every volume to 12
    bits. The slope gives the phantom's integers back within half of it.
    """
    largest = max(int(array.max()), 1)
    if style.manufacturer.startswith("Philips"):
        slope = largest / _STORED_12_BIT
        return np.rint(array / slope).astype(np.uint16), slope, 12
    if style.manufacturer.startswith("GE"):
        return array.astype(np.int16), 1.0, 16
    return array.astype(np.uint16), 1.0, 12 if largest <= _STORED_12_BIT else 16


def pixels(ds: Dataset, array: NDArray, bits_stored: int) -> None:
    """Image Pixel module (PS3.3 C.7.6.3) of one slice [y, x] or of frames [frame, y, x]."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = array.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(np.issubdtype(array.dtype, np.signedinteger))
    ds.PixelData = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
