"""``evaluate --compare READERS.csv``: several readers, with and without a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon
from typer.testing import CliRunner, Result

from LiverLesionAI.cli import app
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.evaluation.predictions import read_predictions
from LiverLesionAI.evaluation.reader_study import study_readers
from LiverLesionAI.evaluation.reader_table import is_reader_table, read_reader_table

VAN_DYKE = Path(__file__).with_name("data") / "van_dyke.csv"
NAMES = ("cyst", "HCC", "metastasis")

Rows = list[dict[str, str]]


def _write(file: Path, rows: Sequence[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_published_example_comes_out_of_the_command(tmp_path: Path) -> None:
    with VAN_DYKE.open(newline="") as stream:
        cases = list(csv.DictReader(stream))
    standing = ("benign", "malignant")
    model = [
        {"study_id": row["case"], "truth": standing[int(row["truth"])], "pred": "benign"} for row in cases
    ]
    read = [
        {
            "study_id": row["case"],
            "reader": reader,
            "modality": way,
            "answer": standing[int(row[f"way_{number}_reader_{reader}"]) > 2],
            "score": row[f"way_{number}_reader_{reader}"],
        }
        for number, way in ((1, "cine"), (2, "spin echo"))
        for reader in "12345"
        for row in cases
    ]
    files = _write(tmp_path / "model.csv", model), _write(tmp_path / "readers.csv", read)
    done = _run(files[0], "--compare", files[1], "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "area cine – spin echo -0.044 (95% CI -0.088–0.000), p = 0.051" in done.stdout
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    study = content["reader_studies"]["readers"]
    found = study["multireader"]["malignant"]
    assert found["random_readers"]["statistic"] == pytest.approx(4.484854, rel=2e-6)
    assert found["random_readers"]["df_denominator"] == pytest.approx(15.06611, abs=5e-5)
    assert found["fixed_readers"]["df_denominator"] is None
    assert found["areas"]["cine"]["1"] == pytest.approx(0.9196457, abs=5e-7)
    assert study["multireader_cases"] == 114
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "4.48 (1, 15.1)" in page and "(1, ∞)" in page
    tables = {file.name for file in (tmp_path / "out" / "tables").iterdir()}
    assert {f"study_readers_{name}.csv" for name in ("readers", "pairs", "multireader")} <= tables


def _study(tmp_path: Path) -> tuple[Path, Path, Rows, Rows]:
    """Three readers without and with a model, better and faster with it; 60 cases."""
    random = np.random.default_rng(7)
    model, read = [], []
    for number in range(60):
        truth = NAMES[number % 3]
        model.append({"study_id": f"S{number}", "lesion": "1", "truth": truth, "pred": truth})
        for way, right in (("without", 0.6), ("with", 0.9)):
            for reader in ("A", "B", "C"):
                answer = truth if random.random() < right else NAMES[random.integers(3)]
                read.append(
                    {
                        "study_id": f"S{number}",
                        "lesion": "1",
                        "reader": reader,
                        "modality": way,
                        "answer": answer,
                        "confidence": str(random.integers(1, 6)),
                        "seconds": f"{random.gamma(4, 5 if way == 'with' else 9):.1f}",
                    }
                )
    model[0]["pred"] = "cyst"
    return _write(tmp_path / "m.csv", model), _write(tmp_path / "r.csv", read), model, read


def test_readers_are_judged_with_and_without_and_against_the_model(tmp_path: Path) -> None:
    model_file, reader_file, _, read = _study(tmp_path)
    study = study_readers(read_predictions(model_file), read_reader_table(reader_file))[""]
    assert tuple(study.ways) == ("without", "with") and study.left_out == 0
    by_hand = [row for row in read if row["modality"] == "without" and row["reader"] == "B"]
    right = sum(row["answer"] == NAMES[int(row["study_id"][1:]) % 3] for row in by_hand)
    assert study.ways["without"].readers["B"].accuracy.successes == right
    assert study.ways["without"].against_model["B"].mcnemar.first_only == 60 - right
    seconds = [
        np.array([float(row["seconds"]) for row in read if (row["modality"], row["reader"]) == (way, "A")])
        for way in ("without", "with")
    ]
    assert study.ways["without"].seconds["A"].median == float(np.median(seconds[0]))
    pair = study.pairs["without", "with"]
    assert pair.seconds_p["A"] == wilcoxon(seconds[0] - seconds[1]).pvalue
    assert pair.readers["A"].mcnemar.second_only > pair.readers["A"].mcnemar.first_only
    assert set(study.multireader) == set(NAMES) and study.multireader_cases == 60
    assert study.multireader["HCC"].means["with"][0] > study.multireader["HCC"].means["without"][0]
    assert study.ways["with"].consensus is not None
    assert study.ways["with"].consensus.accuracy.value >= 0.9
    assert study.ways["with"].all_readers_kappa > study.ways["without"].all_readers_kappa


def test_cases_that_one_reader_left_out_do_not_enter_the_analysis(tmp_path: Path) -> None:
    model_file, reader_file, _, read = _study(tmp_path)
    _write(reader_file, [row for row in read if (row["study_id"], row["reader"]) != ("S4", "C")])
    study = study_readers(read_predictions(model_file), read_reader_table(reader_file))[""]
    assert study.multireader_cases == 59 and study.ways["with"].readers["C"].n == 59


def test_without_confidence_there_is_no_area(tmp_path: Path) -> None:
    model_file, reader_file, _, read = _study(tmp_path)
    _write(reader_file, [{**row, "confidence": ""} for row in read])
    study = study_readers(read_predictions(model_file), read_reader_table(reader_file))[""]
    assert not study.multireader and study.ways["with"].readers["A"].n == 60


def test_a_table_of_readers_is_told_from_one_of_answers(tmp_path: Path) -> None:
    model_file, reader_file, _, _ = _study(tmp_path)
    assert is_reader_table(reader_file) and not is_reader_table(model_file)
    assert not is_reader_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": "cirrhosis"}, "'cirrhosis'"),
        ({"confidence": "-1"}, "line 2: confidence is '-1', no number from 0 on"),
        ({"seconds": "soon"}, "line 2: seconds is 'soon'"),
        ({"reader": ""}, "line 2: an answer without study_id or reader"),
        ({"reader": "B"}, "line 3: B has answered case S0 1 before"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    model_file, reader_file, _, read = _study(tmp_path)
    read[0] |= change
    _write(reader_file, read)
    with pytest.raises(ConfigError, match=words):
        study_readers(read_predictions(model_file), read_reader_table(reader_file))


def test_readers_of_other_cases_are_refused(tmp_path: Path) -> None:
    model_file, reader_file, _, read = _study(tmp_path)
    _write(reader_file, [{**row, "study_id": "X" + row["study_id"]} for row in read])
    done = _run(model_file, "--compare", reader_file, "--out", tmp_path / "out")
    assert done.exit_code == 3 and "no case in common" in done.stderr
    assert not (tmp_path / "out").exists()
