"""Maps over the image, such as saliency, as DICOM Parametric Maps (PS3.3 A.75)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

import LiverLesionAI
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.writers.dicom.answers import coded
from LiverLesionAI.writers.dicom.source import (
    CHARACTER_SET,
    MAKER,
    TEXT_LIMIT,
    as_volume,
    derived_uid,
    notice,
    read_source,
    save,
    stamp,
)

SERIES_NUMBER = 9003


def write_parametric_map(
    study: Study, result: StudyResult, image: sitk.Image, file: Path, *, title: str, number: int = 1
) -> Path:
    """Write a map in the reference frame as a parametric map of float32 values.

    Parameters
    ----------
    study, result
        The study and its result.
    image
        Scalar map on any grid in the reference frame; its values are kept as they are.
    file
        File to write.
    title
        What the map shows, for example ``"saliency of lesion 1 in LAP"``; part of the object's identity.
    number
        InstanceNumber among the maps of the study, which form one series.

    Returns
    -------
    Path
        `file`.

    Raises
    ------
    DicomError
        If the reference sequence did not come from DICOM, or its files cannot be read any more.
    """
    from highdicom import VOILUTFunctionValues, VOILUTTransformation
    from highdicom.pm import DerivedPixelContrastValues, ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    source = read_source(study.images[study.reference])
    volume = as_volume(sitk.Cast(image, sitk.sitkFloat32), source)
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    mapping = RealWorldValueMapping(
        lut_label="SALIENCY",
        lut_explanation=title[:TEXT_LIMIT],
        unit=codes.UCUM.NoUnits,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=coded("130404", "DCM", "Saliency"),
    )
    window = VOILUTTransformation(
        window_center=(low + high) / 2,
        window_width=max(high - low, float(np.finfo(np.float32).eps)),
        voi_lut_function=VOILUTFunctionValues.LINEAR_EXACT,
    )
    parametric_map = ParametricMap(
        source_images=source.main,
        further_source_images=source.further,
        pixel_array=volume,
        series_instance_uid=derived_uid(result, source, "map series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid(result, source, "map", title),
        instance_number=number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="SALIENCY",
        content_description=f"{title}; {notice(result)}"[:TEXT_LIMIT],
        derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=LiverLesionAI.__version__,
        device_serial_number=LiverLesionAI.__version__,
        specific_character_set=CHARACTER_SET,
    )
    parametric_map.BodyPartExamined = "LIVER"
    stamp(parametric_map, result, "maps")
    return save(parametric_map, file)
