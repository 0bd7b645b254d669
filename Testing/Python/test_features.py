"""What the last hidden layer sees of a cohort, in tables that the evaluation reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import SimpleITK as sitk
from test_zhen2020 import config, write_patient
from tiny_bundles import tiny_bundle
from typer.testing import CliRunner

from LiverLesionAI import features
from LiverLesionAI.cli.commands import app
from LiverLesionAI.evaluation.embedding import read_features
from LiverLesionAI.evaluation.predictions import read_predictions
from LiverLesionAI.inference.units import cut_units
from LiverLesionAI.training.export import untrained_bundle


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    write_patient(tmp_path / "S1")
    table = tmp_path / "cohort.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("study_id", "path", "patient_id", "lesion", "truth")]
            + [("S1", "S1", "P1", str(lesion), "HCC") for lesion in (1, 2, 3)]
        )
    return table


def written(model: Path, cohort: Path, out: Path) -> str:
    done = CliRunner().invoke(
        app, ["features", str(cohort), "--out", str(out), "--model", str(model), "--no-register"]
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_slices_of_patients_are_cases(cohort: Path, tmp_path: Path) -> None:
    model = untrained_bundle(config("a"), tmp_path / "tiny-a")
    written(model, cohort, tmp_path / "out")
    features = read_features(tmp_path / "out" / "features.csv")
    predictions = read_predictions(tmp_path / "out" / "predictions.csv")
    assert set(features) == set(predictions.units) and len(features) > 3
    assert {len(values) for values in features.values()} == {48}
    assert {unit[1] for unit in features} == {"1", "2", "3"}
    few = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "out" / "predictions.csv"), "--out", str(tmp_path / "e"), "--embed"]
    )
    assert few.exit_code == 3 and "t-SNE at a perplexity of 50 needs 51 at least" in few.output


def test_lesions_are_cases_where_they_get_answers(cohort: Path, tmp_path: Path) -> None:
    written(tiny_bundle(tmp_path / "tiny"), cohort, tmp_path / "out")
    features = read_features(tmp_path / "out" / "features.csv")
    assert set(features) == {("S1", str(lesion), "") for lesion in (1, 2, 3)}


def test_what_could_not_be_cropped_is_told_and_an_earlier_output_replaced(
    cohort: Path, tmp_path: Path
) -> None:
    model = tiny_bundle(tmp_path / "tiny")
    written(model, cohort, tmp_path / "out")
    file = tmp_path / "S1" / "lesions.nii.gz"
    wide = sitk.ConstantPad(sitk.ReadImage(str(file)), (300, 0, 0), (0, 0, 0), 0)
    wide[5:15, 10:20, 3:6] = 4
    sitk.WriteImage(wide, str(file))
    said = written(model, cohort, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "features.json").read_text(encoding="utf-8"))
    assert record["model"] == "tiny" and record["rows"] == 3
    (left_out,) = record["left_out"]
    assert left_out.startswith("S1, lesion 4: ") and "Left out: S1, lesion 4" in " ".join(said.split())


def test_a_lesion_that_no_mask_has_is_told(cohort: Path, tmp_path: Path) -> None:
    cohort.write_text(cohort.read_text() + "S1,S1,P1,9,HCC\n")
    said = written(tiny_bundle(tmp_path / "tiny"), cohort, tmp_path / "out")
    (left_out,) = json.loads((tmp_path / "out" / "features.json").read_text(encoding="utf-8"))["left_out"]
    assert left_out.startswith("S1, lesion 9: It stands in the cohort's table, but not in the study's mask")
    assert "Left out: S1, lesion 9" in " ".join(said.split())


def test_clinical_columns_of_the_cohort_are_read(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = cohort.read_text().splitlines()
    cohort.write_text("\n".join([f"{lines[0]},clinical_afp", *(f"{line},900" for line in lines[1:])]))
    seen = []
    monkeypatch.setattr(
        features, "cut_units", lambda study, bundle: seen.append(study) or cut_units(study, bundle)
    )
    written(tiny_bundle(tmp_path / "tiny"), cohort, tmp_path / "out")
    assert [study.clinical["afp"] for study in seen] == [900.0]


def test_a_system_is_no_single_model(cohort: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["features", str(cohort), "--out", str(tmp_path / "o"), "--model", "nothing"]
    )
    assert done.exit_code == 3 and "There is no model 'nothing'" in done.output
