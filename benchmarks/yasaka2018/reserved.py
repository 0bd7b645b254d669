"""The reserved phantoms of Yasaka's system, cut once for all of its models."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from LiverLesionAI.inference import UnitInputs
from LiverLesionAI.inputs.ct_slices import CTSliceParameters, extract_largest_slice
from LiverLesionAI.inputs.slice_groups import SliceGroup
from LiverLesionAI.inputs.slices import LesionSlices
from LiverLesionAI.systems.yasaka2018 import PHASES
from LiverLesionAI.taxonomy import TAXONOMIES

FIRST_SEED = 902_000
MISALIGN_MM = (2.0, 1.0)
ATYPICAL_EVERY = 4
Y5 = TAXONOMIES["Y5"]


@dataclass(frozen=True)
class Lesion:
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
    """A lesion and what models read of it, on three phases."""

    lesion: Lesion
    variant: str
    slices: LesionSlices

    def unit(self, phases: Sequence[str]) -> UnitInputs:
        """What a model of some phases reads."""
        channels = [PHASES.index(name) for name in phases]
        slices = replace(
            self.slices,
            sequences=tuple(phases),
            images=self.slices.images[:, channels],
            present=tuple(self.slices.present[i] for i in channels),
        )
        return UnitInputs(1, (SliceGroup(slices, 0, "lesion 1"),))


def lesions(per_category: int) -> list[Lesion]:
    """The categories in turn; every fourth of a category is atypical."""
    names = Y5.names
    return [
        Lesion(FIRST_SEED + i, names[i % len(names)], (i // len(names)) % ATYPICAL_EVERY == 0)
        for i in range(per_category * len(names))
    ]


def cut_lesions(
    everyone: Sequence[Lesion], patches: CTSliceParameters, folder: Path, jobs: int | None
) -> list[Cut]:
    """Make each phantom and cut it, unless it lies in the folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    work = [(each, patches, folder) for each in everyone]
    with ProcessPoolExecutor(jobs or os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        return list(pool.map(_cut, work))


def _cut(work: tuple[Lesion, CTSliceParameters, Path]) -> Cut:
    from LiverLesionAI.phantom import generate_lesion

    lesion, patches, folder = work
    file = folder / f"{lesion.seed}.pickle"
    if not file.is_file():
        phantom = generate_lesion(
            lesion.seed, lesion.truth, atypical=lesion.atypical, misalign_mm=MISALIGN_MM, sequences=PHASES
        )
        (slices,) = extract_largest_slice(phantom.study, 1, PHASES, patches)
        partial = file.with_suffix(".part")
        partial.write_bytes(pickle.dumps(Cut(lesion, phantom.truth.lesions[0].variant, slices)))
        partial.replace(file)
    found: Cut = pickle.loads(file.read_bytes())
    return found


def _one_thread() -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
