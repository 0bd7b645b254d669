"""Saliency maps as DICOM Parametric Maps (PS3.3 A.75), written on request."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

import LiverLesionAI
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.writers.dicom import DICOM_FOLDER
from LiverLesionAI.writers.dicom.answers import coded
from LiverLesionAI.writers.dicom.source import (
    CHARACTER_SET,
    MAKER,
    TEXT_LIMIT,
    SourceSeries,
    as_volume,
    derived_uid,
    notice,
    read_source,
    save,
    stamp,
)

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap

    from LiverLesionAI.explanation.lesion import LesionExplanation

SERIES_NUMBER = 9003


def write_parametric_maps(
    study: Study, result: StudyResult, explanations: Iterable[LesionExplanation], folder: Path
) -> tuple[Path, ...]:
    """Write every saliency map, ``saliency_<lesion>_<SEQ>.dcm`` and ``…_weighted.dcm``, as one series.

    Parameters
    ----------
    study, result
        The study and its result.
    explanations
        Of the study's lesions.
    folder
        Output folder; the maps go into its subfolder ``dicom``.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    DicomError
        If the reference sequence did not come from DICOM, or its files cannot be read any more.
    """
    source = read_source(study.images.get(study.reference))
    target = folder / DICOM_FOLDER
    target.mkdir(exist_ok=True)
    files: list[Path] = []
    wanted = ((each, name) for each in explanations for name in each.sequences)
    for (explanation, name), weighted in product(wanted, (False, True)):
        lesion = explanation.lesion.lesion_id
        kind = "saliency times sequence weight" if weighted else "saliency"
        made = parametric_map(
            source,
            result,
            explanation.image(name, weighted=weighted),
            title=f"{kind} of lesion {lesion} in {name} for {explanation.target}",
            number=len(files) + 1,
        )
        suffix = "_weighted" if weighted else ""
        files.append(save(made, target / f"saliency_{lesion}_{name}{suffix}.dcm"))
    return tuple(files)


def parametric_map(
    source: SourceSeries, result: StudyResult, image: sitk.Image, *, title: str, number: int = 1
) -> ParametricMap:
    """A map in the reference frame as a parametric map of float32 values.

    Parameters
    ----------
    source
        Series of the reference sequence.
    result
        The study's result.
    image
        Scalar map on any grid in the reference frame; its values are kept as they are.
    title
        What the map shows, for example ``"saliency of lesion 1 in LAP"``; part of the object's identity.
    number
        InstanceNumber among the maps of the study, which form one series.
    """
    from highdicom import VOILUTFunctionValues, VOILUTTransformation
    from highdicom.pm import DerivedPixelContrastValues, ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

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
    made = ParametricMap(
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
    made.BodyPartExamined = "LIVER"
    stamp(made, result, "maps")
    return made
