"""A system that the library has never heard of walks the whole road: the doors are open."""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import yaml
from dicom_phantoms import phantom
from toy_system import install
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.systems import OWN, system_named, system_names

SEQUENCES = ("T2WI", "LAP")


def write_study(folder: Path, seed: int, *, malignant: bool, age: float | None) -> None:
    """A bright lesion in LAP where it is malignant, a dark one else."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    mask = np.zeros((8, 24, 24), np.uint8)
    mask[3:6, 9:15, 9:15] = 1
    for name in SEQUENCES:
        there = 80.0 if malignant and name == "LAP" else -80.0
        write_image(
            folder / f"{name}.nii.gz", (rng.normal(100, 5, mask.shape) + there * mask).astype(np.float32)
        )
    write_image(folder / "lesions.nii.gz", mask)
    if age is not None:
        (folder / "clinical.json").write_text(json.dumps({"age": age}))


def write_image(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 2.0, 5.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The toy's package installed for this process; the environment that its children find it with."""
    made = install(tmp_path_factory.mktemp("site"), os.environ)
    added = made["PYTHONPATH"].split(os.pathsep)[:2]
    sys.path[:0] = added
    importlib.invalidate_caches()
    yield made
    for path in added:
        sys.path.remove(path)


def liverlesionai(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == 3, done.output
    return done.stderr


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained by the command line on 24 studies of 24 patients, their ages in the table."""
    folder = tmp_path_factory.mktemp("toy")
    rows = [("study_id", "path", "patient_id", "lesion", "truth", "clinical_age")]
    for number in range(24):
        truth = ("HCC", "cyst", "metastasis", "FNH")[number % 4]
        write_study(folder / f"S{number}", number, malignant=number % 2 == 0, age=None)
        rows.append((f"S{number}", f"S{number}", f"P{number}", "", truth, str(40 + number)))
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    content: dict[str, Any] = {
        "name": "toy",
        "system": "toy2027",
        "cohort": "cohort.csv",
        "variants": {"count": 2},
        "optimisation": {"epochs": 12, "batch_size": 6, "learning_rate": 0.02},
        "fold_count": 2,
        "parallel_folds": 1,
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    liverlesionai("train", folder / "toy.yaml", "--out", folder / "run")
    return folder / "run" / "toy"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "S1"
    write_study(folder, 100, malignant=True, age=63)
    return folder


def test_the_system_is_found_by_its_package() -> None:
    assert system_names() == (*OWN, "toy2027")
    assert system_named("toy2027").unit == "study"


def test_the_bundle_says_what_it_is(bundle: Path) -> None:
    assert "sound bundle" in liverlesionai("models", "verify", bundle)
    said = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["liver_lesion"]
    assert (said["system"], said["primary_task"]) == ("toy2027", "malignancy")
    assert said["patches"] == {"size": 16, "spacing_mm": 2.0} and said["network"] == {"width": 4}
    names = [metric["name"] for metric in said["metrics"]]
    assert names == ["malignancy_accuracy", "malignancy_auc"]
    assert all(metric["value"] > 0.9 and metric["n"] == 24 for metric in said["metrics"])
    card = liverlesionai("models", "show", bundle)
    assert "One convolution over one slice" in card and "T2WI, LAP" in card


def test_a_bundle_of_a_system_that_is_not_installed_is_refused(bundle: Path) -> None:
    command = [sys.executable, "-m", "LiverLesionAI", "models", "verify", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3 and "no system 'toy2027'" in done.stderr


def test_a_study_is_classified_as_a_whole(bundle: Path, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = liverlesionai("classify", study, "--out", out, "--model", bundle, "--no-register")
    assert "malignant" in shown and "not classified" not in shown
    result = StudyResult.from_dict(json.loads((out / "results.json").read_text(encoding="utf-8")))
    assert result.unit == "study" and result.answer is not None
    assert result.answer.predicted == "malignant" and result.answer.primary
    assert set(result.answer.std) == {"benign", "malignant"} and result.models[0].members == 2
    (lesion,) = result.lesions
    assert lesion.tasks == {} and lesion.diameter_mm > 10 and lesion.warnings == ()
    with (out / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["lesion"] == "" and row["pred_malignancy"] == "malignant"
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "The study as a whole: Malignant" in report and "ot classified" not in report
    classes = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "lesion_classes.nii.gz")))
    assert set(np.unique(classes)) == {0, 2}
    assert not (out / "saliency").exists()


def test_the_age_counts(bundle: Path, study: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"age": null}')
    told = ("classify", study, "--model", bundle, "--no-register", "--json")
    known = json.loads(liverlesionai(*told, "--out", tmp_path / "known"))
    unknown = json.loads(
        liverlesionai(*told, "--out", tmp_path / "un", "--clinical", tmp_path / "other.json")
    )
    first, second = (each["study_tasks"]["malignancy"]["probabilities"] for each in (known, unknown))
    assert first != second
    assert "the patient's age is not known" in unknown["warnings"]
    assert "the patient's age is not known" not in known["warnings"]


def test_a_study_without_lesions_has_an_answer_too(bundle: Path, study: Path, tmp_path: Path) -> None:
    for name in SEQUENCES:
        (tmp_path / "bare").mkdir(exist_ok=True)
        (tmp_path / "bare" / f"{name}.nii.gz").write_bytes((study / f"{name}.nii.gz").read_bytes())
    out = tmp_path / "out"
    liverlesionai("classify", tmp_path / "bare", "--out", out, "--model", bundle, "--no-register")
    result = StudyResult.from_dict(json.loads((out / "results.json").read_text(encoding="utf-8")))
    assert result.lesions == () and result.answer is not None
    assert (out / "scene.mrb").exists() and (out / "report.html").exists()


def test_its_scene_is_a_study_again(bundle: Path, study: Path, tmp_path: Path) -> None:
    asked = ("--model", bundle, "--no-register", "--json", "--clinical", study / "clinical.json")
    first = json.loads(liverlesionai("classify", study, "--out", tmp_path / "first", *asked))
    scene = tmp_path / "first" / "scene.mrb"
    second = json.loads(liverlesionai("classify", scene, "--out", tmp_path / "second", *asked))
    assert second["study"]["source"].startswith("scene")
    here, there = (each["study_tasks"]["malignancy"]["probabilities"] for each in (first, second))
    assert here == pytest.approx(there, abs=1e-6)


def test_what_the_system_does_not_offer_is_refused(bundle: Path, study: Path, tmp_path: Path) -> None:
    asked = ("--model", bundle, "--explain-class", "malignant")
    assert "offers no explanations" in refused("classify", study, "--out", tmp_path / "out", *asked)
    assert not (tmp_path / "out").exists()


def test_a_dicom_study_gets_segmentation_and_report(bundle: Path, tmp_path: Path) -> None:
    write_dicom_study(phantom(), tmp_path / "study", vendor="siemens", layout="separate")
    sitk.WriteImage(phantom().study.lesions, str(tmp_path / "mask.nii.gz"))
    out = tmp_path / "out"
    liverlesionai(
        "classify", tmp_path / "study", "--mask", tmp_path / "mask.nii.gz", "--out", out,
        "--model", bundle, "--no-register",
    )  # fmt: skip
    answer = json.loads((out / "results.json").read_text(encoding="utf-8"))["study_tasks"]["malignancy"][
        "predicted"
    ]
    segmentation = pydicom.dcmread(out / "dicom" / "seg.dcm")
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentDescription.startswith(f"the study as a whole: {answer.capitalize()}")
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    report = pydicom.dcmread(out / "dicom" / "sr.dcm").to_json()
    assert f"the study as a whole: {answer.capitalize()}" in report and "not classified" not in report


def test_the_worker_serves_it(
    bundle: Path, study: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from LiverLesionAI.worker.client import WorkerClient

    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    with WorkerClient() as worker:
        answer = worker.call("classify", study=str(study), model=str(bundle))["results"]
    assert answer["study_tasks"]["malignancy"]["predicted"] == "malignant"


@pytest.mark.parametrize("segmented", ["yes", "no", "empty"])
def test_the_panel_shows_it(
    bundle: Path,
    study: Path,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    segmented: str,
) -> None:
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    from panel_desktop import ROOT, classify, finish, quiet_desktop

    from LiverLesionAI.readers.folder import read_study_folder
    from LiverLesionAI.scenes.show import show_study

    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(bundle.parent))
    # Loaded first: systems are remembered, but the end of a desktop takes away the modules that came with it.
    system_named("wang2021")
    with quiet_desktop() as made:
        import slicer

        read = read_study_folder(study)
        show_study(slicer.mrmlScene, read if segmented == "yes" else replace(read, lesions=None))
        made.load(ROOT / "LiverLesionAI.py")
        made.enter("LiverLesionAI")
        widget = slicer.modules.LiverLesionAIWidget
        ui = widget.ui
        if segmented == "empty":
            empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
            empty.GetSegmentation().AddEmptySegment("", "lesion 1")
        ui.assignButton.click()
        assert (widget.panel.parameters.segmentation is None) == (segmented == "no")
        ui.modelCombo.setCurrentIndex(ui.modelCombo.findText("toy"))
        classify(made, widget)
        classify(made, widget)
        assert (widget.panel.parameters.segmentation is None) == (segmented == "no")
        result = widget.panel.result
        assert result.answer.predicted == "malignant" and len(result.lesions) == (segmented == "yes")
        (shown,) = [[ui.resultsTable.item(0, column).text() for column in (0, 1)]]
        assert shown == ["the study", "malignant"] and ui.resultsTable.rowCount == 1
        assert ui.classesTable.rowCount == 2 and "the study" in ui.classesLabel.text
        assert not ui.explainButton.enabled and "toy2027 are not explained" in ui.explainStatus.text
        assert "as a whole" in ui.decideStatus.text and not ui.acceptButton.enabled
        ui.folderEdit.currentPath = str(tmp_path / "saved")
        ui.saveButton.click()
        finish(made, widget)
        assert "files were written" in ui.saveStatus.text
        saved = StudyResult.from_dict(
            json.loads((tmp_path / "saved" / "results.json").read_text(encoding="utf-8"))
        )
        assert saved.study_tasks == result.study_tasks
