"""A cohort looked at before it is trained on: what would spoil a training without anybody noticing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.cohort import CohortRow, read_rows
from LiverLesionAI.errors import LiverLesionError
from LiverLesionAI.geometry import covers_lesion, lesion_geometry
from LiverLesionAI.progress import Progress, silent
from LiverLesionAI.study import Study, labels_in
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.cases import TrainingCase, by_study, open_study, training_cases
from LiverLesionAI.training.config import TrainingConfig

Kind = Literal["splits", "class", "unreadable", "twice", "outline"]

REFUSED: frozenset[Kind] = frozenset({"splits", "twice"})
"""What makes the figures of a training false, so that it must not begin."""

_SHELL_MM = 6.0
_FAINTEST = 0.25
"""A lesion whose mean lies less than so many spreads of its surroundings from theirs is not seen."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a cohort.

    Attributes
    ----------
    kind
        ``"splits"``: a patient in two of them; ``"class"``: one without a lesion; ``"unreadable"``: a study,
        or a lesion in it; ``"twice"``: the same voxels under two names; ``"outline"``: one that misses its
        lesion.
    words
        What and where, in a sentence.
    """

    kind: Kind
    words: str


def check_cohort(config: TrainingConfig, progress: Progress = silent) -> tuple[Problem, ...]:
    """Look at every study of a cohort once.

    Parameters
    ----------
    config
        Of a training on a cohort; a training on phantoms has nothing to be checked.
    progress
        Told how many studies are done; may cancel by raising.

    Raises
    ------
    ConfigError
        If the cohort's table cannot be used.
    """
    if config.cohort is None:
        return ()
    rows = read_rows(config.cohort)
    cases = training_cases(config)
    found = [*_splits(rows), *_classes(cases, config)]
    known: dict[str, tuple[str, str, str]] = {}
    groups = by_study(cases)
    for number, group in enumerate(groups):
        progress("check the cohort", number / len(groups))
        name = str(group[0].source)
        try:
            study = open_study(group[0], config)
        except LiverLesionError as error:
            found.append(Problem("unreadable", f"{name}: {error}"))
            continue
        wanted = {each: study.images[each].image for each in config.sequences if each in study.images}
        found += _same_images(wanted, name, group[0].patient, known)
        found += _outlines(study, group, config)
    progress("check the cohort", 1.0)
    return tuple(found)


def _splits(rows: Sequence[CohortRow]) -> Iterator[Problem]:
    """Patients in several parts of the cohort."""
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        parts[row.patient].add(row.split)
    for patient, names in parts.items():
        if len(names) > 1:
            told = ", ".join(sorted(name or "none" for name in names))
            yield Problem("splits", f"Patient {patient} is in several splits ({told}); leave one.")


def _classes(cases: Sequence[TrainingCase], config: TrainingConfig) -> Iterator[Problem]:
    counts = Counter(case.truth for case in cases)
    for name in TAXONOMIES[config.recipe.truths].names:
        if not counts[name]:
            yield Problem("class", f"Class {name} has no case; the network will never name it.")


def _same_images(
    images: Mapping[str, sitk.Image], name: str, patient: str, known: dict[str, tuple[str, str, str]]
) -> Iterator[Problem]:
    """Images whose voxels another study has, or another sequence of this one."""
    for sequence, image in images.items():
        here = (name, sequence, patient)
        other, its_sequence, whose = known.setdefault(_voxels_sha256(image), here)
        if (other, its_sequence) == (name, sequence):
            continue
        words = "of the same patient" if whose == patient else "of another patient"
        yield Problem(
            "twice",
            f"{name}: {sequence} has the voxels of {its_sequence} in {other}, {words}; remove one of them.",
        )


def _voxels_sha256(image: sitk.Image) -> str:
    """SHA-256 of voxels alone: a copy with another header is the same image."""
    voxels = sitk.GetArrayViewFromImage(image)
    digest = hashlib.sha256(repr((voxels.shape, voxels.dtype.str)).encode())
    digest.update(voxels.tobytes())
    return digest.hexdigest()


def _outlines(study: Study, cases: Sequence[TrainingCase], config: TrainingConfig) -> Iterator[Problem]:
    for case in cases:
        if case.lesion is None:
            continue
        if study.lesions is None or case.lesion not in study.lesion_ids:
            yield Problem("unreadable", f"{case.source}: its mask has no lesion {case.lesion}.")
            continue
        yield from _missed(study, case, config)


def _missed(study: Study, case: TrainingCase, config: TrainingConfig) -> Iterator[Problem]:
    assert case.lesion is not None
    where = f"{case.source}, lesion {case.lesion}"
    lesions = study.outlined_lesions
    geometry = lesion_geometry(lesions, case.lesion)
    wanted = [name for name in config.sequences if name in study.images]
    seen = [name for name in wanted if covers_lesion(study.images[name], lesions, geometry)]
    for name in wanted:
        if name not in seen:
            yield Problem("outline", f"{where}: it lies outside {name}; check mask and registration.")
    for name, image in study.outlines.items():
        if case.lesion not in labels_in(image):
            continue
        transform = study.images[name].transform or sitk.Transform(3, sitk.sitkIdentity)
        expected = transform.TransformPoint(geometry.centroid_lps_mm)
        own = lesion_geometry(image, case.lesion).centroid_lps_mm
        distance = float(np.linalg.norm(np.subtract(own, expected)))
        if distance > geometry.diameter_mm:
            words = f"its outline on {name} lies {distance:.0f} mm from where it should; check it."
            yield Problem("outline", f"{where}: {words}")
    if seen and max(_contrast(study, name, case.lesion) for name in seen) < _FAINTEST:
        yield Problem("outline", f"{where}: no sequence shows anything inside the outline; check its place.")


def _contrast(study: Study, name: str, lesion: int) -> float:
    """How far a lesion's mean lies from that of a shell around it, in the shell's spreads."""
    sequence = study.images[name]
    transform = sequence.transform or sitk.Transform(3, sitk.sitkIdentity)
    lesions = study.outlines.get(name)
    if lesions is None:
        lesions = study.outlined_lesions
        image = sitk.Resample(sequence.image, lesions, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    else:
        image = sitk.Resample(
            sequence.image, lesions, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
        )
    inside = lesions == lesion
    distance = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(inside, squaredDistance=False, useImageSpacing=True)
    )
    voxels = sitk.GetArrayViewFromImage(image)
    shell = voxels[(distance > 0) & (distance <= _SHELL_MM)]
    core = voxels[distance <= 0]
    if not len(shell) or shell.std() == 0:
        return 0.0
    return float(abs(core.mean() - shell.mean()) / shell.std())
