"""From a study without outlines to candidates, their files and scene, segments and classes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.detection import detect_path, detect_study
from LiverLesionAI.detection.detect import outlined
from LiverLesionAI.detection.regions import find_regions, inside
from LiverLesionAI.errors import BundleError, StudyError
from LiverLesionAI.options import DetectOptions, Options
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.writers.volumes import write_image

POINT = {"operating_point": 0.5, "region_share": 0.5}
SEED = 860_001


def logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_regions_are_told_what_they_add_themselves() -> None:
    evidence = np.full((6, 8, 8), -1.0, np.float32)
    evidence[1:4, 1:3, 1:3] = 40.0
    evidence[2, 6:8, 6:8] = 30.0
    probabilities = 1 / (1 + np.exp(-evidence.mean(axis=(1, 2), dtype=np.float64)))
    found = find_regions(evidence, probabilities, 8, **POINT)
    first, second = found.found
    assert first.slices == (1, 3) and second.slices == (2, 2)
    assert first.centre == pytest.approx((2.0, 1.5, 1.5))
    assert first.probability == pytest.approx(logistic((4 * 40 - 56) / 64), abs=1e-6)
    assert second.probability == pytest.approx(logistic((4 * 30 - 56) / 64), abs=1e-6)
    assert [int((found.labels == rank).sum()) for rank in (1, 2)] == [12, 4]
    assert find_regions(evidence, probabilities * 0, 8, **POINT).found == ()


def test_regions_outside_a_mask_are_left_out() -> None:
    evidence = np.full((2, 8, 8), -1.0, np.float32)
    evidence[0, 1:3, 1:3], evidence[1, 5:7, 5:7] = 50.0, 60.0
    found = find_regions(evidence, np.array([0.9, 0.99]), 8, **POINT)
    mask = np.zeros((2, 8, 8), bool)
    mask[:, :4, :4] = True
    kept = inside(found, mask)
    assert len(found.found) == 2 and len(kept.found) == 1
    assert kept.found[0].slices == (0, 0)
    assert set(np.unique(kept.labels)) == {0, 1} and (kept.labels[1] == 0).all()


@pytest.fixture(scope="module")
def phantom() -> Any:
    from LiverLesionAI.phantom import generate_study

    return generate_study(SEED, classes=("HCC",), sequences=("HBP",), reference="HBP", atypical=False)


@pytest.fixture(scope="module")
def study_folder(phantom: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detection") / "S1"
    folder.mkdir()
    write_image(phantom.study.images["HBP"].image, folder / "HBP.nii.gz")
    return folder


def distance_to_lesions(phantom: Any, place: tuple[float, float, float]) -> float:
    distance = sitk.SignedMaurerDistanceMap(
        phantom.study.lesions != 0, squaredDistance=False, useImageSpacing=True
    )
    return float(distance[distance.TransformPhysicalPointToIndex(place)])


@pytest.fixture(scope="module")
def detected(study_folder: Path) -> tuple[StudyResult, Path]:
    out = study_folder.parent / "out"
    result, _ = detect_path(study_folder, out)
    return result, out


def test_a_lesion_is_found_where_it_lies(phantom: Any, detected: tuple[StudyResult, Path]) -> None:
    result, _ = detected
    first = result.candidates[0]
    assert first.rank == 1 and first.sequence == "HBP"
    assert first.probability == max(each.probability for each in result.candidates)
    assert distance_to_lesions(phantom, first.centre_lps_mm) < 5
    (answer,) = result.study_tasks.values()
    assert len(answer.groups) == phantom.study.images["HBP"].image.GetSize()[2]
    assert answer.predicted == "HCC"


def test_every_output_tells_the_same_candidates(detected: tuple[StudyResult, Path]) -> None:
    result, out = detected
    with (out / "candidates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == [each.rank for each in result.candidates]
    labels = sitk.ReadImage(str(out / "candidates.nii.gz"))
    assert int(sitk.GetArrayViewFromImage(labels).max()) == len(result.candidates)
    place = [float(rows[0][f"{axis}_lps_mm"]) for axis in "xyz"]
    around = labels.TransformPhysicalPointToIndex(place)
    window = sitk.GetArrayFromImage(labels)[tuple(slice(max(i - 3, 0), i + 4) for i in reversed(around))]
    assert (window == 1).any()
    read = StudyResult.from_dict(json.loads((out / "results.json").read_text(encoding="utf-8")))
    assert (read.candidates, read.study_tasks) == (result.candidates, result.study_tasks)
    assert "phantom" in (out / "report.html").read_text(encoding="utf-8")


def test_the_scene_holds_markups_and_the_map(detected: tuple[StudyResult, Path]) -> None:
    from LiverLesionAI import mrml

    result, out = detected
    scene = mrml.load_scene(out / "scene.mrb")
    (points,) = mrml.nodes_of(scene, "vtkMRMLMarkupsFiducialNode")
    assert points.GetNumberOfControlPoints() == len(result.candidates)
    x, y, z = points.GetNthControlPointPosition(0)
    assert (-x, -y, z) == pytest.approx(result.candidates[0].centre_lps_mm, abs=1e-3)
    shown = mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")
    (overlay,) = [node for node in shown if "evidence of HCC" in node.GetName()]
    highest = sitk.GetArrayFromImage(mrml.image_from_volume(overlay)).max()
    assert overlay.GetDisplayNode().GetUpperThreshold() >= highest


@pytest.mark.parametrize("way", ["scene", "dicom"])
def test_a_scene_and_dicom_give_the_same_candidates(
    way: str, phantom: Any, detected: tuple[StudyResult, Path], tmp_path: Path
) -> None:
    from LiverLesionAI.phantom.dicom.writer import write_dicom_study

    result, out = detected
    given = out / "scene.mrb" if way == "scene" else tmp_path / "dicom"
    if way == "dicom":
        write_dicom_study(phantom, given, vendor="ge", layout="separate", distractors=False)
    again = detect_study(read_study(given), load_bundle("kim2020-phantom")).result
    assert len(again.candidates) == len(result.candidates)
    for mine, other in zip(again.candidates, result.candidates, strict=True):
        assert mine.probability == pytest.approx(other.probability, abs=0.02)
        assert mine.centre_lps_mm == pytest.approx(other.centre_lps_mm, abs=1.0)


def test_a_liver_mask_leaves_out_what_lies_elsewhere(
    phantom: Any, study_folder: Path, tmp_path: Path
) -> None:
    image = phantom.study.images["HBP"].image
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    size = image.GetSize()
    mask[size[0] * 3 // 4 :, :, :] = 1
    write_image(mask, tmp_path / "mask.nii.gz")
    bundle = load_bundle("kim2020-phantom")
    everywhere = detect_study(phantom.study, bundle, DetectOptions())
    far = detect_study(phantom.study, bundle, DetectOptions(liver_mask=tmp_path / "mask.nii.gz"))
    told = far.result.provenance.parameters["detection"]
    assert told["candidates"] + told["outside_liver_mask"] == len(everywhere.result.candidates)
    assert told["outside_liver_mask"] >= 1
    assert any("outside the liver mask" in warning for warning in far.result.warnings)


def test_what_is_missing_is_told_in_a_sentence(phantom: Any) -> None:
    bundle = load_bundle("kim2020-phantom")
    image = phantom.study.images["HBP"].image
    other = Study("S", "made", {"T2WI": SequenceImage(image)})
    with pytest.raises(StudyError, match=r"HCC is looked for in HBP, which study S lacks; it has T2WI\."):
        detect_study(other, bundle)
    renamed = detect_study(other, bundle, DetectOptions(sequence="T2WI"))
    assert "the model was trained on HBP and looked at T2WI" in renamed.result.warnings
    with pytest.raises(BundleError, match="does not answer for slices"):
        detect_study(phantom.study, load_bundle("wang2021-phantom"))


def test_a_single_slice_is_looked_at(phantom: Any) -> None:
    image = phantom.study.images["HBP"].image
    areas = sitk.GetArrayFromImage(phantom.study.lesions != 0).sum(axis=(1, 2))
    index = int(areas.argmax())
    one = replace(phantom.study, images={"HBP": SequenceImage(image[:, :, index : index + 1])}, lesions=None)
    found = detect_study(one, load_bundle("kim2020-phantom"))
    (answer,) = found.result.study_tasks.values()
    assert len(answer.groups) == 1


def test_a_candidate_becomes_a_segment(phantom: Any, detected: tuple[StudyResult, Path]) -> None:
    result, _ = detected
    study = replace(phantom.study, lesions=None)
    segmented, candidates, _ = outlined(study, result.candidates[:1])
    assert candidates[0].lesion == 1
    assert segmented.lesion_name(1) == "candidate 1"
    truth, mine = (sitk.GetArrayFromImage(image) > 0 for image in (phantom.study.lesions, segmented.lesions))
    assert (truth & mine).sum() > 0.5 * mine.sum()


def test_the_command_answers_in_json_and_refuses_in_a_sentence(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from LiverLesionAI.cli.commands import app

    done = CliRunner().invoke(app, ["detect", str(study_folder), "--out", str(tmp_path / "o"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["unit"] == "slice"
    refused = CliRunner().invoke(
        app, ["detect", str(study_folder), "--out", str(tmp_path / "p"), "--sequence", "PVP"]
    )
    assert refused.exit_code == 3
    assert not (tmp_path / "p").exists()
    wrong = CliRunner().invoke(
        app, ["detect", str(study_folder), "--out", str(tmp_path / "q"), "--operating-point", "2"]
    )
    assert wrong.exit_code == 3


def test_candidates_stay_where_the_classifier_has_nothing_to_read(study_folder: Path, tmp_path: Path) -> None:
    options = DetectOptions(classify=True, then=Options(register=False, explain=False))
    result, files = detect_path(study_folder, tmp_path / "out", options)
    assert any(each.lesion for each in result.candidates) and not result.lesions
    assert any("segmented but not classified" in warning for warning in result.warnings)
    assert {"lesions.nii.gz", "candidates.csv", "scene.mrb"} <= {file.name for file in files}


@pytest.mark.slow
def test_what_was_found_is_classified(tmp_path: Path) -> None:
    from LiverLesionAI.phantom import generate_study

    sequences = ("T2WI", "T1WI", "HBP")
    phantom = generate_study(SEED, classes=("HCC",), sequences=sequences, reference="HBP", atypical=False)
    folder = tmp_path / "S1"
    folder.mkdir()
    for name in sequences:
        write_image(phantom.study.images[name].image, folder / f"{name}.nii.gz")
    options = DetectOptions(classify=True, then=Options(register=False, explain=False))
    result, files = detect_path(folder, tmp_path / "out", options)
    assert {model.system for model in result.models} == {"wang2021", "kim2020"}
    assert any(each.lesion for each in result.candidates)
    assert len(result.lesions) == sum(each.lesion is not None for each in result.candidates)
    assert "detection" in result.provenance.parameters
    assert "lesion_classes.nii.gz" in {file.name for file in files}
