"""The paper's comparisons, tiny: regularisation, activation, optimiser, kernel size, other networks.

    python benchmarks/kim2020/compare.py --out runs/kim2020-compare [--phantoms 24] [--size 96] [--epochs 3]
        [--only plain,kernel_3,resnet50]

Every row is a configuration of ``liverlesionai train`` that differs from the first in one thing (Tables 1 to
3, Fig. 1 and Table 8 of Kim et al. 2020), on the same few phantoms (tuning seeds from 851000), trained once
with one seed. It shows that the comparisons run; with a budget this small their order says nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from LiverLesionAI.training.train import train

FIRST_SEED = 851_000
ROWS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "norm_and_dropout_0.1": {"network": {"dropout": 0.1}},
    "dropout_0.1": {"network": {"dropout": 0.1, "batch_norm": False}},
    "dropout_0.5": {"network": {"dropout": 0.5, "batch_norm": False}},
    "leaky_relu": {"network": {"activation": "leaky_relu"}},
    "prelu": {"network": {"activation": "prelu"}},
    "elu": {"network": {"activation": "elu"}},
    "adagrad": {"optimisation": {"optimiser": "adagrad"}},
    "rmsprop": {"optimisation": {"optimiser": "rmsprop"}},
    "sgd": {"optimisation": {"optimiser": "sgd"}},
    **{f"kernel_{side}": {"network": {"kernel": side}} for side in range(3, 8)},
    "resnet50": {"network": {"architecture": "resnet50"}},
    "alexnet": {"network": {"architecture": "alexnet"}},
    "vgg16": {"network": {"architecture": "vgg16"}},
    "inception_resnet_v2": {"network": {"architecture": "inception_resnet_v2"}},
}
_STAGES = [[8], [16], [32, 32, 48, 48]]


def configuration(name: str, phantoms: int, size: int, epochs: int) -> dict[str, Any]:
    """One row as a training configuration."""
    change = ROWS[name]
    network = dict(change.get("network", {}))
    if "architecture" not in network:
        network["stages"] = _STAGES
    return {
        "name": f"kim2020-{name.replace('.', '-')}",
        "system": "kim2020",
        "seed": 2020,
        "network": network,
        "patches": {"size": size, "training_step": 3, "training_least_mm2": 40.0},
        "phantom": {"first_seed": FIRST_SEED, "lesions": phantoms, "classes": ["HCC", "HCC", "no_HCC"]},
        "augmentation": {"share": 0.25},
        "optimisation": {
            "epochs": epochs,
            "batch_size": 32,
            "optimiser": "adam",
            "learning_rate": 0.001,
            "weight_decay": 0.0,
            "schedule": "step",
            "step_factor": 1.0,
            "class_weights": "balanced",
            **change.get("optimisation", {}),
        },
        "fold_count": 3,
        "folds": [0],
    }


def best_epoch(run: Path) -> dict[str, str]:
    """The epoch of the lowest validation loss."""
    with (run / "folds" / "fold_0" / "epochs.csv").open(encoding="utf-8") as file:
        return min(csv.DictReader(file), key=lambda row: float(row["val_loss"]))


def main() -> None:
    """Run the comparisons one after the other; rows that are done already are not run again."""
    import yaml

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phantoms", type=int, default=24)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", help="names of rows, separated by commas")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    asked = arguments.only.split(",") if arguments.only else list(ROWS)
    table = Table("configuration", "best epoch", "validation loss", "accuracy", "seconds")
    for name in asked:
        record = arguments.out / f"{name}.json"
        if not record.exists():
            content = configuration(name, arguments.phantoms, arguments.size, arguments.epochs)
            file = arguments.out / f"{name}.yaml"
            file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
            start = time.perf_counter()
            run = arguments.out / name
            train(file, run, resume=run.exists(), cache_dir=arguments.out / "cache")
            row = best_epoch(run)
            record.write_text(json.dumps({**row, "seconds": time.perf_counter() - start}) + "\n")
        row = json.loads(record.read_text(encoding="utf-8"))
        table.add_row(
            name,
            row["epoch"],
            f"{float(row['val_loss']):.3f}",
            f"{float(row['val_presence_accuracy']):.3f}",
            f"{row['seconds']:.0f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
