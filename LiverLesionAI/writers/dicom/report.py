"""The results as a structured report by template TID 1500 (PS3.16), one measurement group for each lesion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import LiverLesionAI
from LiverLesionAI.answers import TaskResult
from LiverLesionAI.reading import Decision
from LiverLesionAI.results import LesionResult, ModelSummary, StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import MALIGNANT
from LiverLesionAI.writers.dicom.answers import (
    SCHEME,
    answer_in_words,
    class_code,
    coded,
    study_answer_in_words,
)
from LiverLesionAI.writers.dicom.segmentation import SeriesLesions
from LiverLesionAI.writers.dicom.source import (
    CHARACTER_SET,
    MAKER,
    TEXT_LIMIT,
    SourceSeries,
    derived_uid,
    device_uid,
    label_in_dicom,
    notice,
    stamp,
    tracking_uid,
)

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        ComprehensiveSR,
        ContentSequence,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        QualitativeEvaluation,
        ReferencedSegment,
        TextContentItem,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom.dataset import Dataset

SERIES_NUMBER = 9002
STUDY = "study"
"""What stands for the lesion where the answer is about the study."""


def lesion_report(
    study: Study,
    result: StudyResult,
    source: SourceSeries,
    lesions: SeriesLesions | None,
    segmentation: Segmentation | None,
    evidence: Sequence[Dataset] = (),
) -> ComprehensiveSR:
    """Make the report.

    A lesion's group holds its longest axial diameter, its volume, the probability of every class of every
    task, the predicted classes, and the model with its version, hash and intended use. A probability is a
    numeric item *Probability* whose modifier *Finding* says of which class. A reader's class stands beside
    the model's as a finding of its own, with the reader as its observer where the name was given, and the
    reason in a comment. That the results are no basis for care, and the warnings, stand in comments of the
    root and of each group.

    Parameters
    ----------
    study, result
        The study and its result.
    source
        Headers of the reference series. Single-frame objects make up the image library, whose descriptors
        highdicom has for these alone; multi-frame objects are referenced by the segments.
    lesions
        The lesions on its grid; None where none is segmented.
    segmentation
        The segmentation whose segments are measured; None likewise.
    evidence
        Headers of the other images that the model saw.

    Returns
    -------
    highdicom.sr.ComprehensiveSR
        Partial and unverified: a reader has to confirm it.
    """
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes

    groups: list[Any] = []
    if result.study_tasks:
        groups.append(_study_group(result, source))
    if lesions is not None and segmentation is not None:
        measured = [lesion for lesion in result.lesions if lesion.id in lesions.ids]
        groups += [_lesion_group(study, result, source, lesions, segmentation, lesion) for lesion in measured]
    procedures = {"MR": codes.cid100.MultiparametricMRI, "CT": codes.cid100.CTUnspecifiedBodyRegion}
    report = MeasurementReport(
        observation_context=_observer(),
        procedure_reported=procedures.get(source.first.Modality, codes.cid100.ImagingProcedure),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=None if source.is_multi_frame else source.main,
    )
    report[0].ContentSequence.extend(_comment(text) for text in _remarks(study, result, lesions))
    document = ComprehensiveSR(
        evidence=[*source.objects, *([segmentation] if segmentation is not None else []), *evidence],
        content=report[0],
        series_instance_uid=derived_uid(result, source, "report series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid(result, source, "report"),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=False,
        is_final=False,
        is_verified=False,
        specific_character_set=CHARACTER_SET,
    )
    document.ManufacturerModelName = MAKER
    document.SoftwareVersions = document.DeviceSerialNumber = LiverLesionAI.__version__
    document.CodingSchemeIdentificationSequence = [_own_scheme()]
    stamp(document, result, "report")
    return document


def _study_group(result: StudyResult, source: SourceSeries) -> MeasurementsAndQualitativeEvaluations:
    """The answer for the study as a whole (template TID 1501), about the liver."""
    from highdicom.sr import (
        FindingSite,
        MeasurementsAndQualitativeEvaluations,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(source, STUDY), identifier="study"),
        finding_sites=[FindingSite(codes.SCT.Liver)],
        algorithm_id=_algorithm(result.models[0]) if result.models else None,
        measurements=list(_probabilities(result.study_tasks)),
        qualitative_evaluations=list(_classes(result.study_tasks)),
    )
    remarks = (study_answer_in_words(result), notice(result))
    group[0].ContentSequence.extend(_comment(text) for text in remarks)
    return group


def _lesion_group(
    study: Study,
    result: StudyResult,
    source: SourceSeries,
    lesions: SeriesLesions,
    segmentation: Segmentation,
    lesion: LesionResult,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        FindingSite,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom.sr.codedict import codes

    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(source, lesion.id), identifier=label_in_dicom(study, lesion.id)
        ),
        referenced_segment=_segment(source, lesions, segmentation, lesion.id),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_type=codes.SCT.Lesion,
        finding_sites=[FindingSite(codes.SCT.Liver)],
        algorithm_id=_algorithm(result.models[0]) if result.models else None,
        measurements=[*_sizes(lesion), *_probabilities(lesion.tasks)],
        qualitative_evaluations=[*_classes(lesion.tasks), *_readers_classes(lesion)],
    )
    remarks = (
        answer_in_words(lesion, result),
        notice(result),
        *(f"{each.time}, {each.diagnosis}: {each.reason}" for each in _decisions(lesion) if each.reason),
        *(lesion.warnings if lesion.tasks else ()),
    )
    group[0].ContentSequence.extend(_comment(text) for text in remarks)
    return group


def _segment(
    source: SourceSeries, lesions: SeriesLesions, segmentation: Segmentation, lesion_id: int
) -> ReferencedSegment:
    """The lesion's segment with the images of the slices that it lies in."""
    import SimpleITK as sitk
    from highdicom.sr import ReferencedSegment, SourceImageForSegmentation

    number = lesions.segment(lesion_id)
    filled = (sitk.GetArrayViewFromImage(lesions.labels) == number).any(axis=(1, 2))
    frames: dict[tuple[str, str], list[int]] = {}
    for reference, inside in zip(source.slices, filled, strict=False):
        if inside:
            of_object = frames.setdefault((reference.sop_class_uid, reference.sop_instance_uid), [])
            of_object.extend([reference.frame] if reference.frame is not None else [])
    return ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=number,
        source_images=[
            SourceImageForSegmentation(sop_class, sop_instance, numbers or None)
            for (sop_class, sop_instance), numbers in frames.items()
        ],
    )


