"""What a batch costs beside a loop of ``classify``, and what a second worker gains; all in one run.

    python benchmarks/batch/throughput.py --out DIR [--studies 6] [--model NAME|DIR] [--full]

Lesion-centred phantoms go through ``classify`` one by one, through ``batch --workers 1`` and ``--workers 2``,
everything being written; without ``--full`` they are neither registered nor explained. Every process may use
one thread. Prints seconds per study (the start of the command included), the pace between the first and the
last end of a study, and the most memory that the process of a study, or of `classify`, ever took (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


@dataclass
class Watched:
    """A command: how long it took, when studies ended, and the most memory of the processes looked at."""

    seconds: float = 0.0
    ends: list[float] = field(default_factory=list)
    memory_mib: float = 0.0

    @property
    def pace(self) -> float:
        """Studies per minute between the first end and the last."""
        return 60 * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def watch(command: list[str], part: str) -> Watched:
    """Run a command and look at the memory of its processes whose command lines hold `part`."""
    found = Watched()
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            for pid in family(process.pid):
                if part in command_of(pid):
                    found.memory_mib = max(found.memory_mib, highest_mib(pid))

    looking = threading.Thread(target=look)
    looking.start()
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if '"step": "batch"' in line and json.loads(line)["done"]:
            found.ends.append(time.perf_counter())
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {''.join(said[-3:])}")
    over.set()
    looking.join()
    found.seconds = time.perf_counter() - start
    return found


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def command_of(pid: int) -> str:
    """Command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def highest_mib(pid: int) -> float:
    """The most memory that a process ever took."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def main() -> None:
    """Run and print."""
    from LiverLesionAI.cohort import read_rows
    from LiverLesionAI.phantom import write_cohort

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=6)
    parser.add_argument("--model", default="wang2021-phantom")
    parser.add_argument("--full", action="store_true", help="register and explain, too")
    given = parser.parse_args()
    table = given.out / "cohort" / "cohort.csv"
    if not table.is_file():
        write_cohort(table.parent, given.studies, 841000, lesion_centred=True)
    rest = ["--model", given.model, *([] if given.full else ["--no-register", "--no-saliency"])]
    program = [sys.executable, "-m", "LiverLesionAI"]
    loop = Watched()
    for row in read_rows(table):
        out = given.out / "loop" / row.study_id
        one = watch(
            [*program, "classify", str(table.parent / row.path), "--out", str(out), *rest], "classify"
        )
        loop.seconds += one.seconds
        loop.memory_mib = max(loop.memory_mib, one.memory_mib)
    say("loop of classify", loop, given.studies)
    found = {}
    for workers in (1, 2):
        out = given.out / f"batch-{workers}"
        command = [*program, "batch", str(table), "--out", str(out), "--workers", str(workers)]
        found[workers] = watch([*command, "--progress", "jsonl", *rest], "batch.child")
        say(f"batch --workers {workers}", found[workers], given.studies)
        share, memory = found[workers].seconds / loop.seconds, found[workers].memory_mib / loop.memory_mib
        print(f"   {found[workers].pace:.1f} studies a minute between first and last end; {share:.0%} of the "
              f"loop per study; {memory:.2f} times the memory of classify", flush=True)  # fmt: skip
    print(f"two workers over one, pace: {found[2].pace / found[1].pace:.2f}; whole commands: "
          f"{found[1].seconds / found[2].seconds:.2f}")  # fmt: skip


def say(name: str, found: Watched, studies: int) -> None:
    """Print a row."""
    print(f"{name}: {found.seconds / studies:.1f} s a study, {found.memory_mib:.0f} MiB at most", flush=True)


if __name__ == "__main__":
    main()
