"""Readers' decisions: taken, refused, agreed on, taken back, carried over; written and read back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_studies import made_result, made_study

from LiverLesionAI import decisions
from LiverLesionAI.errors import DecisionError
from LiverLesionAI.results import LesionResult, StudyResult
from LiverLesionAI.scenes.show import lesion_segment
from LiverLesionAI.scenes.summary import result_text
from LiverLesionAI.writers.report import write_report
from LiverLesionAI.writers.tables import lesion_table, prediction_table, write_results

TIME = "2026-03-01T09:30:00+00:00"


@pytest.fixture
def result() -> StudyResult:
    """One HCC, one cyst by the model."""
    return made_result(made_study(), ("HCC", "cyst"))


@pytest.fixture
def lesion(result: StudyResult) -> LesionResult:
    return result.lesions[0]


def _two_readers(lesion: LesionResult) -> LesionResult:
    first = decisions.accept(lesion, "A. Reader", time=TIME)
    return decisions.override(first, "FNH", "B. Reader", reason="central scar", time=TIME)


def _agreed(lesion: LesionResult, diagnosis: str, reason: str) -> LesionResult:
    return decisions.reach_consensus(lesion, diagnosis, reason=reason)


def test_a_reader_agrees(lesion: LesionResult) -> None:
    decided = decisions.accept(lesion, " A. Reader ", time=TIME)
    (decision,) = decided.reading.decisions
    assert (decision.reader, decision.diagnosis, decision.malignant) == ("A. Reader", "HCC", True)
    assert decision.is_accepted and decision.time == TIME
    assert decided.reading.final is decision
    assert replace(decided, reading=None) == lesion


def test_a_reader_overrides(lesion: LesionResult) -> None:
    decided = decisions.override(lesion, "FNH", "A", reason="central scar")
    (decision,) = decided.reading.decisions
    assert not decision.is_accepted
    assert (decision.model_class, decision.malignant, decision.reason) == ("HCC", False, "central scar")
    assert decision.time.endswith("+00:00")
    assert decided.tasks == lesion.tasks


def test_two_readers_find_a_consensus(lesion: LesionResult) -> None:
    differ = _two_readers(lesion)
    assert differ.reading.readers_differ and differ.reading.final is None
    assert decisions.decided_class(differ) is None
    agreed = decisions.reach_consensus(differ, "HCC", reason="washout", time=TIME)
    assert agreed.reading.final.diagnosis == "HCC"
    assert agreed.reading.consensus.reader == "A. Reader and B. Reader"
    assert decisions.decided_class(agreed).title == "Hepatocellular carcinoma"
    assert decisions.in_words(agreed.reading) == (
        "A. Reader: HCC (accepted); B. Reader: FNH (instead of HCC); consensus HCC"
    )


def test_two_readers_who_agree_need_no_consensus(lesion: LesionResult) -> None:
    agreed = decisions.accept(decisions.accept(lesion, "A"), "B")
    assert agreed.reading.final.diagnosis == "HCC"
    with pytest.raises(DecisionError, match="No consensus is needed"):
        decisions.reach_consensus(agreed, "HCC", reason="why not")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda lesion: decisions.override(lesion, "FNH", "C", reason=" "), "reason for overriding HCC"),
        (lambda lesion: decisions.override(lesion, "HCC", "C", reason="so"), "accept it instead"),
        (lambda lesion: decisions.override(lesion, "lipoma", "C", reason="fat"), "not in taxonomy W7"),
        (lambda lesion: decisions.accept(decisions.accept(lesion, "Ada"), "ADA"), "ADA has decided"),
        (lambda lesion: decisions.accept(decisions.accept(lesion)), "without a name"),
        (lambda lesion: decisions.accept(_two_readers(lesion), "C"), "Two readers have decided"),
        (lambda lesion: _agreed(lesion, "HCC", "so"), "No consensus is needed"),
        (lambda lesion: _agreed(decisions.accept(lesion), "HCC", "so"), "No consensus is needed"),
        (lambda lesion: _agreed(_two_readers(lesion), "FNH", ""), "reason for the consensus"),
        (lambda lesion: decisions.take_back(lesion), "Nothing has been decided"),
        (lambda lesion: decisions.accept(replace(lesion, tasks={})), "not classified"),
    ],
)
def test_what_is_no_decision_is_refused(lesion: LesionResult, wrong: object, said: str) -> None:
    with pytest.raises(DecisionError, match=said):
        wrong(lesion)


def test_decisions_are_taken_back_one_by_one(lesion: LesionResult) -> None:
    differ = _two_readers(lesion)
    agreed = decisions.reach_consensus(differ, "HCC", reason="washout")
    assert decisions.take_back(agreed) == differ
    assert decisions.take_back(differ) == decisions.accept(lesion, "A. Reader", time=TIME)
    assert decisions.take_back(decisions.take_back(differ)) == lesion


def test_results_with_decisions_are_read_back(result: StudyResult) -> None:
    decided = decisions.with_lesion(result, _two_readers(result.lesions[0]))
    content = json.loads(decided.to_json())
    assert StudyResult.from_dict(content) == decided
    assert content["lesions"][0]["reading"]["decisions"][1]["diagnosis"] == "FNH"
    assert content["lesions"][1]["reading"] is None


def test_results_from_before_there_were_decisions_are_read(result: StudyResult) -> None:
    content = json.loads(result.to_json())
    for lesion in content["lesions"]:
        del lesion["reading"]
    assert StudyResult.from_dict(content) == result


def test_decisions_stay_with_their_outline(result: StudyResult) -> None:
    first, second = result.lesions
    earlier = decisions.with_lesion(
        decisions.with_lesion(result, _two_readers(first)), decisions.accept(second)
    )
    renumbered = replace(result, lesions=(replace(first, id=7, name="seg VII"), second))
    kept = decisions.carry_over(earlier, renumbered)
    assert [lesion.reading for lesion in kept.lesions] == [lesion.reading for lesion in earlier.lesions]
    assert kept.warnings == result.warnings

    grown = replace(result, lesions=(replace(first, volume_ml=first.volume_ml + 0.1), second))
    without = decisions.carry_over(earlier, grown)
    assert without.lesions[0].reading is None and without.lesions[1].reading is not None
    assert "A. Reader: HCC" in without.warnings[-1] and "outline has changed" in without.warnings[-1]


def test_a_decision_stays_when_the_model_changes_its_mind(result: StudyResult) -> None:
    earlier = decisions.with_lesion(result, decisions.accept(result.lesions[0], "A"))
    now = decisions.carry_over(earlier, made_result(made_study(), ("ICC", "cyst")))
    assert now.lesions[0].reading.final.diagnosis == "HCC"
    assert now.lesions[0].answer.predicted == "ICC"
    assert "the model had answered HCC" in now.lesions[0].warnings[-1]


def test_tables_have_columns_for_readers_where_there_are_any(result: StudyResult, tmp_path: Path) -> None:
    assert not any("reader" in column for column in prediction_table(result).columns)
    assert "readers" not in lesion_table(result).columns
    decided = decisions.with_lesion(result, _two_readers(result.lesions[0]))
    _, file = write_results(decided, tmp_path)
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    names = ("pred_type", "reader_1", "reader_2", "reader_final")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("HCC", "HCC", "FNH", ""),
        ("cyst", "", "", ""),
    ]
    agreed = decisions.reach_consensus(decided.lesions[0], "FNH", reason="scar")
    table = prediction_table(decisions.with_lesion(decided, agreed))
    assert table.rows[0][table.columns.index("reader_final")] == "FNH"
    assert "B. Reader: FNH" in str(lesion_table(decided).rows[0][-1])


def test_segments_say_whose_class_they_show(lesion: LesionResult) -> None:
    def shown(answer: LesionResult) -> tuple[str, tuple[int, int, int]]:
        segment = lesion_segment(1, "lesion 1", answer)
        return segment.name, segment.colour

    hcc, fnh = (213, 94, 0), (0, 158, 115)
    assert shown(lesion) == ("lesion 1: HCC", hcc)
    overridden = decisions.override(lesion, "FNH", "B", reason="scar")
    assert shown(overridden) == ("lesion 1: FNH (reader)", fnh)
    assert shown(_two_readers(lesion)) == ("lesion 1: HCC (readers differ)", hcc)
    agreed = decisions.reach_consensus(_two_readers(lesion), "FNH", reason="scar")
    assert shown(agreed) == ("lesion 1: FNH (reader)", fnh)


def test_report_and_summary_show_both_answers(result: StudyResult, tmp_path: Path) -> None:
    decided = decisions.with_lesion(result, _two_readers(result.lesions[0]))
    html = write_report(decided, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Hepatocellular carcinoma (model), readers differ" in html
    for said in ("Reader 2: B. Reader", "Focal nodular hyperplasia", "central scar", "instead of HCC", TIME):
        assert said in html
    assert "B. Reader: FNH (instead of HCC); no consensus" in result_text(decided)
    assert "Reader 1" not in write_report(result, tmp_path / "r.html").read_text(encoding="utf-8")
