"""Training: configuration, folds, patch cache, batches, learning, interruption and resumption, the bundle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from safetensors import safe_open

from LiverLesionAI.bundles import verify_bundle
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.evaluation.intervals import delong_auc, wilson_interval
from LiverLesionAI.inference import execution
from LiverLesionAI.inputs.patches import extract_patches
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.batches import training_batches, validation_batches
from LiverLesionAI.training.cache import PatchCache, build_cache, random_poses
from LiverLesionAI.training.cases import by_study, open_study, training_lesions, validation_fold
from LiverLesionAI.training.config import Augmentation, Optimisation, TrainingConfig, read_config
from LiverLesionAI.training.export import untrained_bundle
from LiverLesionAI.training.fold import PREDICTIONS, WEIGHTS, train_fold
from LiverLesionAI.training.module import balanced_weights, learning_rate_factor, validation_score
from LiverLesionAI.training.train import export_finished_folds, train

CLASSES = TAXONOMIES["W7"].names
SEQUENCES = ("T2WI", "DWI", "LAP")
PHANTOM: dict[str, Any] = {"name": "made", "phantom": {"first_seed": 1, "lesions": 7}}


def write_study(folder: Path, class_index: int, seed: int, omit: tuple[str, ...] = ()) -> None:
    """A bright or dark cube: the class decides how bright in which sequence, noise does the rest."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 7:13, 7:13] = 1
    for bit, name in enumerate(SEQUENCES):
        voxels = rng.normal(100, 5, mask.shape) + np.where(mask, 90 if class_index >> bit & 1 else -90, 0)
        if name not in omit:
            write_image(folder / f"{name}.nii.gz", voxels.astype(np.float32))
    write_image(folder / "lesions.nii.gz", mask)


