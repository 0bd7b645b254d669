"""Time 100 sets of three phases, weights in memory, against calls one by one in float32.

    python benchmarks/yasaka2018/speed.py [--rounds 9]

The network has the width that is fixed here, random weights and 70 pixels, whatever is shipped; both ways are
timed in turn in one run. The paper took about 10 seconds for 100 sets.
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
from LiverLesionAI.inputs.slice_stack import SliceStack
from LiverLesionAI.inputs.slices import LesionSlices
from LiverLesionAI.systems.yasaka2018 import PHASES
from LiverLesionAI.training.config import TrainingConfig
from LiverLesionAI.training.export import untrained_bundle

SETS, WIDTH, SIZE = 100, 16, 70


def made_sets() -> list[UnitInputs]:
    """Lesions of noise, as the model reads them."""
    rng = np.random.default_rng(0)
    geometry = LesionGeometry(20.0, 4.0, (0.0, 0.0, 0.0), ((0.0,) * 3, (1.0,) * 3))
    stack = SliceStack(SIZE, 1.0, 1, 3.0, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist()))
    units = []
    for number in range(1, SETS + 1):
        images = rng.random((1, len(PHASES), SIZE, SIZE), dtype=np.float32)
        outline = np.ones((1, SIZE, SIZE), bool)
        slices = LesionSlices(number, PHASES, images, (True,) * 3, geometry, stack, outline)
        units.append(UnitInputs(number, (SliceGroup(slices, 0, f"lesion {number}"),)))
    return units


def one_by_one(network: torch.nn.Module, units: list[UnitInputs]) -> None:
    """Run each set by itself in float32."""
    with torch.inference_mode():
        for unit in units:
            tensors = [torch.from_numpy(array)[None] for array in unit.groups[0].arrays()]
            network.logits(network.features(*tensors))["type"].softmax(1).numpy()  # type: ignore[operator]


def made_bundle(folder: Path) -> Bundle:
    """A bundle of random weights."""
    content = {"name": "yasaka2018-speed", "system": "yasaka2018", "network": {"width": WIDTH}, "folds": (0,)}
    config = TrainingConfig.model_validate({**content, "phantom": {"first_seed": 0, "lesions": 5}})
    return load_bundle(untrained_bundle(config, folder / config.name))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = made_bundle(Path(folder))
        classifier, units = Classifier(bundle, keep_loaded=True), made_sets()
        plain = bundle.system.network(bundle.spec).eval()
        ours, theirs = [], []
        for number in range(arguments.rounds + 1):
            start = time.perf_counter()
            classifier.predict(units)
            middle = time.perf_counter()
            one_by_one(plain, units)
            end = time.perf_counter()
            if number:
                ours.append(middle - start)
                theirs.append(end - middle)
    mine, loop = statistics.median(ours), statistics.median(theirs)
    print(f"{SETS} sets, width {WIDTH}, {torch.get_num_threads()} threads, {classifier.execution.precision}")
    print(f"as classify does {mine:.3f} s, one by one in float32 {loop:.3f} s: {loop / mine:.1f} times")


if __name__ == "__main__":
    main()
