"""Fuzzed images: study folders, transforms, DICOM, scenes; how each is made, changed and read."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_mutations import ODD_NAMES, mutate_folder, mutated_bytes, mutated_text, mutated_zip

OUT, SHELF = "out", "shelf"
"""Where a walk writes, beside its input."""


# --- study folders and their transforms


def make_study(folder: Path) -> None:
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
    make_transform(folder / "transforms")


def make_transform(folder: Path) -> None:
    import SimpleITK as sitk
    from made_studies import bspline

    folder.mkdir(exist_ok=True)
    sitk.WriteTransform(sitk.Euler3DTransform((1, 2, 3), 0.1, 0.0, 0.05, (2, 0, 1)), str(folder / "LAP.tfm"))
    affine = sitk.AffineTransform(3)
    affine.SetTranslation((3, -2, 1))
    sitk.WriteTransform(sitk.CompositeTransform([affine, bspline()]), str(folder / "DWI.tfm"))
    sitk.WriteTransform(sitk.VersorRigid3DTransform((0, 0, 1), 0.1), str(folder / "T1WI.tfm"))


def walk_study(folder: Path, rng: random.Random) -> None:
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


def walk_transforms(folder: Path, _rng: random.Random) -> None:
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


def load_studies() -> None:
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


def make_dicom(folder: Path) -> None:
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


def mutate_dicom(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.4:
        mutate_folder(folder, rng)
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


def walk_dicom(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study
    from LiverLesionAI.readers.dicom.identify import identify

    for item in identify(folder):
        json.dumps(item.row(), allow_nan=False)
    read_study(folder)


def load_dicom() -> None:
    import highdicom  # noqa: F401
    import pydicom.pixels  # noqa: F401

    load_studies()


# --- scenes


def make_scene(folder: Path) -> None:
    from made_studies import bspline, made_result, made_study

    from LiverLesionAI.scenes.show import write_scene

    study = made_study(transform=bspline())
    write_scene(study, made_result(study), folder / "scene.mrb")


def mutate_scene(folder: Path, rng: random.Random) -> None:
    file = folder / "scene.mrb"
    inner = {".mrml": mutated_text, ".csv": mutated_text, ".tsv": mutated_text}

    def change(name: str, content: bytes) -> bytes:
        return inner.get(Path(name).suffix, mutated_bytes)(content, rng)

    file.write_bytes(mutated_zip(file.read_bytes(), rng, change))
    if rng.random() < 0.1:
        file.rename(file.with_name(f"{rng.choice(ODD_NAMES)}.mrb"))


def walk_scene(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study

    (scene,) = folder.iterdir()
    read_study(scene)


def load_scenes() -> None:
    from LiverLesionAI import mrml

    mrml.new_scene()
    load_studies()
