"""Functional groups of the frames of an enhanced MR object (PS3.3 C.7.6.16.2 and C.8.13.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from .attributes import decimal, decimals
from .examination import Examination, Series, Volume
from .vocabulary import ECHO_TRAIN, Kind

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Derivation:
    """How a derived image came about: DICOM code and values 3 and 4 of the image type."""

    code: str
    meaning: str
    image_type: tuple[str, str]


DERIVATIONS = {
    "ADC": Derivation("113041", "Apparent Diffusion Coefficient", ("DIFFUSION", "ADC")),
    "subtraction": Derivation("113062", "Pixel by pixel subtraction", ("T1", "SUBTRACTION")),
    "MPR": Derivation("113072", "Multiplanar reformatting", ("T1", "MPR")),
}


def item() -> Dataset:
    """An empty sequence item."""
    from pydicom.dataset import Dataset

    return Dataset()


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A code sequence item (PS3.3 8.8)."""
    ds = item()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def place(frame: Dataset, image: sitk.Image, index: int) -> None:
    """Pixel Measures, Plane Position and Plane Orientation."""
    x, y, z = image.GetSpacing()
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    measures, position, orientation = item(), item(), item()
    measures.PixelSpacing = decimals([y, x])
    measures.SliceThickness = measures.SpacingBetweenSlices = decimal(z)
    position.ImagePositionPatient = decimals(image.TransformIndexToPhysicalPoint((0, 0, index)))
    orientation.ImageOrientationPatient = decimals([*direction[:, 0], *direction[:, 1]])
    frame.PixelMeasuresSequence = [measures]
    frame.PlanePositionSequence = [position]
    frame.PlaneOrientationSequence = [orientation]
    anatomy = item()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [code("818981001", "SCT", "Abdomen")]
    frame.FrameAnatomySequence = [anatomy]


def display_window(frame: Dataset, stored: np.ndarray, slope: float) -> None:
    """Pixel Value Transformation and Frame VOI LUT."""
    transformation, window = item(), item()
    transformation.RescaleIntercept, transformation.RescaleSlope = "0", decimal(slope)
    transformation.RescaleType = "US"
    low, high = (slope * float(v) for v in np.percentile(stored, (1, 99)))
    window.WindowCenter = decimal(round((low + high) / 2, 1))
    window.WindowWidth = decimal(round(max(high - low, 1.0), 1))
    frame.PixelValueTransformationSequence = [transformation]
    frame.FrameVOILUTSequence = [window]


def derivation(frame: Dataset, examination: Examination, series: Series, volume: Volume) -> None:
    """Derivation Image: what the frame was computed from."""
    how, step = DERIVATIONS[volume.part], item()
    step.DerivationDescription = how.meaning.lower()
    step.DerivationCodeSequence = [code(how.code, "DCM", how.meaning)]
    step.SourceImageSequence = [_source(examination, source) for source in sources_of(examination, series)]
    frame.DerivationImageSequence = [step]


def sources_of(examination: Examination, series: Series) -> tuple[Series, ...]:
    """The series that a derived one was computed from."""
    return tuple(s for s in examination.series if s.uid in series.source_uids)


def _source(examination: Examination, series: Series) -> Dataset:
    from pydicom.uid import EnhancedMRImageStorage

    ds = item()
    ds.ReferencedSOPClassUID = EnhancedMRImageStorage
    ds.ReferencedSOPInstanceUID = examination.image_uid(series)
    ds.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    return ds


def contrast_usage(frame: Dataset, volume: Volume) -> None:
    """Contrast/Bolus Usage: whether agent 1 was in the patient."""
    usage = item()
    usage.ContrastBolusAgentNumber = 1
    usage.ContrastBolusAgentAdministered = "YES" if volume.enhanced else "NO"
    usage.ContrastBolusAgentDetected = "YES" if volume.enhanced else "NO"
    if volume.enhanced:
        usage.ContrastBolusAgentPhase = _AGENT_PHASES.get(volume.sequence or "", "POST_CONTRAST")
    frame.ContrastBolusUsageSequence = [usage]


