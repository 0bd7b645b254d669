"""The table of a cohort: rows come back as they went, and what cannot be used is told with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from LiverLesionAI.cohort import CohortRow, append_rows, path_in, read_rows, write_rows
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.taxonomy import TAXONOMIES

letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(letters, max_size=20)
names = st.text(letters, min_size=1, max_size=20)
free_names = st.builds("".join, st.tuples(st.sampled_from(["group_", "reader_", "clinical_"]), texts))


@st.composite
def cohorts(draw: st.DrawFn) -> list[CohortRow]:
    """Rows of anything that a table can hold, all with the same free columns."""
    columns = draw(st.lists(free_names, unique=True, max_size=3))
    rows = st.builds(
        CohortRow,
        study_id=names,
        path=names,
        patient_id=texts,
        mask=texts,
        lesion=st.none() | st.integers(1, 65535),
        truth=texts,
        split=texts,
        free=st.fixed_dictionaries(dict.fromkeys(columns, texts)),
    )
    return draw(st.lists(rows, max_size=5))


def no_lesion_twice(rows: list[CohortRow]) -> bool:
    lesions = [(os.path.normpath(row.path), row.lesion) for row in rows if row.lesion is not None]
    return len(set(lesions)) == len(lesions)


def one_place_a_study(rows: list[CohortRow]) -> bool:
    places = {(row.study_id, os.path.normpath(row.path), row.patient_id) for row in rows}
    return len({study for study, _, _ in places}) == len(places)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cohorts(), cohorts())
def test_rows_come_back_as_they_went(tmp_path: Path, first: list[CohortRow], second: list[CohortRow]) -> None:
    assume(no_lesion_twice([*first, *second]) and one_place_a_study([*first, *second]))
    table = tmp_path / "cohort.csv"
    write_rows(table, first)
    assert list(read_rows(table)) == first
    append_rows(table, second)
    free = {name: "" for row in (*first, *second) for name in row.free}
    expected = [CohortRow(**{**vars(row), "free": {**free, **row.free}}) for row in (*first, *second)]
    assert list(read_rows(table)) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.csv"]


def test_a_table_is_made_where_there_is_none(tmp_path: Path) -> None:
    append_rows(tmp_path / "cohort.csv", [CohortRow("S1", "studies/S1", lesion=2, truth="HCC")])
    text = (tmp_path / "cohort.csv").read_text(encoding="utf-8")
    assert text.splitlines() == ["study_id,path,patient_id,lesion,truth", "S1,studies/S1,,2,HCC"]
    with pytest.raises(OutputError, match=r"cohort\.csv cannot be written"):
        append_rows(tmp_path / "none" / "cohort.csv", [])


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """Byte order mark, columns in any order, nameless columns, an empty line, a row that ends early."""
    table = tmp_path / "cohort.csv"
    table.write_text(
        "lesion,path,study_id,truth,group_site,,\n1,S1,S1,HCC,Bonn,,\n\n,S2,S2\n", encoding="utf-8-sig"
    )
    first, second = read_rows(table)
    assert first == CohortRow("S1", "S1", lesion=1, truth="HCC", free={"group_site": "Bonn"})
    assert second == CohortRow("S2", "S2", free={"group_site": ""})
    assert (first.line, second.line, first.patient) == (2, 4, "S1")


def test_labels_of_two_masks_and_rows_of_a_study_may_be_the_same(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text("study_id,path,mask,lesion\nS1,S1,,1\nS1,S1,a.nrrd,1\nS1,S1,,\nS1,S1,,\n")
    assert [row.lesion for row in read_rows(table)] == [1, 1, None, None]


def test_a_printed_row_keeps_clinical_data_to_itself() -> None:
    assert "63" not in repr(CohortRow("S1", "S1", free={"clinical_age": "63"}))


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    table = tmp_path / "tables" / "cohort.csv"
    assert path_in(table, "../studies/S1") == tmp_path.resolve() / "studies" / "S1"
    assert path_in(table, str(tmp_path / "S1")) == tmp_path.resolve() / "S1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"lacks columns \(study_id, path\)"),
        ("study_id,lesion\n", r"lacks columns \(path\)"),
        ("study_id,path,truth,truth\n", "two columns of one name"),
        ("study_id,path,truth,lesion\nS1,S1,HCC,0\n", "line 2: lesion '0' is not a label"),
        ("study_id,path,truth,lesion\nS1,S1,HCC,1\nS2,S2,HCC,-1\n", "line 3: lesion '-1' is not a label"),
        (f"study_id,path,truth,lesion\nS1,S1,HCC,{'9' * 5000}\n", "line 2: lesion '9+…' is not a label"),
        (
            "study_id,path,truth,lesion\nS1,S1,HCC,1\nS2,S2,HCC,1\nS3,./S1,HCC,01\n",
            "line 4: lesion 1 of ./S1 stands above already",
        ),
        (
            "study_id,path,truth\nS1,S1,HCC\nS1,./S1,HCC\nS1,S2,HCC\n",
            "line 4: study 'S1' has another path or patient than in line 2",
        ),
        (
            "study_id,path,truth,patient_id\nS1,S1,HCC,P1\nS1,S1,HCC,\n",
            "line 3: study 'S1' has another path or patient than in line 2",
        ),
        ("study_id,path\nS1,\n", "line 2: study_id or path is empty"),
        ("study_id,path\nS1,S1,HCC\n", "line 2: there is a value without a column"),
        ("study_id,path,truth\nS1,S1,wart\n", "line 2: truth 'wart' is not one of no_HCC, HCC"),
        ("study_id,path\nS1,S1\n", "line 2: truth '' is not one of no_HCC, HCC"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, content: str, said: str) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"cohort\.csv.*{said}") as refusal:
        read_rows(table, TAXONOMIES["K2"])
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"study_id,path\n\xe4,S1\n", None])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    table = tmp_path / "cohort.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as a cohort"):
        read_rows(table)
