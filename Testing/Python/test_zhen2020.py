"""Zhen 2020 from a study to its answers: which model answers what, what it rests on, how it learns."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
import yaml
from dicom_phantoms import phantom
from test_inception_resnet import published
from typer.testing import CliRunner

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.bundles.suite import open_model
from LiverLesionAI.cli.commands import app
from LiverLesionAI.errors import BundleError, ConfigError, StudyError
from LiverLesionAI.inference.suite import classifier_of
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.pipeline import analyse_study, read_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.systems import system_named
from LiverLesionAI.training.cases import training_cases
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.training.export import untrained_bundle
from LiverLesionAI.training.start import start_network

SIX = ("T2WI", "DWI", "T1WI", "LAP", "PVP", "DP")
MODELS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "a": ("type", SIX, False),
    "b": ("type", SIX[:3], False),
    "c": ("malignancy", SIX, False),
    "d": ("malignancy", SIX[:3], False),
    "e": ("malignant_type", SIX, False),
    "f": ("malignant_type", SIX, True),
    "g": ("malignant_type", SIX[:3], True),
}


def settings(key: str, **changes: Any) -> dict[str, Any]:
    """Content of a small configuration of one of the seven models."""
    asks, sequences, clinical = MODELS[key]
    return {
        "name": f"tiny-{key}",
        "system": "zhen2020",
        "sequences": sequences,
        "required_sequences": ("LAP", "PVP") if len(sequences) > 3 else (),
        "network": {"asks": asks, "clinical": clinical, "width": 0.03125},
        "patches": {"size": 75, "surroundings_mm": 112.0},
        "phantom": {"first_seed": 0, "lesions": 7},
        "fold_count": 2,
        "folds": (0,),
        **changes,
    }


def config(key: str, **changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(settings(key, **changes))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All seven models, of random weights; C and D call everyone malignant."""
    folder = tmp_path_factory.mktemp("models")
    for key in MODELS:
        untrained_bundle(config(key), folder / f"tiny-{key}")
    return folder


