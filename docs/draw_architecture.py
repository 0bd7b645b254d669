"""Draw the house: its floors as the import contract has them, what each room is for.

    python docs/draw_architecture.py

Floors come from ``[tool.importlinter]`` in ``pyproject.toml``, which the tests hold the imports to, so the
picture cannot say what the code does not do. A room without a word here is an error.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
LIBRARY, PANEL = "The floors of the library", "The floors of the panel"
WORDS = {
    "cli": "the command line",
    "worker": "a warm process for front ends",
    "batch": "cohorts, exactly once",
    "training": "from a cohort to a bundle",
    "detection": "candidates without an outline",
    "pipeline": "from files to files",
    "phantom": "studies whose truth is known",
    "outputs": "every output of a study",
    "reader_study": "blinded lists, answers",
    "features": "what the last layer sees",
    "asking": "one model, or a system's in turn",
    "analysis": "classify and explain\nwith a model at hand",
    "scenes": "a study in a scene: read, show,\nalign, segment, overlay",
    "writers": "volumes, tables, figures,\nreports, DICOM",
    "mrml": "node by node;\nLPS meets RAS here only",
    "explanation": "maps, sequence weights,\na table of methods",
    "evaluation": "figures and their intervals",
    "uncertainty": "temperature, sets, unlike the training",
    "inference": "members run, groups joined",
    "bundles": "models on disk: find, verify,\nadd, write",
    "systems": "one file per paper: unit, inputs,\nnetwork, answer, recipe",
    "networks": "modules of torch,\nand their weights as arrays",
    "inputs": "what a network\nreads of a study",
    "readers": "folders, DICOM",
    "registration": "sequences aligned",
    "one_click": "a click becomes a lesion",
    "options": "what a run is asked for",
    "cohort": "cohort.csv",
    "files": "whole or not at all",
    "manifest": "what we wrote",
    "written": "files are looked at again",
    "spreadsheet": "cells that are no formulas",
    "limits": "how large input may be",
    "finite": "numbers that are numbers",
    "json_values": "in JSON",
    "pseudonyms": "told names",
    "identity": "whose it is",
    "processes": "children",
    "geometry": "size and place of a lesion",
    "decisions": "readers' decisions",
    "fingerprint": "what was classified",
    "study": "sequences, lesions",
    "results": "all of a study",
    "answers": "classes, sets",
    "results_schema": "results.json",
    "results_v1": "as it was before",
    "reading": "what readers said",
    "taxonomy": "class sets",
    "packing": "gzip",
    "errors": "sentences",
    "progress": "how far",
    "resources": "own files",
    "sequences": "their names",
    "side_by_side": "a core each",
    "stopwatch": "seconds",
    "panels": "steps put together, worker, scene events",
    "steps": "a part of a panel with its job",
    "controls": "tables, layouts, sliders",
}
ROAD = {"readers", "registration", "inputs", "systems", "inference", "explanation", "scenes", "writers"}
FRONTS = {"cli", "batch", "worker", "training", "panels", "steps", "controls", "pipeline"}
COLOURS = {"front": "#dbe7f5", "road": "#fde3c8", "other": "#eef0ee"}
HEIGHT, GAP, WIDTH = 0.78, 0.22, 16.0


def floors(contract: str) -> list[list[str]]:
    """The rooms of each floor, from the top; rooms that are still to be built are left out."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = next(each for each in contracts if each["name"] == contract)["layers"]
    rooms = [[room.strip() for room in layer.replace(":", "|").split("|")] for layer in layers]
    built = [[room.strip("()") for room in floor if _is_built(room.strip("()"))] for floor in rooms]
    return [floor for floor in built if floor]


def _is_built(room: str) -> bool:
    places = [ROOT / "LiverLesionAI", ROOT / "LiverLesionLib"]
    return room != "__main__" and any(
        (place / room).is_dir() or (place / f"{room}.py").is_file() for place in places
    )


def main() -> None:
    """Draw ``docs/images/architecture.png``."""
    panel, library = floors(PANEL), floors(LIBRARY)
    rows = [("LiverLesionLib: Slicer's Qt", panel), ("LiverLesionAI: the library, no Qt", library)]
    count = sum(len(part) for _, part in rows)
    figure, axes = plt.subplots(figsize=(11, 0.62 * count + 1.6))
    y = 0.0
    for title, part in rows:
        axes.text(0, y + 0.05, title, fontsize=11, weight="bold", va="bottom")
        y -= 0.15
        for floor in part:
            y -= HEIGHT
            _floor(axes, floor, y)
            y -= GAP
        y -= 0.55
    axes.annotate(
        "imports go down only", (WIDTH + 0.45, y + 1.2), (WIDTH + 0.45, -0.4), rotation=90, va="top",
        ha="center", fontsize=9, color="0.35", arrowprops={"arrowstyle": "->", "color": "0.5"},
    )  # fmt: skip
    keys = {"front": "fronts", "road": "the road of a study", "other": "what they stand on"}
    for number, (kind, words) in enumerate(keys.items()):
        key = FancyBboxPatch(
            (number * 4.2, y), 0.5, 0.3, boxstyle="round,pad=0.02", fc=COLOURS[kind], ec="0.6"
        )
        axes.add_patch(key)
        axes.text(number * 4.2 + 0.75, y + 0.15, words, fontsize=8.5, va="center")
    axes.set_xlim(-0.2, WIDTH + 0.9)
    axes.set_ylim(y - 0.2, 0.6)
    axes.axis("off")
    target = ROOT / "docs" / "images" / "architecture.png"
    figure.savefig(target, dpi=110, bbox_inches="tight", metadata={"Software": None})
    print(f"Written: {target}")


def _floor(axes: plt.Axes, rooms: list[str], y: float) -> None:
    width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
    for number, room in enumerate(rooms):
        kind = "front" if room in FRONTS else "road" if room in ROAD else "other"
        x = number * (width + GAP)
        box = FancyBboxPatch(
            (x, y), width, HEIGHT, boxstyle="round,pad=0.0,rounding_size=0.12",
            fc=COLOURS[kind], ec="0.45", lw=0.8,
        )  # fmt: skip
        axes.add_patch(box)
        narrow = width < 2.4
        axes.text(x + width / 2, y + HEIGHT * 0.72, room, ha="center", va="center", weight="bold",
                  fontsize=7 if narrow else 9.5)  # fmt: skip
        words = WORDS[room] if width < 6 else WORDS[room].replace("\n", " ")
        axes.text(x + width / 2, y + HEIGHT * 0.3, words, ha="center", va="center",
                  fontsize=5.6 if narrow else 7.2, color="0.25", linespacing=1.1)  # fmt: skip


if __name__ == "__main__":
    main()
