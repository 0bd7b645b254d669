"""The folder of a run: where it is, and who has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from LiverLesionAI.batch.settings import LEDGER_FILE, LINKS_FOLDER, BatchOptions
from LiverLesionAI.errors import OutputError
from LiverLesionAI.files import errors_of_disk

LOCK_FILE = ".batch.lock"

_SHARD = re.compile(r"shard-\d+-of-\d+")


def folder_of(out: Path, options: BatchOptions) -> Path:
    """Folder of a run; each shard has one of its own."""
    if options.shard is None:
        return out
    first, step = options.shard
    return out / f"shard-{first}-of-{step}"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Have a run's folder alone; the lock is the operating system's, so that it dies with its process.

    Raises
    ------
    OutputError
        If another run has it, or it holds something else than a run.
    """
    from filelock import FileLock, Timeout

    with errors_of_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        if LEDGER_FILE not in names and not all(_SHARD.fullmatch(n) or n == LINKS_FOLDER for n in names):
            raise OutputError(
                f"{out} holds files that are no run of a batch; empty it or name another folder."
            )
        lock = FileLock(out / LOCK_FILE, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(
                f"{out} is in use by another run; wait for it or name another folder."
            ) from None
    try:
        yield
    finally:
        lock.release()
