"""What the shipped models say of phantoms, kept on disk: each is made once and shown to all of them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import yaml
from unlike import KINDS, MISALIGN_MM

from LiverLesionAI.bundles import Bundle, load_bundle
from LiverLesionAI.bundles.write import TRAINING_CONFIG
from LiverLesionAI.inference import Classifier, UnitInputs
from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.resources import BUNDLES
from LiverLesionAI.sequences import W_SEQUENCES
from LiverLesionAI.study import Study, labels_in
from LiverLesionAI.systems.base import can_label
from LiverLesionAI.systems.yasaka2018 import PHASES
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.calibrate import Seen, see
from LiverLesionAI.training.config import TrainingConfig

CT = "yasaka2018"
MODELS = (
    "wang2021-phantom",
    *(f"zhen2020-{letter}-phantom" for letter in "abcdefg"),
    *(f"{CT}-{phases}-phantom" for phases in ("triphasic", "art-del", "unenhanced", "arterial", "delayed")),
)
CLASSES = tuple(dict.fromkeys((*TAXONOMIES["W7"].names, *TAXONOMIES["Z7"].names)))
"""The nine classes that one of the two systems for MRI knows."""
ATYPICAL_SHARE = 0.25


@dataclass(frozen=True)
class Case:
    """One phantom.

    Attributes
    ----------
    seed, truth
        What it is made of.
    kind
        One of :data:`unlike.KINDS`; empty for a phantom as in training.
    system
        Whose models are asked; empty for all that read MRI.
    """

    seed: int
    truth: str
    kind: str = ""
    system: str = ""

    @property
    def name(self) -> str:
        """Of its file."""
        usual = "ct" if self.system == CT else "phantom"
        return f"{self.kind.replace(' ', '_') or usual}-{self.seed}"

    def study(self) -> Study:
        """Make it."""
        if self.kind:
            return KINDS[self.kind](self.seed, self.truth)
        atypical = bool(np.random.default_rng(self.seed).random() < ATYPICAL_SHARE)
        return generate_lesion(
            self.seed,
            self.truth,
            atypical=atypical,
            misalign_mm=MISALIGN_MM,
            sequences=PHASES if self.system == CT else W_SEQUENCES,
        ).study


def in_turn(first_seed: int, per_class: int, kind: str = "", system: str = "") -> list[Case]:
    """The nine classes in turn, or the five categories of CT."""
    names = TAXONOMIES["Y5"].names if system == CT else CLASSES
    count = per_class * len(names)
    return [Case(first_seed + i, names[i % len(names)], kind, system) for i in range(count)]


def asked(
    cases: Sequence[Case], folder: Path, jobs: int, report: Callable[[str], None] = print
) -> Iterator[tuple[Case, dict[str, Seen]]]:
    """Show phantoms to every model that knows their class, unless that lies in the folder already.

    Returns
    -------
    Iterator
        Each case with model to what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin) as pool:
        for done, case in enumerate(pool.map(_keep, cases, [folder] * len(cases)), start=1):
            if done % 50 == 0:
                report(f"{done} of {len(cases)} phantoms")
            with _file(case, folder).open("rb") as file:
                yield case, pickle.load(file)


def _keep(case: Case, folder: Path) -> Case:
    file = _file(case, folder)
    if not file.is_file():
        study = case.study()
        found = {name: seen(classifier(name), study, case.truth) for name in MODELS if knows(name, case)}
        partial = file.with_suffix(".part")
        partial.write_bytes(pickle.dumps(found))
        partial.replace(file)
    return case


def _file(case: Case, folder: Path) -> Path:
    return folder / f"{case.name}.pickle"


def knows(name: str, case: Case) -> bool:
    """Whether a model reads what a case shows and has its class."""
    bundle = classifier(name).bundle
    truths = TAXONOMIES[bundle.system.recipe.truths]
    in_system = case.system in (bundle.spec.system, "" if bundle.spec.system != CT else CT)
    return (
        in_system
        and case.truth in truths.names
        and all(can_label(truths, case.truth, each) for each in bundle.taxonomies.values())
    )


def seen(classifier: Classifier, study: Study, truth: str) -> Seen:
    """What a model says of a study's first lesion, or of the study."""
    system, spec = classifier.system, classifier.bundle.spec
    lesion = labels_in(study.outlined_lesions)[0] if system.unit == "lesion" else None
    return see(
        classifier, UnitInputs(lesion, system.inputs(system.prepared(study, spec), lesion, spec)), truth
    )


@cache
def classifier(name: str) -> Classifier:
    """A shipped model, kept ready."""
    return Classifier(load_bundle(BUNDLES / name), device="cpu", precision="fp32", keep_loaded=True)


def training_of(bundle: Bundle) -> TrainingConfig:
    """The configuration that a bundle was trained with."""
    text = (bundle.path / TRAINING_CONFIG).read_text(encoding="utf-8")
    return TrainingConfig.model_validate(yaml.safe_load(text))


def _begin() -> None:
    import SimpleITK as sitk
    import torch

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.set_num_threads(1)


def cores() -> int:
    """How many processes make phantoms unless told otherwise."""
    return os.cpu_count() or 1
