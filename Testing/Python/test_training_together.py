"""Training with little memory or by several processes: parts of batches, torchrun, srun."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import divided, settings, write_config
from safetensors.numpy import load_file
from torch import nn

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import write_json
from LiverLesionAI.networks.inception_resnet_v2 import InceptionResNetV2
from LiverLesionAI.networks.recompute import recompute_blocks
from LiverLesionAI.networks.resnet3d import Head, MultitaskResNet3D
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.batches import Epoch, training_batches
from LiverLesionAI.training.cache import CaseCache
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.finish import WEIGHTS
from LiverLesionAI.training.fold import EPOCHS, train_fold
from LiverLesionAI.training.together import ALONE, together
from LiverLesionAI.training.train import RUN, train

ROOT = Path(__file__).resolve().parents[2]
FOLD = Path("folds") / "fold_0"


# --- parts of batches


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_of_batches_come_in_turn_and_none_is_left_out(
    config: TrainingConfig, cache: CaseCache, parts: int
) -> None:
    epoch = Epoch(cache.cases, config.recipe, config.augmentation, 1, 7)
    whole = [len(batch.labels) for batch in training_batches(epoch, 7)]
    by_part = [
        [len(batch.labels) for batch in training_batches(epoch, 7, parts, range(part, part + 1))]
        for part in range(parts)
    ]
    in_turn = [len(batch.labels) for batch in training_batches(epoch, 7, parts, range(parts))]
    assert [sum(each) for each in zip(*by_part, strict=True)] == whole
    assert in_turn == np.array(by_part).T.ravel().tolist()
    assert max(in_turn) - min(in_turn) <= 1


def test_batches_too_small_to_be_divided_are_refused(
    config: TrainingConfig, cache: CaseCache, tmp_path: Path
) -> None:
    changed = config.optimisation.model_copy(update={"micro_batches": 4})
    with pytest.raises(ConfigError, match="cannot be divided into 4 parts"):
        train_fold(
            config.model_copy(update={"optimisation": changed}),
            0, *divided(cache, config), tmp_path, lambda fraction: None,
        )  # fmt: skip


# --- blocks that are computed again


def _resnet() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return MultitaskResNet3D(("T2WI", "DWI"), {"type": Head(7)}, width=4), (torch.rand(3, 2, 2, 32, 32, 32),)


def _inception() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return InceptionResNetV2(in_channels=3, classes=2, width=0.125), (torch.rand(2, 3, 99, 99),)


@pytest.mark.parametrize("make", [_resnet, _inception])
def test_recomputed_blocks_take_less_memory_and_change_nothing(
    make: Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]],
) -> None:
    torch.manual_seed(0)
    network, inputs = make()
    start = {name: value.clone() for name, value in network.state_dict().items()}
    plain = _OneStep(network, inputs)
    network.load_state_dict(start)
    recompute_blocks(network)
    thrifty = _OneStep(network, inputs)
    assert thrifty.kept < 0.75 * plain.kept
    assert network.state_dict().keys() == start.keys()
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(thrifty.gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    for name, value in plain.buffers.items():
        torch.testing.assert_close(thrifty.buffers[name], value, msg=name)
    network.eval()
    with torch.no_grad():
        again = network.features(*inputs)  # type: ignore[operator]
    assert torch.isfinite(again).all()


class _OneStep:
    """Gradients, statistics, and how many numbers were kept for the gradients."""

    def __init__(self, network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.kept = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            self.kept += tensor.numel()
            return tensor

        network.train().zero_grad()
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            score = network.features(*inputs).square().sum()  # type: ignore[operator]
        score.backward()
        self.gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
        self.buffers = {name: value.clone() for name, value in network.named_buffers()}


def test_a_step_at_full_width(config: TrainingConfig, cache: CaseCache, tmp_path: Path) -> None:
    training, held_out = divided(cache, config)
    shipped = read_config(BUNDLES / "wang2021-full.yaml")
    thrifty = {"epochs": 1, "average_epochs": 1, "batch_size": 4, "micro_batches": 2, "recompute": True}
    full = shipped.model_copy(
        update={
            **{name: getattr(config, name) for name in ("sequences", "patches", "cohort")},
            "optimisation": shipped.optimisation.model_copy(update=thrifty),
        }
    )
    train_fold(full, 0, training[:4], held_out[:2], tmp_path, lambda fraction: None)
    assert load_file(tmp_path / WEIGHTS)["branches.LAP.layer4.1.conv2.weight"].shape == (512, 512, 3, 3, 3)


# --- processes together


def _config(folder: Path, cohort: Path, **optimisation: Any) -> Path:
    """What is kept does not hang on the statistics of batches, of which each process has its own.

    No sequence is missing, since what stands in for it is a mean of one process's cases, and all epochs count
    alike, since the validation of each takes the statistics of the first process.
    """
    content = settings(
        cohort,
        sequences=["T2WI", "LAP"],
        augmentation={"sequence_dropout": 0.0},
        optimisation={"epochs": 3, "average_epochs": 3, "batch_size": 7, **optimisation},
    )
    return write_config(folder / "config.yaml", content)


@pytest.fixture(scope="module")
def in_parts(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that takes each batch in two parts."""
    folder = tmp_path_factory.mktemp("parts")
    train(_config(folder, cohort, micro_batches=2), folder / "run", in_process=True)
    return folder / "run"


