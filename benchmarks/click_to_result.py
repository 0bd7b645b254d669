"""From the click on Classify to the classes, and to the maps, in the panel with its worker warm.

    python benchmarks/click_to_result.py [STUDY] [--lesions N] [--rounds N]

Runs the panel in the desktop harness (PySide6) on a study folder, by default on a phantom study with one to
three lesions that is made first, with the demo bundle. A round counts from the click until the classes stand
in the table, and on until the maps are in the scene; the first round, which starts the worker, is shown
apart. Processor time is that of the panel's process and of the worker's together. The ratio is classes and
maps together over the classes alone: what a reader would wait if both came as one answer. The memory of both
processes is told at the end (Linux): what they hold, and the most that they held.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Testing"))

SEED = 800_002
CLASSES = ("HCC", "cyst", "metastasis")
LIMIT_S = 300.0


@dataclass(frozen=True)
class Moment:
    """Wall-clock and processor seconds at one moment."""

    wall_s: float
    processor_s: float

    def since(self, earlier: Moment) -> Moment:
        """What has passed since an earlier moment."""
        return Moment(self.wall_s - earlier.wall_s, self.processor_s - earlier.processor_s)


def now(worker: int | None) -> Moment:
    """This moment; the worker's processor time is read from ``/proc``."""
    processor = time.process_time()
    if worker is not None:
        fields = Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        processor += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Moment(time.perf_counter(), processor)


def memory_mib(process: int | None) -> tuple[float, float]:
    """Resident memory of a process now and at most, from ``/proc``."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return float(kib["VmRSS"]) / 1024, float(kib["VmHWM"]) / 1024


def one_round(made: Any, widget: Any) -> tuple[Moment, Moment, Moment]:
    """Click Classify; returns what passed until the click returned, until the classes, until the maps."""
    panel = widget.panel
    start = now(panel.session.client.pid)
    widget.ui.classifyButton.click()
    returned = now(panel.session.client.pid).since(start)
    made.wait(lambda: panel.running is not panel.classify, LIMIT_S)
    classes = now(panel.session.client.pid).since(start)
    made.wait(lambda: not panel.is_busy, LIMIT_S)
    maps = now(panel.session.client.pid).since(start)
    if "✓" not in widget.ui.explainStep.text:
        raise SystemExit(f"{widget.ui.classifyStatus.text}\n{widget.ui.explainStatus.text}")
    made.settle(300)
    return returned, classes, maps


def measure(study: Any, rounds: int) -> None:
    """Print a line for the first round, one for the median of the others, and the ratio."""
    from desktop_harness.desktop import desktop

    with desktop() as made:
        widget = made.load(ROOT / "LiverLesionAI.py")
        made.enter("LiverLesionAI")
        import slicer

        from LiverLesionAI.scenes.show import show_study

        show_study(slicer.mrmlScene, study)
        widget.ui.assignButton.click()
        made.settle(300)
        columns = [f"{name} {unit}" for name in ("click", "classes", "maps") for unit in ("s", "cpu s")]
        print(f"{'round':<8}" + "".join(f"{column:>15}" for column in columns))
        print_row("first", one_round(made, widget))
        found = [one_round(made, widget) for _ in range(rounds)]
        held = {"panel": memory_mib(os.getpid()), "worker": memory_mib(widget.panel.session.client.pid)}
    middle = tuple(
        Moment(
            statistics.median(each[part].wall_s for each in found),
            statistics.median(each[part].processor_s for each in found),
        )
        for part in range(3)
    )
    print_row("warm", middle)
    _, classes, maps = middle
    print(f"classes and maps / classes: {maps.wall_s / classes.wall_s:.2f}", end=" ")
    print(f"(processor time {maps.processor_s / classes.processor_s:.2f})")
    for process, (now_mib, most_mib) in held.items():
        print(f"memory of the {process}: {now_mib:.0f} MiB, at most {most_mib:.0f} MiB")


def print_row(name: str, moments: tuple[Moment, ...]) -> None:
    """Print a round."""
    cells = [value for each in moments for value in (each.wall_s, each.processor_s)]
    print(f"{name:<8}" + "".join(f"{cell:>15.2f}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", type=Path)
    parser.add_argument("--lesions", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.study is not None:
        from LiverLesionAI.pipeline import read_study

        study = read_study(arguments.study)
    else:
        from LiverLesionAI.phantom import generate_study

        study = generate_study(SEED, classes=CLASSES[: arguments.lesions]).study
    measure(study, arguments.rounds)


if __name__ == "__main__":
    main()
