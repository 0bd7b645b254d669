"""A cohort is looked at before it is trained on."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
from conftest import ball_image
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.check import check_cohort
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.writers.dataset import add_to_dataset

Rows = list[dict[str, str]]


@pytest.fixture
def cohort(ball_study: Callable[..., Study], tmp_path: Path) -> Path:
    """Seven studies, one of each class; their voxels differ by the number added to them."""
    for number, name in enumerate(TAXONOMIES["W7"].names):
        study = replace(_brighter(ball_study(), number), id=f"S{number}")
        list(add_to_dataset(study, {1: name}, tmp_path / "data", f"P{number}"))
    return tmp_path / "data" / "cohort.csv"


def _brighter(study: Study, by: int) -> Study:
    return replace(
        study,
        images={name: replace(each, image=each.image + by) for name, each in study.images.items()},
    )


def _check(cohort: Path) -> list[tuple[str, str]]:
    config = TrainingConfig(name="own", cohort=cohort, sequences=("T2WI", "DWI", "LAP"))
    return [(problem.kind, problem.words) for problem in check_cohort(config)]


def _rows(cohort: Path) -> Rows:
    with cohort.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _write(cohort: Path, rows: Rows) -> None:
    with cohort.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_sound_cohort_has_no_problem(cohort: Path) -> None:
    assert _check(cohort) == []


def test_a_patient_in_two_splits_is_refused(cohort: Path) -> None:
    rows = [{**row, "split": "train"} for row in _rows(cohort)]
    rows[3] |= {"patient_id": "P0", "split": "test"}
    _write(cohort, rows)
    assert _check(cohort) == [("splits", "Patient P0 is in several splits (test, train); leave one.")]


def test_a_class_without_a_case_is_named(cohort: Path) -> None:
    _write(cohort, [row for row in _rows(cohort) if row["truth"] != "abscess"])
    assert _check(cohort) == [("class", "Class abscess has no case; the network will never name it.")]


def test_the_same_voxels_under_two_names_are_found_whatever_their_header(cohort: Path) -> None:
    image = sitk.ReadImage(str(cohort.parent / "S1" / "LAP.nii.gz"))
    image.SetOrigin([part + 3 for part in image.GetOrigin()])
    sitk.WriteImage(image, str(cohort.parent / "S4" / "LAP.nii.gz"))
    ((kind, words),) = _check(cohort)
    assert kind == "twice" and "LAP has the voxels of LAP" in words and "another patient" in words


def test_studies_that_cannot_be_read_are_listed(cohort: Path) -> None:
    (cohort.parent / "S2" / "T2WI.nii.gz").write_bytes(b"damaged")
    rows = _rows(cohort)
    rows[5]["lesion"] = "4"
    _write(cohort, rows)
    found = _check(cohort)
    assert [kind for kind, _ in found] == ["unreadable", "unreadable"]
    assert "S2" in found[0][1] and "no lesion 4" in found[1][1]


def test_outlines_that_miss_their_lesion_are_found(cohort: Path, ball_study: Callable[..., Study]) -> None:
    study = ball_study()
    assert study.lesions is not None
    folder = cohort.parent / "S0"
    moved = (
        ball_image(
            study.lesions.GetSize(),
            study.lesions.GetSpacing(),
            (44.0, 40.0, 30.0),
            8.0,
            origin=study.lesions.GetOrigin(),
        )
        > 50
    )
    sitk.WriteImage(sitk.Cast(moved, sitk.sitkUInt8), str(folder / "lesions.nii.gz"))
    found = dict(_check(cohort))
    assert (
        list(found) == ["outline"] and "S0, lesion 1: no sequence shows anything inside" in found["outline"]
    )


def test_a_lesion_outside_a_sequence_is_found(cohort: Path) -> None:
    file = cohort.parent / "S3" / "DWI.nii.gz"
    image = sitk.ReadImage(str(file))
    image.SetOrigin([part + 500 for part in image.GetOrigin()])
    sitk.WriteImage(image, str(file))
    assert (
        "outline",
        f"{file.parent}, lesion 1: it lies outside DWI; check mask and registration.",
    ) in _check(cohort)


def test_the_command_refuses_or_goes_on_when_asked(cohort: Path, tmp_path: Path) -> None:
    (cohort.parent / "S2" / "T2WI.nii.gz").write_bytes(b"damaged")
    config = tmp_path / "config.yaml"
    config.write_text(f"name: own\ncohort: {cohort}\nsequences: [T2WI, DWI, LAP]\n")
    arguments = ["train", str(config), "--out", str(tmp_path / "run"), "--check"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 3 and "--leave-out-unreadable" in refused.stderr and "S2" in refused.stderr
    done = CliRunner().invoke(app, [*arguments, "--leave-out-unreadable"])
    assert done.exit_code == 0 and not (tmp_path / "run").exists()
    rows = [{**row, "split": str(n % 2), "patient_id": "P"} for n, row in enumerate(_rows(cohort))]
    _write(cohort, rows)
    grave = CliRunner().invoke(app, [*arguments, "--leave-out-unreadable"])
    assert grave.exit_code == 3 and "make its figures false" in grave.stderr


def test_phantoms_have_nothing_to_be_checked() -> None:
    config = TrainingConfig.model_validate({"name": "p", "phantom": {"first_seed": 850_000, "lesions": 7}})
    assert check_cohort(config) == ()
