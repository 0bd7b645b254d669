"""How much faster OpenVINO answers than torch, and how far apart their answers are.

    python benchmarks/engine.py speed [--rounds N]
    python benchmarks/engine.py phantoms N
    python benchmarks/engine.py first

``speed`` lets the ways answer in turn, weights in memory, one lesion of seven patches at a time: one fold of
the paper's width (random weights), and the five folds of the demo bundle. *Plain* is float32 without folded
normalisations, without a layout of memory that processors like, and with PyTorch's own convolutions where it
chooses them. Printed are medians of the time by the clock and of the seconds of all cores, which other
programs on the machine disturb less.

``phantoms`` crops the first N of the demo bundle's reserved phantoms, lets both engines answer, OpenVINO in
both precisions, and counts changed classes.

``first`` asks the demo bundle about one lesion in a fresh process: torch, OpenVINO with an empty cache, and
OpenVINO with the cache that this left.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from inference import random_lesions

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.inference import Classifier, Predictions, UnitInputs
from LiverLesionAI.inference.execution import gains_by_bf16

DEMO = "wang2021-phantom"


def paper_bundle(folder: Path) -> Bundle:
    """One fold of the paper's width, random weights."""
    from LiverLesionAI.training.config import TrainingConfig
    from LiverLesionAI.training.export import untrained_bundle

    content = {
        "name": "width-64",
        "network": {"width": 64},
        "phantom": {"first_seed": 0, "lesions": 1},
        "fold_count": 2,
        "folds": [0],
    }
    return load_bundle(untrained_bundle(TrainingConfig.model_validate(content), folder))


def plain(bundle: Bundle, lesion: UnitInputs) -> Callable[[], None]:
    """Every member as one would write it without care, weights in memory."""
    import torch
    from safetensors.torch import load_file

    from LiverLesionAI.systems.base import outputs

    networks = []
    for member in bundle.member_paths:
        network = bundle.system.network(bundle.spec).eval()
        for branch in network.branches.values():
            branch.conv1.forward = lambda x, stem=branch.conv1: stem._conv_forward(x, stem.weight, None)
            for module in branch.modules():
                if type(module).__name__ == "Convolution3d":
                    module.__class__ = torch.nn.Conv3d
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(member).items()})
        networks.append(network)
    inputs = [torch.from_numpy(each)[None] for each in lesion.groups[0].arrays()]

    def run() -> None:
        with torch.inference_mode():
            for network in networks:
                outputs(network, inputs)

    return run


def by(bundle: Bundle, lesion: UnitInputs, engine: str, precision: str) -> Callable[[], object]:
    """A classifier of the project, warm."""
    classifier = Classifier(bundle, device="cpu", precision=precision, engine=engine, keep_loaded=True)
    classifier.load()
    return lambda: classifier.predict([lesion])


def speed(rounds: int) -> None:
    """Print the table of the ways."""
    shipped = "bf16" if gains_by_bf16("cpu") else "fp32"
    with tempfile.TemporaryDirectory() as folder:
        for title, bundle in (
            ("one fold of width 64", paper_bundle(Path(folder) / "width-64")),
            ("five folds of the demo bundle", load_bundle(DEMO)),
        ):
            (lesion,) = random_lesions(bundle, 1)
            ways: dict[str, Callable[[], object]] = {
                "plain float32": plain(bundle, lesion),
                f"torch as shipped ({shipped})": by(bundle, lesion, "torch", shipped),
                "OpenVINO fp32": by(bundle, lesion, "openvino", "fp32"),
                "OpenVINO bf16": by(bundle, lesion, "openvino", "bf16"),
            }
            clock, cores = measured(ways, rounds)
            print(f"{title}, {rounds} rounds", f"{'clock':>20}{'':>14}{'cores':>14}")
            first, second = list(ways)[:2]
            for way in ways:
                row = "".join(
                    f"{taken[way] * 1e3:>9.0f} ms{taken[first] / taken[way]:>6.2f} ×"
                    f"{taken[second] / taken[way]:>6.2f} ×"
                    for taken in (clock, cores)
                )
                print(f"  {way:<26}{row}", flush=True)


