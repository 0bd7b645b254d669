"""``python -m LiverLesionAI.batch.dask_worker ADDRESS FOLDER``: a local Dask worker of one thread."""

from __future__ import annotations

import asyncio
import os
import sys
import threading


def main() -> None:
    """Serve a scheduler until it or the process that started this one is gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))


def _leave_with_parent() -> None:
    """Our standard input is the parent's to write to: it ends when the parent does, however that happens."""
    sys.stdin.buffer.read()
    os._exit(1)


async def _serve(address: str, scratch: str) -> None:
    from distributed import Worker

    async with Worker(
        address, nthreads=1, memory_limit=0, dashboard=False, local_directory=scratch, death_timeout=30
    ) as worker:
        await worker.finished()


if __name__ == "__main__":
    main()
