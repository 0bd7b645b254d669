"""The studies of a cohort, found and told apart, and one of them through the real road."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_batch import made_run
from made_dicom import T2, VIBE, image, save, slices
from made_training import write_study
from pydicom.uid import generate_uid
from test_zhen2020 import config, write_patient
from tiny_bundles import tiny_bundle

from LiverLesionAI.batch import BatchOptions
from LiverLesionAI.batch.feedback import export_cohort, give_feedback
from LiverLesionAI.batch.inputs import content_sha256, glance
from LiverLesionAI.batch.studies import list_studies
from LiverLesionAI.batch.task import AskedModel, StudyTask
from LiverLesionAI.batch.work import Workshop, done
from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.cohort import read_rows
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.options import Options
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.progress import silent
from LiverLesionAI.results import REGISTRATION_SCHEMA, SCHEMA, SequenceRegistration, StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.training.export import untrained_bundle


def write_examination(patient: str, folder: Path, *, apart: bool) -> None:
    """Two series of a patient, each in a folder of its own or all files in one."""
    told = {"PatientID": patient, "StudyInstanceUID": generate_uid(entropy_srcs=[patient])}
    for number, said in enumerate((T2, {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_art"})):
        uid = generate_uid(entropy_srcs=[patient, str(number)])
        objects = slices(image(seed=number), number + 1, SeriesInstanceUID=uid, **told, **said)
        save(objects, folder / str(number) if apart else folder, f"{patient}-{number}-")


def test_patients_mixed_in_one_tree_are_told_apart(tmp_path: Path) -> None:
    tree = tmp_path / "dump"
    write_examination("4711", tree / "mixed", apart=False)
    write_examination("4712", tree / "mixed", apart=False)
    write_examination("4713", tree / "Doe_Jane" / "series", apart=True)
    (tree / "mixed" / "notes.txt").write_text("nothing")
    write_study(tree / "nifti" / "HCC_7", 3, 0)
    studies = list_studies(tree, tmp_path / "run" / "dicom")
    assert len({study.id for study in studies}) == 4 and "HCC_7" in {study.id for study in studies}
    assert not any("Doe" in study.id or "Doe" in study.folder for study in studies)
    apart = next(study for study in studies if study.path.name == "Doe_Jane")
    linked = [study for study in studies if study.path.parent == tmp_path / "run" / "dicom"]
    assert len(linked) == 2 and all(len(list(study.path.iterdir())) == 10 for study in linked)
    for study in (apart, *linked):
        read = read_study(study.path)
        assert read.id == study.id and set(read.images) == {"T2WI", "LAP"}
    assert list_studies(tree, tmp_path / "run" / "dicom") == studies
    write_study(tree / "run" / "studies" / "S1", 3, 0)
    (tree / "run" / "batch.sqlite").touch()
    assert list_studies(tree, tmp_path / "run" / "dicom") == studies


@pytest.mark.parametrize(
    ("report", "schema"), [("results.json", SCHEMA), ("registration.json", REGISTRATION_SCHEMA)]
)
def test_an_earlier_output_is_no_study(tmp_path: Path, report: str, schema: str) -> None:
    """Its scene and its registered volumes are those of a study that stands in the tree already."""
    write_study(tmp_path / "S1", 1, 0)
    write_study(tmp_path / "S1-out", 1, 0)
    write_study(tmp_path / "S1-out" / "registered", 1, 0)
    (tmp_path / "S1-out" / "scene.mrb").touch()
    (tmp_path / "S1-out" / report).write_text(json.dumps({"schema": schema}))
    assert [study.id for study in list_studies(tmp_path, tmp_path / "links")] == ["S1"]


def test_settled_dicom_studies_become_study_folders(tmp_path: Path) -> None:
    write_examination("4713", tmp_path / "dump" / "one", apart=True)
    with made_run(tmp_path / "dump", tmp_path / "run", outputs="table") as run:
        (answer,) = run
    give_feedback(tmp_path / "run", answer.study_id, None, "HCC")
    table, count = export_cohort(tmp_path / "run", tmp_path / "train")
    (row,) = read_rows(table)
    assert count == 1 and (row.truth, row.lesion, row.path) == ("HCC", 1, answer.study_id)
    assert set(read_study(table.parent / row.path).images) == {"T2WI", "LAP"}


def test_a_table_says_what_is_known(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text(
        "study_id,path,patient_id,lesion,truth,group_site,clinical_age,note\n"
        "A,a,P1,1,HCC,north,63,x\nA,a,P1,2,cyst,north,,y\na,b,P2,,ICC,south,,z\n../x,c,,,,,,\n"
    )
    studies = list_studies(table, tmp_path)
    assert list_studies(tmp_path, tmp_path) == studies
    first, second, third = studies
    assert (first.truth, second.truth, third.truth) == ({1: "HCC", 2: "cyst"}, {0: "ICC"}, {})
    assert first.clinical == {"age": 63.0} and first.path == tmp_path / "a"
    assert first.rows[0].columns == {"group_site": "north"}
    assert len({study.folder.casefold() for study in studies}) == 3
    assert not any("/" in study.folder or study.folder.startswith(".") for study in studies)
    table.write_text(table.read_text().replace("A,a,P1,2", "A,b,P1,2"))
    with pytest.raises(ConfigError, match="line 3: study 'A' has another path"):
        list_studies(table, tmp_path)
    table.write_text("study_id,path,mask\nA,a,\nA,a,other.nrrd\n")
    with pytest.raises(ConfigError, match="line 3: study 'A' has another mask than in line 2"):
        list_studies(table, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no study"):
        list_studies(tmp_path / "empty", tmp_path)


def test_studies_of_one_name_keep_apart(tmp_path: Path) -> None:
    for site in ("north", "south"):
        write_study(tmp_path / site / "S1", 1, 0)
    names = [study.id for study in list_studies(tmp_path, tmp_path)]
    assert len(set(names)) == 2 and all(name.startswith("S1-") for name in names)


def test_changes_are_seen_at_a_glance_and_judged_by_content(tmp_path: Path) -> None:
    write_study(tmp_path / "S1", 1, 0)
    seen, content = glance(tmp_path / "S1", None, {}), content_sha256(tmp_path / "S1", None, {})
    (tmp_path / "S1" / ".DS_Store").touch()
    assert glance(tmp_path / "S1", None, {}) == seen
    os.utime(tmp_path / "S1" / "LAP.nii.gz", (1, 1))
    assert glance(tmp_path / "S1", None, {}) != seen
    assert content_sha256(tmp_path / "S1", None, {}) == content
    assert content_sha256(tmp_path / "S1", None, {"age": 5}) != content
    assert glance(tmp_path / "S2", None, {}) == ""


@pytest.fixture
def task(tmp_path: Path) -> StudyTask:
    """A patient with three lesions, asked of two models of two systems."""
    write_patient(tmp_path / "Doe_Jane")
    models = [
        load_bundle(path)
        for path in (tiny_bundle(tmp_path / "tiny"), untrained_bundle(config("a"), tmp_path / "a"))
    ]
    asked = tuple(AskedModel(str(each.path), each.name, each.hashes) for each in models)
    options = BatchOptions(study=Options(explain=False))
    path = str(tmp_path / "Doe_Jane")
    return StudyTask(
        "S1", path, "", str(tmp_path / "out"), asked, "volumes", options.parameters, "P1", {"age": 70}
    )


def test_models_share_reading_and_registering(task: StudyTask, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def register(study: Study, **given: object) -> SimpleNamespace:
        calls.append(f"{study.id} {given['scope']} {given['workers']}")
        return SimpleNamespace(study=study, sequences={"DWI": SequenceRegistration("rigid", 1.0, 1.1)})

    monkeypatch.setattr("LiverLesionAI.registration.register_study", register)
    workshop = Workshop()
    answer = done(StudyTask.from_dict(json.loads(json.dumps(task.to_dict()))), workshop, silent)
    assert answer.status == "done" and calls == ["S1 lesion 1"], answer.reason
    lesions, patient = answer.answers
    assert lesions.result and patient.result
    assert (lesions.result.unit, patient.result.unit) == ("lesion", "study")
    assert lesions.result.study.id == "S1" and set(lesions.result.registration) == set(
        patient.result.registration
    )
    for each in answer.answers:
        folder = Path(task.folder) / each.label
        written = StudyResult.from_dict(json.loads((folder / "results.json").read_text()))
        assert written.lesions == each.result.lesions
        assert (folder / "lesions.nii.gz").is_file() and not (folder / "report.html").exists()
    again = StudyTask.from_dict(
        {
            **task.to_dict(),
            "models": [{**each, "known": answer.input_sha256} for each in task.to_dict()["models"]],
        }
    )
    assert done(again, workshop, silent).status == "same"


def test_what_fails_is_said_without_the_path(task: StudyTask, tmp_path: Path) -> None:
    wang, zhen = task.models
    other = StudyTask.from_dict(
        {
            **task.to_dict(),
            "parameters": {**task.parameters, "register": False},
            "models": [vars(wang), {**vars(zhen), "hashes": ["x"]}],
        }
    )
    answer = done(other, Workshop(), silent)
    assert [each.status for each in answer.answers] == ["done", "failed"]
    assert "another one here than the run began with" in answer.reason
    (tmp_path / "Doe_Jane" / "T2WI.nii.gz").write_bytes(b"no image")
    answer = done(task, Workshop(), silent)
    assert answer.status == "failed" and answer.kinds == {"input"}
    assert "S1" in answer.reason and "Doe" not in answer.reason
