"""Yasaka 2018 from a CT study to its answers: which model answers, what it reads, why, how it learns."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from typer.testing import CliRunner

from LiverLesionAI.analysis import analyse_with
from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.bundles.suite import open_model
from LiverLesionAI.cli.commands import app
from LiverLesionAI.errors import BundleError, PatchError
from LiverLesionAI.evaluation.ordinal import malignancy_score
from LiverLesionAI.inference import Classifier
from LiverLesionAI.inference.engine import Ran, run_batches
from LiverLesionAI.inference.suite import classifier_of
from LiverLesionAI.inference.units import cut_units
from LiverLesionAI.inputs.ct_slices import CTSliceParameters, extract_largest_slice
from LiverLesionAI.inputs.slice_stack import SlicePose
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.results import StudyResult
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.systems import system_named
from LiverLesionAI.systems.recipe import Draw
from LiverLesionAI.systems.yasaka2018 import PHASES
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.cases import TrainingCase, training_cases
from LiverLesionAI.training.config import TrainingConfig, Variants
from LiverLesionAI.training.export import untrained_bundle

MODELS = {"tri": PHASES, "artdel": PHASES[1:], "plain": PHASES[:1], "art": PHASES[1:2], "del": PHASES[2:]}
CT = ("CT_PLAIN", "CT_ART", "CT_PORTAL", "CT_DELAY")


def config(key: str, **changes: Any) -> TrainingConfig:
    settings = {
        "name": f"tiny-{key}",
        "system": "yasaka2018",
        "sequences": MODELS[key],
        "network": {"width": 2},
        "phantom": {"first_seed": 0, "lesions": 5},
        "fold_count": 2,
        "folds": (0,),
        **changes,
    }
    return TrainingConfig.model_validate(settings)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five models, of random weights."""
    folder = tmp_path_factory.mktemp("models")
    for key in MODELS:
        untrained_bundle(config(key), folder / f"tiny-{key}")
    return folder


@pytest.fixture
def at_hand(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let only some of the models be found."""
    monkeypatch.setattr("LiverLesionAI.bundles.store.BUNDLES", tmp_path / "none")

    def choose(keys: str) -> None:
        chosen = tmp_path / "chosen"
        for key in keys.split():
            shutil.copytree(models / f"tiny-{key}", chosen / f"tiny-{key}")
        monkeypatch.setenv("LIVERLESIONAI_BUNDLES", str(chosen))

    return choose


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study folder of four phases with two balls of other attenuation in a body of 60 HU."""
    folder = tmp_path_factory.mktemp("patients") / "S1"
    folder.mkdir()
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:20, :80, :80]
    labels = np.zeros((20, 80, 80), np.uint8)
    for number, (centre, radius) in enumerate((((8, 30, 30), 9), ((13, 55, 50), 6)), start=1):
        labels[(2 * (z - centre[0])) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2] = number
    outside = np.broadcast_to((y - 40) ** 2 + (x - 40) ** 2 > 39**2, labels.shape)
    for name in (*CT, "lesions"):
        liver = 60 if name == "CT_PLAIN" else 100
        hu = rng.normal(liver, 10, labels.shape) + labels * rng.uniform(-30, 30)
        hu[outside] = -1000
        image = sitk.GetImageFromArray(labels if name == "lesions" else hu.astype(np.int16))
        image.SetSpacing((2.0, 2.0, 4.0))
        sitk.WriteImage(image, folder / f"{name}.nii.gz")
    return folder


def classified(study: Study, **settings: Any) -> StudyResult:
    return analyse_with(classifier_of(open_model("yasaka2018")), study, **settings).result


def classify(study: Path, out: Path, *options: str) -> Any:
    arguments = ["--out", str(out), "--model", "yasaka2018", "--no-register", *options]
    return CliRunner().invoke(app, ["classify", str(study), *arguments])


def without(study: Study, *names: str) -> Study:
    return replace(study, images={name: image for name, image in study.images.items() if name not in names})


def test_the_best_model_that_fits_the_phases_answers_and_says_why(at_hand, patient) -> None:
    at_hand("tri artdel plain art del")
    study = read_study(patient)
    for missing, model in (
        ((), "tri"),
        (("CT_PLAIN",), "artdel"),
        (("CT_ART",), "del"),
        (("CT_DELAY",), "art"),
        (("CT_ART", "CT_DELAY"), "plain"),
    ):
        result = classified(without(study, *missing), explain=False)
        assert result.unit == "lesion" and not result.study_tasks
        assert [each.name for each in result.models] == [f"tiny-{model}"], missing
        for lesion in result.lesions:
            answer = lesion.tasks["type"]
            assert answer.taxonomy == "Y5" and answer.model == f"tiny-{model}" and answer.primary
            assert f"reads {', '.join(MODELS[model])}" in answer.reason
            assert "CT_PORTAL was left out" in answer.reason
    assert StudyResult.from_dict(json.loads(result.to_json())).lesions == result.lesions


