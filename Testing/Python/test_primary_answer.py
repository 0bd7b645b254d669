"""A model whose only task is malignancy: its class stands wherever that of a type would."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_phantoms import phantom, study_from_dicom
from highdicom.color import CIELabColor
from made_studies import answer, made_result, made_study
from pydicom.sr.codedict import codes

from LiverLesionAI import decisions
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.scenes.show import lesion_segment, result_text
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import BENIGN, MALIGNANT
from LiverLesionAI.writers.dicom import write_dicom
from LiverLesionAI.writers.report import write_report
from LiverLesionAI.writers.tables import lesion_table, prediction_table
from LiverLesionAI.writers.volumes import lesion_classes

CLASSES = (MALIGNANT, BENIGN)


def binary_result(study: Study) -> StudyResult:
    """The first lesion malignant, the second benign."""
    lesions = made_result(study, tuple("HCC" for _ in study.lesion_ids)).lesions
    answered = [
        replace(lesion, tasks={"malignancy": answer("binary", shown.name, 0.9, primary=True)})
        for lesion, shown in zip(lesions, CLASSES, strict=False)
    ]
    return replace(made_result(study, tuple(None for _ in study.lesion_ids)), lesions=tuple(answered))


@pytest.fixture
def study() -> Study:
    return made_study()


@pytest.fixture
def result(study: Study) -> StudyResult:
    return binary_result(study)


def test_the_class_map_holds_it(study: Study, result: StudyResult) -> None:
    classes = lesion_classes(study, result)
    assert classes is not None
    expected = np.array([0, 2, 1])[sitk.GetArrayViewFromImage(study.lesions)]
    assert np.array_equal(sitk.GetArrayViewFromImage(classes), expected)


def test_tables_hold_it(result: StudyResult) -> None:
    table = prediction_table(result)
    assert table.columns[4:7] == ("pred_malignancy", "prob_malignancy_benign", "prob_malignancy_malignant")
    assert [row[4] for row in table.rows] == ["malignant", "benign"]
    assert [row[4] for row in lesion_table(result).rows] == ["malignant", "benign"]


def test_segments_and_summary_tell_it(result: StudyResult) -> None:
    for lesion, shown in zip(result.lesions, CLASSES, strict=True):
        segment = lesion_segment(lesion.id, lesion.name, lesion)
        assert (segment.name, segment.colour) == (f"{lesion.name}: {shown.name}", shown.colour)
        assert segment.code == shown.code
    said = result_text(result)
    assert "malignant (0.90)" in said and "benign (0.90)" in said and "not classified" not in said


def test_readers_decide_about_it_and_the_report_says_so(result: StudyResult, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="jinja2 is not installed")
    decided = decisions.override(result.lesions[0], "benign", "Ada", reason="stable for years")
    assert decisions.decided_class(decided) == BENIGN
    page = write_report(decisions.with_lesion(result, decided), tmp_path / "report.html").read_text("utf-8")
    headings = re.findall(r"<h2>(Lesion \d: [^<]*)</h2>", page)
    assert headings == ["Lesion 1: Malignant (model), Benign (readers)", "Lesion 2: Benign"]
    assert "not classified" not in page.lower()


def test_dicom_objects_tell_it(tmp_path: Path) -> None:
    write_dicom_study(phantom(), tmp_path / "in", vendor="siemens", layout="separate", distractors=False)
    study = study_from_dicom(tmp_path / "in", "siemens", "separate")
    files = write_dicom(study, binary_result(study), tmp_path)
    segment = hd.seg.segread(files[0]).get_segment_description(1)
    assert segment.segmented_property_type == codes.SCT.Lesion, "of which kind is not known"
    assert segment.SegmentDescription.startswith("Malignant, p = 0.90")
    colour = CIELabColor.from_rgb(*MALIGNANT.colour).value
    assert tuple(segment.RecommendedDisplayCIELabValue) == colour
    report = hd.sr.srread(files[1])
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    answers = {each.name.meaning: each.value.value for each in group.get_qualitative_evaluations()}
    assert answers["Predicted to be benign or malignant"] == MALIGNANT.code.value
    assert "Predicted type of lesion" not in answers
    (probability,) = group.get_measurements(name=codes.DCM.Probability)
    assert probability.value == pytest.approx(0.9)
    assert "not classified" not in str(report).lower()