def write_image(path: Path, voxels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients a class, one lesion each, one study without DWI."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = [("study_id", "path", "patient_id", "lesion", "truth")]
    for number in range(21):
        write_study(folder / f"S{number}", number % 7, number, omit=("DWI",) if number == 3 else ())
        rows.append((f"S{number}", f"S{number}", f"P{number}", "1", CLASSES[number % 7]))
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "cohort.csv"


def settings(cohort: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "made",
        "seed": 5,
        "sequences": list(SEQUENCES),
        "network": {"width": 2, "head_hidden": 8},
        "patches": {"size": 32},
        "cohort": str(cohort),
        "variants": {"count": 2},
        "optimisation": {"epochs": 4, "batch_size": 7, "learning_rate": 0.01, "central_epochs": 1},
        "fold_count": 3,
        "folds": [0],
        "parallel_folds": 1,
        **changes,
    }


@pytest.fixture(scope="module")
def config(cohort: Path) -> TrainingConfig:
    return TrainingConfig.model_validate(settings(cohort))


@pytest.fixture(scope="module")
def cache(config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> PatchCache:
    return build_cache(config, tmp_path_factory.mktemp("patches"), workers=2)


def write_config(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phantom": {"first_seed": 899_990, "lesions": 20}}, "reserved"),
        ({"phantom": {"first_seed": 900_699, "lesions": 1}}, "reserved"),
        ({"phantom": {"first_seed": 0, "lesions": 2_000_000}}, "reserved"),
        ({"phantom": {"first_seed": 1, "lesions": 7, "classes": ["wart"]}}, "classes"),
        ({"cohort": "cohort.csv"}, "either phantom or cohort"),
        ({"phantom": None}, "either phantom or cohort"),
        ({"sequences": ["T2WI", "FLAIR"]}, "sequences"),
        ({"required_sequences": ["HBP"]}, "required_sequences"),
        ({"patches": {"sise": 64}}, "patch parameter sise"),
        ({"optimisation": {"epochs": 3, "central_epochs": 3}}, "central_epochs"),
        ({"optimisation": {"epoch": 3}}, "optimisation.epoch"),
        ({"folds": [5]}, "folds"),
        ({"name": "../escape"}, "name"),
    ],
)
def test_configuration_is_checked(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write_config(tmp_path / "config.yaml", {**PHANTOM, **change})
    with pytest.raises(ConfigError, match=said) as refusal:
        read_config(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", ["", "- a\n- b", "name: [", "\x00"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    for path in (tmp_path / "config.yaml", tmp_path / "absent.yaml"):
        with pytest.raises(ConfigError, match=path.name):
            read_config(path)


def test_demo_configuration_leaves_the_reserved_seeds() -> None:
    demo = read_config(Path(__file__).parents[2] / "Resources" / "Bundles" / "wang2021-phantom.yaml")
    assert demo.network.width == 8 and demo.fold_count == 5 and demo.patches.intensity == "percentile"
    assert demo.phantom is not None and demo.phantom.first_seed + demo.phantom.lesions <= 900_000


def test_configuration_survives_its_own_writing(config: TrainingConfig, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("S0,S0,P0,1,wart", "truth 'wart'"),
        ("S0,S0,P0,one,HCC", "lesion 'one'"),
        ("S0,S0,P0,0,HCC", "lesion '0'"),
        ("S0,nowhere,P0,1,HCC", "no study"),
        ("S0,S0,P0,,HCC", "lesion ''"),
        ("S0,S0,P0,1,HCC,nowhere", "no mask"),
    ],
)
def test_cohort_rows_are_checked(
    config: TrainingConfig, cohort: Path, tmp_path: Path, row: str, said: str
) -> None:
    bad = cohort.parent / "bad.csv"
    bad.write_text(f"study_id,path,patient_id,lesion,truth,mask\n{row}\n")
    with pytest.raises(ConfigError, match=f"line 2.*{said}"):
        training_lesions(config.model_copy(update={"cohort": bad}))


def test_folds_keep_patients_together_and_classes_apart(config: TrainingConfig) -> None:
    lesions = [
        lesion.__class__(f"{lesion.key}_{copy}", lesion.patient, lesion.truth, lesion.source)
        for lesion in training_lesions(config)
        for copy in range(2)
    ]
    folds = validation_fold(lesions, 3, seed=1)
    assert (folds[::2] == folds[1::2]).all()
    for fold in range(3):
        assert set(Counter(lesions[i].truth for i in np.flatnonzero(folds == fold)).values()) == {2}
    assert not np.array_equal(folds, validation_fold(lesions, 3, seed=2))
    with pytest.raises(ConfigError, match="cannot be divided"):
        validation_fold(lesions[:6], 3, seed=1)


def test_phantom_lesions_come_from_their_seeds() -> None:
    config = TrainingConfig.model_validate({**PHANTOM, "sequences": ["DWI", "LAP"]})
    lesions = training_lesions(config)
    assert [(lesion.source, lesion.truth) for lesion in lesions] == list(
        zip(range(1, 8), CLASSES, strict=True)
    )
    assert [lesion.labels for lesion in lesions] == [(int(i >= 4), i) for i in range(7)]
    study = open_study(lesions[4], config)
    assert set(study.sequences) == {"T2WI", "DWI", "LAP"} and study.lesion_ids == (1,)


def test_cache_holds_what_inference_sees(config: TrainingConfig, cache: PatchCache) -> None:
    cached = cache.lesions[0]
    study = read_study_folder(cached.lesion.source)
    seen = extract_patches(study, 1, SEQUENCES, config.patches)
    assert cached.patches.dtype == np.uint8 and cached.patches.shape == (3, 4, 32, 32, 32)
    np.testing.assert_allclose(cached.patches[0, :3] / 255, seen.patches[:, 0], atol=0.002)
    np.testing.assert_allclose(cached.patches[0, 3] / 255, seen.patches[0, 1], atol=0.002)
    posed = extract_patches(study, 1, SEQUENCES, config.patches, random_poses(cached.lesion.key, config)[1])
    np.testing.assert_allclose(cached.patches[2, :3] / 255, posed.patches[:, 0], atol=0.002)
    assert cache.lesions[3].present == (True, False, True)


def test_cache_goes_on_where_it_stopped(config: TrainingConfig, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(step: str, fraction: float) -> None:
        if fraction > 0.3:
            raise StopError

    with pytest.raises(StopError):
        build_cache(config, tmp_path, workers=1, progress=stop)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}
    assert 0 < len(kept) < 21
    assert len(build_cache(config, tmp_path, workers=1).lesions) == 21
    assert kept == {file: file.stat().st_mtime_ns for file in kept}
    assert not list(tmp_path.glob(".*"))


def test_outlines_of_single_sequences_get_their_own_channels(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 8:14, 7:13] = 1
    write_image(tmp_path / "S0" / "lesions_LAP.nii.gz", mask)
    (tmp_path / "cohort.csv").write_text("study_id,path,lesion,truth\nS0,S0,1,cyst\n")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    (cached,) = build_cache(own, tmp_path / "patches", workers=1).lesions
    assert cached.patches.shape[1] == 6
    batch = next(iter(validation_batches([cached], 1)))
    annotations = batch.patches[0, :, 1]
    assert torch.equal(annotations[0], annotations[1]) and not torch.equal(annotations[0], annotations[2])


def test_a_mask_of_the_table_replaces_the_study_s_own(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    mask = np.zeros((12, 20, 20), np.uint8)
    mask[4:8, 7:13, 7:13] = 5
    write_image(tmp_path / "other.nrrd", mask)
    rows = "S0,S0,5,cyst,other.nrrd\nS0,S0,1,cyst,\n"
    (tmp_path / "cohort.csv").write_text(f"study_id,path,lesion,truth,mask\n{rows}")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    assert len(by_study(training_lesions(own))) == 2
    first, second = (open_study(lesion, own) for lesion in training_lesions(own))
    assert first.lesion_ids == (5,) and second.lesion_ids == (1,)


def test_lesion_that_cannot_be_cropped_is_left_out(config: TrainingConfig, tmp_path: Path) -> None:
    write_study(tmp_path / "S0", 0, 0)
    (tmp_path / "cohort.csv").write_text("study_id,path,lesion,truth\nS0,S0,1,cyst\nS0,S0,2,cyst\n")
    own = config.model_copy(update={"cohort": tmp_path / "cohort.csv"})
    made = build_cache(own, tmp_path / "patches", workers=1)
    assert len(made.lesions) == 1
    assert "label 2" in made.warnings[0]


def test_batches_hold_every_lesion_once(cache: PatchCache) -> None:
    batches = list(training_batches(cache.lesions, 0, 8, Augmentation(), seed=1))
    assert [len(batch.labels) for batch in batches] == [7, 7, 7]
    assert batches[0].patches.shape == (7, 3, 2, 32, 32, 32)
    counts = Counter(batch.labels[i, 1].item() for batch in batches for i in range(len(batch.labels)))
    assert counts == dict.fromkeys(range(7), 3)
    plain = torch.cat([batch.patches for batch in validation_batches(cache.lesions, 8)])
    np.testing.assert_allclose(plain[0, :, 0], cache.lesions[0].patches[0, :3] / 255, atol=1e-6)
    centre = torch.cat([batch.patches for batch in validation_batches(cache.lesions, 8, central=True)])
    assert torch.equal(centre, plain[..., 4:28, 4:28, 4:28])


def test_augmentation_follows_seed_and_epoch(cache: PatchCache) -> None:
    def patches(epoch: int, seed: int, augmentation: Augmentation) -> torch.Tensor:
        return torch.cat([b.patches for b in training_batches(cache.lesions, epoch, 8, augmentation, seed)])

    strong = Augmentation(noise=0.1)
    first = patches(0, 1, strong)
    assert torch.equal(first, patches(0, 1, strong))
    assert not torch.equal(first, patches(1, 1, strong)) and not torch.equal(first, patches(0, 2, strong))
    assert first.min() >= 0 and first.max() <= 1
    none = Augmentation(flip=0, gain=1, gamma=1, offset=0, noise=0, sequence_dropout=0)
    order = np.random.default_rng([1, 1]).permutation(21)
    expected = cache.lesions[order[0]].patches[2, :3] / 255
    np.testing.assert_allclose(patches(1, 1, none)[0, :, 0], expected, atol=1e-6)
    flipped = patches(1, 1, none.model_copy(update={"flip": 1.0}))[0, :, 0]
    np.testing.assert_allclose(flipped, expected[:, ::-1, ::-1, ::-1], atol=1e-6)


def test_sequence_dropout_keeps_all_rather_than_none(cache: PatchCache) -> None:
    augmentation = Augmentation(sequence_dropout=0.7)
    batches = [b for epoch in range(20) for b in training_batches(cache.lesions, epoch, 21, augmentation, 0)]
    present = torch.cat([batch.present for batch in batches])
    assert present.any(dim=1).all()
    assert present.float().mean().item() == pytest.approx(0.3 + 0.7**3, abs=0.06)


@pytest.fixture(scope="module")
def whole_run(config: TrainingConfig, cache: PatchCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "fold_0"
    longer = config.optimisation.model_copy(update={"epochs": 40, "patience": 40})
    gentler = Augmentation(gain=1.05, gamma=1.1, sequence_dropout=0.05)
    changed = config.model_copy(update={"optimisation": longer, "augmentation": gentler})
    train_fold(changed, 0, *divided(cache, config), folder, lambda fraction: None)
    return folder


def divided(cache: PatchCache, config: TrainingConfig) -> tuple[list[Any], list[Any]]:
    folds = validation_fold([cached.lesion for cached in cache.lesions], config.fold_count, config.seed)
    training = [cached for cached, fold in zip(cache.lesions, folds, strict=True) if fold]
    return training, [cached for cached, fold in zip(cache.lesions, folds, strict=True) if not fold]


def test_training_on_the_processor_is_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(execution, "has_bf16", lambda device: True)
    assert execution.resolve_execution().precision == "bf16"
    assert execution.resolve_training_execution().precision == "fp32"
    with pytest.raises(ConfigError, match="needs a GPU"):
        execution.resolve_training_execution("bf16")


def test_network_learns(whole_run: Path) -> None:
    with (whole_run / "epochs.csv").open() as file:
        epochs = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in epochs] == list(range(len(epochs)))
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    found = json.loads((whole_run / PREDICTIONS).read_text())
    predicted = np.argmax(found["probabilities"]["type"], axis=1)
    assert np.mean(predicted == found["labels"]["type"]) >= 5 / 7
    assert max(row["val_type_accuracy"] for row in epochs[1:]) >= 6 / 7


def last_epoch(folder: Path) -> int:
    """Last epoch that a checkpoint holds, counted from 0; −1 without one."""
    file = folder / "last.ckpt"
    return torch.load(file, weights_only=True)["epoch"] if file.exists() else -1


def test_normalisation_is_settled_over_all_training_lesions(
    config: TrainingConfig, cache: PatchCache, whole_run: Path
) -> None:
    training, _ = divided(cache, config)
    stem, seen = "branches.LAP.conv1.weight", []
    with safe_open(whole_run / WEIGHTS, framework="pt") as file:
        kernel, mean = file.get_tensor(stem).float(), file.get_tensor("branches.LAP.bn1.running_mean")
    for batch in validation_batches(training, config.optimisation.batch_size):
        patches = batch.patches[batch.present[:, 2], 2]
        seen.append(torch.nn.functional.conv3d(patches, kernel, stride=2, padding=3).mean(dim=(0, 2, 3, 4)))
    torch.testing.assert_close(torch.stack(seen).mean(0), mean, rtol=0.01, atol=0.002)


def interrupt_at(steps: int) -> Callable[[float], None]:
    calls = []

    def report(fraction: float) -> None:
        calls.append(fraction)
        if len(calls) == steps:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_resumed_fold_equals_uninterrupted_one(
    config: TrainingConfig, cache: PatchCache, tmp_path: Path, steps: int
) -> None:
    lesions = divided(cache, config)
    train_fold(config, 0, *lesions, tmp_path / "whole", lambda fraction: None)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_fold(config, 0, *lesions, tmp_path / "parts", interrupt_at(steps))
    assert not (tmp_path / "parts" / PREDICTIONS).exists()
    assert last_epoch(tmp_path / "parts") == steps // 2 - 1
    train_fold(config, 0, *lesions, tmp_path / "parts", lambda fraction: None)
    for name in (WEIGHTS, PREDICTIONS, "epochs.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_run_ends_in_a_bundle_and_is_not_repeated(cohort: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", settings(cohort))
    told: list[tuple[str, float]] = []
    bundle = train(path, tmp_path / "run", progress=lambda step, fraction: told.append((step, fraction)))
    opened = verify_bundle(bundle)
    assert opened.spec.intended_use == "research" and opened.spec.training_cohort.lesions == 21
    assert opened.spec.folds == ("models/fold_0.safetensors",)
    figures = {metric.name: metric for metric in opened.spec.metrics}
    assert (
        figures["type_accuracy"].n == 7 and figures["type_accuracy"].lower <= figures["type_accuracy"].value
    )
    texts = [f.read_text() for f in bundle.rglob("*") if f.is_file() and f.suffix != ".safetensors"]
    assert str(cohort.parent) not in "".join(texts), "the bundle tells where the patients' images lie"
    assert told[-1] == ("training", 1.0) and [f for s, f in told if s == "training"] == sorted(
        f for s, f in told if s == "training"
    )
    with pytest.raises(OutputError, match="--resume"):
        train(path, tmp_path / "run")
    other = write_config(tmp_path / "other.yaml", settings(cohort, seed=6))
    with pytest.raises(ConfigError, match="differs"):
        train(other, tmp_path / "run", resume=True)
    assert verify_bundle(export_finished_folds(tmp_path / "run")).spec.files == opened.spec.files
    with pytest.raises(OutputError, match="no training run"):
        export_finished_folds(tmp_path)
    before = opened.sha256
    assert verify_bundle(train(path, tmp_path / "run", resume=True)).sha256 == before


RUN = "import sys; from LiverLesionAI.training.train import train; train(*sys.argv[1:], resume=True)"


@pytest.mark.slow
def test_killed_run_goes_on(cohort: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", settings(cohort, folds=[0, 1], parallel_folds=2))
    whole = verify_bundle(train(path, tmp_path / "whole"))
    command = [sys.executable, "-c", RUN, str(path), str(tmp_path / "killed")]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("folds/*/epochs.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = verify_bundle(train(path, tmp_path / "killed", resume=True))
    assert resumed.spec.files == whole.spec.files


def test_schedules_end_at_nothing() -> None:
    one_cycle = [learning_rate_factor(step, 40, "one_cycle") for step in range(41)]
    cosine = [learning_rate_factor(step, 40, "cosine") for step in range(41)]
    assert max(one_cycle) == one_cycle[10] == cosine[0] == 1
    assert one_cycle[:11] == sorted(one_cycle[:11]) and cosine == sorted(cosine, reverse=True)
    assert one_cycle[40] == cosine[40] == 0
    assert all(0 <= learning_rate_factor(step, 3, "one_cycle") <= 1 for step in range(4))


def test_score_prefers_accuracy_then_loss_then_whole_patches() -> None:
    plan = Optimisation(epochs=10, central_epochs=2)
    central = [validation_score(1.0, 0.0, epoch, plan) for epoch in (0, 1)]
    whole = [
        validation_score(*values, 5, plan) for values in ((0.0, 99.0), (0.5, 2.0), (0.5, 1.0), (0.51, 3.0))
    ]
    assert [*central, *whole] == sorted([*central, *whole])


def test_a_run_starts_from_a_bundle(cohort: Path, tmp_path: Path) -> None:
    content = settings(cohort, name="first", optimisation={"epochs": 1, "shared_kernels": True}, folds=[0, 1])
    first = train(write_config(tmp_path / "first.yaml", content), tmp_path / "first")
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0}
    changes = {"start_from": "first/first", "name": "second", "optimisation": still, "folds": [0, 1, 2]}
    config = write_config(tmp_path / "second.yaml", settings(cohort, **changes))
    second = train(config, tmp_path / "second")
    for fold in range(3):
        with safe_open(first / f"models/fold_{fold % 2}.safetensors", "pt") as file:
            kernels = [file.get_tensor(f"branches.{name}.conv1.weight") for name in SEQUENCES]
            head = file.get_tensor("heads.type_head.0.weight")
        assert all(torch.equal(kernel, kernels[0]) for kernel in kernels)
        with safe_open(second / f"models/fold_{fold}.safetensors", "pt") as file:
            for name, kernel in zip(SEQUENCES, kernels, strict=True):
                assert torch.equal(file.get_tensor(f"branches.{name}.conv1.weight"), kernel)
            assert torch.equal(file.get_tensor("heads.type_head.0.weight"), head)
    assert "those of first" in verify_bundle(second).spec.choices["first weights"]
    assert str(tmp_path) not in (second / "configs" / "training.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"start_from": "absent"}, "absent"), ({"start_from": "first", "network": {"width": 4}}, "network")],
)
def test_a_bundle_to_start_from_must_fit(
    cohort: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    untrained_bundle(TrainingConfig.model_validate(settings(cohort)), tmp_path / "first")
    with pytest.raises(ConfigError, match=said):
        train(write_config(tmp_path / "config.yaml", settings(cohort, **change)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_balanced_weights_are_inverse_to_frequency(cache: PatchCache) -> None:
    lopsided = [cached for cached in cache.lesions if cached.lesion.truth != "cyst"] + list(cache.lesions[:1])
    malignancy, kind = balanced_weights(lopsided)
    counts = np.bincount([cached.lesion.labels[1] for cached in lopsided], minlength=7)
    np.testing.assert_allclose(kind.numpy() * counts, len(lopsided) / 7, rtol=1e-6)
    assert malignancy[0] == pytest.approx(len(lopsided) / (2 * 10))


def test_intervals_agree_with_the_paper_and_with_resampling() -> None:
    from sklearn.metrics import roc_auc_score

    assert wilson_interval(0, 7)[0] == 0 and wilson_interval(7, 7)[1] == 1
    assert wilson_interval(90, 113) == pytest.approx((0.713, 0.8605), abs=5e-4)
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 50).round(1)
    area, lower, upper = delong_auc(positive, negative)
    labels = [1] * 60 + [0] * 50
    assert area == pytest.approx(roc_auc_score(labels, np.concatenate([positive, negative])))
    draws = [
        roc_auc_score(labels, np.concatenate([rng.choice(positive, 60), rng.choice(negative, 50)]))
        for _ in range(500)
    ]
    assert (upper - lower) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.2)
