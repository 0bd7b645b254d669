"""What is fuzzed: for each kind of input a whole example, how it is changed, and the way that it is read."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_mutations import (
    ODD_NAMES,
    mutate_names,
    mutated_bytes,
    mutated_gzip,
    mutated_json,
    mutated_text,
    mutated_value,
    mutated_zip,
)

OUT, SHELF = "out", "shelf"
"""Where a walk writes, beside its input."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    make
        Writes a whole example into an empty folder.
    mutate
        Changes a copy of it in place.
    walk
        Reads it from the folder, as a front would; raises what the front would have to say.
    load
        Imports what the walk needs, before it is timed.
    seconds
        How long a case may compute.
    share
        How many of the cases of a mixture are of this kind.
    """

    make: Callable[[Path], None]
    mutate: Callable[[Path, random.Random], None]
    walk: Callable[[Path, random.Random], None]
    load: Callable[[], None]
    seconds: int = 60
    share: int = 10


def mutate_file(file: Path, rng: random.Random) -> None:
    """Change a file as its name says what it is."""
    content = file.read_bytes()
    name = file.name.lower()
    if name.endswith(".gz"):
        changed = mutated_gzip(content, rng)
    elif name.endswith(".json"):
        changed = mutated_json(content, rng)
    elif name.endswith((".tfm", ".csv", ".yaml", ".md", ".mrml", ".tsv")):
        changed = mutated_text(content, rng)
    else:
        changed = mutated_bytes(content, rng)
    file.write_bytes(changed)


def _mutate_folder(folder: Path, rng: random.Random) -> None:
    """Change one file or two of a folder, now and then their names."""
    if rng.random() < 0.12:
        mutate_names(folder, rng)
        return
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in rng.sample(files, rng.choice((1, 1, 1, 2))):
        mutate_file(file, rng)


# --- study folders and their transforms


def _make_study(folder: Path) -> None:
    import SimpleITK as sitk
    from made_studies import made_study

    from LiverLesionAI.writers.study_folder import write_study_folder

    study = made_study()
    for _file in write_study_folder(study, folder):
        pass
    sitk.WriteImage(study.images["LAP"].image, str(folder / "LAP.nrrd"), True)
    (folder / "LAP.nii.gz").unlink()
    sitk.WriteImage(study.images["T1WI"].image, str(folder / "T1WI.mha"), False)
    (folder / "T1WI.nii.gz").unlink()
    sitk.WriteImage(study.images["T1WI"].image, str(folder / "DWI.nii"))
    (folder / "acquisition.json").write_text(json.dumps({"T2WI": {"intensity_limits": [0, 300]}}))
    (folder / "clinical.json").write_text(json.dumps({"age": 63, "AFP": 12.5, "cirrhosis": True, "sex": "F"}))
    _make_transform(folder / "transforms")


def _make_transform(folder: Path) -> None:
    import SimpleITK as sitk
    from made_studies import bspline

    folder.mkdir(exist_ok=True)
    sitk.WriteTransform(sitk.Euler3DTransform((1, 2, 3), 0.1, 0.0, 0.05, (2, 0, 1)), str(folder / "LAP.tfm"))
    affine = sitk.AffineTransform(3)
    affine.SetTranslation((3, -2, 1))
    sitk.WriteTransform(sitk.CompositeTransform([affine, bspline()]), str(folder / "DWI.tfm"))
    sitk.WriteTransform(sitk.VersorRigid3DTransform((0, 0, 1), 0.1), str(folder / "T1WI.tfm"))


def _walk_study(folder: Path, rng: random.Random) -> None:
    from LiverLesionAI.bundles import load_bundle
    from LiverLesionAI.inference.units import cut_units
    from LiverLesionAI.options import RegisterOptions
    from LiverLesionAI.pipeline import read_study, register_path

    way = rng.random()
    if way < 0.03:
        _classify(folder)
        return
    if way < 0.05:
        register_path(folder, folder.parent / OUT, RegisterOptions(transform="rigid"))
        return
    study = read_study(folder)
    if study.lesions is not None and rng.random() < 0.3:
        cut_units(study, load_bundle(_bundle_beside(folder)))


def _classify(folder: Path) -> None:
    from LiverLesionAI.options import Options
    from LiverLesionAI.pipeline import classify_path

    options = Options(model=str(_bundle_beside(folder)), register=False, explain=False)
    classify_path(folder, folder.parent / OUT, options)


def _bundle_beside(folder: Path) -> Path:
    """The small bundle that the pool made once."""
    return Path(os.environ["FUZZ_BUNDLE"])


def _walk_transforms(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.errors import LiverLesionError
    from LiverLesionAI.finite import checked_transform
    from LiverLesionAI.readers.transforms import read_transform

    refused = None
    for file in sorted(folder.iterdir()):
        try:
            transform = checked_transform(read_transform(file), str(file))
            transform.TransformPoint((1.0, 2.0, 3.0))
            list(transform.GetParameters())
        except LiverLesionError as error:
            refused = error
    if refused is not None:
        raise refused


def _load_studies() -> None:
    import matplotlib.pyplot

    import LiverLesionAI.inference.classifier
    import LiverLesionAI.inference.units
    import LiverLesionAI.networks.resnet3d
    import LiverLesionAI.networks.weights
    import LiverLesionAI.outputs
    import LiverLesionAI.pipeline
    import LiverLesionAI.readers.dicom.study
    import LiverLesionAI.registration
    import LiverLesionAI.scenes.file
    import LiverLesionAI.systems.wang2021
    import LiverLesionAI.writers.figures
    import LiverLesionAI.writers.report
    import LiverLesionAI.writers.study_folder  # noqa: F401

    assert matplotlib.pyplot


# --- DICOM


def _make_dicom(folder: Path) -> None:
    from dataclasses import replace

    import made_dicom
    import numpy as np
    from made_studies import filled, made_result

    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.writers.dicom import write_dicom

    made_dicom.write_study(folder)
    made_dicom.save(made_dicom.slices(made_dicom.image(seed=8), 8, **made_dicom.T2), folder / "again")
    study = read_study(folder)
    image = study.images[study.reference].image
    voxels = np.zeros(image.GetSize()[::-1], np.uint16)
    voxels[1:3, 3:7, 3:8], voxels[3:5, 7:11, 9:14] = 1, 2
    outlined = replace(study, lesions=filled(image, voxels))
    write_dicom(outlined, made_result(outlined), folder)


def _mutate_dicom(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.4:
        _mutate_folder(folder, rng)
        return
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    some = rng.sample(files, rng.choice((1, 3, len(files))))
    change = _element_change(rng)
    for file in some:
        _change_elements(file, change)


def _element_change(rng: random.Random) -> Callable[[Any], None]:
    """A change of one element, the same for every object that it is made to."""
    position, what, extra = rng.random(), rng.randrange(5), rng.randbytes(8)
    kind = rng.choice(("SQ", "OB", "UN", "DS", "IS", "US", "FD", "UI", "LO", "DA", "TM", "CS", "AT"))
    values = (b"", b"\\", b"nan", b"inf", b"-1", b"1e999", b"9" * 40, b"1\\2\\3", bytes(8), extra, b"\xe9")
    value = rng.choice(values)

    def change(dataset: Any) -> None:
        from pydicom.dataelem import RawDataElement

        tags = [tag for tag in dataset.keys() if tag.group > 2]  # noqa: SIM118
        tag = tags[int(position * len(tags))]
        if what == 0:
            del dataset[tag]
        elif what == 1:
            padded = value + b" " * (len(value) % 2)
            own = dataset.get_item(tag).VR
            dataset._dict[tag] = RawDataElement(tag, own, len(padded), padded, 0, False, True)
        elif what == 2:
            raw = dataset.get_item(tag)
            content = raw.value if isinstance(raw.value, bytes) else b""
            dataset._dict[tag] = RawDataElement(tag, kind, len(content), content, 0, False, True)
        else:
            other = tags[int(position * 7919) % len(tags)]
            raw = dataset.get_item(other)
            dataset._dict[tag] = raw._replace(tag=tag) if isinstance(raw, RawDataElement) else raw

    return change


def _change_elements(file: Path, change: Callable[[Any], None]) -> None:
    import pydicom

    dataset = pydicom.dcmread(file)
    change(dataset)
    try:
        dataset.save_as(file, enforce_file_format=False)
    except Exception:  # pydicom does not write every damage; the file stays whole then
        return


def _walk_dicom(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.readers.dicom.identify import identify

    for item in identify(folder):
        json.dumps(item.row(), allow_nan=False)
    read_study(folder)


def _load_dicom() -> None:
    import highdicom  # noqa: F401
    import pydicom.pixels  # noqa: F401

    _load_studies()


# --- scenes


def _make_scene(folder: Path) -> None:
    from made_studies import bspline, made_result, made_study

    from LiverLesionAI.scenes.show import write_scene

    study = made_study(transform=bspline())
    write_scene(study, made_result(study), folder / "scene.mrb")


def _mutate_scene(folder: Path, rng: random.Random) -> None:
    file = folder / "scene.mrb"
    inner = {".mrml": mutated_text, ".csv": mutated_text, ".tsv": mutated_text}

    def change(name: str, content: bytes) -> bytes:
        return inner.get(Path(name).suffix, mutated_bytes)(content, rng)

    file.write_bytes(mutated_zip(file.read_bytes(), rng, change))
    if rng.random() < 0.1:
        file.rename(file.with_name(f"{rng.choice(ODD_NAMES)}.mrb"))


def _walk_scene(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study

    (scene,) = folder.iterdir()
    read_study(scene)


def _load_scenes() -> None:
    from LiverLesionAI import mrml

    mrml.new_scene()
    _load_studies()


# --- bundles


def _make_bundle(folder: Path) -> None:
    from tiny_bundles import tiny_bundle

    tiny_bundle(folder / "tiny")


def _mutate_bundle(folder: Path, rng: random.Random) -> None:
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
        _mutate_folder(folder / "tiny", rng)
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


def _walk_bundle(folder: Path, _rng: random.Random) -> None:
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


def _load_bundles() -> None:
    import torch

    import LiverLesionAI.bundles.install
    import LiverLesionAI.inference.classifier
    import LiverLesionAI.networks.resnet3d
    import LiverLesionAI.networks.weights  # noqa: F401

    torch.empty(1, device="meta").normal_()


# --- configurations and cohorts


def _make_config(folder: Path) -> None:
    import yaml
    from made_training import settings, write_study

    write_study(folder / "S1", 1, 1)
    rows = ["study_id,path,patient_id,lesion,truth,clinical_age,group_site", "S1,S1,P1,1,HCC,63,a"]
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    content = settings(Path("cohort.csv"), augmentation={"gain": 1.1})
    (folder / "config.yaml").write_text(yaml.safe_dump(content))


def _mutate_config(folder: Path, rng: random.Random) -> None:
    import yaml

    file = folder / rng.choice(("config.yaml", "config.yaml", "cohort.csv"))
    if file.suffix == ".csv" or rng.random() < 0.5:
        file.write_bytes(mutated_text(file.read_bytes(), rng))
        return
    content = mutated_value(yaml.safe_load(file.read_text()), rng)
    try:
        file.write_text(yaml.safe_dump(content), encoding="utf-8", errors="replace")
    except RecursionError:
        file.write_text("[" * 3000)


def _walk_config(folder: Path, _rng: random.Random) -> None:
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


def _load_training() -> None:

    _load_studies()
    _load_bundles()


# --- requests to the worker


def _make_worker(folder: Path) -> None:
    from made_studies import made_study

    from LiverLesionAI.worker.exchange import send_study

    send_study(made_study(), folder / "study")


def _mutate_worker(folder: Path, rng: random.Random) -> None:
    study, out = str(folder / "study"), str(folder.parent / OUT)
    model = os.environ["FUZZ_BUNDLE"]
    results = json.loads(Path(os.environ["FUZZ_RESULTS"]).read_text())
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
        _mutate_folder(folder / "study", rng)
    (folder / "requests").write_text("\n".join(" ".join(line.split("\n")) for line in lines) + "\n")


def _walk_worker(folder: Path, _rng: random.Random) -> None:
    import io

    from LiverLesionAI.worker import protocol
    from LiverLesionAI.worker.server import _Server

    lines = (folder / "requests").read_text().splitlines()
    answers = io.StringIO()
    shutdown = protocol.request_line(protocol.Request(10**6, "shutdown"))
    _Server(answers).run([*lines, protocol.request_line(protocol.Request(10**7, "ping")), shutdown])
    events = [protocol.parse_event(line) for line in answers.getvalue().splitlines()]
    for event in events:
        if isinstance(event, protocol.Failed) and event.kind == protocol.FAULT:
            raise AssertionError(event.message)
    ended = [event for event in events if isinstance(event, protocol.Done | protocol.Failed)]
    wanted = sum(1 for line in lines if line.strip()) + 2
    if len(ended) != wanted:
        raise AssertionError(f"{wanted} requests, {len(ended)} answers")


def _load_worker() -> None:
    import LiverLesionAI.explanation.explain
    import LiverLesionAI.one_click
    import LiverLesionAI.worker.server  # noqa: F401

    _load_dicom()
    _load_bundles()


KINDS: dict[str, Kind] = {
    "study": Kind(_make_study, _mutate_folder, _walk_study, _load_studies, share=25),
    "transform": Kind(_make_transform, _mutate_folder, _walk_transforms, _load_studies, share=15),
    "dicom": Kind(_make_dicom, _mutate_dicom, _walk_dicom, _load_dicom, share=18),
    "scene": Kind(_make_scene, _mutate_scene, _walk_scene, _load_scenes, share=12),
    "bundle": Kind(_make_bundle, _mutate_bundle, _walk_bundle, _load_bundles, share=10),
    "config": Kind(_make_config, _mutate_config, _walk_config, _load_training, share=12),
    "worker": Kind(_make_worker, _mutate_worker, _walk_worker, _load_worker, share=8),
}
