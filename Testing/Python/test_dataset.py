"""Data sets for training: study folders with transforms, and the table of lesions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LiverLesionAI.errors import OutputError, StudyError
from LiverLesionAI.inputs.patch_grid import PatchParameters
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.study import Study
from LiverLesionAI.training.cases import open_study, training_cases
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.writers.dataset import add_to_dataset, free_name


@pytest.fixture
def registered(ball_study: Callable[..., Study]) -> Study:
    """A study with a deformed sequence and an outline of its own on another."""
    study = ball_study()
    bspline = sitk.BSplineTransformInitializer(study.images["T2WI"].image, [4, 4, 4], 3)
    numbers = np.random.default_rng(3).uniform(-4, 4, len(bspline.GetParameters()))
    bspline.SetParameters(numbers.tolist())
    outline = sitk.Cast(study.images["DWI"].image > 80, sitk.sitkUInt16)
    return replace(study.with_transforms({"LAP": bspline}), outlines={"DWI": outline})


def test_training_reads_what_was_exported(registered: Study, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = list(add_to_dataset(registered, {1: "HCC"}, folder, "patient 7"))
    assert files[-1] == folder / "cohort.csv" and all(file.is_file() for file in files)
    tuple(add_to_dataset(replace(registered, id="other"), {1: "cyst"}, folder))
    config = TrainingConfig(name="own", cohort=folder / "cohort.csv")
    first, second = training_cases(config)
    assert (first.truth, first.patient, first.lesion) == ("HCC", "patient 7", 1)
    assert (second.truth, second.patient) == ("cyst", "other")
    names, parameters = ["T2WI", "DWI", "LAP"], PatchParameters(interpolation="linear")
    wanted = extract_patches(registered, 1, names, parameters).patches
    read = extract_patches(open_study(first, config), 1, names, parameters).patches
    images, annotations = np.moveaxis(np.abs(read - wanted), 1, 0)
    assert images.max() < 1e-3
    assert annotations.mean() < 1e-3


def test_nothing_is_left_of_an_export_that_was_ended(registered: Study, tmp_path: Path) -> None:
    tuple(add_to_dataset(registered, {1: "HCC"}, tmp_path))
    before = sorted(tmp_path.rglob("*"))
    work = add_to_dataset(replace(registered, id="second"), {1: "FNH"}, tmp_path)
    next(work)
    work.close()
    assert sorted(tmp_path.rglob("*")) == before
    assert "second" not in (tmp_path / "cohort.csv").read_text(encoding="utf-8")


def test_a_study_is_never_replaced(registered: Study, tmp_path: Path) -> None:
    tuple(add_to_dataset(registered, {1: "HCC"}, tmp_path))
    with pytest.raises(OutputError, match="holds a study ball already"):
        tuple(add_to_dataset(registered, {1: "cyst"}, tmp_path))
    assert free_name("ball", tmp_path) == "ball-2"
    assert free_name("new", tmp_path) == "new"


def test_columns_of_the_reader_s_own_are_kept(registered: Study, tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text(
        "study_id,path,patient_id,lesion,truth,group_site\nold,old,old,1,cyst,Bonn\n", encoding="utf-8"
    )
    tuple(add_to_dataset(registered, {1: "HCC"}, tmp_path))
    lines = table.read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["old,old,old,1,cyst,Bonn", "ball,ball,ball,1,HCC,"]


def test_lesions_on_ct_get_the_classes_of_ct(ball_study: Callable[..., Study], tmp_path: Path) -> None:
    study = ball_study(sequences=("CT_ART", "CT_DELAY"))
    (*_, table) = add_to_dataset(study, {1: "other_malignant"}, tmp_path / "data")
    assert "other_malignant" in table.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="is not one of HCC, other_malignant"):
        tuple(add_to_dataset(replace(study, id="other"), {1: "FNH"}, tmp_path / "data"))


@pytest.mark.parametrize(
    ("change", "diagnoses", "words"),
    [
        ({"id": "a/b"}, {1: "HCC"}, "cannot be the name of a folder"),
        ({"id": ".hidden"}, {1: "HCC"}, "cannot be the name of a folder"),
        ({}, {}, "has a class"),
        ({}, {1: "tumour"}, "is not one of cyst"),
        ({}, {2: "HCC"}, "has no lesion 2"),
    ],
)
def test_what_cannot_be_exported_is_told(
    registered: Study, tmp_path: Path, change: dict[str, str], diagnoses: dict[int, str], words: str
) -> None:
    with pytest.raises(OutputError, match=words):
        tuple(add_to_dataset(replace(registered, **change), diagnoses, tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_foreign_table_is_left_alone(registered: Study, tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("name,value\n", encoding="utf-8")
    with pytest.raises(OutputError, match="lacks columns"):
        tuple(add_to_dataset(registered, {1: "HCC"}, tmp_path))
    assert (tmp_path / "cohort.csv").read_text(encoding="utf-8") == "name,value\n"


def test_a_damaged_transform_is_told(study_folder: Path) -> None:
    (study_folder / "transforms").mkdir()
    (study_folder / "transforms" / "LAP.tfm").write_text("nothing", encoding="utf-8")
    with pytest.raises(StudyError, match=r"LAP\.tfm cannot be read as a transform"):
        read_study_folder(study_folder)