def measured(ways: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians of each way's seconds by the clock and of all cores, the ways taking turns."""
    clock: dict[str, list[float]] = {way: [] for way in ways}
    cores: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            start, busy = time.perf_counter(), time.process_time()
            run()
            if number:
                clock[way].append(time.perf_counter() - start)
                cores[way].append(time.process_time() - busy)
    return (
        {way: statistics.median(taken) for way, taken in clock.items()},
        {way: statistics.median(taken) for way, taken in cores.items()},
    )


def phantoms(count: int) -> None:
    """Print how far apart the engines are on reserved phantoms, and how many classes differ."""
    from LiverLesionAI.phantom import generate_lesion
    from LiverLesionAI.taxonomy import TAXONOMIES

    bundle = load_bundle(DEMO)
    exact = Classifier(bundle, device="cpu", precision="fp32", engine="torch", keep_loaded=True)
    others = {
        precision: Classifier(bundle, device="cpu", precision=precision, engine="openvino", keep_loaded=True)
        for precision in ("fp32", "bf16")
    }
    names = TAXONOMIES["W7"].names
    apart, changed = dict.fromkeys(others, 0.0), dict.fromkeys(others, 0)
    for number in range(count):
        made = generate_lesion(900_000 + number, names[number % len(names)], misalign_mm=(2.0, 1.0))
        study = bundle.system.prepared(made.study, bundle.spec)
        lesion = UnitInputs(1, bundle.system.inputs(study, 1, bundle.spec))
        first = answers(exact.predict([lesion]))
        for precision, other in others.items():
            second = answers(other.predict([lesion]))
            apart[precision] = max(apart[precision], *(np.abs(first[t] - second[t]).max() for t in first))
            changed[precision] += sum(first[t].argmax() != second[t].argmax() for t in first)
        if number + 1 == count or (number + 1) % 20 == 0:
            said = (f"{p}: |Δp| ≤ {apart[p]:.2g}, {changed[p]} changed classes" for p in others)
            print(f"{number + 1} phantoms, {'; '.join(said)}", flush=True)


FIRST = """
import sys, time
import torch
from engine import DEMO, load_bundle, random_lesions
from LiverLesionAI.inference import predict
bundle = load_bundle(DEMO)
lesions = random_lesions(bundle, 1)
start, busy = time.perf_counter(), time.process_time()
predict(bundle, lesions, device="cpu", precision="fp32", engine=sys.argv[1])
print(f"{time.perf_counter() - start:.2f} s by the clock, {time.process_time() - busy:.2f} s of all cores")
"""


def first_answers() -> None:
    """Print how long the first answer of a process takes."""
    with tempfile.TemporaryDirectory() as cache:
        folder = str(Path(__file__).parent)
        path = os.pathsep.join((folder, str(Path(folder).parent), os.environ.get("PYTHONPATH", "")))
        environment = {**os.environ, "LIVERLESIONAI_CACHE": cache, "PYTHONPATH": path}
        for way, engine in (
            ("torch", "torch"),
            ("OpenVINO, cache empty", "openvino"),
            ("OpenVINO, cache filled", "openvino"),
        ):
            command = [sys.executable, "-c", FIRST, engine]
            ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            print(f"{way:<26}{ran.stdout.splitlines()[-1]}", flush=True)


def answers(predictions: Predictions) -> dict[str, np.ndarray]:
    """Task to the mean probabilities of the one unit."""
    return {task: answer.mean for task, answer in predictions[0].tasks.items()}


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("speed").add_argument("--rounds", type=int, default=9)
    steps.add_parser("phantoms").add_argument("count", type=int)
    steps.add_parser("first")
    options = parser.parse_args()
    if options.step == "speed":
        speed(options.rounds)
    elif options.step == "phantoms":
        phantoms(options.count)
    else:
        first_answers()


if __name__ == "__main__":
    main()
