"""Texts that spreadsheets would run are written as texts, and come back as they were."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_studies import made_result, made_study

from LiverLesionAI.cohort import CohortRow, read_rows, write_rows
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.embedding import read_features
from LiverLesionAI.evaluation.predictions import read_predictions
from LiverLesionAI.evaluation.reader_table import read_reader_table
from LiverLesionAI.spreadsheet import read_cell, read_table, write_table
from LiverLesionAI.writers.tables import write_results

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    '=HYPERLINK("http://x")',
    "＝1",
    "-",
    "'=1",
]
HARMLESS = ["S1", "", "'quoted'", "a=1", "-3", "+1.5e-3", "-.5", "1e5", "../S1", "a@b"]


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_as_a_formula(tmp_path: Path, text: str) -> None:
    write_table(tmp_path / "t.csv", ("name", text), [(text, 1.5)])
    (_, heading), (cell, number) = cells(tmp_path / "t.csv")
    assert cell == heading == f"'{text}" and number == "1.5" and read_cell(cell) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_and_numbers_stay_as_they_are(tmp_path: Path, text: str) -> None:
    write_table(tmp_path / "t.csv", ("text", "number", "none"), [(text, -1.5, None)])
    assert cells(tmp_path / "t.csv")[1] == [text, "-1.5", ""] and read_cell(text) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_every_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    table = tmp_path_factory.mktemp("t") / "t.csv"
    write_table(table, ("a", "b"), [(text, "x")])
    assert read_cell(cells(table)[1][0]) == text


@pytest.mark.parametrize(("mark", "name"), [(";", "';'"), ("\t", "tabs")])
@pytest.mark.parametrize("read", [read_rows, read_predictions, read_reader_table, read_features])
def test_other_separators_than_commas_are_named(
    tmp_path: Path, read: Callable[[Path], object], mark: str, name: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(mark.join(("study_id", "path", "truth")) + "\n" + mark.join(("S1", "S1", "HCC")) + "\n")
    with pytest.raises(ConfigError, match=rf"t\.csv .*separated by {name}, save the table with commas"):
        read(table)
    write_table(table, ("study_id", f"a{mark}b"), [("S1", mark)])
    assert read_table(table).rows == ((2, {"study_id": "S1", f"a{mark}b": mark}),)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cohort_comes_back(tmp_path: Path, text: str) -> None:
    row = CohortRow(text, text, text, lesion=1, truth="HCC", free={"group_site": text, text: "-2"})
    write_rows(tmp_path / "cohort.csv", [row])
    assert read_rows(tmp_path / "cohort.csv") == (row,)
    assert all(
        not cell.startswith(("=", "+", "@")) for line in cells(tmp_path / "cohort.csv") for cell in line
    )


def test_a_study_s_name_is_no_formula_in_the_results(tmp_path: Path) -> None:
    result = made_result(made_study())
    named = replace(result, study=replace(result.study, id="=1+1"))
    write_results(named, tmp_path, patient_id="@patient")
    assert cells(tmp_path / "results.csv")[1][:2] == ["'=1+1", "'@patient"]
