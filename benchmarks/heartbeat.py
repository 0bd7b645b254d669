"""How long the panel holds up Slicer's window: a timer beats through a walk, its longest gap is told.

    python benchmarks/heartbeat.py [--lesions N] [--rounds N] [--json FILE]

Runs the panel in the desktop harness (PySide6) on a phantom study with the demo bundle and does what a reader
does: classify, wait for the maps, all sequences side by side, explain again with them open, another lesion,
checkerboard, a corrected segment, save. Between two beats of a 20 ms timer the window answers nobody. Two
figures are told for each action, the longest of all gaps and the most processor time that the window's
thread spent in one: the second is our own, Qt's and VTK's work, whatever else the machine is doing. Drawing
is not in it, since the harness has no views. The first round, in which modules are imported, is told apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Testing"))

BEAT_MS = 20
LIMIT_S = 600.0
SEED = 850_002
CLASSES = ("HCC", "cyst", "metastasis")


@dataclass(frozen=True)
class Gap:
    """Between two beats: seconds by the clock, seconds that the window's thread worked."""

    wall_s: float = 0.0
    work_s: float = 0.0

    def or_longer(self, other: Gap) -> Gap:
        """Return the longer of two, each figure by itself."""
        return Gap(max(self.wall_s, other.wall_s), max(self.work_s, other.work_s))


class Heartbeat:
    """A timer that notes how long it could not beat, by what was done.

    Parameters
    ----------
    made
        The desktop.
    """

    def __init__(self, made: Any) -> None:
        import qt

        self._made = made
        self.gaps: dict[str, Gap] = {}
        self._last = (time.perf_counter(), time.thread_time())
        self._doing = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(BEAT_MS)
        self._timer.connect("timeout()", self._beat)
        self._timer.start()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Charge the gaps of a block to what it does; before and after it the heart beats."""
        self._made.settle(3 * BEAT_MS)
        self._doing = what
        try:
            yield
            self._made.settle(3 * BEAT_MS)
        finally:
            self._doing = ""

    def _beat(self) -> None:
        wall, work = time.perf_counter(), time.thread_time()
        gap = Gap(wall - self._last[0], work - self._last[1])
        self._last = (wall, work)
        if self._doing:
            self.gaps[self._doing] = self.gaps.get(self._doing, Gap()).or_longer(gap)


def walk(made: Any, widget: Any, heart: Heartbeat, out: Path) -> None:
    """Do what a reader does, from Classify to Save."""
    import slicer

    ui, panel = widget.ui, widget.panel

    def wait(condition: Callable[[], bool]) -> None:
        if not made.wait(condition, LIMIT_S):
            raise SystemExit(f"{ui.classifyStatus.text}\n{ui.explainStatus.text}\n{ui.saveStatus.text}")

    with heart.doing("classify: click"):
        ui.classifyButton.click()
    with heart.doing("classify: classes arrive"):
        wait(lambda: panel.running is not panel.classify)
    with heart.doing("explain: maps arrive"):
        wait(lambda: not panel.is_busy)
        made.settle(300)
    with heart.doing("all sequences"):
        ui.layoutButton.click()
        made.settle(300)
    with heart.doing("explain again, all sequences open"):
        ui.explainButton.click()
        wait(lambda: not panel.is_busy)
        made.settle(300)
    if len(panel.result.lesions) > 1:
        with heart.doing("another lesion"):
            ui.resultsTable.selectRow(1)
            made.settle(300)
        ui.resultsTable.selectRow(0)
    with heart.doing("checkerboard"):
        ui.checkerboardButton.click()
        made.settle(300)
    with heart.doing("checkerboard off"):
        ui.checkerboardButton.click()
        made.settle(300)
    node = panel.parameters.segmentation
    identifier = node.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, panel.chosen().anchor)
    corrected = voxels.copy()
    corrected[tuple(axis[0] for axis in voxels.nonzero())] = 0
    with heart.doing("a segment is corrected"):
        slicer.util.updateSegmentBinaryLabelmapFromArray(corrected, node, identifier, panel.chosen().anchor)
        made.settle(600)
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, identifier, panel.chosen().anchor)
    made.settle(600)
    ui.folderEdit.currentPath = str(out)
    with heart.doing("save"):
        ui.saveButton.click()
        wait(lambda: not panel.is_busy)
        made.settle(300)
    if "✓" not in ui.saveStep.text:
        raise SystemExit(ui.saveStatus.text)


def measure(study: Any, rounds: int) -> tuple[Mapping[str, Gap], Mapping[str, Gap]]:
    """Return the gaps of the first round, and the longest of each action in the later ones."""
    from desktop_harness.desktop import desktop

    with desktop() as made, tempfile.TemporaryDirectory() as folder:
        widget = made.load(ROOT / "LiverLesionAI.py")
        made.enter("LiverLesionAI")
        import slicer

        from LiverLesionAI.scenes.show import show_study

        show_study(slicer.mrmlScene, study)
        widget.ui.assignButton.click()
        made.settle(300)
        first = Heartbeat(made)
        walk(made, widget, first, Path(folder, "first"))
        later = Heartbeat(made)
        for number in range(rounds):
            walk(made, widget, later, Path(folder, f"later{number}"))
        errors = made.taken_slot_errors()
        if errors:
            raise errors[0]
    return first.gaps, later.gaps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lesions", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    from LiverLesionAI.phantom import generate_study

    study = generate_study(SEED, classes=CLASSES[: arguments.lesions]).study
    first, later = measure(study, arguments.rounds)
    shown = Table("longest gap", "first round s", "of it work s", "later s", "of it work s")
    for action, gap in later.items():
        cells = (first[action].wall_s, first[action].work_s, gap.wall_s, gap.work_s)
        shown.add_row(action, *(f"{cell:.2f}" for cell in cells))
    Console(width=110).print(shown)
    if arguments.json is not None:
        content = {"first": first, "later": later}
        plain = {key: {name: asdict(gap) for name, gap in gaps.items()} for key, gaps in content.items()}
        arguments.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