def test_phases_that_fit_no_model_are_refused_in_words(at_hand, patient) -> None:
    at_hand("tri art")
    study = without(read_study(patient), "CT_ART", "CT_DELAY")
    with pytest.raises(BundleError, match=r"No model of system yasaka2018 .*CT_ART, CT_DELAY missing"):
        classified(study)


def test_a_lesion_outside_a_phase_is_named_and_the_others_answered(at_hand, patient) -> None:
    at_hand("artdel")
    study = read_study(patient)
    arterial = study.images["CT_ART"].image
    low = SequenceImage(arterial[:, :, :11])
    result = classified(replace(study, images={**study.images, "CT_ART": low}), explain=False)
    assert set(result.lesions[0].tasks) == {"type"} and not result.lesions[1].tasks
    assert any("is not shown by CT_ART" in text for text in result.warnings)


def test_lesions_share_a_batch_and_have_the_answers_that_they_have_alone(at_hand, patient) -> None:
    at_hand("tri")
    bundle = load_bundle("tiny-tri")
    units, failures = cut_units(read_study(patient), bundle)
    sizes: list[int] = []

    def run(network: Any, inputs: Any, *rest: Any) -> Ran:
        sizes.append(len(inputs))
        return run_batches(network, inputs, *rest)

    together = Classifier(bundle, engine="torch", run=run).predict(units)
    assert sizes == [2] and not failures
    for unit, found in zip(units, together, strict=True):
        (alone,) = Classifier(bundle, engine="torch").predict([unit])
        expected = pytest.approx(alone.tasks["type"].result().probabilities, abs=1e-5)
        assert found.tasks["type"].result().probabilities == expected


def test_the_slice_is_that_of_the_largest_diameter_in_the_papers_windows(patient) -> None:
    study, parameters = read_study(patient), CTSliceParameters()
    (slices,) = extract_largest_slice(study, 1, PHASES, parameters)
    assert slices.images.shape == (1, 3, 70, 70) and slices.stack.side_mm == pytest.approx(34 + 40, abs=0.1)
    assert slices.stack.centre_lps_mm[2] == pytest.approx(8 * 4.0)
    assert np.array_equal(slices.images, np.rint(slices.images * 255) / np.float32(255))
    assert parameters.limits_hu("CT_PLAIN") == (-85, 165) and parameters.limits_hu("CT_ART") == (-100, 190)
    centre = sitk.GetArrayViewFromImage(study.images["CT_ART"].image)[8, 28:33, 28:33].mean()
    seen = slices.images[0, 1, 31:39, 31:39].mean()
    assert seen == pytest.approx((centre + 100) / 290, abs=0.02)
    moved = SlicePose(shift_mm=(0.0, 0.0, 50.0))
    (far,) = extract_largest_slice(study, 1, PHASES, parameters, (moved,))
    assert far.outline.any(), "a table position never leaves the lesion"


def test_stored_values_that_are_no_hounsfield_units_are_said(patient) -> None:
    study = read_study(patient)
    stored = SequenceImage(study.images["CT_ART"].image + 1024)
    (slices,) = extract_largest_slice(
        replace(study, images={**study.images, "CT_ART": stored}), 1, PHASES, CTSliceParameters()
    )
    assert slices.warnings == ("CT_ART has no value below 0 and may not be in Hounsfield units",)


def test_weights_of_the_phases_are_an_exact_game_and_maps_lie_on_the_slice(at_hand, patient) -> None:
    at_hand("tri")
    study = read_study(patient)
    classifier = classifier_of(open_model("yasaka2018"), precision="fp32", keep_loaded=True)
    analysis = analyse_with(classifier, study)
    for lesion, explained in zip(analysis.result.lesions, analysis.explanations, strict=True):
        answer = lesion.tasks["type"]
        p = answer.probabilities[answer.predicted]
        bundle = classifier.suite.bundles[0]
        network = classifier.of(bundle).network(0)
        (slices,) = extract_largest_slice(study, lesion.id, PHASES, bundle.spec.patches)
        with torch.inference_mode():
            nothing = torch.zeros(1, 3, dtype=torch.bool)
            logits = network.logits(network.features(torch.from_numpy(slices.images), nothing))["type"]
            q = float(logits.softmax(1)[0, list(answer.probabilities).index(answer.predicted)])
        shares = lesion.sequence_weights["type"]
        total = sum(each["shapley"] for each in shares.values())
        assert set(shares) == set(PHASES)
        assert total == pytest.approx(np.log(p / (1 - p)) - np.log(q / (1 - q)), abs=1e-3)
        assert explained.method == "grad-cam" and explained.maps.shape == (3, 1, 70, 70)
        image = explained.image("CT_ART")
        assert image.GetOrigin()[2] == pytest.approx(slices.stack.centre_lps_mm[2])


