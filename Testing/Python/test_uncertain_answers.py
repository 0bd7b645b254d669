"""How calibrated probabilities, prediction sets and the unfamiliar are shown, wherever results are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_studies import made_result, made_study

from LiverLesionAI.answers import OutOfDistribution, TaskResult
from LiverLesionAI.cli.console import show_result
from LiverLesionAI.results import StudyResult
from LiverLesionAI.scenes.summary import result_text
from LiverLesionAI.writers.dicom.answers import answer_in_words
from LiverLesionAI.writers.report import write_report
from LiverLesionAI.writers.tables import lesion_table, prediction_table


def calibrated(task: TaskResult, held: tuple[str, ...]) -> TaskResult:
    """An answer that was too sure of itself."""
    softer = {name: 0.5 * p + 0.5 / len(task.probabilities) for name, p in task.probabilities.items()}
    return replace(task, calibrated=softer, prediction_set=held, coverage=0.9)


@pytest.fixture
def result() -> StudyResult:
    """Lesion 1 may be HCC or metastasis and is unlike the training; lesion 2 has not been calibrated."""
    plain = made_result(made_study())
    first = plain.lesions[0]
    tasks = {
        "malignancy": calibrated(first.tasks["malignancy"], ("malignant",)),
        "type": calibrated(first.tasks["type"], ("HCC", "metastasis")),
    }
    unlike = OutOfDistribution(2.5, 1.2, ("LAP",))
    first = replace(first, tasks=tasks, out_of_distribution=unlike, warnings=unlike.in_words)
    return replace(plain, lesions=(first, plain.lesions[1]))


def test_files_hold_both_probabilities(result: StudyResult) -> None:
    content = json.loads(result.to_json())
    assert StudyResult.from_dict(content) == result
    kind = content["lesions"][0]["tasks"]["type"]
    assert kind["prediction_set"] == ["HCC", "metastasis"] and kind["coverage"] == 0.9
    assert content["lesions"][0]["out_of_distribution"] == {
        "score": 2.5,
        "threshold": 1.2,
        "sequences": ["LAP"],
    }
    table = prediction_table(result)
    first, second = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert first["prob_type_HCC"] == kind["probabilities"]["HCC"]
    assert first["cal_type_HCC"] == kind["calibrated"]["HCC"] < first["prob_type_HCC"]
    assert first["set_type"] == "HCC|metastasis" and first["set_malignancy"] == "malignant"
    assert (first["unlike_score"], first["unlike_threshold"]) == (2.5, 1.2)
    assert {second[name] for name in ("cal_type_HCC", "set_type", "unlike_score")} == {None}


def test_results_from_before_sets_had_a_coverage_are_read(result: StudyResult) -> None:
    content = json.loads(result.to_json())
    for lesion in content["lesions"]:
        for task in lesion["tasks"].values():
            del task["coverage"]
    answer = StudyResult.from_dict(content).lesions[0].answer
    assert answer is not None and answer.set_in_words == ""


def test_people_are_shown_calibrated_ones_and_the_set(
    result: StudyResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = result.lesions[0].answer
    assert answer is not None and answer.calibrated is not None
    shown = f"{answer.calibrated['HCC']:.2f}"
    assert shown == f"{answer.probability:.2f}" != f"{answer.probabilities['HCC']:.2f}"
    table = lesion_table(result)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (
        row["p(HCC)"] == round(answer.calibrated["HCC"], 3) and row["type, set"] == "HCC or metastasis (90%)"
    )
    assert f"HCC ({shown}, or any of HCC or metastasis (90%))" in result_text(result)
    assert f"p = {shown}; possible are HCC or metastasis (90%)" in answer_in_words(result.lesions[0], result)
    show_result(result, [])
    said = capsys.readouterr()
    assert "90% set" in said.out and "HCC, metastasis" in said.out and shown in said.out
    assert "unlike what the model was trained on, most of all in LAP" in said.err
    pytest.importorskip("jinja2", reason="jinja2 is not installed")
    page = write_report(result, tmp_path / "report.html").read_text("utf-8")
    assert "possible: <strong>HCC or metastasis (90%)</strong>" in page and page.count("in the set") == 3
    assert "<h2>Lesion 1: HCC or metastasis (90%)</h2>" in page and "<h2>Lesion 2: Cyst</h2>" in page
    assert "Unlike what the model was trained on, most of all in LAP" in page
    assert page.count('<p class="faint">Calibrated.') == 2 and page.count("Not calibrated:") == 2
