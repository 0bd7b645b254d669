"""Shards of a run joined into one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from LiverLesionAI.batch.folder import locked
from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.batch.tables import write_outputs
from LiverLesionAI.errors import ConfigError

_FACTS = ("models", "keys", "truths")


@dataclass(frozen=True)
class Merged:
    """A joined run: its tables, how its studies stand, and which shards were not given."""

    files: tuple[Path, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...]


def merge_runs(shards: Sequence[str | Path], out: str | Path) -> Merged:
    """Join the ledgers of shards, and make their tables.

    Outputs of studies stay in the shards' folders, to which the joined ledger points. Shards that went on
    since may be merged again into the same folder, which keeps the feedback that was given there.

    Parameters
    ----------
    shards
        Folders of runs of one cohort with the same models and parameters.
    out
        Folder of the joined run.

    Returns
    -------
    Merged

    Raises
    ------
    ConfigError
        If the shards do not belong together, or have a study in common.
    OutputError
        If one of them is at work, or the folder cannot be written.
    """
    out = Path(out).resolve()
    folders = [Path(shard).resolve() for shard in shards]
    if len(set(folders)) < len(folders) or out in folders:
        raise ConfigError(
            "A run is named twice; name each shard once, and another folder for the joined run."
        )
    with locked(out), Ledger(out) as joined:
        if joined.fact("cohort") and not joined.fact("merged"):
            raise ConfigError(f"{out} is a run of its own; name another folder for the joined one.")
        with joined.transaction():
            joined.forget_studies()
            joined.note("merged", [os.path.relpath(folder, out) for folder in folders])
            given = [_take_in(joined, folder, out) for folder in folders]
        files, warnings = write_outputs(joined, out)
        return Merged(files, joined.counts(), (*warnings, *_missing(given)))


def _missing(given: Sequence[Sequence[int] | None]) -> list[str]:
    """Say which shards of as many as there are were not given."""
    known = [each for each in given if each is not None]
    count = max((each[1] for each in known), default=0)
    absent = sorted(set(range(1, count + 1)) - {each[0] for each in known})
    return [f"Shard {number} of {count} was not given." for number in absent]


def _take_in(joined: Ledger, folder: Path, out: Path) -> Sequence[int] | None:
    """Take a shard in; returns its number and how many there are, where it is one."""
    if not (folder / LEDGER_FILE).is_file():
        raise ConfigError(
            f"{folder} is no run of a batch (it has no {LEDGER_FILE}); give the folders of shards."
        )
    with locked(folder), Ledger(folder, read_only=True) as shard:
        first = joined.fact("keys")
        if first is not None and (shard.fact("keys"), shard.fact("cohort")) != (first, joined.fact("cohort")):
            raise ConfigError(
                f"{folder} is of another cohort, or was run with other models or parameters; merge shards of "
                "one run."
            )
        for name in (*_FACTS, "cohort"):
            joined.note(name, shard.fact(name))
        try:
            joined.take_in(shard, Path(os.path.relpath(folder, out)).as_posix())
        except sqlite3.IntegrityError:
            raise ConfigError(
                f"{folder} has a study that another shard has, too; merge shards of one run."
            ) from None
        number: Sequence[int] | None = shard.fact("shard")
        return number
