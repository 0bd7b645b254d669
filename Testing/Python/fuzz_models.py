"""Fuzzed models and what they are asked: bundles, configurations, requests to the worker."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from fuzz_dicom import load_dicom
from fuzz_images import OUT, SHELF, load_studies
from fuzz_mutations import (
    mutate_folder,
    mutated_bytes,
    mutated_json,
    mutated_text,
    mutated_value,
    mutated_zip,
)

# --- bundles


def make_bundle(folder: Path) -> None:
    from tiny_bundles import tiny_bundle

    tiny_bundle(folder / "tiny")


def mutate_bundle(folder: Path, rng: random.Random) -> None:
    import shutil

    if rng.random() < 0.4:
        packed = Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "tiny"))
        inner = {".json": mutated_json, ".md": mutated_text}
        packed.write_bytes(
            mutated_zip(
                packed.read_bytes(), rng, lambda name, b: inner.get(Path(name).suffix, mutated_bytes)(b, rng)
            )
        )
        return
    metadata = folder / "tiny" / "configs" / "metadata.json"
    if rng.random() < 0.5:
        metadata.write_bytes(mutated_json(metadata.read_bytes(), rng))
    else:
        mutate_folder(folder / "tiny", rng)
    if rng.random() < 0.5:
        _list_files(folder / "tiny")


def _list_files(bundle: Path) -> None:
    """Put the true hashes into the metadata, as a careful attacker would."""
    from LiverLesionAI.manifest import sha256_of

    metadata = bundle / "configs" / "metadata.json"
    if not metadata.is_file():
        return
    try:
        content = json.loads(metadata.read_bytes())
        files = content["liver_lesion"]["files"]
        for name in files:
            if not (bundle / name).is_symlink():
                files[name] = sha256_of(bundle / name)
        metadata.write_text(json.dumps(content))
    except (ValueError, TypeError, KeyError, OSError):
        return


def walk_bundle(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.bundles import list_bundles, load_bundle, model_card_of
    from LiverLesionAI.bundles.install import add_bundle
    from LiverLesionAI.inference import Classifier

    os.environ["LIVERLESIONAI_BUNDLES"] = str(folder.parent / SHELF)
    packed = folder / "packed.zip"
    source = packed if packed.exists() else folder / "tiny"
    list_bundles()
    if source.is_dir():
        model_card_of(load_bundle(source))
    added = add_bundle(source)
    classifier = Classifier(added, device="cpu", precision="fp32")
    for member in range(added.member_count):
        classifier.network(member)


def load_bundles() -> None:
    import torch

    import LiverLesionAI.bundles.install
    import LiverLesionAI.inference.classifier
    import LiverLesionAI.networks.resnet3d
    import LiverLesionAI.networks.weights  # noqa: F401

    torch.empty(1, device="meta").normal_()


# --- configurations and cohorts


def make_config(folder: Path) -> None:
    import yaml
    from made_training import settings, write_study

    write_study(folder / "S1", 1, 1)
    rows = ["study_id,path,patient_id,lesion,truth,clinical_age,group_site", "S1,S1,P1,1,HCC,63,a"]
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    content = settings(Path("cohort.csv"), augmentation={"gain": 1.1})
    (folder / "config.yaml").write_text(yaml.safe_dump(content))


def mutate_config(folder: Path, rng: random.Random) -> None:
    import yaml

    file = folder / rng.choice(("config.yaml", "config.yaml", "cohort.csv"))
    if file.suffix == ".csv" or rng.random() < 0.5:
        file.write_bytes(mutated_text(file.read_bytes(), rng))
        return
    content = mutated_value(yaml.safe_load(file.read_text(encoding="utf-8")), rng)
    try:
        file.write_text(yaml.safe_dump(content), encoding="utf-8", errors="replace")
    except RecursionError:
        file.write_text("[" * 3000)


def walk_config(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.training.cache import _cache_study, by_study, cache_name
    from LiverLesionAI.training.cases import training_cases
    from LiverLesionAI.training.config import read_config
    from LiverLesionAI.training.start import starting_bundle

    config = read_config(folder / "config.yaml")
    config.to_yaml()
    starting_bundle(config)
    cache_name(config)
    cases = training_cases(config)
    patches = folder.parent / SHELF
    patches.mkdir()
    if config.cohort is not None and config.variants.count < 5:
        _cache_study(by_study(cases)[0], config, patches)


def load_training() -> None:

    load_studies()
    load_bundles()


# --- requests to the worker


def make_worker(folder: Path) -> None:
    from made_studies import made_study

    from LiverLesionAI.worker.exchange import send_study

    send_study(made_study(), folder / "study")


def mutate_worker(folder: Path, rng: random.Random) -> None:
    study, out = str(folder / "study"), str(folder.parent / OUT)
    model = os.environ["FUZZ_BUNDLE"]
    results = json.loads(Path(os.environ["FUZZ_RESULTS"]).read_text(encoding="utf-8"))
    requests: list[dict[str, Any]] = [
        {"command": "load", "arguments": {"model": model}},
        {"command": "classify", "arguments": {"study": study, "model": model, "device": "cpu"}},
        {"command": "identify", "arguments": {"path": study}},
        {
            "command": "segment",
            "arguments": {"study": study, "point_lps_mm": [-30, -10, 8], "out": f"{out}/mask.nrrd"},
        },
        {"command": "explain", "arguments": {"study": study, "results": results, "out": out}},
        {"command": "save", "arguments": {"study": study, "results": results, "out": f"{out}/saved"}},
        {"command": "cancel", "arguments": {"id": 1}},
        {"command": "ping", "arguments": {}},
    ]
    lines = []
    for number, request in enumerate(rng.sample(requests, 2), start=1):
        request["id"] = number
        line = json.dumps(mutated_value(request, rng))
        lines.append(mutated_text(line.encode(), rng).decode("latin-1") if rng.random() < 0.15 else line)
    if rng.random() < 0.3:
        mutate_folder(folder / "study", rng)
    (folder / "requests").write_text("\n".join(" ".join(line.split("\n")) for line in lines) + "\n")


def walk_worker(folder: Path, _rng: random.Random) -> None:
    import io

    from LiverLesionAI.worker import protocol
    from LiverLesionAI.worker.commands import COMMANDS
    from LiverLesionAI.worker.server import _Server
    from LiverLesionAI.worker.state import WorkerState

    lines = (folder / "requests").read_text(encoding="utf-8").splitlines()
    answers = io.StringIO()
    shutdown = protocol.request_line(protocol.Request(10**6, "shutdown"))
    _Server(answers, COMMANDS, WorkerState()).run(
        [*lines, protocol.request_line(protocol.Request(10**7, "ping")), shutdown]
    )
    events = [protocol.parse_event(line) for line in answers.getvalue().splitlines()]
    for event in events:
        if isinstance(event, protocol.Failed) and event.kind == protocol.FAULT:
            raise AssertionError(event.message)
    ended = [event for event in events if isinstance(event, protocol.Done | protocol.Failed)]
    wanted = sum(1 for line in lines if line.strip()) + 2
    if len(ended) != wanted:
        raise AssertionError(f"{wanted} requests, {len(ended)} answers")


def load_worker() -> None:
    import LiverLesionAI.explanation.explain
    import LiverLesionAI.one_click
    import LiverLesionAI.worker.server  # noqa: F401

    load_dicom()
    load_bundles()
