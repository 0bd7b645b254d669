"""Reader studies: blinded lists, answers that survive a kill, and what is made of them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.reader_study.answers import take_answers, write_answers
from LiverLesionAI.reader_study.design import DESIGNS, WITH, WITHOUT, Case, case_codes, reading_lists
from LiverLesionAI.reader_study.folder import make_reader_study, read_key, read_list, read_reader_study
from LiverLesionAI.reader_study.session import ReadingSession

CLASSES = ("cyst", "HCC", "metastasis")


def _cases(count: int, lesions: int = 1) -> list[Case]:
    return [
        Case(f"S{n}", str(k + 1), f"P{n}", CLASSES[n % 3], f"/data/S{n}", "", CLASSES[(n + k) % 3], {})
        for n in range(count)
        for k in range(lesions)
    ]


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_a_crossover_is_balanced(patients: int, lesions: int, readers: int, seed: int) -> None:
    cases, names = _cases(patients, lesions), [f"R{n}" for n in range(readers)]
    lists = reading_lists(cases, names, "crossover", seed)
    first_with: Counter[str] = Counter()
    for items in lists.values():
        assert [item.number for item in items] == list(range(1, 2 * len(cases) + 1))
        by_session = [{i.code: i.way for i in items if i.session == session} for session in (1, 2)]
        assert all(len(session) == len(cases) for session in by_session)
        assert all(by_session[0][code] != by_session[1][code] for code in by_session[0])
        shown = sum(way == WITH for way in by_session[0].values())
        assert abs(2 * shown - len(cases)) <= lesions
        first_with.update(code for code, way in by_session[0].items() if way == WITH)
    if readers % 2 == 0:
        assert all(first_with[item.code] == readers / 2 for item in lists["R0"])
    assert lists == reading_lists(cases, names, "crossover", seed)


@given(st.sampled_from(DESIGNS), st.integers(0, 20))
def test_lesions_of_a_patient_follow_each_other(design: str, seed: int) -> None:
    cases = _cases(6, 3)
    (items,) = reading_lists(cases, ["R"], design, seed).values()
    patients = _patients(cases, seed)
    for session in {item.session for item in items}:
        order = [patients[item.code] for item in items if item.session == session]
        assert sum(a != b for a, b in pairwise(order)) == 5


def _patients(cases: list[Case], seed: int) -> dict[str, str]:
    return {code: case.patient for code, case in zip(case_codes(cases, seed), cases, strict=True)}


def test_classes_are_in_both_halves() -> None:
    cases = _cases(30)
    (items,) = reading_lists(cases, ["R"], "crossover", 4).values()
    truths = {code: case.truth for code, case in zip(_patients(cases, 4), cases, strict=True)}
    shown = Counter(truths[i.code] for i in items if i.session == 1 and i.way == WITH)
    assert set(shown.values()) == {5}


def test_a_further_reader_changes_nobodys_order() -> None:
    cases = _cases(12)
    few, more = (reading_lists(cases, names, "alone", 1) for names in (["A", "B"], ["A", "B", "C"]))
    assert few["A"] == more["A"] and few["B"] == more["B"] and few["A"] != few["B"]


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """A cohort of 12 studies, two of one patient, and a model's answers of which three quarters are right."""
    random = np.random.default_rng(5)
    cohort, answers = [], []
    for n in range(12):
        (tmp_path / "studies" / f"S{n}").mkdir(parents=True)
        truth, said = CLASSES[n % 3], CLASSES[(n + (n % 4 == 0)) % 3]
        cohort.append({"study_id": f"S{n}", "path": f"studies/S{n}", "lesion": "1", "truth": truth})
        p = random.dirichlet(np.ones(3))
        answers.append(
            {"study_id": f"S{n}", "patient_id": f"P{n // 2}", "lesion": "1", "truth": truth, "pred": said}
            | {f"prob_{name}": f"{value:.4f}" for name, value in zip(CLASSES, p, strict=True)}
        )
    return _write(tmp_path / "cohort.csv", cohort), _write(tmp_path / "answers.csv", answers)