@pytest.fixture
def at_hand(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let only some of the models be found."""
    monkeypatch.setattr("LiverLesionAI.bundles.store.BUNDLES", tmp_path / "none")

    def choose(keys: str) -> None:
        chosen = tmp_path / f"models-{keys}"
        chosen.mkdir()
        for key in keys:
            shutil.copytree(models / f"tiny-{key}", chosen / f"tiny-{key}")
        monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(chosen))

    return choose


def write_patient(folder: Path) -> Path:
    """A patient with three lesions, as a study folder: cubes of other brightness in every sequence."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.zeros((18, 60, 60), np.uint8)
    for number, (z, y, x, side) in enumerate(((3, 10, 10, 14), (8, 34, 30, 8), (12, 12, 40, 6)), start=1):
        labels[z : z + max(2, side // 3), y : y + side, x : x + side] = number
    for name in (*SIX, "lesions"):
        voxels = rng.normal(100, 8, labels.shape) + labels * rng.uniform(-30, 30)
        image = sitk.GetImageFromArray(labels if name == "lesions" else voxels.astype(np.float32))
        image.SetSpacing((2.0, 2.0, 4.0))
        sitk.WriteImage(image, folder / f"{name}.nii.gz")
    clinical = {"sex": "male", "afp": "0.9 µg/ml", "age": 66, "albumin": "3.1 g/dl"}
    (folder / "clinical.json").write_text(json.dumps(clinical), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patient(tmp_path_factory.mktemp("phantoms") / "S1")


def answers(result: StudyResult) -> dict[str, str]:
    return {task: answer.model for task, answer in result.study_tasks.items()}


def classified(study: Any) -> StudyResult:
    from LiverLesionAI.analysis import analyse_with

    return analyse_with(classifier_of(open_model("zhen2020")), study, explain=False).result


def without(study: Any, *names: str) -> Any:
    return replace(study, images={name: image for name, image in study.images.items() if name not in names})


def malignant_first(monkeypatch: pytest.MonkeyPatch, *, is_malignant: bool) -> None:
    """Make every answer about malignancy the one wanted, whatever random weights say; torch gives them."""
    from LiverLesionAI.inference import engines
    from LiverLesionAI.networks.slice_network import SliceNetwork

    given = SliceNetwork.logits

    def logits(self: Any, features: torch.Tensor) -> dict[str, torch.Tensor]:
        found = given(self, features)
        if "malignancy" in found:
            sure = torch.tensor([[-3.0, 3.0] if is_malignant else [3.0, -3.0]])
            found["malignancy"] = sure.expand(len(features), -1)
        return found

    monkeypatch.setattr(SliceNetwork, "logits", logits)
    monkeypatch.setattr(engines, "has_openvino", lambda: False)


def test_the_model_that_fits_the_study_answers_each_question(at_hand, phantoms, monkeypatch) -> None:
    at_hand("abcdefg")
    malignant_first(monkeypatch, is_malignant=True)
    study = read_study(phantoms)
    found = classified(study)
    assert answers(found) == {"malignancy": "tiny-c", "malignant_type": "tiny-f", "type": "tiny-a"}
    assert found.unit == "study" and found.answer is found.study_tasks["type"]
    assert found.study_tasks["malignant_type"].clinical == ("age", "sex", "afp", "albumin")
    assert "6 of 6 sequences and clinical data" in found.study_tasks["malignant_type"].reason
    assert "µg/ml" not in found.to_json() and "3.1 g" not in found.to_json()
    plain = without(study, "LAP", "PVP", "DP")
    assert answers(classified(plain)) == {
        "malignancy": "tiny-d",
        "malignant_type": "tiny-g",
        "type": "tiny-b",
    }
    unknown = replace(study, clinical={})
    assert answers(classified(unknown))["malignant_type"] == "tiny-e"
    neither = classified(replace(plain, clinical={}))
    assert answers(neither) == {"malignancy": "tiny-d", "type": "tiny-b"}
    assert any("malignant type was not answered" in text and "tiny-g" in text for text in neither.warnings)
    incomplete = classified(without(study, "DP"))
    assert answers(incomplete)["type"] == "tiny-a"
    assert "5 of 6 sequences" in incomplete.study_tasks["type"].reason
    warning = "DP missing: the model answered without; not seen: late enhancement, washout and capsule"
    assert warning in incomplete.warnings


def test_one_sequence_and_one_slice_are_enough(at_hand, phantoms) -> None:
    at_hand("abcdefg")
    study = read_study(phantoms)
    alone = without(study, *SIX[1:])
    lesions = sitk.GetArrayFromImage(alone.lesions)
    single = np.zeros_like(lesions)
    single[4] = lesions[4] == 1
    image = sitk.GetImageFromArray(single.astype(np.uint8))
    image.CopyInformation(alone.lesions)
    found = classified(replace(alone, lesions=image))
    assert found.study_tasks["type"].model == "tiny-b" and len(found.study_tasks["type"].groups) == 1
    assert "1 of 3 sequences" in found.study_tasks["type"].reason
    assert any("DWI, T1WI missing" in text for text in found.warnings)


def test_benign_lesions_are_not_asked_which_malignancy(at_hand, phantoms, monkeypatch) -> None:
    at_hand("abcdefg")
    malignant_first(monkeypatch, is_malignant=False)
    assert set(classified(read_study(phantoms)).study_tasks) == {"malignancy", "type"}


def test_some_of_the_models_answer_what_they_can(at_hand, phantoms) -> None:
    at_hand("ab")
    found = classified(read_study(phantoms))
    assert answers(found) == {"type": "tiny-a"}
    assert any("no model of it is at hand" in text for text in found.warnings)
    at_hand("cd")
    only = classified(read_study(phantoms))
    assert only.answer is only.study_tasks["malignancy"]


def test_without_any_model_of_the_system_it_is_refused(at_hand, phantoms) -> None:
    at_hand("")
    with pytest.raises(BundleError, match="no model of system zhen2020 at hand"):
        open_model("zhen2020")
    at_hand("a")
    with pytest.raises(BundleError, match="LAP, PVP missing"):
        classified(without(read_study(phantoms), "LAP", "PVP"))


def test_clinical_data_that_cannot_be_used_are_refused_only_where_they_are_read(at_hand, phantoms) -> None:
    at_hand("abcdefg")
    study = replace(read_study(phantoms), clinical={"apf": 12})
    with pytest.raises(StudyError, match=r"no clinical field 'apf'; was afp meant\?"):
        classified(study)
    at_hand("a")
    assert answers(classified(study)) == {"type": "tiny-a"}


def test_the_patient_is_the_mean_of_all_slices_and_a_lesion_that_of_its_own(at_hand, phantoms) -> None:
    at_hand("a")
    found = classified(read_study(phantoms))
    task = found.study_tasks["type"]
    vectors = np.array([list(group.probabilities.values()) for group in task.groups])
    assert np.allclose(list(task.probabilities.values()), vectors.mean(axis=0))
    assert {group.lesion for group in task.groups} == {1, 2, 3}
    for lesion in found.lesions:
        own = [group.lesion == lesion.id for group in task.groups]
        assert np.allclose(list(lesion.tasks["type"].probabilities.values()), vectors[own].mean(axis=0))
        assert lesion.crop_mm is not None and lesion.crop_mm >= 40
    heights = [group.centre_lps_mm[2] for group in task.groups if group.lesion == 3]
    assert np.allclose(np.diff(heights), 7.0)
    assert task.groups[0].name == "lesion 1, slice 1 of " + str(sum(g.lesion == 1 for g in task.groups))


def test_weights_and_maps_are_exact_games_in_patient_space(at_hand, phantoms, monkeypatch) -> None:
    at_hand("af")
    suite, study = open_model("zhen2020"), read_study(phantoms)
    malignant_first(monkeypatch, is_malignant=True)
    from LiverLesionAI.analysis import classify_with, explain_with
    from LiverLesionAI.explanation.slices import explain_slices

    at_hand("acf")
    classifier = classifier_of(open_model("zhen2020"), keep_loaded=True)
    analysis = explain_with(classifier, classify_with(classifier, study))
    result = analysis.result
    for task, answer in result.study_tasks.items():
        p = answer.probabilities[answer.predicted]
        given = sum(each["shapley"] for each in result.sequence_weights[task].values())
        f = classifier.of(load_bundle(answer.model))
        units = next(
            a for a in classify_with(classifier, study).answers if a.bundle.name == answer.model
        ).units
        explained, _ = explain_slices(f, units[0].groups, task, answer.predicted, None)
        nothing = float(explained.weights.worth[0])
        assert given == pytest.approx(np.log(p / (1 - p)) - nothing, abs=2e-2)
    assert list(result.sequence_weights["malignant_type"]) == [*SIX, "clinical data"]
    fields = result.clinical_weights["malignant_type"]
    assert set(fields) == {"age", "sex", "afp", "albumin"}
    assert len(analysis.explanations) == 3
    for explanation in analysis.explanations:
        image = explanation.image("LAP")
        assert image.GetSize()[:2] == (75, 75) and image.GetSpacing()[2] == pytest.approx(7)
        assert np.array_equal(explanation.feature_map("LAP"), explanation.feature_map("T2WI"))
        assert explanation.feature_map("LAP").max() == pytest.approx(1)
    assert suite.name == "zhen2020"


def test_the_command_line_answers_from_folder_and_scene(at_hand, phantoms, tmp_path) -> None:
    at_hand("abcdefg")
    done = CliRunner().invoke(
        app,
        ["classify", str(phantoms), "--out", str(tmp_path / "out"), "--model", "zhen2020", "--no-register"],
    )
    assert done.exit_code == 0, done.output
    assert "Type: model tiny-a 0.1.0, one network; 6 of 6 sequences; phantom-trained" in done.stdout
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert StudyResult.from_dict(content).unit == "study" and "Weight of each sequence" in page
    again = CliRunner().invoke(
        app, ["classify", str(tmp_path / "out" / "scene.mrb"), "--out", str(tmp_path / "again"), "--model",
              "zhen2020", "--no-register", "--no-saliency"],
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    second = json.loads((tmp_path / "again" / "results.json").read_text(encoding="utf-8"))
    for task, answer in content["study_tasks"].items():
        assert answer["model"] == second["study_tasks"][task]["model"]
        assert answer["clinical"] == second["study_tasks"][task]["clinical"]


def test_one_model_alone_is_asked_by_its_name(models, phantoms) -> None:
    result = analyse_study(read_study(phantoms), load_bundle(models / "tiny-f")).result
    assert result.study_tasks["malignant_type"].clinical == ("age", "sex", "afp", "albumin")
    assert result.clinical_weights["malignant_type"].keys() == {"age", "sex", "afp", "albumin"}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_weights_are_a_start(tmp_path: Path, suffix: str) -> None:
    weights, file = published(), tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(weights, file)
    else:
        from safetensors.torch import save_file

        save_file(weights, file)
    asked = config("b", network={"asks": "type", "width": 1.0}, start_from=str(file))
    network = asked.answers.network(asked)
    start_network(network, asked, 0)
    state = network.state_dict()
    assert torch.equal(state["image.conv2d_7b.conv.weight"], weights["conv2d_7b.conv.weight"])
    assert torch.allclose(state["image.conv2d_1a.conv.weight"], weights["conv2d_1a.conv.weight"])
    narrow = config("b", start_from=str(file))
    with pytest.raises(ConfigError, match="of a network of width 1"):
        start_network(narrow.answers.network(narrow), narrow, 0)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"conv2d_1a.conv.weight": torch.zeros(1)}, file)
    asked = config("b", network={"asks": "type", "width": 1.0}, start_from=str(file))
    with pytest.raises(ConfigError, match="holds the weights of another network"):
        start_network(asked.answers.network(asked), asked, 0)
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ConfigError, match="damaged or no file of weights"):
        start_network(asked.answers.network(asked), asked, 0)


def test_a_model_starts_from_one_that_reads_more_sequences(models: Path) -> None:
    asked = config("g", start_from=str(models / "tiny-a"))
    network = asked.answers.network(asked)
    before = network.state_dict()["image.classif.weight"].clone()
    start_network(network, asked, 0)
    its = load_bundle(models / "tiny-a")
    from LiverLesionAI.networks.weights import checked_tensors

    source = dict(checked_tensors(its.system.network(its.spec, device="meta"), its.member_paths[0]))
    state = network.state_dict()
    assert torch.equal(
        state["image.conv2d_1a.conv.weight"], source["image.conv2d_1a.conv.weight"][:, :3].float()
    )
    assert torch.equal(state["image.classif.weight"], before)
    other = config("a", start_from=str(models / "tiny-b"))
    with pytest.raises(ConfigError, match="does not read T2WI, DWI, T1WI, LAP"):
        start_network(other.answers.network(other), other, 0)


def test_models_of_malignant_classes_learn_from_malignant_cases_only() -> None:
    assert {case.truth for case in training_cases(config("a"))} == set(
        ("cyst", "haemangioma", "FNH", "other_benign", "HCC", "metastasis", "other_primary")
    )
    assert {case.truth for case in training_cases(config("f"))} == {"HCC", "metastasis", "other_primary"}
    benign = config("f", phantom={"first_seed": 0, "lesions": 4, "classes": ["cyst", "FNH"]})
    with pytest.raises(ConfigError, match="No case of the run has a class of Z3"):
        training_cases(benign)


def test_one_network_learns_from_everything(tmp_path: Path) -> None:
    """With ``final`` the bundle has one member, and the folds only tell how good the settings are."""
    content = settings(
        "e",
        phantom={"first_seed": 0, "lesions": 4, "classes": ["HCC", "metastasis"]},
        variants={"count": 1},
        optimisation={"epochs": 2, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.1,
                      "schedule": "step", "step_epochs": 1},
        final=True,
        parallel_folds=1,
    )  # fmt: skip
    file = tmp_path / "e.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(content))), encoding="utf-8")
    done = CliRunner().invoke(app, ["train", str(file), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    bundle = load_bundle(tmp_path / "run" / "tiny-e")
    assert bundle.spec.members == ("models/final.safetensors",)
    assert any(metric.name == "malignant_type_accuracy" for metric in bundle.spec.metrics)
    assert bundle.spec.training_cohort.lesions == 4
    assert "SGD with momentum 0.9, learning rate times 0.5 every 1 epochs" in bundle.spec.choices["optimiser"]
    rows = (tmp_path / "run" / "folds" / "final" / "epochs.csv").read_text().splitlines()
    assert len(rows) == 3 and rows[1].endswith(",,,")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zhen2020-paper.yaml", "zhen2020-full.yaml"])
def test_full_size_configurations_learn_a_step(name: str, tmp_path: Path) -> None:
    from LiverLesionAI.resources import BUNDLES
    from LiverLesionAI.training.config import read_config
    from LiverLesionAI.training.module import LesionTraining

    asked = read_config(BUNDLES / name)
    assert asked.network.width == 1 and asked.patches.size == 299
    module = LesionTraining(asked, 0, None, 1)
    optimiser = module.configure_optimizers()["optimizer"]  # type: ignore[index]
    images, present = torch.rand(2, len(asked.sequences), 299, 299), torch.ones(2, len(asked.sequences)) > 0
    logits = module.network.logits(module.network.features(images, present))  # type: ignore[operator]
    before = module.network.image.conv2d_1a.conv.weight.detach().clone()  # type: ignore[union-attr]
    sum(each.square().mean() for each in logits.values()).backward()
    optimiser.step()
    assert not torch.equal(before, module.network.image.conv2d_1a.conv.weight)  # type: ignore[union-attr]


def test_the_system_says_what_it_is() -> None:
    system = system_named("zhen2020")
    assert [question.task for question in system.questions] == ["malignancy", "malignant_type", "type"]
    assert system.unit == "study" and system.explanations == ("input-gradient", "grad-cam")


def test_a_dicom_study_gets_segmentation_and_report(at_hand, tmp_path, monkeypatch) -> None:
    at_hand("abcdefg")
    malignant_first(monkeypatch, is_malignant=True)
    write_dicom_study(phantom(), tmp_path / "study", vendor="siemens", layout="separate")
    sitk.WriteImage(phantom().study.lesions, str(tmp_path / "mask.nii.gz"))
    (tmp_path / "clinical.json").write_text('{"sex": "f", "cea": 12}', encoding="utf-8")
    done = CliRunner().invoke(
        app, ["classify", str(tmp_path / "study"), "--mask", str(tmp_path / "mask.nii.gz"), "--out",
              str(tmp_path / "out"), "--model", "zhen2020", "--no-register", "--no-saliency",
              "--clinical", str(tmp_path / "clinical.json")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    answer = StudyResult.from_dict(content)
    assert answer.study_tasks["malignant_type"].clinical == ("sex", "cea")
    report = pydicom.dcmread(tmp_path / "out" / "dicom" / "sr.dcm").to_json()
    assert f"the study as a whole: {answer.answer.predicted_class.title}" in report  # type: ignore[union-attr]
    (segment,) = pydicom.dcmread(tmp_path / "out" / "dicom" / "seg.dcm").SegmentSequence
    assert segment.SegmentDescription.startswith(answer.lesions[0].answer.predicted_class.title)  # type: ignore[union-attr]
