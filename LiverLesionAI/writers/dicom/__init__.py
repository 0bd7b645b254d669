"""Results as DICOM objects beside the study they came from: SEG, SR, and parametric maps on request.

Patient and study attributes are those of the source series, without which the objects could not be filed with
their study. That the results are no basis for care stands in the objects themselves.
"""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.errors import DicomError
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import Study

DICOM_FOLDER, SEGMENTATION_FILE, REPORT_FILE = "dicom", "seg.dcm", "sr.dcm"


def write_dicom(study: Study, result: StudyResult, folder: Path) -> tuple[Path, ...]:
    """Write the lesions as a DICOM segmentation and the results as a structured report.

    Parameters
    ----------
    study
        The classified study.
    result
        Its result.
    folder
        Output folder; the objects go into its subfolder ``dicom``.

    Returns
    -------
    tuple of Path
        ``dicom/seg.dcm``, where lesions are segmented, and ``dicom/sr.dcm``; empty where the reference
        sequence did not come from DICOM or there is nothing to tell.

    Raises
    ------
    DicomError
        If a file of the source series cannot be read any more, or every lesion lies outside the series.
    """
    reference = study.images.get(study.reference)
    if reference is None or reference.dicom is None or not (study.lesion_ids or result.study_tasks):
        return ()
    from LiverLesionAI.writers.dicom.report import lesion_report
    from LiverLesionAI.writers.dicom.segmentation import lesion_segmentation, lesions_on_series
    from LiverLesionAI.writers.dicom.source import other_evidence, read_source, save

    source = read_source(reference)
    lesions = lesions_on_series(study) if study.lesion_ids else None
    if lesions is not None and not lesions.ids:
        raise DicomError(
            f"Every lesion of study {study.id} lies outside its {study.reference} series; check the mask."
        )
    segmentation = None if lesions is None else lesion_segmentation(study, result, source, lesions)
    report = lesion_report(study, result, source, lesions, segmentation, other_evidence(study))
    target = folder / DICOM_FOLDER
    target.mkdir(exist_ok=True)
    written = () if segmentation is None else (save(segmentation, target / SEGMENTATION_FILE),)
    return (*written, save(report, target / REPORT_FILE))


__all__ = ["DICOM_FOLDER", "REPORT_FILE", "SEGMENTATION_FILE", "write_dicom"]
