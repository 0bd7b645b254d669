"""The reserved phantoms of Kim's system, made once: the series, its lesions and its tissues, on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.phantom import generate_study
from LiverLesionAI.phantom.anatomy import LABELS
from LiverLesionAI.study import SequenceImage, Study

FIRST_SEED = 903_000
ATYPICAL_EVERY = 4
UNSEEN = ("cyst", "haemangioma", "metastasis")
"""Classes that the network never learned from."""
NO_LESION = "none"


@dataclass(frozen=True)
class Patient:
    """One reserved phantom: its seed, the class of its lesions, whether these are atypical."""

    seed: int
    truth: str
    atypical: bool


@dataclass(frozen=True)
class Case:
    """A phantom as it lies on disk.

    Attributes
    ----------
    patient
        Which one.
    study
        The hepatobiliary phase alone.
    lesions
        Lesion numbers ``[z, y, x]`` on the grid of the series; 0 where there is none.
    tissues
        Index into the phantom's labels at the same places; one beyond the last is a lesion.
    """

    patient: Patient
    study: Study
    lesions: np.ndarray
    tissues: np.ndarray


def patients(hcc: int, none: int, others: int) -> list[Patient]:
    """Patients with HCC, without lesions, and with each of :data:`UNSEEN`; every fourth is atypical."""
    truths = ["HCC"] * hcc + [NO_LESION] * none + [name for name in UNSEEN for _ in range(others)]
    return [Patient(FIRST_SEED + i, truth, i % ATYPICAL_EVERY == 0) for i, truth in enumerate(truths)]


def cases(everyone: Sequence[Patient], folder: Path, jobs: int | None) -> Iterator[Case]:
    """Make each phantom, unless it lies in the folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs or os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        for patient, file in zip(
            everyone, pool.map(_keep, [(each, folder) for each in everyone]), strict=True
        ):
            yield read_case(patient, file)


def read_case(patient: Patient, file: Path) -> Case:
    """Read a phantom back."""
    with np.load(file) as kept:
        image = sitk.GetImageFromArray(kept["image"])
        image.SetOrigin(kept["origin"].tolist())
        image.SetSpacing(kept["spacing"].tolist())
        study = Study(f"phantom-{patient.seed}", "reserved", {"HBP": SequenceImage(image)}, reference="HBP")
        return Case(patient, study, kept["lesions"], kept["tissues"])


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _keep(work: tuple[Patient, Path]) -> Path:
    patient, folder = work
    file = folder / f"{patient.seed}_{patient.truth}.npz"
    if file.exists():
        return file
    made = generate_study(
        patient.seed,
        classes=() if patient.truth == NO_LESION else (patient.truth,),
        atypical=patient.atypical,
        sequences=("HBP",),
        reference="HBP",
    )
    image = made.study.images["HBP"].image
    shape = image.GetSize()[::-1]
    lesions = np.zeros(shape, np.uint8)
    if made.study.lesions is not None:
        lesions = sitk.GetArrayFromImage(made.study.lesions).astype(np.uint8)
    scene, grid = made.truth.scene, made.truth.grids["HBP"]
    x, y, z = (
        np.clip(np.rint((axis.ravel() - low) / step).astype(int), 0, size - 1)
        for axis, low, step, size in zip(
            grid.axes(), scene.grid.origin, scene.grid.spacing, scene.grid.size, strict=True
        )
    )
    tissues = np.minimum(scene.labels[np.ix_(z, y, x)], len(LABELS)).astype(np.uint8)
    partial = file.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        image=sitk.GetArrayFromImage(image),
        origin=image.GetOrigin(),
        spacing=image.GetSpacing(),
        lesions=lesions,
        tissues=tissues,
    )
    partial.rename(file)
    return file


def main() -> None:
    """Make the phantoms and stop."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hcc", type=int, default=36)
    parser.add_argument("--none", type=int, default=18)
    parser.add_argument("--others", type=int, default=8)
    parser.add_argument("--jobs", type=int)
    arguments = parser.parse_args()
    everyone = patients(arguments.hcc, arguments.none, arguments.others)
    for done, _ in enumerate(cases(everyone, arguments.out, arguments.jobs), start=1):
        print(f"{done} of {len(everyone)}", flush=True)


if __name__ == "__main__":
    main()