def test_the_recipe_makes_52_sets_of_four_kinds_at_five_table_positions() -> None:
    recipe = system_named("yasaka2018").recipe
    variants = Variants(count=52, rotation_deg=(0, 0, 180), scale=1.8, shift_mm=8)
    poses = recipe.poses(np.random.default_rng(0), variants, CTSliceParameters())
    assert len(poses) == 52 and len({pose.shift_mm[2] for pose in poses}) == 5
    turned, shifted, enlarged, both = (poses[kind::4] for kind in range(4))
    assert all(pose.scale == 1 and pose.shift_mm[:2] == (0, 0) for pose in turned)
    assert all(pose.scale == 1 and any(pose.shift_mm[:2]) for pose in shifted)
    assert max(pose.scale for pose in enlarged) > 1.6 and min(pose.scale for pose in enlarged) > 1
    assert all(pose.scale > 1 and any(pose.shift_mm[:2]) for pose in both)
    case = np.full((2, 3, 8, 8), 128, np.uint8)
    draws = [Draw(1, np.random.default_rng(0)), Draw(1, None)]
    images, there = recipe.batch([case] * 2, [(True,) * 3] * 2, draws, config("tri").augmentation)
    assert images[0].std() > 0 and images[1].std() == 0 and there.all()


def test_seven_lesions_of_a_patient_are_learned_from(tmp_path: Path, patient: Path) -> None:
    rows = [f"S{n},{patient},P{n // 9},{n + 1},cyst" for n in range(10)]
    (tmp_path / "cohort.csv").write_text("\n".join(["study_id,path,patient_id,lesion,truth", *rows]))
    cases = training_cases(config("tri", phantom=None, cohort=tmp_path / "cohort.csv"))
    patients = [case.patient for case in cases]
    assert patients == ["P0"] * 7 + ["P1"] and all(isinstance(case, TrainingCase) for case in cases)


def test_repeats_begin_otherwise_and_share_what_is_cut() -> None:
    first, second = config("tri"), config("tri", repeat=1)
    assert first.patches_digest() == second.patches_digest() and first.digest() != second.digest()
    assert first.seeds(0) != second.seeds(0)


def test_the_ordinal_score_is_the_papers() -> None:
    assert [malignancy_score(name) for name in TAXONOMIES["Y5"].names] == [4, 4, 3, 2, 1]


def test_classify_answers_for_a_ct_study_end_to_end(at_hand, patient, tmp_path: Path) -> None:
    at_hand("tri art")
    done = classify(patient, tmp_path / "R")
    assert done.exit_code == 0, done.output
    assert "tiny-tri" in done.output and "CT_PORTAL was left out" in " ".join(done.output.split())
    result = json.loads((tmp_path / "R" / "results.json").read_text(encoding="utf-8"))
    assert result["study"]["reference"] == "CT_ART"
    assert (tmp_path / "R" / "saliency" / "1_CT_DELAY.nii.gz").is_file()
    report = (tmp_path / "R" / "report.html").read_text(encoding="utf-8")
    assert "Why this model" in report and "CT_PORTAL was left out" in report
    done = classify(tmp_path / "R" / "scene.mrb", tmp_path / "R2", "--no-saliency")
    assert done.exit_code == 0, done.output
    again = json.loads((tmp_path / "R2" / "results.json").read_text(encoding="utf-8"))
    for one, other in zip(result["lesions"], again["lesions"], strict=True):
        assert one["tasks"]["type"]["model"] == other["tasks"]["type"]["model"] == "tiny-tri"
        assert one["tasks"]["type"]["predicted"] == other["tasks"]["type"]["predicted"]


def test_an_mri_study_is_refused_with_exit_code_3(at_hand, patient, tmp_path: Path) -> None:
    at_hand("tri art")
    folder = tmp_path / "MR"
    folder.mkdir()
    shutil.copy(patient / "CT_ART.nii.gz", folder / "T2WI.nii.gz")
    shutil.copy(patient / "lesions.nii.gz", folder)
    done = classify(folder, tmp_path / "R")
    assert done.exit_code == 3 and "No model of system yasaka2018 can read" in " ".join(done.output.split())


def test_single_models_need_their_phases(at_hand, patient) -> None:
    at_hand("art")
    result = classifier_of(open_model("tiny-art"))
    study = without(read_study(patient), "CT_ART")
    with pytest.raises((BundleError, PatchError)):
        analyse_with(result, study)
