"""How fast lesions are classified: the demo's width warm, the paper's width end to end, and the plain loop.

    python benchmarks/inference.py [--lesions N]

Random weights; nothing is written outside a temporary folder. Every case runs in its own process, so that
its peak memory is its own. The plain loop is what one would write without care: every member loaded as
float32 into a freshly initialised network, contiguous memory, one lesion after the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.inference import Classifier, UnitInputs, predict
from LiverLesionAI.inputs.patches import LesionInput
from LiverLesionAI.training.config import TrainingConfig

FOLDS = 5


def random_lesions(bundle: Bundle, count: int) -> list[UnitInputs]:
    import numpy as np

    from LiverLesionAI.geometry import LesionGeometry
    from LiverLesionAI.inputs.patch_grid import PatchGrid

    rng = np.random.default_rng(0)
    size, sequences = bundle.spec.patches.size, bundle.spec.sequences
    geometry = LesionGeometry(20.0, 4.0, (0.0, 0.0, 0.0), ((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)))
    grid = PatchGrid(size, 1.0, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    shape = (len(sequences), 2, size, size, size)
    present = (True,) * len(sequences)
    return [
        UnitInputs(
            i,
            (LesionInput(i, sequences, rng.random(shape, dtype=np.float32), present, geometry, grid),),
        )
        for i in range(count)
    ]


def make_bundle(width: int, folder: Path) -> None:
    from LiverLesionAI.training.export import untrained_bundle

    config = TrainingConfig.model_validate(
        {
            "name": f"width-{width}",
            "network": {"width": width},
            "phantom": {"first_seed": 0, "lesions": 1},
            "fold_count": FOLDS,
        }
    )
    untrained_bundle(config, folder)


def warm(bundle: Bundle, lesions: list[UnitInputs]) -> float:
    """Seconds per lesion with all members in memory."""
    classifier = Classifier(bundle, keep_loaded=True)
    classifier.predict(lesions[:1])
    return timed(lambda: classifier.predict(lesions)) / len(lesions)


def end_to_end(bundle: Bundle, lesions: list[UnitInputs]) -> float:
    """Seconds for all lesions, loading the members included."""
    return timed(lambda: predict(bundle, lesions))


def plain_loop(bundle: Bundle, lesions: list[UnitInputs]) -> float:
    """The same by the plain loop."""
    import torch
    from safetensors.torch import load_file

    from LiverLesionAI.systems.base import outputs

    def classify() -> None:
        spec = bundle.spec
        for member in bundle.member_paths:
            network = bundle.system.network(spec).eval()
            for branch in network.branches.values():
                branch.conv1.forward = lambda x, stem=branch.conv1: stem._conv_forward(x, stem.weight, None)
            network.load_state_dict({name: tensor.float() for name, tensor in load_file(member).items()})
            with torch.inference_mode():
                for lesion in lesions:
                    for given in lesion.groups:
                        outputs(network, [torch.from_numpy(each)[None] for each in given.arrays()])

    return timed(classify)


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


CASES: dict[str, Callable[[Bundle, list[UnitInputs]], float]] = {
    "warm": warm,
    "end_to_end": end_to_end,
    "plain_loop": plain_loop,
}


def run_case(case: str, bundle: Path, lesions: int) -> dict[str, float]:
    """Measure a case in its own process: seconds, peak resident memory in GiB, seconds of the process."""
    command = [sys.executable, __file__, "--case", case, "--bundle", str(bundle), "--lesions", str(lesions)]
    start = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {**json.loads(output.splitlines()[-1]), "process": time.perf_counter() - start}


def report_case(case: str, path: Path, lesions: int) -> None:
    import resource

    import torch  # noqa: F401  (loading it is not part of the comparison)

    bundle = load_bundle(path)
    seconds = CASES[case](bundle, random_lesions(bundle, lesions))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak}))


def compare(lesions: int) -> None:
    print(f"{'case':<44}{'seconds':>9}{'peak GiB':>10}{'process s':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for width, count in ((8, lesions), (64, 1)):
            bundle = Path(folder) / f"width-{width}"
            make_bundle(width, bundle)
            found = {}
            for case in CASES:
                if case == "warm" and width == 64:
                    continue
                found[case] = run_case(case, bundle, count)
                unit = "per lesion" if case == "warm" else f"{count} lesion(s)"
                title = f"width {width}, {FOLDS} members, {case.replace('_', ' ')}, {unit}"
                row = found[case]
                print(f"{title:<44}{row['seconds']:>9.2f}{row['peak_gib']:>10.2f}{row['process']:>11.2f}")
            ratio = found["plain_loop"]["seconds"] / found["end_to_end"]["seconds"]
            print(f"{f'width {width}: plain loop / end to end':<44}{ratio:>9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lesions", type=int, default=4)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--bundle", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        report_case(arguments.case, arguments.bundle, arguments.lesions)
    else:
        compare(arguments.lesions)


if __name__ == "__main__":
    main()
