"""What the header of one image (a file, or one frame of a multi-frame file) says."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.identity import Identity, identity_of, known_uid
from LiverLesionAI.readers.dicom.bvalues import b_value, is_directional
from LiverLesionAI.readers.dicom.charsets import text_of
from LiverLesionAI.readers.dicom.functional_groups import (
    Lookup,
    dimension_of,
    frame_lookups,
    items_of,
    object_lookup,
)

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
DIRECTORY = "1.2.840.10008.1.3.10"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
IMAGE_MODALITIES = ("MR", "CT")
IMAGE_CLASSES = {f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4")}
"""CT and MR image storage, classic, enhanced (colour too) and legacy-converted."""


@dataclass(frozen=True)
class Frame:
    """One slice and what is said about it. None or empty where nothing is said.

    Attributes
    ----------
    file, number
        The file, and the frame in it counted from 1.
    identity
        What tells patients apart, as digests; the identity itself is never kept.
    study_uid, series_uid, sop_uid, frame_of_reference
        As in DICOM; empty where missing or overwritten, which is equal to nothing.
    position, row, column
        ImagePositionPatient in LPS mm and the direction cosines of ImageOrientationPatient.
    spacing
        Between rows and between columns, mm (PixelSpacing).
    derivation
        Codes of DerivationCodeSequence.
    te, tr, ti
        Echo, repetition and inversion time, ms.
    b, b_source
        Diffusion b-value in s/mm² and where it was found.
    directional
        Whether this is diffusion along one direction; traces and means are not.
    temporal_position, acquisition_number, trigger_ms
        As in DICOM; the trigger time holds the phase's delay in dynamic series of some vendors.
    dimension
        Index values of the dimensions of a multi-frame object other than place; they order before times do.
    agent, agent_ml
        Names of the contrast agents, and how much was injected; None where that is not said.
    kernel
        ConvolutionKernel of CT.
    acquired_s, injected_s
        Second of the day at which the slice was acquired and the contrast agent injected.
    day, study_day
        Proleptic ordinals of AcquisitionDate and StudyDate.
    body_part
        BodyPartExamined, and the meaning of AnatomicRegionSequence.
    frames
        How many frames the file has beside this one without saying where they lie, and this one.
    photometric
        PhotometricInterpretation.
    rescale
        Slope and intercept of stored values.
    """

    file: Path
    number: int
    identity: Identity
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    modality: str
    manufacturer: str = ""
    series_number: int | None = None
    instance: int | None = None
    description: str = ""
    protocol: str = ""
    sequence_name: str = ""
    study_description: str = ""
    image_type: tuple[str, ...] = ()
    derivation: tuple[str, ...] = ()
    component: str = ""
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    fat_suppressed: bool = False
    acquisition_type: str = ""
    te: float | None = None
    tr: float | None = None
    ti: float | None = None
    flip: float | None = None
    echo_train: int | None = None
    field_t: float | None = None
    b: float | None = None
    b_source: str = ""
    directional: bool = False
    agent: str = ""
    agent_ml: float | None = None
    kernel: str = ""
    contrast_phase: str = ""
    temporal_position: int | None = None
    acquisition_number: int | None = None
    trigger_ms: float | None = None
    dimension: tuple[int, ...] = ()
    acquired_s: float | None = None
    injected_s: float | None = None
    day: int | None = None
    study_day: int | None = None
    body_part: str = ""
    position: tuple[float, float, float] | None = None
    row: tuple[float, float, float] | None = None
    column: tuple[float, float, float] | None = None
    frames: int = 1
    rows: int | None = None
    columns: int | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    frame_of_reference: str = ""
    samples: int = 1
    photometric: str = "MONOCHROME2"
    rescale: tuple[float, float] = (1.0, 0.0)

    @property
    def is_image(self) -> bool:
        """Whether this is a slice of MR or CT, and not a report, a mask or a picture of the screen."""
        placed_capture = self.sop_class.startswith(SECONDARY_CAPTURE) and self.position is not None
        known_class = not self.sop_class or self.sop_class in IMAGE_CLASSES or placed_capture
        return self.modality in IMAGE_MODALITIES and self.rows is not None and known_class

    @property
    def is_derived(self) -> bool:
        """Whether ImageType says that the slice was computed from others."""
        return self.image_type[:1] == ("DERIVED",)

    @property
    def normal(self) -> tuple[float, float, float] | None:
        """Unit vector across the slice; None where the orientation is missing or no orientation."""
        if self.row is None or self.column is None:
            return None
        (a, b, c), (d, e, f) = self.row, self.column
        cross = (b * f - c * e, c * d - a * f, a * e - b * d)
        length = math.sqrt(sum(x * x for x in cross))
        return (cross[0] / length, cross[1] / length, cross[2] / length) if length > 0.5 else None

    @property
    def plane(self) -> str:
        """``"axial"``, ``"coronal"``, ``"sagittal"``, or empty where the orientation is not known."""
        normal = self.normal
        if normal is None:
            return ""
        largest = max(range(3), key=lambda axis: abs(normal[axis]))
        return ("sagittal", "coronal", "axial")[largest]

    @property
    def along(self) -> float | None:
        """Position along the normal, mm; None where the geometry is missing."""
        normal = self.normal
        if normal is None or self.position is None:
            return None
        return sum(n * p for n, p in zip(normal, self.position, strict=True))


def frames_of(dataset: Dataset, file: Path) -> tuple[Frame, ...]:
    """Read every frame of one DICOM object.

    Parameters
    ----------
    dataset
        The header; pixel data are not looked at.
    file
        Where it lies.

    Returns
    -------
    tuple of Frame
        One for a classic object, one a frame for enhanced objects (their functional groups are flattened, the
        frame's own before the shared ones). Unreadable values count as missing.
    """
    top = object_lookup(dataset)
    label_maps = (SEGMENTATION, LABEL_MAP_SEGMENTATION)
    per_frame = items_of(top("PerFrameFunctionalGroupsSequence"))
    if not per_frame or text(top("SOPClassUID")) in label_maps:
        return (_frame(dataset, top, file, 1),)
    return tuple(
        _frame(dataset, get, file, number) for number, get in enumerate(frame_lookups(dataset), start=1)
    )


def _frame(dataset: Dataset, get: Lookup, file: Path, number: int) -> Frame:
    name, maker = text(get("SequenceName")), text(get("Manufacturer"))
    b, source = b_value(real(get("DiffusionBValue")), dataset, maker, name)
    image_type = words(get("ImageType"))
    directed = any(reals(get("DiffusionGradientOrientation")))
    directional = is_directional(text(get("DiffusionDirectionality")), image_type, directed, dataset, maker)
    orientation = reals(get("ImageOrientationPatient"))
    position = reals(get("ImagePositionPatient"))
    spacing = reals(get("PixelSpacing"))
    options = words(get("ScanOptions"))
    oriented = len(orientation) == 6
    frames = whole(get("NumberOfFrames")) or 1
    return Frame(
        file=file,
        number=number,
        identity=identity_of(get),
        study_uid=known_uid(get("StudyInstanceUID")),
        series_uid=known_uid(get("SeriesInstanceUID")),
        sop_uid=known_uid(get("SOPInstanceUID")),
        sop_class=text(get("SOPClassUID")),
        modality=text(get("Modality")).upper(),
        manufacturer=maker,
        series_number=whole(get("SeriesNumber")),
        instance=whole(get("InstanceNumber")),
        description=text_of(dataset, "SeriesDescription"),
        protocol=text_of(dataset, "ProtocolName"),
        sequence_name=name,
        study_description=text_of(dataset, "StudyDescription"),
        image_type=image_type,
        derivation=_derivation(get),
        component=text(get("ComplexImageComponent")).upper(),
        scanning_sequence=words(get("ScanningSequence")) or _echo_kind(get),
        sequence_variant=words(get("SequenceVariant")),
        scan_options=options,
        fat_suppressed=_fat_suppressed(get, options),
        acquisition_type=text(get("MRAcquisitionType")).upper(),
        te=_positive(get("EchoTime")),
        tr=_positive(get("RepetitionTime")),
        ti=_positive(get("InversionTime")),
        flip=_positive(get("FlipAngle")),
        echo_train=whole(get("EchoTrainLength")),
        field_t=_field_strength(get),
        b=b,
        b_source=source,
        directional=directional and b != 0,
        agent=_agent(dataset, get),
        agent_ml=_contrast_ml(get),
        kernel=text(get("ConvolutionKernel")).upper(),
        contrast_phase=text(get("ContrastBolusAgentPhase")),
        temporal_position=whole(get("TemporalPositionIdentifier")),
        acquisition_number=whole(get("AcquisitionNumber")),
        trigger_ms=real(get("TriggerTime")),
        acquired_s=second_of_day(get("AcquisitionTime") or get("AcquisitionDateTime")),
        injected_s=second_of_day(get("ContrastBolusStartTime")),
        dimension=dimension_of(get),
        day=day_of(get("AcquisitionDate") or get("AcquisitionDateTime")),
        study_day=day_of(get("StudyDate")),
        body_part=_body_part(get),
        position=(position[0], position[1], position[2]) if len(position) == 3 else None,
        row=(orientation[0], orientation[1], orientation[2]) if oriented else None,
        column=(orientation[3], orientation[4], orientation[5]) if oriented else None,
        frames=1 if len(items_of(get("PerFrameFunctionalGroupsSequence"))) > 1 else frames,
        rows=whole(get("Rows")),
        columns=whole(get("Columns")),
        spacing=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        thickness=_positive(get("SliceThickness")),
        frame_of_reference=known_uid(get("FrameOfReferenceUID")),
        samples=whole(get("SamplesPerPixel")) or 1,
        photometric=text(get("PhotometricInterpretation")).upper() or "MONOCHROME2",
        rescale=_rescale(get),
    )


def text(value: Any) -> str:
    """Text of an attribute, on one line."""
    return "" if value is None else " ".join(str(value).split())


def words(value: Any) -> tuple[str, ...]:
    """Values of a multi-valued text attribute in capitals, without empty ones."""
    if value is None or isinstance(value, (int, float)):
        return ()
    values = (value,) if isinstance(value, str) else tuple(value)
    return tuple(word for v in values if (word := text(v).upper()))


def real(value: Any) -> float | None:
    """Number of an attribute (the first of several); None where it is none or not finite."""
    try:
        first = value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value
        number = float(first)
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return number if math.isfinite(number) else None


def reals(value: Any) -> tuple[float, ...]:
    """All numbers of an attribute; empty where one of them is none."""
    if value is None or isinstance(value, (str, int, float)):
        return ()
    numbers = [real(v) for v in value]
    return tuple(n for n in numbers if n is not None) if None not in numbers else ()


def whole(value: Any) -> int | None:
    """Integer of an attribute."""
    number = real(value)
    return None if number is None else int(number)


def _positive(value: Any) -> float | None:
    number = real(value)
    return number if number is not None and number > 0 else None


def second_of_day(value: Any) -> float | None:
    """Second of the day of a DICOM time (``HHMMSS.FFFFFF``) or date and time (``YYYYMMDDHHMMSS.FFFFFF``)."""
    digits = text(value).replace(":", "")
    match = re.fullmatch(r"(?:\d{8})?(\d{2})(\d{2})(\d{2}(?:\.\d*)?)(?:[+-]\d{4})?", digits)
    if match is None:
        return None
    hours, minutes, seconds = (float(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 and seconds < 61 else None


def day_of(value: Any) -> int | None:
    """Ordinal of a DICOM date, or of the date of a date and time; None where it is none."""
    match = re.match(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", text(value))
    try:
        return date(*(int(part) for part in match.groups())).toordinal() if match else None
    except ValueError:
        return None


def _derivation(get: Lookup) -> tuple[str, ...]:
    return tuple(text(item.get("CodeValue")) for item in items_of(get("DerivationCodeSequence")))


def _echo_kind(get: Lookup) -> tuple[str, ...]:
    """What enhanced objects say instead of ScanningSequence."""
    kinds = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}
    kind = list(kinds.get(text(get("EchoPulseSequence")).upper(), ()))
    if text(get("EchoPlanarPulseSequence")).upper() == "YES":
        kind.insert(0, "EP")
    if text(get("InversionRecovery")).upper() == "YES":
        kind.append("IR")
    return tuple(kind)


def _fat_suppressed(get: Lookup, options: tuple[str, ...]) -> bool:
    fat_options = {
        "FS",
        "SFS",
        "FATSAT",
        "FAT_SAT",
        "SPIR",
        "SPAIR",
        "WE",
        "FSS",
        "FATSAT_GEMS",
        "SPECIR_GEMS",
    }
    spectral = text(get("SpectrallySelectedSuppression")).upper()
    return bool(fat_options & set(options)) or spectral in ("FAT", "FAT_AND_WATER", "SILICON_AND_FAT")


def _field_strength(get: Lookup) -> float | None:
    """In tesla; a few scanners write gauss."""
    field = _positive(get("MagneticFieldStrength"))
    return field / 10_000 if field is not None and field > 100 else field


def _body_part(get: Lookup) -> str:
    regions = [text(item.get("CodeMeaning")) for item in items_of(get("AnatomicRegionSequence"))]
    return " ".join(filter(None, (text(get("BodyPartExamined")), *regions)))


def _contrast_ml(get: Lookup) -> float | None:
    """Volume of contrast agent that was injected, ml."""
    volumes = [real(get(name)) for name in ("ContrastBolusTotalDose", "ContrastBolusVolume")]
    return next((volume for volume in volumes if volume is not None), None)


def _agent(dataset: Dataset, get: Lookup) -> str:
    agents = [text_of(dataset, "ContrastBolusAgent")]
    for item in items_of(get("ContrastBolusAgentSequence")):
        agents.append(text(item.get("CodeMeaning")))
    said = " ".join(agent for agent in agents if agent)
    return "" if said.casefold() in ("none", "no", "no contrast", "without", "ohne", "non", "keine") else said


def _rescale(get: Lookup) -> tuple[float, float]:
    slope, intercept = real(get("RescaleSlope")), real(get("RescaleIntercept"))
    return (1.0 if slope in (None, 0.0) else float(slope or 1.0), intercept or 0.0)
