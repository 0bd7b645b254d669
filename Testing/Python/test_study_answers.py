"""Answers for a study as a whole, and for its slices, wherever results are read, kept and shown."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import pytest
from made_studies import answer, made_result, made_study

from LiverLesionAI import decisions
from LiverLesionAI.answers import GroupResult, TaskResult
from LiverLesionAI.results import StudyResult
from LiverLesionAI.worker.state import same_answers
from LiverLesionAI.writers.cohort_report import CohortEntry, write_cohort_report
from LiverLesionAI.writers.report import write_report
from LiverLesionAI.writers.tables import prediction_table

SLICES = ((3, 0.25), (4, 0.75))


def malignancy(probability: float = 0.8, *, of_slices: bool = False) -> TaskResult:
    groups = tuple(
        GroupResult(f"slice {number}", {"benign": 1 - p, "malignant": p}, slice=number)
        for number, p in SLICES
    )
    return replace(
        answer("binary", "malignant", probability, primary=True), groups=groups if of_slices else ()
    )


@pytest.fixture
def whole() -> StudyResult:
    """A result for a study with two lesions that have no answers of their own."""
    made = made_result(made_study(), (None, None))
    return replace(made, unit="study", study_tasks={"malignancy": malignancy()})


def test_the_cohort_page_has_a_row_for_the_study(whole: StudyResult, tmp_path: Path) -> None:
    page = write_cohort_report([CohortEntry(replace(whole, lesions=()))], tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
    assert "the study" in page and "0.80" in page and "malignant" in page
    both = write_cohort_report([CohortEntry(whole, "S1.html")], tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
    assert 'href="S1.html"' in both and 'href="S1.html#lesion-1"' in both


def test_slices_have_rows_of_their_own(whole: StudyResult) -> None:
    of_slices = replace(whole, unit="slice", study_tasks={"malignancy": malignancy(of_slices=True)})
    table = prediction_table(of_slices)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["slice"] for row in rows] == [None, 3, 4]
    assert [row["pred_malignancy"] for row in rows] == ["malignant", "benign", "malignant"]
    shared = {"malignancy": ("benign", "malignant"), "type": ("cyst", "HCC")}
    for row in prediction_table(of_slices, tasks=shared).rows:
        assert len(row) == len(prediction_table(of_slices, tasks=shared).columns) and row[-1] is None


@pytest.mark.parametrize("calibrated", [None, {"benign": 0.3, "malignant": 0.7}])
def test_the_report_says_why_slices_and_answer_differ(
    whole: StudyResult, calibrated: dict[str, float] | None, tmp_path: Path
) -> None:
    task = replace(malignancy(of_slices=True), calibrated=calibrated, coverage=calibrated and 0.9)
    page = write_report(replace(whole, study_tasks={"malignancy": task}), tmp_path / "report.html")
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "<td>slice 4</td>" in text and (task.note_on_groups in text)
    assert bool(task.note_on_groups) is (calibrated is not None)
    assert replace(task, groups=()).note_on_groups == ""


def test_another_answer_for_the_study_is_another_answer(whole: StudyResult) -> None:
    other = replace(whole, study_tasks={"malignancy": malignancy(0.7)})
    assert same_answers(whole, whole) and not same_answers(whole, other)
    assert not same_answers(whole, replace(whole, lesions=whole.lesions[:1]))


def test_decisions_are_left_out_where_the_new_model_has_other_classes(whole: StudyResult) -> None:
    earlier = made_result(made_study())
    earlier = decisions.with_lesion(earlier, decisions.accept(earlier.lesions[0], "Ada"))
    lesions = tuple(replace(lesion, tasks={"malignancy": malignancy()}) for lesion in whole.lesions)
    for result in (whole, replace(whole, unit="lesion", study_tasks={}, lesions=lesions)):
        now = decisions.carry_over(earlier, result)
        assert all(lesion.reading is None for lesion in now.lesions)
        assert "Ada: HCC" in now.warnings[-1] and "other classes" in now.warnings[-1]
