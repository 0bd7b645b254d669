"""Train the five models of Yasaka's system, each five times, from one set of phantoms.

    python benchmarks/yasaka2018/train.py --out runs/yasaka2018 [--repeats 5] [--jobs 1] [--models arterial,…]

Each training is one of ``liverlesionai train`` with the model's configuration and another ``repeat``; run
again, what is finished is passed over. The models see the same slices of the same phantoms, so that these are
cut once, for the triphasic model, and the others' caches take their phases out of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
import torch

from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.training.cache import build_cache, cache_name
from LiverLesionAI.training.config import TrainingConfig, read_config
from LiverLesionAI.training.train import train

MODELS = ("triphasic", "art-del", "unenhanced", "arterial", "delayed")
REPEATS = 5


def configuration(model: str) -> TrainingConfig:
    """The configuration of a model."""
    return read_config(BUNDLES / f"yasaka2018-{model}-phantom.yaml")


def run_folder(out: Path, model: str, repeat: int) -> Path:
    """Where a training runs."""
    return out / f"{model}-{repeat}"


def share_cache(whole: TrainingConfig, config: TrainingConfig, folder: Path) -> None:
    """Make the cache of a model of some phases out of that of all."""
    source, target = folder / cache_name(whole), folder / cache_name(config)
    channels = [whole.sequences.index(name) for name in config.sequences]
    target.mkdir(exist_ok=True)
    for file in sorted(source.glob("*.npy")):
        if not (target / file.name).exists():
            np.save(target / file.name, np.load(file)[:, channels])
    for file in sorted(source.glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        present = [[each[i] for i in channels] for each in record["present"]]
        (target / file.name).write_text(json.dumps({**record, "present": present}), encoding="utf-8")


def main() -> None:
    """Run the trainings that are not finished."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--jobs", type=int, help="processes that make phantoms")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    caches = arguments.out / "patches"
    whole = configuration("triphasic")
    build_cache(whole, caches / cache_name(whole), workers=arguments.jobs)
    for model in MODELS[1:]:
        share_cache(whole, configuration(model), caches)
    for repeat in range(arguments.repeats):
        for model in arguments.models.split(","):
            _train_once(configuration(model), run_folder(arguments.out, model, repeat), repeat, caches)


def _train_once(config: TrainingConfig, folder: Path, repeat: int, caches: Path) -> None:
    if (folder / config.name).exists():
        return
    file = folder.with_suffix(".yaml")
    file.write_text(config.model_copy(update={"repeat": repeat}).to_yaml(), encoding="utf-8")
    begun, cost = time.monotonic(), time.process_time()
    if folder.exists() and not (folder / "run.json").exists():
        shutil.rmtree(folder)
    train(file, folder, resume=folder.exists(), cache_dir=caches, in_process=True)
    spent = time.process_time() - cost
    print(f"{folder.name}: {spent:.0f} CPU seconds in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
