"""The lesions as a DICOM segmentation (PS3.3 A.51), one segment each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

import LiverLesionAI
from LiverLesionAI.answers import TaskResult
from LiverLesionAI.registration.outlines import outline_on_sequence
from LiverLesionAI.results import LesionResult, StudyResult
from LiverLesionAI.study import Study, labels_in
from LiverLesionAI.writers.dicom.answers import answer_in_words, class_code, coded
from LiverLesionAI.writers.dicom.source import (
    CHARACTER_SET,
    MAKER,
    TEXT_LIMIT,
    SourceSeries,
    as_volume,
    derived_uid,
    label_in_dicom,
    notice,
    stamp,
    tracking_uid,
)

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept

SERIES_NUMBER = 9001
UNCLASSIFIED_COLOUR = (153, 153, 153)
_GEOMETRY_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class SeriesLesions:
    """Lesions on the grid of the reference series.

    Attributes
    ----------
    labels
        Label image; segment numbers 1…N.
    ids
        The study's label of each segment, in order.
    outside
        Lesions that lie outside the series.
    resampled
        Whether the outlines were given on another grid.
    """

    labels: sitk.Image
    ids: tuple[int, ...]
    outside: tuple[int, ...]
    resampled: bool

    def segment(self, lesion_id: int) -> int:
        """Number of a lesion's segment."""
        return self.ids.index(lesion_id) + 1


def lesions_on_series(study: Study) -> SeriesLesions:
    """Put a study's lesions on the grid of its reference sequence.

    Outlines of another grid are carried by their signed distance maps
    (:func:`LiverLesionAI.registration.outlines.outline_on_sequence`).
    """
    given, reference = study.outlined_lesions, replace(study.images[study.reference], transform=None)
    resampled = not _same_grid(given, reference.image)
    labels = outline_on_sequence(given, reference) if resampled else given
    ids = labels_in(labels)
    array = sitk.GetArrayViewFromImage(labels)
    numbers = np.searchsorted(ids, array).astype(np.uint16) + 1
    segments = sitk.GetImageFromArray(np.where(np.isin(array, ids), numbers, 0).astype(np.uint16))
    segments.CopyInformation(reference.image)
    outside = tuple(lesion_id for lesion_id in study.lesion_ids if lesion_id not in ids)
    return SeriesLesions(segments, ids, outside, resampled)


def _same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    if first.GetSize() != second.GetSize():
        return False
    x, y, z = (n - 1 for n in first.GetSize())
    away = [
        np.subtract(first.TransformIndexToPhysicalPoint(c), second.TransformIndexToPhysicalPoint(c))
        for c in ((0, 0, 0), (x, 0, 0), (0, y, 0), (0, 0, z))
    ]
    return bool(np.abs(away).max() <= _GEOMETRY_TOLERANCE_MM)


def lesion_segmentation(
    study: Study, result: StudyResult, source: SourceSeries, lesions: SeriesLesions
) -> Segmentation:
    """Make the segmentation object.

    Segments are coded as morphologically abnormal structures of the type that the model predicts; the
    lesion's name is the label, tracking identifier and UID are the same as in the report.

    Parameters
    ----------
    study, result
        The study and its result.
    source
        Headers of the reference series.
    lesions
        The lesions on its grid.

    Returns
    -------
    highdicom.seg.Segmentation
        Binary, empty frames left out.
    """
    from highdicom.seg import Segmentation, SegmentationTypeValues

    by_id = {lesion.id: lesion for lesion in result.lesions}
    segments = [
        _segment(study, result, source, lesions, lesion_id, by_id.get(lesion_id)) for lesion_id in lesions.ids
    ]
    said = notice(result) + ("; outlines resampled" if lesions.resampled else "")
    segmentation = Segmentation(
        source_images=source.main,
        further_source_images=source.further,
        pixel_array=as_volume(lesions.labels, source),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=derived_uid(result, source, "segmentation series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid(result, source, "segmentation"),
        instance_number=1,
        content_label="LESIONS",
        content_description=said[:TEXT_LIMIT],
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=LiverLesionAI.__version__,
        device_serial_number=LiverLesionAI.__version__,
        specific_character_set=CHARACTER_SET,
    )
    stamp(segmentation, result, "lesions")
    return segmentation


def _property_type(answer: TaskResult | None) -> CodedConcept:
    """The predicted type; a lesion, where no more is known than whether it is benign or malignant."""
    from pydicom.sr.codedict import codes

    if answer is None or answer.is_binary:
        return codes.SCT.Lesion
    return class_code(answer.predicted_class, answer.taxonomy)


def _segment(
    study: Study,
    result: StudyResult,
    source: SourceSeries,
    lesions: SeriesLesions,
    lesion_id: int,
    lesion: LesionResult | None,
) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.codedict import codes

    answer = (lesion.answer if lesion else None) or result.answer
    colour = answer.predicted_class.colour if answer else UNCLASSIFIED_COLOUR
    name = label_in_dicom(study, lesion_id)
    placed = "resampled by signed distance maps" if lesions.resampled else "as given"
    description = SegmentDescription(
        segment_number=lesions.segment(lesion_id),
        segment_label=name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=_property_type(answer),
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=MAKER,
            version=LiverLesionAI.__version__,
            family=codes.cid7162.ManualProcessing,
            parameters={"outline": f"given to the program, {placed}"},
        ),
        tracking_uid=tracking_uid(source, lesion_id),
        tracking_id=name,
        anatomic_regions=[coded("10200004", "SCT", "Liver")],
        display_color=CIELabColor.from_rgb(*colour),
    )
    words = answer_in_words(lesion, result) if lesion else "not classified"
    description.SegmentDescription = f"{words}; {notice(result)}"
    return description