_AGENT_PHASES = {"LAP": "ARTERIAL", "PVP": "PORTAL_VENOUS", "DP": "DELAYED"}


def imaging_groups(frame: Dataset, examination: Examination, volume: Volume, frequency_mhz: float) -> None:
    """The macros that an original MR frame needs: timing, echo, modifiers, coils, averages, field of view."""
    part = examination.style.parts[volume.part]
    frame.MRTimingAndRelatedParametersSequence = [_timing(volume, part.kind)]
    echo = item()
    echo.EffectiveEchoTime = float(volume.te_ms)
    frame.MREchoSequence = [echo]
    frame.MRModifierSequence = [_modifier()]
    imaging = item()
    imaging.MagnetizationTransfer = "NONE"
    imaging.BloodSignalNulling = "NO"
    imaging.Tagging = "NONE"
    imaging.TransmitterFrequency = float(frequency_mhz)
    imaging.PixelBandwidth = 500.0
    frame.MRImagingModifierSequence = [imaging]
    frame.MRReceiveCoilSequence, frame.MRTransmitCoilSequence = [_receive_coil()], [_transmit_coil()]
    averages = item()
    averages.NumberOfAverages = float(volume.averages)
    frame.MRAveragesSequence = [averages]
    frame.MRFOVGeometrySequence = [_field_of_view(volume.image)]
    if part.kind == "epi":
        diffusion = item()
        diffusion.DiffusionBValue = float(volume.b_value or 0.0)
        diffusion.DiffusionDirectionality = "ISOTROPIC"
        frame.MRDiffusionSequence = [diffusion]


def _timing(volume: Volume, kind: Kind) -> Dataset:
    timing, train = item(), ECHO_TRAIN.get(kind, 1)
    timing.RepetitionTime = decimal(volume.tr_ms)
    timing.FlipAngle = decimal(volume.flip_deg)
    timing.EchoTrainLength = train
    timing.RFEchoTrainLength = train if kind in ("tse", "haste") else 0
    timing.GradientEchoTrainLength = 0 if kind in ("tse", "haste") else train
    timing.GradientOutputType = "PER_NERVE_STIM"
    timing.GradientOutput = 0.0
    mode, rate = item(), item()
    mode.OperatingModeType, mode.OperatingMode = "RF", "IEC_NORMAL"
    timing.OperatingModeSequence = [mode]
    rate.SpecificAbsorptionRateDefinition, rate.SpecificAbsorptionRateValue = "IEC_WHOLE_BODY", 0.0
    timing.SpecificAbsorptionRateSequence = [rate]
    return timing


def _modifier() -> Dataset:
    modifier = item()
    modifier.InversionRecovery = "NO"
    modifier.FlowCompensation = "NONE"
    modifier.Spoiling = "NONE"
    modifier.T2Preparation = "NO"
    modifier.SpectrallySelectedExcitation = "NONE"
    modifier.SpatialPresaturation = "NONE"
    modifier.PartialFourier = "NO"
    modifier.ParallelAcquisition = "NO"
    return modifier


def _receive_coil() -> Dataset:
    coil = item()
    coil.ReceiveCoilName = "BODY"
    coil.ReceiveCoilManufacturerName = ""
    coil.ReceiveCoilType = "BODY"
    coil.QuadratureReceiveCoil = "YES"
    return coil


def _transmit_coil() -> Dataset:
    coil = item()
    coil.TransmitCoilName = "BODY"
    coil.TransmitCoilManufacturerName = ""
    coil.TransmitCoilType = "BODY"
    return coil


def _field_of_view(image: sitk.Image) -> Dataset:
    columns, rows, _ = image.GetSize()
    geometry = item()
    geometry.InPlanePhaseEncodingDirection = "COLUMN"
    geometry.MRAcquisitionFrequencyEncodingSteps = columns
    geometry.MRAcquisitionPhaseEncodingStepsInPlane = rows
    geometry.MRAcquisitionPhaseEncodingStepsOutOfPlane = 0
    geometry.PercentSampling = geometry.PercentPhaseFieldOfView = 100.0
    return geometry