def _by_torchrun(command: list[str], environment: dict[str, str]) -> list[subprocess.Popen[str]]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    return [_started([*torchrun, *command], environment)]


def _by_srun(command: list[str], environment: dict[str, str]) -> list[subprocess.Popen[str]]:
    """What ``srun --ntasks-per-node=2`` does: the same command twice, numbered by variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "SLURM_NNODES": "1",
        "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    return [
        _started(["-m", *command], {**environment, **job, "SLURM_PROCID": rank, "SLURM_LOCALID": rank})
        for rank in ("0", "1")
    ]


def _started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _run_together(start: Callable[..., list[subprocess.Popen[str]]], *arguments: str) -> tuple[int, str]:
    """Exit code (the largest) and what was said."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MASTER"))
    }
    processes = start(["LiverLesionAI", "train", *arguments], environment)
    said = [process.communicate(timeout=240)[0] for process in processes]
    return max(abs(process.returncode) for process in processes), "\n".join(said)


@pytest.mark.parametrize("start", [_by_torchrun, pytest.param(_by_srun, marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_learns_from_two_parts(
    start: Callable[..., list[subprocess.Popen[str]]], in_parts: Path, cohort: Path, tmp_path: Path
) -> None:
    config, run = _config(tmp_path, cohort), tmp_path / "run"
    code, said = _run_together(start, str(config), "--out", str(run))
    assert code == 0, said
    assert said.count("Written:") == 1 and (run / "made" / "LICENSE").exists()
    together, alone = load_file(run / FOLD / WEIGHTS), load_file(in_parts / FOLD / WEIGHTS)
    assert together.keys() == alone.keys()
    for name, weights in alone.items():
        np.testing.assert_allclose(together[name].astype(float), weights, 2e-3, 1e-4, err_msg=name)
    losses = [np.loadtxt(each / FOLD / EPOCHS, delimiter=",", skiprows=1)[:, 1] for each in (run, in_parts)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_when_the_first_process_stops_so_do_the_others(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").touch()
    code, said = _run_together(_by_srun, str(_config(tmp_path, cohort)), "--out", str(tmp_path / "run"))
    assert code == 3
    assert said.count("holds letter.txt, which is of no training run") == 2
    assert "The first process of this training stopped" in said and "Traceback" not in said


def test_a_run_goes_on_with_as_many_processes(cohort: Path, tmp_path: Path) -> None:
    config = _config(tmp_path, cohort)
    train(config, tmp_path / "run", in_process=True)
    record = json.loads((tmp_path / "run" / RUN).read_text(encoding="utf-8"))
    write_json(tmp_path / "run" / RUN, {**record, "processes": 2})
    with pytest.raises(ConfigError, match="begun by 2 processes together, not 1"):
        train(config, tmp_path / "run", resume=True)


def test_a_job_of_several_tasks_that_srun_did_not_start_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "4711"}.items():
        monkeypatch.setenv(name, value)
    with together() as ranks:
        assert ranks is ALONE
