"""Reserved phantoms for the proofs: cropped lesions with their sub-regions on the patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.patches import LesionInput, extract_patches, with_intensity_limits
from LiverLesionAI.phantom import generate_lesion
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.training.config import RESERVED_SEEDS

W7 = TAXONOMIES["W7"]
MISALIGN_MM = (2.0, 1.0)
ATYPICAL_EVERY = 4

SIGNS: dict[str, tuple[str, str]] = {
    "haemangioma": ("nodules", "LAP"),
    "FNH": ("scar", "DP"),
    "abscess": ("rim", "LAP"),
    "HCC": ("capsule", "DP"),
    "ICC": ("rim", "LAP"),
    "metastasis": ("rim", "LAP"),
}
"""Class to its sub-region and the sequence in which readers see it (docs/explanation.md)."""


@dataclass(frozen=True)
class Case:
    """A phantom's lesion.

    Attributes
    ----------
    seed, lesion_class, atypical
        What it was made from.
    lesion
        What the network sees.
    sign
        Voxels ``[z, y, x]`` of the sub-region named in :data:`SIGNS`; None where the lesion has none.
    """

    seed: int
    lesion_class: str
    atypical: bool
    lesion: LesionInput
    sign: NDArray[np.bool_] | None


def reserved_case(number: int, bundle: Bundle) -> Case:
    """One of the reserved phantoms: the classes in turn, every fourth of a class atypical."""
    name, atypical = W7.names[number % len(W7)], (number // len(W7)) % ATYPICAL_EVERY == 0
    return make_case(RESERVED_SEEDS[number], name, atypical, bundle)


def make_case(seed: int, lesion_class: str, atypical: bool, bundle: Bundle) -> Case:
    """Make a phantom's lesion and crop it as the bundle wants it."""
    phantom = generate_lesion(seed, lesion_class, atypical=atypical, misalign_mm=MISALIGN_MM)
    study = with_intensity_limits(phantom.study, bundle.spec.patches)
    lesion = extract_patches(study, 1, bundle.spec.sequences, bundle.spec.patches)
    names = phantom.truth.region_names
    wanted = SIGNS.get(lesion_class, ("", ""))[0]
    sign = None
    if wanted in names:
        sampled = lesion.grid.sample(
            phantom.truth.regions(), interpolator=sitk.sitkNearestNeighbor, outside=0.0
        )
        sign = sitk.GetArrayFromImage(sampled) == names.index(wanted)
    return Case(seed, lesion_class, atypical, lesion, sign if sign is not None and sign.any() else None)
