"""Fuzzed images: study folders, transforms, scenes; how each is made, changed and read."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from fuzz_mutations import ODD_NAMES, mutated_bytes, mutated_text, mutated_zip, zip_members

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


# --- scenes


def make_scene(folder: Path) -> None:
    from made_studies import bspline, made_result, made_study

    from LiverLesionAI.scenes.show import write_scene

    study = made_study(transform=bspline())
    write_scene(study, made_result(study), folder / "scene.mrb")


def make_loose_scene(folder: Path) -> None:
    """A scene that was saved as files side by side."""
    make_scene(folder)
    packed = folder / "scene.mrb"
    for name, content in zip_members(packed.read_bytes()).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    packed.unlink()


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


def walk_loose_scene(folder: Path, _rng: random.Random) -> None:
    from LiverLesionAI.pipeline import read_study

    read_study(next(iter(sorted(folder.rglob("*.mrml"))), folder / "scene.mrml"))


def load_scenes() -> None:
    from LiverLesionAI import mrml

    mrml.new_scene()
    load_studies()
