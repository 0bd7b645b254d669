"""What a batch is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.options import DEFAULT_MODEL, Options

Outputs = Literal["table", "volumes", "all"]
LEVELS: tuple[Outputs, ...] = ("table", "volumes", "all")
"""What is written of each study, from nothing but rows of the tables to everything that `classify` writes."""

TIME_LIMIT_S = 1800.0

LINKS_FOLDER = "dicom"
"""Of a run, with a folder of links for each study of a tree of DICOM files."""
LEDGER_FILE = "batch.sqlite"
"""Lies in the folder of a run, in which no studies are looked for."""

STUDIES_FOLDER = "studies"
"""Where a run writes the outputs of its studies."""


@dataclass(frozen=True)
class BatchOptions:
    """How a cohort is worked through.

    Attributes
    ----------
    models
        Names or folders of bundles, or names of systems; a study is read and registered once for all.
    study
        How each study is registered, classified and explained; its model, mask and clinical data do not
        count.
    outputs
        What is written of each study (:data:`LEVELS`).
    workers
        Studies at a time. One needs no Dask; more are a local Dask cluster.
    threads
        Threads of each worker. More workers of one thread get more studies done than fewer of several.
    scheduler
        Address of a Dask scheduler whose workers are used instead of local ones.
    shard
        ``(i, n)``: only every n-th study, from the i-th; counted from 1.
    retry_failed
        Whether studies that failed before are tried again; those whose input, model or parameters changed are
        anyway.
    time_limit_s
        A study that takes longer is ended and has failed.
    memory_limit_bytes
        So is one whose process takes more; None: each local worker's share of what the machine has left.
    """

    models: tuple[str | Path, ...] = (DEFAULT_MODEL,)
    study: Options = field(default_factory=Options)
    outputs: Outputs = "all"
    workers: int = 1
    threads: int = 1
    scheduler: str | None = None
    shard: tuple[int, int] | None = None
    retry_failed: bool = False
    time_limit_s: float = TIME_LIMIT_S
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("A batch needs a model; name one.")
        if self.outputs not in LEVELS:
            raise ConfigError(f"outputs is {self.outputs!r}; choose one of {', '.join(LEVELS)}.")
        if self.workers < 1 or self.threads < 1:
            raise ConfigError("A batch needs one worker and one thread at least.")
        if self.time_limit_s <= 0:
            raise ConfigError("The time limit of a study must be longer than nothing.")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            i, n = self.shard
            raise ConfigError(f"There is no shard {i} of {n}; shards are counted from 1.")

    @property
    def parameters(self) -> dict[str, Any]:
        """What changes an answer when it changes, beside input and model."""
        given = asdict(self.study)
        names = ("register", "device", "precision", "engine", "explain", "explanation", "parametric_maps")
        return {name: given[name] for name in names}


def key_of(hashes: Sequence[str], parameters: dict[str, Any]) -> str:
    """Hash of a model and the parameters of a run: what an answer rests on beside the study."""
    return hashlib.sha256(json.dumps([list(hashes), parameters], sort_keys=True).encode()).hexdigest()


def shard_of(text: str) -> tuple[int, int]:
    """Read ``I/N``.

    Raises
    ------
    ConfigError
        If it is of another form.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal()) or len(text) > 20:
        raise ConfigError(f"{text[:20]!r} is no shard; write I/N, for example 3/16.")
    return int(first), int(second)
