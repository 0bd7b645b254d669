"""One object for each slice: MR Image Storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from . import private
from .attributes import (
    NOTICE,
    common,
    contrast,
    date,
    decimal,
    decimals,
    frequency_mhz,
    pixels,
    stored_values,
    time,
)
from .examination import Examination, Series, Volume, moment
from .vocabulary import ECHO_TRAIN

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def slices(examination: Examination, series: Series) -> Iterator[Dataset]:
    """The objects of a series in the order of their instance numbers (PS3.3 A.4)."""
    from pydicom.dataset import Dataset

    number = 0
    for volume in series.volumes:
        array, slope, bits = stored_values(sitk.GetArrayViewFromImage(volume.image), examination.style)
        of_volume = _volume_attributes(examination, series, volume)
        if volume.part == "ADC" or slope != 1.0:
            of_volume.RescaleIntercept, of_volume.RescaleSlope = "0", decimal(slope)
            of_volume.RescaleType = "US"
        order = range(len(array))
        for index in reversed(order) if examination.style.head_first else order:
            number += 1
            ds = Dataset(of_volume)
            place(ds, volume.image, index)
            ds.InstanceNumber = number
            ds.SOPInstanceUID = examination.image_uid(series, number)
            pixels(ds, array[index], bits)
            _display(ds, array[index], slope)
            yield ds


def _volume_attributes(examination: Examination, series: Series, volume: Volume) -> Dataset:
    from pydicom.uid import MRImageStorage

    style, part = examination.style, examination.style.parts[volume.part]
    technique = style.techniques[part.kind]
    acquired = moment(volume.start_s)
    ds = common(examination, series)
    ds.SOPClassUID = MRImageStorage
    ds.ImageType = list(part.image_type)
    ds.ImageComments = NOTICE
    ds.QualityControlImage = "YES"
    ds.AcquisitionDate, ds.AcquisitionTime = date(acquired), time(acquired)
    written = moment(volume.start_s + volume.duration_s)
    ds.ContentDate, ds.ContentTime = date(written), time(written)
    ds.AcquisitionNumber = 1 if examination.vendor == "ge" else volume.position
    ds.ScanningSequence = list(technique.scanning_sequence)
    ds.SequenceVariant = list(technique.sequence_variant)
    ds.ScanOptions = [*technique.scan_options, *((style.fat_option,) if part.fat_suppressed else ())]
    ds.MRAcquisitionType = "3D" if part.kind in ("gre", "dixon") else "2D"
    ds.AngioFlag = "N"
    ds.RepetitionTime = decimal(volume.tr_ms)
    ds.EchoTime = decimal(volume.te_ms)
    ds.EchoTrainLength = ECHO_TRAIN.get(part.kind, 1)
    ds.EchoNumbers = volume.position if part.kind in ("dixon", "dual echo") else 1
    ds.FlipAngle = decimal(volume.flip_deg)
    ds.NumberOfAverages = decimal(volume.averages)
    ds.MagneticFieldStrength = decimal(examination.field_tesla)
    ds.ImagingFrequency = decimal(frequency_mhz(examination))
    ds.ImagedNucleus = "1H"
    if series.source_uids:
        ds.DerivationDescription = f"computed from {len(series.source_uids)} other series of this study"
    contrast(ds, examination, volume)
    private.vendor_attributes(ds, examination, series, volume)
    return ds


def place(ds: Dataset, image: sitk.Image, index: int) -> None:
    """Image Plane module (PS3.3 C.7.6.2): PixelSpacing is between rows, then between columns."""
    x, y, z = image.GetSpacing()
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    position = np.asarray(image.TransformIndexToPhysicalPoint((0, 0, index)))
    ds.ImagePositionPatient = decimals(position)
    ds.ImageOrientationPatient = decimals([*direction[:, 0], *direction[:, 1]])
    ds.PixelSpacing = decimals([y, x])
    ds.SliceThickness = decimal(z)
    ds.SpacingBetweenSlices = decimal(z)
    ds.SliceLocation = decimal(float(position @ direction[:, 2]))


def _display(ds: Dataset, stored: np.ndarray, slope: float) -> None:
    low, high = (slope * float(v) for v in np.percentile(stored, (1, 99)))
    ds.WindowCenter = decimal(round((low + high) / 2, 1))
    ds.WindowWidth = decimal(round(max(high - low, 1.0), 1))