@pytest.fixture
def study(tables: tuple[Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "study"
    make_reader_study(*tables, out, ["A", "B"], "crossover", 3)
    return out


def _write(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["readers", *map(str, arguments)])


class Clock:
    """Seconds that are set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reading(study: Path, clock: Clock) -> Iterator[ReadingSession]:
    session = ReadingSession(study, "A", clock)
    yield session
    session.close()


def test_a_list_tells_nothing(study: Path) -> None:
    """Neither the truth nor, without the model, its answer; codes are in an order of their own."""
    text = (study / "lists" / "A.csv").read_text(encoding="utf-8")
    assert "truth" not in text and "P0" not in text
    plan = read_reader_study(study)
    for listed in read_list(plan, "A"):
        assert (listed.answer == "") is (listed.item.way == WITHOUT) is (not listed.probabilities)
        assert listed.path == study.parent / "studies" / listed.path.name and listed.mask is None
    key = read_key(plan)
    numbers = [int(key[f"C{n:03d}"]["study_id"][1:]) for n in range(1, 13)]
    assert sorted(numbers) == list(range(12)) and numbers != sorted(numbers)
    assert key["C001"]["truth"] == CLASSES[numbers[0] % 3]


def test_the_same_seed_gives_the_same_files(tables: tuple[Path, Path], tmp_path: Path, study: Path) -> None:
    again = tmp_path / "again"
    make_reader_study(*tables, again, ["A", "B"], "crossover", 3)
    for name in ("lists/A.csv", "lists/B.csv", "key.csv", "model.csv", "study.json"):
        assert (again / name).read_bytes() == (study / name).read_bytes()


def test_time_runs_while_a_case_is_shown_and_stands_in_a_pause(reading: ReadingSession, clock: Clock) -> None:
    assert reading.current is not None and not reading.is_open
    with pytest.raises(ConfigError, match="No case is on the screen"):
        reading.answer("cyst", 50)
    clock.now += 1000
    reading.open()
    clock.now += 10
    reading.pause()
    with pytest.raises(ConfigError, match="clock stands"):
        reading.answer("cyst", 50)
    clock.now += 500
    reading.resume()
    clock.now += 5.5
    first = reading.current
    answer = reading.answer("HCC", 80)
    assert (answer.seconds, answer.openings, answer.confidence) == (15.5, 1, 80)
    assert reading.current is not first and not reading.is_open
    assert reading.progress.done == reading.progress.in_session == 1
    assert (reading.progress.of_session, reading.progress.total) == (12, 24)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(("angioma", 50), "'angioma' is no answer"), (("cyst", 101), "101"), (("cyst", -1), "-1")],
)
def test_what_is_no_answer_is_refused(reading: ReadingSession, answer: tuple[str, float], words: str) -> None:
    reading.open()
    with pytest.raises(ConfigError, match=words):
        reading.answer(*answer)
    assert reading.is_open and reading.progress.done == 0


def test_one_reader_is_one_window(reading: ReadingSession, study: Path) -> None:
    with pytest.raises(ConfigError, match="Somebody reads as A"):
        ReadingSession(study, "A")
    ReadingSession(study, "B").close()
    with pytest.raises(ConfigError, match="no reader 'C'"):
        ReadingSession(study, "C")


def test_the_second_session_is_announced_once(study: Path) -> None:
    session = ReadingSession(study, "A")
    starts = []
    while session.current is not None:
        starts.append(session.starts_session)
        session.open()
        session.answer("cyst", None)
    session.close()
    assert starts == [place == 12 for place in range(24)]
    with pytest.raises(ConfigError, match="answered every case"):
        session.open()


KILLED = """
import os, sys
from pathlib import Path
from LiverLesionAI.reader_study.session import ReadingSession
session = ReadingSession(Path(sys.argv[1]), "A")
for _ in range(5):
    session.open()
    session.answer("HCC", 70)
session.open()
print("shown", flush=True)
sys.stdin.read()
"""


def test_a_kill_costs_the_case_on_the_screen_alone(study: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(study)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline().strip() == b"shown"
    process.send_signal(signal.SIGKILL)
    process.wait()
    journal = study / "answers" / "A.jsonl"
    with journal.open("ab") as stream:
        stream.write(b'{"event": "answered", "number": 6, "diag')
    session = ReadingSession(study, "A")
    assert session.progress.done == 5 and session.current is not None
    assert session.current.item.number == 6
    session.open()
    assert session.answer("cyst", 20).openings == 2
    session.close()
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines[-3:]] == ["opened", "opened", "answered"]
    assert [row["seconds"] == "" for row in _exported(study, 6)] == [False] * 5 + [True]


def _exported(study: Path, count: int) -> list[dict[str, str]]:
    """Rows of the table of all answers."""
    file = study / "readers.csv"
    assert write_answers(read_reader_study(study), file) == count
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_broken_journal_is_named_and_left_alone(study: Path) -> None:
    journal = study / "answers" / "A.jsonl"
    journal.write_bytes(b'{"event": "opened", "number": 1}\nnonsense\n{"event": "opened", "number": 1}\n')
    with pytest.raises(ConfigError, match="line 2"):
        ReadingSession(study, "A")
    assert b"nonsense" in journal.read_bytes()
    journal.unlink()
    ReadingSession(study, "A").close()


def test_a_list_filled_in_by_hand_is_taken(study: Path, tmp_path: Path) -> None:
    with (study / "lists" / "B.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows[:7]:
        row |= {"answer": "cyst", "confidence": "55", "seconds": "12.5"}
    filled = _write(tmp_path / "filled.csv", rows)
    assert take_answers(study, "B", filled) == 7
    assert take_answers(study, "B", filled) == 0
    rows[8] |= {"answer": "angioma"}
    with pytest.raises(ConfigError, match="line 10: 'angioma' is no answer"):
        take_answers(study, "B", _write(filled, rows))
    with pytest.raises(ConfigError, match="another case in the list of A"):
        take_answers(study, "A", _write(filled, rows))
    ReadingSession(study, "B").close()


@pytest.mark.parametrize(("mark", "said"), [(";", "separated by ';'"), (",", r"lacks columns \(case\)")])
def test_a_list_without_its_columns_is_refused(study: Path, tmp_path: Path, mark: str, said: str) -> None:
    """Nothing would be taken from it, in silence."""
    filled = tmp_path / "filled.csv"
    filled.write_text(f"item{mark}answer\n1{mark}cyst\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"filled\.csv .*{said}"):
        take_answers(study, "B", filled)


def test_from_lists_to_judgement(tables: tuple[Path, Path], tmp_path: Path) -> None:
    study = tmp_path / "from-command"
    made = _run("make", *tables, "--out", study, "--reader", "A", "--reader", "B", "--seed", 9)
    assert made.exit_code == 0, made.output
    assert "12 cases, 24 readings for each of 2 readers in 2 sessions" in made.stdout
    nobody = _run("judge", study, "--out", tmp_path / "judged")
    assert nobody.exit_code == 3 and "No reader has answered" in nobody.stderr
    truths = {code: row["truth"] for code, row in read_key(read_reader_study(study)).items()}
    random = np.random.default_rng(2)
    for reader in "AB":
        session = ReadingSession(study, reader)
        while (listed := session.current) is not None:
            right = random.random() < (0.95 if listed.item.way == WITH else 0.5)
            session.open()
            truth = truths[listed.item.code]
            session.answer(truth if right else CLASSES[random.integers(3)], float(random.integers(101)))
        session.close()
    assert "A: session 1: 12 of 12, session 2: 12 of 12" in _run("status", study).stdout
    done = _run("judge", study, "--out", tmp_path / "judged", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["reader_studies"]["readers"]
    assert set(found["ways"]) == {WITHOUT, WITH} and found["multireader_cases"] == 12
    assert found["ways"][WITH]["readers"]["A"]["n"] == 12
    assert found["ways"][WITH]["readers"]["A"]["accuracy"]["value"] > 0.7
    areas = found["multireader"]["HCC"]["means"]
    assert areas[WITH]["value"] > areas[WITHOUT]["value"]
    exported = _run("export", study, "--out", tmp_path / "readers.csv")
    assert exported.exit_code == 0 and "48 answers" in exported.stdout


def test_answers_are_never_overwritten(tables: tuple[Path, Path], study: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        make_reader_study(*tables, study, ["A"], "alone", 1)
    session = ReadingSession(study, "A")
    session.take(1, "cyst", None, None)
    with pytest.raises(ConfigError, match="never changed"):
        session.take(1, "HCC", None, None)
    session.close()


@pytest.mark.parametrize("names", [["A", "a"], ["A B"], ["../A"], []])
def test_names_of_readers_are_fit_for_files(
    tables: tuple[Path, Path], tmp_path: Path, names: list[str]
) -> None:
    with pytest.raises(ConfigError):
        make_reader_study(*tables, tmp_path / "x", names, "alone", 1)
    assert not (tmp_path / "x").exists()


def test_a_folder_without_a_study_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"schema": "other"}')
    assert _run("status", tmp_path).exit_code == 3
    assert "no reader study" in _run("status", tmp_path / "none").stderr
