"""Texts that can hold a patient's name reach no result, report, scene or terminal."""

from __future__ import annotations

import zipfile
from pathlib import Path

import made_dicom
import pytest
import SimpleITK as sitk
from made_studies import made_study
from tiny_bundles import tiny_bundle
from typer.testing import CliRunner, Result

from LiverLesionAI import mrml
from LiverLesionAI.cli import app
from LiverLesionAI.pseudonyms import cleaned, pseudonym, study_code
from LiverLesionAI.scenes.file import read_scene
from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.writers.study_folder import write_study_folder

SECRET = ("quixotina", "zwingli", "19540312")
PLAIN = ("--no-register", "--no-saliency")


@pytest.mark.parametrize(
    "name",
    [
        "S1",
        "phantom-000001",
        "HCC_17",
        "MR182931",
        "sub-01_ses-02",
        "TCGA-DD-A1EG",
        "0b8b9c8e-5d3f-4c1a-9b57-deadbeef0123",
        "case 7",
        pseudonym("anything"),
        *SEQUENCES,
    ],
)
def test_codes_stay_as_they_are(name: str) -> None:
    assert study_code(name) == cleaned(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "Zwingli_Quixotina_19540312",
        "ZWINGLI^QUIXOTINA",
        "Zwingli, Quixotina",
        "zwingli1954",
        "case_Zwingli",
        "Мария",
        "Li_Wu_19540312",
        "Ng_Ho",
        "Xu Li",
        "study_Ng",
        "山田太郎",
        "Fädé",
    ],
)
def test_what_may_be_a_name_gets_a_stable_pseudonym(name: str) -> None:
    code = study_code(name)
    assert code.startswith("study-") and len(code) == 16 and code == study_code(name)
    assert study_code(code) == code and code != study_code(name + "2")


def said_by(done: Result, out: Path) -> str:
    """Everything that a run printed and wrote, but for the paths that it was given and for DICOM objects."""
    texts = [done.stdout, done.stderr]
    for file in out.rglob("*"):
        if file.suffix == ".mrb":
            with zipfile.ZipFile(file) as archive:
                texts += [archive.read(name).decode("latin-1") for name in archive.namelist()]
        elif file.is_file() and file.suffix != ".dcm":
            texts.append(file.read_bytes().decode("latin-1"))
    return "".join(texts).lower()


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done


def test_the_name_of_a_study_s_folder_does_not_leave_it(tmp_path: Path) -> None:
    folder = tmp_path / "Zwingli_Quixotina_19540312"
    folder.mkdir()
    for _file in write_study_folder(made_study(), folder):
        pass
    model = tiny_bundle(tmp_path / "tiny")
    out = tmp_path / "out"
    said = said_by(run("classify", folder, "--out", out, "--model", model, *PLAIN), out)
    assert study_code(folder.name) in said and not [word for word in SECRET if word in said]
    said = said_by(run("register", folder, "--out", tmp_path / "r", "--transform", "rigid"), tmp_path / "r")
    assert study_code(folder.name) in said and not [word for word in SECRET if word in said]


def test_descriptions_of_series_are_told_by_identify_alone(tmp_path: Path) -> None:
    folder, out = tmp_path / "dicom", tmp_path / "out"
    said = {
        1: {**made_dicom.T2, "SeriesDescription": "t2_tse_tra Zwingli^Quixotina"},
        2: {**made_dicom.T2, "SeriesDescription": "t2_tse_tra Zwingli^Quixotina again"},
        3: {"SeriesDescription": "Quixotina Zwingli 19540312", "ScanningSequence": "RM"},
    }
    for number, attributes in said.items():
        objects = made_dicom.slices(made_dicom.image(seed=number), number, **attributes)
        made_dicom.save(objects, folder, f"S{number}_")
    mask = tmp_path / "lesions.nii.gz"
    sitk.WriteImage(made_dicom.image() > 900, mask)
    model = tiny_bundle(tmp_path / "tiny")
    shown = run("identify", folder, "--json").stdout
    assert "Zwingli^Quixotina" in shown
    done = run("classify", folder, "--mask", mask, "--out", out, "--model", model, *PLAIN)
    text = said_by(done, out)
    assert "series 3" in text and not [word for word in SECRET if word in text]


def test_names_of_a_scene_and_its_volumes_do_not_leave_it(tmp_path: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    scene = mrml.new_scene()
    images = made_study().images
    mrml.add_volume(scene, images["T2WI"].image, "T2WI")
    mrml.add_volume(scene, images["LAP"].image, "t1 Quixotina Zwingli")
    mrml.save_scene(scene, tmp_path / "Zwingli_Quixotina_19540312.mrb")
    study = read_scene(tmp_path / "Zwingli_Quixotina_19540312.mrb")
    text = " ".join((study.id, study.source, *study.warnings)).lower()
    assert study_code("Zwingli_Quixotina_19540312") in text and "'t1 … …' is named after no sequence" in text
    assert not [word for word in SECRET if word in text]
