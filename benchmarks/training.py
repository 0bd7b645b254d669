"""What a training step costs: threads, memory, stem and augmentation, each against the obvious way.

    python benchmarks/training.py

Prints seconds of one core for a lesion (seven sequences, width 8, patches of 64 voxels) and ratios; writes
nothing. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import LiverLesionAI.inference.execution  # noqa: F401  (before torch)

BATCH = 8


def step_case(threads: int, keep_memory: bool, plain_stem: bool, width: int = 8) -> float:
    """Core-seconds of a lesion's training step."""
    import torch

    from LiverLesionAI.networks.resnet3d import MultitaskResNet3D
    from LiverLesionAI.sequences import W_SEQUENCES
    from LiverLesionAI.training.train import reuse_freed_memory

    torch.set_num_threads(threads)
    if keep_memory:
        reuse_freed_memory()
    network = MultitaskResNet3D(W_SEQUENCES, width=width, head_hidden=64)
    network = network.to(memory_format=torch.channels_last_3d)
    if plain_stem:
        for branch in network.branches.values():
            branch.conv1.forward = lambda x, stem=branch.conv1: stem._conv_forward(x, stem.weight, None)
    patches = torch.rand(BATCH, 7, 2, 64, 64, 64)

    def step() -> None:
        sum(logits.sum() for logits in network(patches).values()).backward()

    return wall_time(step) * threads / BATCH


def augmentation_case() -> float:
    """Core-seconds to read, augment and assemble a lesion."""
    import numpy as np
    import torch

    from LiverLesionAI.systems.wang2021 import SYSTEM, Augmentation
    from LiverLesionAI.training.batches import Epoch, training_batches
    from LiverLesionAI.training.cache import CachedCase
    from LiverLesionAI.training.cases import TrainingCase
    from LiverLesionAI.training.train import reuse_freed_memory

    torch.set_num_threads(1)
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patches.npy"
        np.save(file, np.random.default_rng(0).integers(0, 256, (2, 8, 64, 64, 64), dtype=np.uint8))
        cases = [
            CachedCase(TrainingCase(str(i), str(i), "HCC", i, labels=(1, 4)), file, (True,) * 7, (1, 4))
            for i in range(BATCH)
        ]
        epoch = Epoch(cases, SYSTEM.recipe, Augmentation(), number=0)
        return wall_time(lambda: list(training_batches(epoch, BATCH))) / BATCH


def fly_case() -> float:
    """Core-seconds to read a study from its folder and to crop and vary a lesion: a loop without cache."""
    import SimpleITK as sitk

    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.readers.folder import read_study_folder
    from LiverLesionAI.systems.wang2021 import SYSTEM
    from LiverLesionAI.training.cache import random_poses
    from LiverLesionAI.training.config import TrainingConfig
    from LiverLesionAI.writers.study_folder import write_study_folder

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    source = {"first_seed": 1, "lesions": 1}
    config = TrainingConfig.model_validate({"name": "fly", "phantom": source, "variants": {"count": 1}})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study").mkdir()
        list(write_study_folder(generate_lesion(1, "HCC").study, Path(folder) / "study"))

        def fly() -> None:
            study = SYSTEM.prepared(read_study_folder(Path(folder) / "study"), config)
            variants = SYSTEM.variants(study, study.lesion_ids[0], config, random_poses("fly", config))
            SYSTEM.recipe.packed([group for (group,) in variants])

        return wall_time(fly)


def monai_case() -> float:
    """The same augmentation by MONAI's dictionary transforms, without reading and assembling."""
    import torch
    from monai.transforms import (
        Compose,
        RandAdjustContrastd,
        RandFlipd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    torch.set_num_threads(1)
    names = [str(i) for i in range(7)]
    chain: list[Any] = [RandFlipd(names, 0.5, axis) for axis in range(3)]
    for name in names:
        chain += [
            RandAdjustContrastd([name], 1.0, (0.77, 1.3)),
            RandScaleIntensityd([name], 0.2, 1.0),
            RandShiftIntensityd([name], 0.05, prob=1.0),
            RandGaussianNoised([name], 1.0, std=0.03),
        ]
    transform = Compose(chain)
    lesion = {name: torch.rand(1, 64, 64, 64) for name in names}
    return wall_time(lambda: transform(lesion))


def wall_time(work: Callable[[], Any], repeats: int = 3) -> float:
    """Shortest time of a few, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


CASES: dict[str, Callable[[], float]] = {
    "step, one thread": lambda: step_case(1, True, False),
    "step, one thread, memory given back": lambda: step_case(1, False, False),
    "step, one thread, plain stem": lambda: step_case(1, True, True),
    "step, two threads": lambda: step_case(2, True, False),
    "step, width 64": lambda: step_case(1, True, False, 64),
    "batch": augmentation_case,
    "batch, patches made anew": fly_case,
    "batch, MONAI's transforms": monai_case,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    chosen = parser.parse_args().case
    if chosen:
        print(CASES[chosen]())
        return
    found: dict[str, float] = {}
    for case in CASES:
        output = subprocess.run(
            [sys.executable, __file__, "--case", case], check=True, capture_output=True, text=True
        ).stdout
        found[case] = float(output.splitlines()[-1])
        reference = found["batch" if case.startswith("batch") else "step, one thread"]
        print(f"{case:<40}{found[case]:>9.4f} s of a core a lesion{found[case] / reference:>8.2f}")
    step, batch, fly = (found[case] for case in ("step, one thread", "batch", "batch, patches made anew"))
    wide = found["step, width 64"]
    print(f"loop with cached patches: {(step + batch + fly) / (step + batch):.2f} times the lesions a second")
    print(f"data's share of a step at width 64: {batch / (wide + batch):.1%}")


if __name__ == "__main__":
    main()
