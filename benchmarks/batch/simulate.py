"""A batch of thousands of studies whose results are made by the workers; all around them is real.

    python benchmarks/batch/simulate.py --out DIR [--studies 2000] [--workers 2]

Prints how long the ledger takes per study (commits flushed to the disk included), how the pace at the end
compares with that at the beginning, the memory of the command after the first tenth, before and after the
tables, and the size of the page. A second start then finds everything done.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run and measure."""
    from made_batch import made_run, made_studies

    from LiverLesionAI.batch import tables
    from LiverLesionAI.batch.ledger import Ledger
    from LiverLesionAI.batch.tables import write_outputs

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    cohort = made_studies(given.out / "cohort", [f"S{number:05d}" for number in range(given.studies)])

    spent = 0.0
    transaction = Ledger.transaction

    @contextmanager
    def timed(self: Ledger) -> Iterator[None]:
        nonlocal spent
        start = time.perf_counter()
        with transaction(self):
            yield
        spent += time.perf_counter() - start

    Ledger.transaction = timed  # type: ignore[method-assign]
    tables_s = before_tables = 0.0

    def write(ledger: Ledger, out: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        nonlocal tables_s
        nonlocal before_tables
        before_tables = resident_mib()
        begun = time.perf_counter()
        written = write_outputs(ledger, out)
        tables_s = time.perf_counter() - begun
        return written

    tables.write_outputs = write
    memory: list[float] = []
    start = time.perf_counter()
    with made_run(cohort, given.out / "run", workers=given.workers, outputs="table") as run:
        enrolled = spent
        ends = []
        for _ in run:
            ends.append(time.perf_counter())
            memory.append(resident_mib())
        print(f"{given.studies} studies, {given.workers} workers: {ends[-1] - start - tables_s:.1f} s; "
              f"tables and page {tables_s:.1f} s")  # fmt: skip
        print(f"enrolling: {1000 * enrolled / given.studies:.2f} ms a study; ledger after that: "
              f"{1000 * (spent - enrolled) / given.studies:.2f} ms a study")  # fmt: skip
    gaps = [after - before for before, after in pairwise(ends)]
    tenth = len(gaps) // 10
    print(f"seconds between ends, median: first tenth {statistics.median(gaps[:tenth]):.4f}, last tenth "
          f"{statistics.median(gaps[-tenth:]):.4f}")  # fmt: skip
    print(f"memory: {memory[tenth]:.0f} MiB after a tenth, {before_tables:.0f} MiB before the tables, "
          f"{resident_mib():.0f} MiB after them")  # fmt: skip
    for file in run.files:
        print(f"{file.name}: {file.stat().st_size / 2**20:.2f} MiB")
    print(f"batch.sqlite: {(given.out / 'run' / 'batch.sqlite').stat().st_size / 2**20:.1f} MiB")
    start = time.perf_counter()
    with made_run(cohort, given.out / "run", workers=given.workers, outputs="table") as run:
        again = list(run)
    print(f"second start: {len(again)} studies done again, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
