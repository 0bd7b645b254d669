"""A CT phantom on disk, as hospitals export it: one CT Image Storage object for each slice.

How the phases can be told differs from vendor to vendor, as it does between hospitals: Siemens' series name
them and say when contrast was given; GE's name them; Philips' say nothing but the times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom.attenuation import IODINE_MG_PER_KG
from LiverLesionAI.phantom.ct import KVP, CTProtocol
from LiverLesionAI.phantom.generate import PhantomStudy

from . import stacks
from .attributes import NOTICE, WEIGHT_KG, date, decimal, pixels, time
from .classic import place
from .examination import STUDY_START, derived_uid, moment
from .files import save
from .vocabulary import Vendor

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

INJECTION_S = 300.0
"""Seconds from the start of the study to the injection."""
ARRIVAL_S = 18.0
SCAN_S = 6.0
_PLAIN_S = 60.0
_INTERCEPT = -1024
_MG_PER_ML = 370.0
_COUCH_MM = 4.0
_SOFT_WINDOW = (45, 290)


@dataclass(frozen=True)
class CTStyle:
    """A vendor: equipment, and what its users type in.

    Attributes
    ----------
    manufacturer, model, kernel, software
        Equipment.
    descriptions
        Part to SeriesDescription: phases of :mod:`LiverLesionAI.sequences`, ``"topogram"``, ``"MPR"``.
    says_time
        Whether enhanced series say when contrast was injected; they all name the agent and its volume.
    head_first
        Whether instance numbers count from the head downwards.
    """

    manufacturer: str
    model: str
    kernel: str
    software: str
    descriptions: Mapping[str, str]
    says_time: bool
    head_first: bool = True


_PARTS = ("topogram", "CT_PLAIN", "CT_ART", "CT_PORTAL", "CT_DELAY", "MPR")


def _described(*names: str) -> Mapping[str, str]:
    return dict(zip(_PARTS, names, strict=True))


CT_STYLES: Mapping[Vendor, CTStyle] = {
    "siemens": CTStyle(
        "SIEMENS",
        "SOMATOM Definition AS+",
        "B30f",
        "syngo CT 2012B",
        _described(
            "Topogram 0.6 T20s", "Abdomen nativ 5.0 B30f", "Leber art 3.0 B30f", "Leber portalvenös 3.0 B30f",
            "Leber spät 3.0 B30f", "Leber cor MPR",
        ),
        says_time=True,
    ),
    "ge": CTStyle(
        "GE MEDICAL SYSTEMS",
        "LightSpeed VCT",
        "STANDARD",
        "07MW18.4",
        _described(
            "Scout", "NON CON 5MM", "ARTERIAL 3MM", "PORTAL VENOUS 3MM", "3 MIN DELAY 3MM", "COR MPR"
        ),
        says_time=False,
    ),
    "philips": CTStyle(
        "Philips",
        "Brilliance 64",
        "B",
        "3.5.5",
        _described("Surview", "Abd 5.0", "Abd 3.0", "Abd 3.0", "Abd 3.0", "Reformat cor"),
        says_time=True,
        head_first=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class CTSeries:
    """One series.

    Attributes
    ----------
    part
        Key of :attr:`CTStyle.descriptions`.
    image
        The voxels in HU.
    start_s
        Acquisition, seconds after the start of the study.
    enhanced
        Whether contrast had been injected.
    image_type
        ImageType.
    """

    part: str
    image: sitk.Image
    start_s: float
    enhanced: bool
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")


def write_ct_study(phantom: PhantomStudy, folder: Path, *, vendor: Vendor, distractors: bool = True) -> Path:
    """Write a CT phantom as the DICOM files of a scanner.

    The same phantom and vendor give the same UIDs and bytes; nothing of a lesion's truth enters the files.

    Parameters
    ----------
    phantom
        The study.
    folder
        Folder to write into; created if needed.
    vendor
        Whose files.
    distractors
        Whether to write a topogram and a coronal reformat too.

    Returns
    -------
    Path
        `folder`.
    """
    style, count = CT_STYLES[vendor], 0
    for number, series in enumerate(_series(phantom, distractors), start=1):
        for ds in _slices(phantom, style, series, number):
            count += 1
            path = folder / _file_name(vendor, number, int(ds.InstanceNumber), count)
            path.parent.mkdir(parents=True, exist_ok=True)
            save(ds, path, implicit_vr=vendor == "ge")
    return folder


def _series(phantom: PhantomStudy, distractors: bool) -> Iterator[CTSeries]:
    protocol = phantom.truth.protocol
    assert isinstance(protocol, CTProtocol)
    images = {name: image.image for name, image in phantom.study.images.items()}
    if distractors:
        overview = stacks.thick_slab(next(iter(images.values())))
        yield CTSeries("topogram", overview, 0.0, False, ("ORIGINAL", "PRIMARY", "LOCALIZER"))
    for name, image in images.items():
        arrived = protocol.acquisitions[name].time_s
        start = _PLAIN_S if arrived is None else INJECTION_S + ARRIVAL_S + arrived - SCAN_S / 2
        yield CTSeries(name, image, start, arrived is not None)
    if distractors and "CT_PORTAL" in images:
        start = INJECTION_S + ARRIVAL_S + (protocol.acquisitions["CT_PORTAL"].time_s or 0.0)
        coronal = stacks.coronal(images["CT_PORTAL"], _COUCH_MM)
        yield CTSeries("MPR", coronal, start, True, ("DERIVED", "SECONDARY", "MPR"))


def _slices(phantom: PhantomStudy, style: CTStyle, series: CTSeries, number: int) -> Iterator[Dataset]:
    from pydicom.dataset import Dataset

    array = sitk.GetArrayViewFromImage(series.image)
    of_series = _series_attributes(phantom, style, series, number)
    order = range(len(array))
    for instance, index in enumerate(reversed(order) if style.head_first else order, start=1):
        ds = Dataset(of_series)
        place(ds, series.image, index)
        ds.InstanceNumber = instance
        ds.SOPInstanceUID = derived_uid(_key(phantom, style), "image", number, instance)
        pixels(ds, (array[index].astype(np.int32) - _INTERCEPT).astype(np.uint16), 12)
        yield ds


def _key(phantom: PhantomStudy, style: CTStyle) -> str:
    return f"{phantom.study.id}/CT/{style.manufacturer}"


def _series_attributes(phantom: PhantomStudy, style: CTStyle, series: CTSeries, number: int) -> Dataset:
    """Patient, study, series, equipment and CT Image module (PS3.3 C.7.1–C.7.5, C.8.2.1)."""
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage

    key, name, acquired = _key(phantom, style), f"{phantom.truth.seed:06d}", moment(series.start_s)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = list(series.image_type)
    ds.PatientName, ds.PatientID = f"PHANTOM^{name}", f"PHANTOM-{name}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientWeight = "", "O", decimal(WEIGHT_KG)
    ds.QualityControlSubject = "YES"
    ds.StudyInstanceUID = derived_uid(key, "study")
    ds.StudyDate, ds.StudyTime = date(STUDY_START), time(STUDY_START)
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.StudyDescription = f"CT liver ({NOTICE})"
    ds.Modality = "CT"
    ds.SeriesInstanceUID, ds.SeriesNumber = derived_uid(key, "series", number), number
    ds.SeriesDescription = style.descriptions[series.part]
    ds.SeriesDate, ds.SeriesTime = date(acquired), time(acquired)
    ds.AcquisitionDate, ds.AcquisitionTime = date(acquired), time(acquired)
    ds.ContentDate, ds.ContentTime = date(acquired), time(acquired)
    ds.AcquisitionNumber = number
    ds.BodyPartExamined, ds.PatientPosition = "ABDOMEN", "HFS"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = derived_uid(key, "frame of reference"), ""
    ds.Manufacturer, ds.ManufacturerModelName = style.manufacturer, style.model
    ds.SoftwareVersions, ds.DeviceSerialNumber, ds.InstitutionName = style.software, "00000", ""
    ds.ImageComments = NOTICE
    ds.KVP, ds.ConvolutionKernel, ds.GantryDetectorTilt = decimal(KVP), style.kernel, "0"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
    level, width = _SOFT_WINDOW
    ds.WindowCenter, ds.WindowWidth = decimal(level), decimal(width)
    if series.enhanced:
        _contrast(ds, style)
    return ds


def _contrast(ds: Dataset, style: CTStyle) -> None:
    """Contrast/Bolus module (PS3.3 C.7.6.4), as much of it as the vendor's users fill in."""
    ds.ContrastBolusAgent, ds.ContrastBolusRoute = "Iopamidol 370", "IV"
    ds.ContrastBolusVolume = decimal(round(IODINE_MG_PER_KG * WEIGHT_KG / _MG_PER_ML))
    if style.says_time:
        ds.ContrastBolusStartTime = time(moment(INJECTION_S))


def _file_name(vendor: Vendor, series: int, instance: int, count: int) -> PurePosixPath:
    if vendor == "siemens":
        return PurePosixPath(f"SERIES_{series:04d}/PHANTOM.CT.ABDOMEN.{series:04d}.{instance:04d}.IMA")
    if vendor == "ge":
        return PurePosixPath(f"S{series:03d}/i{count:06d}.CTDC.{instance}")
    return PurePosixPath(f"DICOM/IM_{count:04d}")
