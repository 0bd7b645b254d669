"""Time a patient of three lesions and twelve slices, weights in memory, against calls one by one in float32.

    python benchmarks/zhen2020/speed.py [--rounds 5] [--full] [--threads N]

All ways are timed in turn in one run: as classify does by itself, in the other precision, and one by one.
Beside the median of the seconds that passed stands the least time of the processors, of all threads together,
which other programs on the machine disturb less. ``--full`` takes a network of full width on images of 299
pixels, of random weights; without it the shipped bundle of model A.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.inputs.slice_stack import SliceStack
from LiverLesionAI.inputs.slices import LesionSlices
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.config import read_config
from LiverLesionAI.training.export import untrained_bundle

if TYPE_CHECKING:
    from torch import nn

SLICES = (3, 4, 5)
"""Of each lesion."""
ONE_BY_ONE = "one by one in float32"


def made_patient(bundle: Bundle) -> UnitInputs:
    """Slices of noise, as the model reads them."""
    rng, size, names = np.random.default_rng(0), bundle.spec.patches.size, bundle.spec.sequences
    geometry = LesionGeometry(20.0, 4.0, (0.0, 0.0, 0.0), ((0.0,) * 3, (1.0,) * 3))
    groups = []
    for label, count in enumerate(SLICES, start=1):
        images = rng.random((count, len(names), size, size), dtype=np.float32)
        stack = SliceStack(size, 0.4, count, 7.0, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
        there = (True,) * len(names)
        slices = LesionSlices(
            label, names, images, there, geometry, stack, np.ones((count, size, size), bool)
        )
        groups += [SliceGroup(slices, index, f"lesion {label}") for index in range(count)]
    return UnitInputs(None, tuple(groups))


def one_by_one(network: nn.Module, patient: UnitInputs) -> None:
    """Run each slice by itself in float32."""
    import torch

    with torch.inference_mode():
        for group in patient.groups:
            tensors = [torch.from_numpy(array)[None] for array in group.arrays()]
            network.logits(network.features(*tensors))  # type: ignore[operator]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="full width, 299 pixels, random weights")
    parser.add_argument("--threads", type=int, help="threads of each way; by default as many as cores")
    arguments = parser.parse_args()
    import torch  # after LiverLesionAI.inference, which sets how threads wait

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(BUNDLES / "zhen2020-a-phantom")
        if arguments.full:
            config = read_config(BUNDLES / "zhen2020-full.yaml").model_copy(update={"folds": (0,)})
            bundle = load_bundle(untrained_bundle(config, Path(folder) / config.name))
        found = timed(ways(bundle), arguments.rounds)
    reference, _ = found[ONE_BY_ONE]
    size, threads = bundle.spec.patches.size, torch.get_num_threads()
    print(f"{bundle.name}, {size} pixels, {sum(SLICES)} slices, threads: {threads}")
    for way, (seconds, processor) in found.items():
        print(f"{way:<34}{seconds:>7.2f} s{seconds / reference:>7.0%}{processor:>9.2f} s of processors")


def ways(bundle: Bundle) -> dict[str, Callable[[], object]]:
    """Each way to answer for the patient."""
    patient, plain = made_patient(bundle), bundle.system.network(bundle.spec).eval()
    itself = Classifier(bundle, keep_loaded=True)
    other = "bf16" if itself.execution.precision == "fp32" else "fp32"
    beside = Classifier(bundle, precision=other, keep_loaded=True)
    return {
        f"as classify does ({itself.execution.precision})": lambda: itself.predict([patient]),
        f"the same in {other}": lambda: beside.predict([patient]),
        ONE_BY_ONE: lambda: one_by_one(plain, patient),
    }


def timed(given: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and least processor time of each way, a first round left out."""
    seconds: dict[str, list[float]] = {name: [] for name in given}
    processor: dict[str, list[float]] = {name: [] for name in given}
    for number in range(rounds + 1):
        for name, work in given.items():
            start, busy = time.perf_counter(), time.process_time()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - busy)
    return {name: (statistics.median(seconds[name]), min(processor[name])) for name in given}


if __name__ == "__main__":
    main()
