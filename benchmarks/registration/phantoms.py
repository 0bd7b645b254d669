"""Error at the lesions' centres on phantoms whose displacement is known, before and after registration.

Usage: python benchmarks/registration/phantoms.py --out errors.csv [--studies 20] [--scope lesion]

Rows are added study by study; studies that the file already holds are not computed again, and a summary is
printed over all of it. CPU seconds are counted over all threads, so that other work on the machine does not
matter.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from LiverLesionAI.phantom import PhantomStudy, generate_study
from LiverLesionAI.registration import register_study

FIRST_SEED = 930_000
MISALIGN_MM = (15.0, 5.0)
COLUMNS = ("seed", "lesion", "class", "sequence", "before_mm", "after_mm", "transform", "cpu_s", "wall_s")


def measure(phantom: PhantomStudy, scope: str) -> list[dict[str, object]]:
    """Register a phantom; a row per lesion and sequence."""
    cpu, wall = time.process_time(), time.perf_counter()
    registered = register_study(phantom.study, scope=scope)  # type: ignore[arg-type]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    rows: list[dict[str, object]] = []
    for lesion in phantom.truth.lesions:
        for name, done in registered.sequences.items():
            wanted = np.asarray(lesion.displacement_mm[name])
            transform = registered.study.images[name].transform
            assert transform is not None
            found = np.subtract(transform.TransformPoint(lesion.centre_lps_mm), lesion.centre_lps_mm)
            before, after = np.linalg.norm(wanted), np.linalg.norm(found - wanted)
            row = (phantom.truth.seed, lesion.id, lesion.lesion_class, name)
            numbers = (f"{before:.3f}", f"{after:.3f}", done.transform, f"{cpu:.2f}", f"{wall:.2f}")
            rows.append(dict(zip(COLUMNS, row + numbers, strict=True)))
    return rows


def summary(rows: list[dict[str, str]]) -> str:
    """Figures over all rows."""
    before = np.array([float(row["before_mm"]) for row in rows])
    after = np.array([float(row["after_mm"]) for row in rows])
    seconds = np.array([float(row["cpu_s"]) for row in {row["seed"]: row for row in rows}.values()])
    lesions = len({(row["seed"], row["lesion"]) for row in rows})
    worse = np.count_nonzero(after > np.maximum(before + 1, 3))
    lines = [
        f"{len(seconds)} studies, {lesions} lesions, {len(rows)} errors",
        f"before: median {np.median(before):.2f}, 95th percentile {np.percentile(before, 95):.2f} mm",
        f"after:  median {np.median(after):.2f}, 95th percentile {np.percentile(after, 95):.2f}, "
        f"largest {after.max():.2f} mm; above max(before + 1, 3 mm): {worse}",
        f"CPU seconds per study: median {np.median(seconds):.1f}, largest {seconds.max():.1f}",
    ]
    for name in dict.fromkeys(row["sequence"] for row in rows):
        errors = after[[row["sequence"] == name for row in rows]]
        lines.append(
            f"  {name}: median {np.median(errors):.2f}, 95th percentile {np.percentile(errors, 95):.2f} mm"
        )
    kept = [row["transform"] for row in rows]
    lines.append("kept: " + ", ".join(f"{kind} {kept.count(kind)}" for kind in sorted(set(kept))))
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--scope", choices=("lesion", "volume"), default="lesion")
    arguments = parser.parse_args()
    rows = list(csv.DictReader(arguments.out.open())) if arguments.out.exists() else []
    known = {int(row["seed"]) for row in rows}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.studies):
        if seed in known:
            continue
        found = measure(generate_study(seed, misalign_mm=MISALIGN_MM), arguments.scope)
        with arguments.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(found)
    print(summary(list(csv.DictReader(arguments.out.open()))))


if __name__ == "__main__":
    main()
