"""The reserved phantoms of Zhen's system, cut once: what its models read of each patient, on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.study import ClinicalValue
from LiverLesionAI.taxonomy import TAXONOMIES

FIRST_SEED = 909_000
"""Those from 901000 were seen while models were trained on; nothing was decided on these."""
MISALIGN_MM = (2.0, 1.0)
ATYPICAL_EVERY = 4
Z7 = TAXONOMIES["Z7"]


@dataclass(frozen=True)
class Patient:
    """One reserved phantom, a lesion each.

    Attributes
    ----------
    seed, truth, atypical
        What it is.
    """

    seed: int
    truth: str
    atypical: bool


@dataclass(frozen=True)
class Cut:
    """What models read of a patient.

    Attributes
    ----------
    patient
        The patient.
    groups
        The cross-sections, on six sequences, with clinical data.
    """

    patient: Patient
    groups: tuple[SliceGroup, ...]

    @property
    def clinical(self) -> dict[str, ClinicalValue]:
        """The patient's clinical data."""
        return dict(self.groups[0].known_of_patient)


def patients(per_class: int, further_malignant: int = 0) -> list[Patient]:
    """The classes in turn, then the malignant ones; every fourth of a class is atypical."""
    first = _in_turn(FIRST_SEED, Z7.names, per_class)
    return first + _in_turn(FIRST_SEED + len(first), TAXONOMIES["Z3"].names, further_malignant)


def _in_turn(seed: int, names: Sequence[str], per_class: int) -> list[Patient]:
    return [
        Patient(seed + i, names[i % len(names)], (i // len(names)) % ATYPICAL_EVERY == 0)
        for i in range(per_class * len(names))
    ]


def cut_patients(everyone: list[Patient], bundle: Bundle, folder: Path, jobs: int | None) -> Iterator[Cut]:
    """Make each phantom and cut it as the bundle reads it, unless it lies in the folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    work = [(each, bundle, folder) for each in everyone]
    with ProcessPoolExecutor(jobs or os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        for each in pool.map(_keep, work):
            yield read_cut(each, bundle, folder)


def read_cut(patient: Patient, bundle: Bundle, folder: Path) -> Cut:
    """Read what :func:`cut_patients` kept."""
    import pickle

    with (folder / f"{patient.seed}.pickle").open("rb") as file:
        return Cut(patient, pickle.load(file))


def _keep(work: tuple[Patient, Bundle, Path]) -> Patient:
    import pickle

    from LiverLesionAI.phantom import generate_lesion

    patient, bundle, folder = work
    file = folder / f"{patient.seed}.pickle"
    if file.is_file():
        return patient
    study = generate_lesion(
        patient.seed,
        patient.truth,
        atypical=patient.atypical,
        misalign_mm=MISALIGN_MM,
        sequences=bundle.spec.sequences,
    ).study
    groups = bundle.system.inputs(bundle.system.prepared(study, bundle.spec), None, bundle.spec)
    partial = file.with_suffix(".part")
    partial.write_bytes(pickle.dumps(groups))
    partial.replace(file)
    return patient


def _one_thread() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def seeded(values: int, seed: int) -> np.ndarray:
    """A permutation without fixed points, for the trap of exchanged clinical data."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(values)
        if not np.any(order == np.arange(values)):
            return order
