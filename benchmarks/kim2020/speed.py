"""Time 100 slices of 320×320, weights in memory, against slices one by one in float32 as torch lays them out.

    python benchmarks/kim2020/speed.py [--rounds 5] [--size 320]

Both ways run the network of ``Resources/Bundles/kim2020-phantom.yaml``, here with random weights, in turn in
one run: one by one in float32, channels first; and as the program does it, in batches, channels last, in
bfloat16 where the processor multiplies it. ``--size`` is what slices of 320×320 pixels are brought to before
(320: the paper's; the shipped bundle works at 160), and bringing them there is timed too. Kim et al. print
3.4 s for 100 slices.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from LiverLesionAI.bundles import load_bundle
from LiverLesionAI.detection.evidence import EvidenceRunner
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.inputs.series import SeriesParameters, whole_slices
from LiverLesionAI.networks.weights import load_weights
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.training.config import read_config
from LiverLesionAI.training.export import untrained_bundle

SLICES, PIXELS = 100, 320
PAPER_S, LIMIT_S = 3.4, 1.7


def noise() -> Study:
    """A series of noise."""
    voxels = np.random.default_rng(0).integers(0, 1000, (SLICES, PIXELS, PIXELS)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.2, 1.2, 2.0))
    return Study("noise", "made", {"HBP": SequenceImage(image)}, reference="HBP")


def one_by_one(network: torch.nn.Module, slices: UnitInputs) -> None:
    """Run each slice by itself in float32."""
    with torch.inference_mode():
        for given in slices.groups:
            images = torch.from_numpy(given.arrays()[0])[None]
            network.logits(network.backbone(images - 0.5))  # type: ignore[operator]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=PIXELS)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    config = read_config(BUNDLES / "kim2020-phantom.yaml")
    config = config.model_copy(update={"patches": SeriesParameters(size=arguments.size), "folds": (0,)})
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(untrained_bundle(config, Path(folder) / config.name))
        classifier = Classifier(
            bundle, keep_loaded=True, run=EvidenceRunner(1), precision=arguments.precision
        )
        classifier.load()
        plain = load_weights(bundle.system.network(bundle.spec, device="meta"), bundle.member_paths[0])
        plain.to(memory_format=torch.contiguous_format)
        slices = UnitInputs(None, whole_slices(noise(), "HBP", bundle.spec.patches))
        loop, ours = [], []
        for _ in range(arguments.rounds + 1):
            loop.append(timed(lambda: one_by_one(plain, slices)))
            ours.append(timed(lambda: classifier.predict([slices])))
    (slow, slow_busy), (fast, fast_busy) = (np.median(each[1:], axis=0) for each in (loop, ours))
    threads, precision = torch.get_num_threads(), classifier.execution.precision
    print(f"{SLICES} slices of {PIXELS} pixels seen at {arguments.size}; {threads} threads, {precision}")
    print(
        f"one by one, float32, channels first: {slow:.2f} s, {slow_busy:.2f} processor s (paper: {PAPER_S} s)"
    )
    print(
        f"in batches, channels last, with maps: {fast:.2f} s, {fast_busy:.2f} processor s (limit {LIMIT_S} s)"
    )
    print(f"{slow / fast:.1f} times as fast, {slow_busy / fast_busy:.1f} in processor time")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processors; the latter hold on a busy machine too."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


if __name__ == "__main__":
    main()
