"""Training runs: learning, interruption and resumption, the bundle that they end in or start from."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import CLASSES, SEQUENCES, divided, settings, write_config
from safetensors import safe_open

from LiverLesionAI.bundles import verify_bundle
from LiverLesionAI.errors import ConfigError, OutputError
from LiverLesionAI.inference import execution
from LiverLesionAI.networks.resnet3d import Head, MultitaskResNet3D
from LiverLesionAI.systems.wang2021 import Augmentation
from LiverLesionAI.training.batches import Epoch, validation_batches
from LiverLesionAI.training.cache import CaseCache
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.training.export import untrained_bundle
from LiverLesionAI.training.finish import PREDICTIONS, WEIGHTS, _settle_normalisation
from LiverLesionAI.training.fold import BOARD, train_fold
from LiverLesionAI.training.train import export_finished_folds, train
from LiverLesionAI.uncertainty.conformal import FoldPredictionSets


@pytest.fixture(scope="module")
def whole_run(config: TrainingConfig, cache: CaseCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "fold_0"
    longer = config.optimisation.model_copy(update={"epochs": 40, "patience": 40})
    gentler = Augmentation(gain=1.05, gamma=1.1, sequence_dropout=0.05)
    changed = config.model_copy(update={"optimisation": longer, "augmentation": gentler})
    train_fold(changed, 0, *divided(cache, config), folder, lambda fraction: None)
    return folder


def test_training_on_the_processor_is_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(execution, "gains_by_bf16", lambda device: True)
    assert execution.resolve_execution().precision == "bf16"
    assert execution.resolve_training_execution().precision == "fp32"
    with pytest.raises(ConfigError, match="needs a GPU"):
        execution.resolve_training_execution("bf16")


def test_curves_are_those_of_the_table(whole_run: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = accumulator.EventAccumulator(str(whole_run / BOARD))
    curves.Reload()
    with (whole_run / "epochs.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert [event.value for event in curves.Scalars("val_loss")] == pytest.approx(losses, rel=1e-5)


def test_network_learns(whole_run: Path) -> None:
    with (whole_run / "epochs.csv").open() as file:
        epochs = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [row["epoch"] for row in epochs] == list(range(len(epochs)))
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    found = json.loads((whole_run / PREDICTIONS).read_text(encoding="utf-8"))
    predicted = np.argmax(found["probabilities"]["type"], axis=1)
    assert np.mean(predicted == found["labels"]["type"]) >= 5 / 7
    assert max(row["val_type_accuracy"] for row in epochs[1:]) >= 6 / 7


def last_epoch(folder: Path) -> int:
    """Last epoch that a checkpoint holds, counted from 0; −1 without one."""
    file = folder / "last.ckpt"
    return torch.load(file, weights_only=True)["epoch"] if file.exists() else -1


def test_normalisation_is_settled_over_all_training_cases(
    config: TrainingConfig, cache: CaseCache, whole_run: Path
) -> None:
    training, _ = divided(cache, config)
    stem, seen = "branches.LAP.conv1.weight", []
    with safe_open(whole_run / WEIGHTS, framework="pt") as file:
        kernel, mean = file.get_tensor(stem).float(), file.get_tensor("branches.LAP.bn1.running_mean")
    for batch in validation_batches(Epoch(training, config.recipe), config.optimisation.batch_size):
        patches = batch.inputs[0][batch.inputs[1][:, 2], 2]
        seen.append(torch.nn.functional.conv3d(patches, kernel, stride=2, padding=3).mean(dim=(0, 2, 3, 4)))
    torch.testing.assert_close(torch.stack(seen).mean(0), mean, rtol=0.01, atol=0.002)


def test_a_layer_that_no_batch_reaches_keeps_its_statistics() -> None:
    """As the branch of a sequence that one case in a batch has."""
    network = MultitaskResNet3D(("T2WI", "HBP"), {"type": Head(7)}, width=2)
    rare, common = (network.branches[name].bn1 for name in ("HBP", "T2WI"))
    for layer in (rare, common):
        layer.running_mean.fill_(0.7)
        layer.running_var.fill_(0.2)
    present = torch.tensor([[True, True], [True, False]])
    _settle_normalisation(network, [(torch.rand(2, 2, 2, 32, 32, 32), present)] * 2)
    assert rare.running_mean.unique().tolist() == pytest.approx([0.7])
    assert rare.running_var.unique().tolist() == pytest.approx([0.2])
    assert common.running_mean.ne(0.7).any() and common.num_batches_tracked == 2


def interrupt_at(steps: int) -> Callable[[float], None]:
    calls = []

    def report(fraction: float) -> None:
        calls.append(fraction)
        if len(calls) == steps:
            raise KeyboardInterrupt

    return report


@pytest.fixture(scope="module")
def uninterrupted(config: TrainingConfig, cache: CaseCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "fold"
    train_fold(config, 0, *divided(cache, config), folder, lambda fraction: None)
    return folder


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_resumed_fold_equals_uninterrupted_one(
    config: TrainingConfig, cache: CaseCache, uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    lesions = divided(cache, config)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_fold(config, 0, *lesions, tmp_path / "parts", interrupt_at(steps))
    assert not (tmp_path / "parts" / PREDICTIONS).exists()
    assert last_epoch(tmp_path / "parts") == steps // 2 - 1
    train_fold(config, 0, *lesions, tmp_path / "parts", lambda fraction: None)
    for name in (WEIGHTS, PREDICTIONS, "epochs.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_run_ends_in_a_bundle_and_is_not_repeated(cohort: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", settings(cohort))
    told: list[tuple[str, float]] = []
    bundle = train(path, tmp_path / "run", progress=lambda step, fraction: told.append((step, fraction)))
    opened = verify_bundle(bundle)
    assert opened.spec.intended_use == "research" and opened.spec.training_cohort.lesions == 21
    assert opened.spec.members == ("models/fold_0.safetensors",)
    known = opened.calibration
    assert known is not None and set(known.tasks) == {"malignancy", "type"} and known.familiarity is None
    assert isinstance(known.tasks["type"].sets, FoldPredictionSets) and known.tasks["type"].cases == 7
    figures = {metric.name: metric for metric in opened.spec.metrics}
    assert set(figures) == {
        "malignancy_accuracy",
        "type_accuracy",
        "malignancy_auc",
        *(f"sensitivity_{name}" for name in CLASSES),
        *(f"{task}_accuracy_without_{name}" for task in ("malignancy", "type") for name in SEQUENCES),
    }
    assert figures["type_accuracy_without_LAP"].n == 7
    assert (
        figures["type_accuracy"].n == 7 and figures["type_accuracy"].lower <= figures["type_accuracy"].value
    )
    texts = [
        f.read_text(encoding="utf-8") for f in bundle.rglob("*") if f.is_file() and f.suffix != ".safetensors"
    ]
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


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_run_that_can_have_no_folder_is_an_output_error(cohort: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    config = write_config(tmp_path / "config.yaml", settings(cohort))
    with pytest.raises(OutputError, match="cannot be written"):
        train(config, tmp_path / place)


def test_a_run_starts_from_a_bundle(cohort: Path, tmp_path: Path) -> None:
    content = settings(cohort, name="first", optimisation={"epochs": 1, "shared_kernels": True}, folds=[0, 1])
    first = train(write_config(tmp_path / "first.yaml", content), tmp_path / "first", in_process=True)
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0}
    changes = {"start_from": "first/first", "name": "second", "optimisation": still, "folds": [0, 1, 2]}
    config = write_config(tmp_path / "second.yaml", settings(cohort, **changes))
    second = train(config, tmp_path / "second", in_process=True)
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
    assert str(tmp_path) not in (second / "configs" / "training.yaml").read_text(encoding="utf-8")


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