def _sizes(lesion: LesionResult) -> Iterator[Measurement]:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    yield Measurement(
        name=codes.SCT.LongAxis,
        value=round(lesion.diameter_mm, 2),
        unit=codes.UCUM.Millimeter,
        derivation=codes.SCT.Maximum,
    )
    yield Measurement(
        name=codes.SCT.Volume, value=round(lesion.volume_ml, 4), unit=coded("mL", "UCUM", "milliliter")
    )


def _probabilities(tasks: Mapping[str, TaskResult]) -> Iterator[Measurement]:
    """Probability of each class, calibrated where it can be; of a binary task that of malignancy alone."""
    for task in tasks.values():
        for lesion_class in task.classes:
            if task.is_binary and lesion_class.name != MALIGNANT.name:
                continue
            probability = task.shown[lesion_class.name]
            yield _probability_of(class_code(lesion_class, task.taxonomy), probability)


def _probability_of(finding: CodedConcept, probability: float) -> Measurement:
    """A probability with what it is the probability of as a concept modifier."""
    from highdicom.sr import CodeContentItem, ContentSequence, Measurement, RelationshipTypeValues
    from pydicom.sr.codedict import codes

    measurement = Measurement(
        name=codes.DCM.Probability, value=round(probability, 6), unit=codes.UCUM.NoUnits
    )
    modifier = CodeContentItem(
        name=codes.DCM.Finding, value=finding, relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD
    )
    measurement[0].ContentSequence = ContentSequence([modifier])
    return measurement


def _classes(tasks: Mapping[str, TaskResult]) -> Iterator[QualitativeEvaluation]:
    """The predicted classes; the two tasks may disagree, and both stand here."""
    from highdicom.sr import QualitativeEvaluation

    for name, task in tasks.items():
        yield QualitativeEvaluation(
            name=_question(name, task), value=class_code(task.predicted_class, task.taxonomy)
        )


def _readers_classes(lesion: LesionResult) -> Iterator[QualitativeEvaluation]:
    """What each reader decided, and their consensus."""
    from highdicom.sr import QualitativeEvaluation

    for decision in _decisions(lesion):
        is_consensus = lesion.reading is not None and decision is lesion.reading.consensus
        question = (
            coded("consensus type", SCHEME, "Type of lesion by consensus of readers")
            if is_consensus
            else coded("read type", SCHEME, "Type of lesion decided by a reader")
        )
        code = class_code(decision.decided_class, decision.taxonomy)
        finding = QualitativeEvaluation(name=question, value=code)
        if decision.reader:
            finding[0].ContentSequence = _person(decision.reader)
        yield finding


def _decisions(lesion: LesionResult) -> list[Decision]:
    if lesion.reading is None:
        return []
    return [each for each in (*lesion.reading.decisions, lesion.reading.consensus) if each is not None]


def _person(name: str) -> ContentSequence:
    """A person as the observer of one finding (PS3.16 TID 1003)."""
    from highdicom.sr import CodeContentItem, ContentSequence, PnameContentItem, RelationshipTypeValues
    from pydicom.sr.codedict import codes

    context = RelationshipTypeValues.HAS_OBS_CONTEXT
    plain = name.translate(str.maketrans("^=\\", "   "))
    return ContentSequence(
        [
            CodeContentItem(codes.DCM.ObserverType, codes.DCM.Person, context),
            PnameContentItem(codes.DCM.PersonObserverName, f"{plain[: TEXT_LIMIT - 1]}^", context),
        ]
    )


def _question(name: str, task: TaskResult) -> CodedConcept:
    meaning = "Predicted to be benign or malignant" if task.is_binary else "Predicted type of lesion"
    return coded(f"predicted {name}"[:16].strip(), SCHEME, meaning)


def _algorithm(model: ModelSummary) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification
    from pydicom.sr.codedict import codes

    return AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[
            f"sha256: {model.sha256}",
            f"intended use: {model.intended_use}",
            f"folds: {model.members}",
        ],
        family=codes.cid7162.ArtificialIntelligence,
        manufacturer=MAKER,
    )


def _observer() -> ObservationContext:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid(), name=MAKER, manufacturer_name=MAKER, model_name=MAKER
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _remarks(study: Study, result: StudyResult, lesions: SeriesLesions | None) -> Iterator[str]:
    yield notice(result)
    if lesions is not None and lesions.resampled:
        yield (
            f"The outlines were given on another grid than the {study.reference} series and were resampled "
            "to it by signed distance maps; diameters and volumes were measured on the outlines as given."
        )
    for lesion_id in lesions.outside if lesions is not None else ():
        yield f"{study.lesion_name(lesion_id)} lies outside the {study.reference} series and is left out."
    yield from result.warnings


def _comment(text: str) -> TextContentItem:
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    return TextContentItem(
        name=codes.DCM.Comment, value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _own_scheme() -> Dataset:
    from pydicom.dataset import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = f"{MAKER} classes and questions"
    scheme.CodingSchemeResponsibleOrganization = MAKER
    return scheme
