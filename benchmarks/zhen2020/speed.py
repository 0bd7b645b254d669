"""Time a patient of three lesions and twelve slices, weights in memory, against calls one by one in float32.

    python benchmarks/zhen2020/speed.py [--rounds 5] [--full]

Both ways are timed in turn in one run. ``--full`` takes a network of full width on images of 299 pixels, of
random weights; without it the shipped bundle of model A.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.inputs.slices import LesionSlices, SliceStack
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.config import read_config
from LiverLesionAI.training.export import untrained_bundle

SLICES = (3, 4, 5)
"""Of each lesion."""


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


def one_by_one(network: torch.nn.Module, patient: UnitInputs) -> None:
    """Run each slice by itself in float32."""
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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(BUNDLES / "zhen2020-a-phantom")
        if arguments.full:
            config = read_config(BUNDLES / "zhen2020-full.yaml").model_copy(update={"folds": (0,)})
            bundle = load_bundle(untrained_bundle(config, Path(folder) / config.name))
        classifier, patient = Classifier(bundle, keep_loaded=True), made_patient(bundle)
        plain = bundle.system.network(bundle.spec).eval()
        ours, theirs = [], []
        for number in range(arguments.rounds + 1):
            start = time.perf_counter()
            classifier.predict([patient])
            middle = time.perf_counter()
            one_by_one(plain, patient)
            end = time.perf_counter()
            if number:
                ours.append(middle - start)
                theirs.append(end - middle)
    mine, loop = statistics.median(ours), statistics.median(theirs)
    size, precision = bundle.spec.patches.size, classifier.execution.precision
    print(f"{bundle.name}, {size} pixels, {sum(SLICES)} slices, {precision}")
    print(f"as classify does {mine:.2f} s, one by one in float32 {loop:.2f} s: {mine / loop:.0%}")


if __name__ == "__main__":
    main()
