"""Training that is killed and goes on, of patches and of slices, and weights averaged over epochs."""

from __future__ import annotations

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
import yaml
from made_training import divided, settings, write_cohort

from LiverLesionAI.bundles import verify_bundle
from LiverLesionAI.errors import ConfigError
from LiverLesionAI.training.cache import CaseCache, build_cache
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.finish import PREDICTIONS, WEIGHTS
from LiverLesionAI.training.fold import train_fold
from LiverLesionAI.training.train import train

RUN = "import sys; from LiverLesionAI.training.train import train; train(*sys.argv[1:], resume=True)"
KILLED = 10


def content(**changes: Any) -> dict[str, Any]:
    """A small configuration of Zhen's system: a network of an eighth of an eighth, three sequences."""
    return {
        "name": "flat",
        "system": "zhen2020",
        "seed": 3,
        "sequences": ["T2WI", "DWI", "LAP"],
        "network": {"asks": "malignancy", "width": 0.03125},
        "patches": {"size": 75},
        "phantom": {"first_seed": 0, "lesions": 4, "classes": ["cyst", "HCC"]},
        "variants": {"count": 1},
        "optimisation": {"epochs": 3, "batch_size": 4, "optimiser": "sgd", "learning_rate": 0.05},
        "fold_count": 2,
        "folds": [0],
        "parallel_folds": 1,
        **changes,
    }


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingConfig, CaseCache]:
    """The configuration and its cached slices."""
    config = TrainingConfig.model_validate(content())
    return config, build_cache(config, tmp_path_factory.mktemp("slices"), workers=2)


def ended_after(steps: int) -> Callable[[float], None]:
    left = iter(range(steps - 1))

    def report(fraction: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return report


def whatever(fraction: float) -> None:
    """Go on."""


def test_slices_are_learnt_alike_after_an_interruption(
    flat: tuple[TrainingConfig, CaseCache], tmp_path: Path
) -> None:
    """With averaged weights, which rest on several checkpoints: in the last epoch, in the middle of it."""
    config, cache = flat
    averaged = config.optimisation.model_copy(update={"average_epochs": 2})
    config = config.model_copy(update={"optimisation": averaged})
    cases = divided(cache, config)
    steps = 3 * -(-len(cases[0]) // 4)
    train_fold(config, 0, *cases, tmp_path / "whole", whatever)
    for number, after in enumerate((steps // 2, steps - 1)):
        folder = tmp_path / f"parts-{number}"
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train_fold(config, 0, *cases, folder, ended_after(after))
        train_fold(config, 0, *cases, folder, whatever)
        for name in (WEIGHTS, PREDICTIONS, "epochs.csv"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_weights_of_several_epochs_are_averaged(
    flat: tuple[TrainingConfig, CaseCache], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    config, cache = flat
    averaged = config.optimisation.model_copy(update={"average_epochs": 2, "epochs": 2})
    config = config.model_copy(update={"optimisation": averaged})
    train_fold(config, 0, *divided(cache, config), tmp_path, whatever)
    files = [tmp_path / f"best-epoch={epoch}.ckpt" for epoch in (0, 1)]
    epochs = [torch.load(file, weights_only=True)["state_dict"] for file in files]
    stored = load_file(tmp_path / WEIGHTS)["image.conv2d_1a.conv.weight"]
    name = "network.image.conv2d_1a.conv.weight"
    mean = (epochs[0][name].double() + epochs[1][name].double()) / 2
    assert not torch.equal(epochs[0][name], epochs[1][name])
    torch.testing.assert_close(stored.double(), mean, rtol=1e-3, atol=1e-6)


def test_no_more_epochs_are_averaged_than_there_are() -> None:
    with pytest.raises(ValueError, match="average_epochs must be no more"):
        TrainingConfig.model_validate(content(optimisation={"epochs": 2, "average_epochs": 3}))


def solid(folder: Path) -> dict[str, Any]:
    """A small configuration of Wang's system: two networks on a made cohort."""
    return settings(write_cohort(folder), fold_count=2, folds=[0, 1])


def flat_content(folder: Path) -> dict[str, Any]:
    return content()


@pytest.mark.slow
@pytest.mark.parametrize("small", [solid, flat_content], ids=["wang2021", "zhen2020"])
def test_killed_at_ten_moments_it_gives_the_same_bundle(
    small: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    """Processes killed after random times, from the making of inputs to the writing of the bundle."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(small(tmp_path / "cohort")))), encoding="utf-8")
    began = time.monotonic()
    whole = verify_bundle(train(path, tmp_path / "whole"))
    longest = time.monotonic() - began
    rng = np.random.default_rng(0)
    finished = 0
    for number in range(KILLED):
        folder = tmp_path / f"killed-{number}"
        command = [sys.executable, "-c", RUN, str(path), str(folder)]
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(float(rng.uniform(0.1, 1.2)) * longest)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        finished += process.wait() == 0
        resumed = verify_bundle(train(path, folder, resume=True))
        assert resumed.spec.files == whole.spec.files, number
    assert finished < KILLED, "no run was killed before its end"


def test_calibration_phantoms_are_apart_from_the_training_s(tmp_path: Path) -> None:
    same = content(calibration={"phantom": {"first_seed": 2, "lesions": 4, "classes": ["cyst"]}})
    path = tmp_path / "flat.yaml"
    path.write_text(yaml.safe_dump(same), encoding="utf-8")
    with pytest.raises(ConfigError, match="calibration are among those of the training"):
        read_config(path)
