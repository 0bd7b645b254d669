"""Reserved phantoms for the proofs: cropped lesions with their sub-regions on the patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.bundles import Bundle
from LiverLesionAI.inputs.intensity import with_intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchGrid
from LiverLesionAI.inputs.patches import LesionInput, extract_patches
from LiverLesionAI.phantom import PhantomStudy, generate_lesion
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
        Voxels ``[z, y, x]`` of the sub-region named in :data:`SIGNS`, where the sign's sequence shows it;
        None where the lesion has none.
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
    return Case(seed, lesion_class, atypical, lesion, _sign(phantom, lesion_class, lesion.grid))


def _sign(phantom: PhantomStudy, lesion_class: str, grid: PatchGrid) -> NDArray[np.bool_] | None:
    """Sub-region of the class's sign; a point of the sequence shows the tissue that was displaced to it."""
    region, sequence = SIGNS.get(lesion_class, ("", ""))
    if region not in phantom.truth.region_names:
        return None
    frame = grid.image(np.zeros([grid.size] * 3, np.uint8))
    points = sitk.GetArrayFromImage(
        sitk.PhysicalPointSource(
            sitk.sitkVectorFloat64,
            frame.GetSize(),
            frame.GetOrigin(),
            frame.GetSpacing(),
            frame.GetDirection(),
        )
    )
    displacement = phantom.truth.displacements[sequence].at(points.reshape(-1, 3))
    field = sitk.GetImageFromArray(-displacement.reshape(points.shape), isVector=True)
    field.CopyInformation(frame)
    regions = sitk.Resample(
        phantom.truth.regions(), frame, sitk.DisplacementFieldTransform(field), sitk.sitkNearestNeighbor
    )
    sign = sitk.GetArrayFromImage(regions) == phantom.truth.region_names.index(region)
    return sign if sign.any() else None
