"""What was measured, lesion by lesion, in a file that grows: an interrupted run goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from proofs import Localisation, SequenceDeletion, SignDensity, VoxelDeletion
from pydantic import TypeAdapter

Part = Literal["explained", "signs", "sanity", "voxels"]


@dataclass(frozen=True)
class Explained:
    """What follows from one explanation of a lesion's predicted class.

    Attributes
    ----------
    lesion_class, target
        The truth and the class that was predicted and explained.
    worth
        Log-odds of the class for each coalition of sequences.
    efficiency_error
        Largest of both tasks.
    sequences
        Deletion of sequences.
    located, untrained, gaussian
        Where maxima lie; None for lesions that were not classified correctly.
    classify_s, explain_s
        Seconds of both, weights in memory.
    """

    lesion_class: str
    target: str
    players: tuple[str, ...]
    worth: tuple[float, ...]
    efficiency_error: float
    sequences: SequenceDeletion
    located: Localisation | None
    untrained: Localisation | None
    gaussian: bool | None
    classify_s: float
    explain_s: float

    @property
    def correct(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.target == self.lesion_class


@dataclass(frozen=True)
class Sanity:
    """Rank correlation of the maps with those of redrawn networks, by the layer down to which these are."""

    correlation: Mapping[str, float]


_KINDS: Mapping[Part, TypeAdapter[Any]] = {
    "explained": TypeAdapter(Explained),
    "signs": TypeAdapter(SignDensity),
    "sanity": TypeAdapter(Sanity),
    "voxels": TypeAdapter(VoxelDeletion),
}


class Records:
    """Measurements by part and seed; each is one line of a file as soon as it is made.

    Parameters
    ----------
    file
        JSON lines; the first tells what was measured.
    about
        Model, settings and machine precision.

    Raises
    ------
    SystemExit
        If the file holds measurements of something else.
    """

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        self._file = file
        self._found: dict[Part, dict[int, Any]] = {part: {} for part in _KINDS}
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        if not lines:
            self._append(dict(about))
        elif json.loads(lines[0]) != dict(about):
            raise SystemExit(f"{file} was measured with other settings; name another file or remove it.")
        for line in lines[1:]:
            row = json.loads(line)
            part: Part = row["part"]
            self._found[part][row["seed"]] = _KINDS[part].validate_python(row["found"])

    def has(self, part: Part, seed: int) -> bool:
        """Whether a part of a lesion has been measured."""
        return seed in self._found[part]

    def add(self, part: Part, seed: int, found: Any) -> None:
        """Keep a measurement."""
        self._found[part][seed] = found
        self._append({"part": part, "seed": seed, "found": _KINDS[part].dump_python(found)})

    def of(self, part: Part) -> list[Any]:
        """Every measurement of a part, in the order of the seeds."""
        return [found for _, found in sorted(self._found[part].items())]

    def _append(self, row: Mapping[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
