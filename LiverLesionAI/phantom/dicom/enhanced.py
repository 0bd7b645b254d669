"""One object for each series: Enhanced MR Image Storage (PS3.3 A.36.2) with its functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from .attributes import (
    DOSE_ML_PER_KG,
    MG_PER_ML,
    NOTICE,
    WEIGHT_KG,
    common,
    date,
    decimal,
    frequency_mhz,
    pixels,
    stored_values,
    time,
)
from .examination import INJECTION_S, Examination, Series, Volume, moment
from .frames import (
    DERIVATIONS,
    code,
    contrast_usage,
    derivation,
    display_window,
    imaging_groups,
    item,
    place,
    sources_of,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STACK, _IN_STACK, _TEMPORAL, _B_VALUE = 0x00209056, 0x00209057, 0x00209128, 0x00189087
_FRAME_CONTENT, _DIFFUSION = 0x00209111, 0x00189117
_DIXON_TYPES = {"INPHASE": "IN_PHASE", "OUTPHASE": "OUT_PHASE", "water": "WATER", "fat": "FAT"}
_AGENTS = {
    "gadobenate": ("792865009", "SCT", "Gadobenate dimeglumine"),
    "gadoxetate": ("440223009", "SCT", "Gadoxetate disodium"),
}


def multi_frame(examination: Examination, series: Series) -> Dataset:
    """The object of a series: volume after volume, slice after slice."""
    from pydicom.uid import EnhancedMRImageStorage

    ds = common(examination, series)
    ds.SOPClassUID = EnhancedMRImageStorage
    ds.SOPInstanceUID = examination.image_uid(series)
    ds.InstanceNumber = 1
    first = series.volumes[0]
    _image_attributes(ds, examination, series, first)
    if first.part in DERIVATIONS:
        _evidence(ds, examination, series)
    else:
        _pulse_sequence(ds, examination, first)
    if series.volumes[-1].enhanced:
        _enhanced_contrast(ds, examination)
    _dimensions(ds, examination, series)
    stored = [stored_values(sitk.GetArrayViewFromImage(v.image), examination.style) for v in series.volumes]
    pixels(ds, np.concatenate([array for array, _, _ in stored]), max(bits for _, _, bits in stored))
    ds.NumberOfFrames = sum(len(array) for array, _, _ in stored)
    ds.SharedFunctionalGroupsSequence = [item()]
    ds.PerFrameFunctionalGroupsSequence = [
        _frame(examination, series, volume, index, array[index], slope)
        for volume, (array, slope, _) in zip(series.volumes, stored, strict=True)
        for index in range(len(array))
    ]
    return ds


def _enhanced_type(examination: Examination, volume: Volume) -> list[str]:
    """Image type of the four values that enhanced objects allow (PS3.3 C.8.13.1)."""
    if volume.part in DERIVATIONS:
        return ["DERIVED", "PRIMARY", *DERIVATIONS[volume.part].image_type]
    if volume.part in _DIXON_TYPES:
        return ["ORIGINAL", "PRIMARY", "DIXON", _DIXON_TYPES[volume.part]]
    flavour = "LOCALIZER" if volume.part == "localiser" else _contrast_of(examination, volume)
    return ["ORIGINAL", "PRIMARY", flavour, "NONE"]


def _contrast_of(examination: Examination, volume: Volume) -> str:
    kind = examination.style.parts[volume.part].kind
    return {"epi": "DIFFUSION", "tse": "T2", "haste": "T2"}.get(kind, "T1")


def _image_attributes(ds: Dataset, examination: Examination, series: Series, volume: Volume) -> None:
    """Enhanced MR Image module (PS3.3 C.8.13.1)."""
    start, end = moment(volume.start_s), series.volumes[-1]
    ds.ImageType = _enhanced_type(examination, volume)
    _description(ds, examination, volume)
    ds.ContentDate, ds.ContentTime = date(start), time(moment(end.start_s + end.duration_s))
    ds.AcquisitionNumber = 1
    ds.AcquisitionDateTime = date(start) + time(start)
    ds.AcquisitionDuration = float(end.start_s + end.duration_s - volume.start_s)
    ds.ContentQualification = "RESEARCH"
    ds.ResonantNucleus = "1H"
    ds.KSpaceFiltering = "NONE"
    ds.MagneticFieldStrength = float(examination.field_tesla)
    ds.ApplicableSafetyStandardAgency = "IEC"
    ds.ImageComments = NOTICE
    ds.AcquisitionContextSequence = []
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"


def _description(ds: Dataset, examination: Examination, volume: Volume) -> None:
    """MR Image Description macro (PS3.3 C.8.13.3.1)."""
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "SAMPLED" if volume.part == "MPR" else "VOLUME"
    ds.VolumeBasedCalculationTechnique = "MPR" if volume.part == "MPR" else "NONE"
    ds.ComplexImageComponent = "MAGNITUDE"
    ds.AcquisitionContrast = _contrast_of(examination, volume)


def _pulse_sequence(ds: Dataset, examination: Examination, volume: Volume) -> None:
    """MR Pulse Sequence module (PS3.3 C.8.13.4)."""
    part = examination.style.parts[volume.part]
    gradient = part.kind in ("gre", "dixon", "dual echo")
    ds.PulseSequenceName = examination.style.techniques[part.kind].sequence_name.replace("{b}", "")
    ds.MRAcquisitionType = "3D" if part.kind in ("gre", "dixon") else "2D"
    ds.EchoPulseSequence = "GRADIENT" if gradient else "SPIN"
    if not gradient:
        ds.MultipleSpinEcho = "YES" if part.kind in ("tse", "haste") else "NO"
    ds.MultiPlanarExcitation = "NO"
    ds.PhaseContrast = "NO"
    ds.TimeOfFlightContrast = "NO"
    ds.SteadyStatePulseSequence = "NONE"
    ds.EchoPlanarPulseSequence = "YES" if part.kind == "epi" else "NO"
    ds.SaturationRecovery = "NO"
    ds.SpectrallySelectedSuppression = "FAT" if part.fat_suppressed else "NONE"
    ds.OversamplingPhase = "NONE"
    ds.SegmentedKSpaceTraversal = "SINGLE" if part.kind in ("haste", "epi") else "PARTIAL"
    ds.GeometryOfKSpaceTraversal = "RECTILINEAR"
    ds.RectilinearPhaseEncodeReordering = "LINEAR"
    if ds.MRAcquisitionType == "3D":
        ds.CoverageOfKSpace = "FULL"
    ds.NumberOfKSpaceTrajectories = 1


def _evidence(ds: Dataset, examination: Examination, series: Series) -> None:
    """The objects that a derived one was computed from, by study and series (PS3.3 C.8.13.1)."""
    study = item()
    study.StudyInstanceUID = ds.StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for source in sources_of(examination, series):
        of_series, instance = item(), item()
        instance.ReferencedSOPClassUID = ds.SOPClassUID
        instance.ReferencedSOPInstanceUID = examination.image_uid(source)
        of_series.SeriesInstanceUID = source.uid
        of_series.ReferencedSOPSequence = [instance]
        study.ReferencedSeriesSequence.append(of_series)
    ds.SourceImageEvidenceSequence = [study]


def _enhanced_contrast(ds: Dataset, examination: Examination) -> None:
    """Enhanced Contrast/Bolus module (PS3.3 C.7.6.4b)."""
    agent = item()
    agent.update(code(*_AGENTS[examination.agent.name]))
    agent.ContrastBolusAgentNumber = 1
    agent.ContrastBolusAdministrationRouteSequence = [code("47625008", "SCT", "Intravenous route")]
    agent.ContrastBolusIngredientCodeSequence = [code(*_AGENTS[examination.agent.name])]
    agent.ContrastBolusVolume = decimal(DOSE_ML_PER_KG[examination.agent.name] * WEIGHT_KG)
    agent.ContrastBolusIngredientConcentration = decimal(MG_PER_ML[examination.agent.name])
    profile = item()
    profile.ContrastBolusVolume = agent.ContrastBolusVolume
    profile.ContrastBolusStartTime = time(moment(INJECTION_S))
    agent.ContrastAdministrationProfileSequence = [profile]
    ds.ContrastBolusAgentSequence = [agent]


def _dimension_pointers(series: Series) -> Sequence[tuple[int, int]]:
    """Pointer and functional group of each dimension, slowest first."""
    pointers = [(_STACK, _FRAME_CONTENT)]
    if len(series.volumes) > 1 and series.b_values:
        pointers.append((_B_VALUE, _DIFFUSION))
    elif len(series.volumes) > 1 and series.sequences:
        pointers.append((_TEMPORAL, _FRAME_CONTENT))
    return [*pointers, (_IN_STACK, _FRAME_CONTENT)]


def _dimensions(ds: Dataset, examination: Examination, series: Series) -> None:
    """Multi-frame Dimension module (PS3.3 C.7.6.17)."""
    uid = examination.uid("dimensions", series.number)
    organisation = item()
    organisation.DimensionOrganizationUID = uid
    ds.DimensionOrganizationSequence = [organisation]
    ds.DimensionIndexSequence = []
    for pointer, group in _dimension_pointers(series):
        index = item()
        index.DimensionOrganizationUID = uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        ds.DimensionIndexSequence.append(index)


def _frame(
    examination: Examination, series: Series, volume: Volume, index: int, stored: np.ndarray, slope: float
) -> Dataset:
    start = moment(volume.start_s)
    stacks = not series.sequences and len(series.volumes) > 1
    content = item()
    content.FrameAcquisitionNumber = volume.position
    content.FrameReferenceDateTime = content.FrameAcquisitionDateTime = date(start) + time(start)
    content.FrameAcquisitionDuration = 1000.0 * volume.duration_s
    content.StackID = str(volume.position if stacks else 1)
    content.InStackPositionNumber = index + 1
    content.TemporalPositionIndex = 1 if stacks else volume.position
    indices = [volume.position if stacks else 1, index + 1]
    if len(_dimension_pointers(series)) == 3:
        indices.insert(1, volume.position)
    content.DimensionIndexValues = indices

    frame = item()
    frame.FrameContentSequence = [content]
    place(frame, volume.image, index)
    kind = item()
    kind.FrameType = _enhanced_type(examination, volume)
    _description(kind, examination, volume)
    frame.MRImageFrameTypeSequence = [kind]
    if volume.part in DERIVATIONS:
        derivation(frame, examination, series, volume)
    else:
        imaging_groups(frame, examination, volume, frequency_mhz(examination))
    if series.volumes[-1].enhanced:
        contrast_usage(frame, volume)
    display_window(frame, stored, slope)
    return frame
