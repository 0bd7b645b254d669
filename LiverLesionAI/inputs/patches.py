"""From a study to the network's input: patches with an annotation channel (Wang et al. 2021).

Training and inference both come through :func:`extract_patches`, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from LiverLesionAI.geometry import LesionGeometry, coverage, lesion_geometry
from LiverLesionAI.inputs.intensity import intensity_limits
from LiverLesionAI.inputs.patch_grid import PatchGrid, PatchParameters, PatchPose, patch_grid
from LiverLesionAI.study import SequenceImage, Study


@dataclass(frozen=True)
class LesionInput:
    """What a network sees of one lesion.

    Attributes
    ----------
    lesion_id
        The lesion's label.
    sequences
        Names, in the order of the first axis of `patches`.
    patches
        float32 ``[sequence, channel, z, y, x]``; channel 0 is the image in [0, 1], channel 1 the blurred
        annotation in [0, 1]; zeros for an absent sequence.
    present
        Which sequences are at hand and cover the lesion.
    geometry
        The lesion's size and place.
    grid
        The patch's grid, the same for every sequence.
    warnings
        What was noticed about this lesion.
    """

    lesion_id: int
    sequences: tuple[str, ...]
    patches: np.ndarray
    present: tuple[bool, ...]
    geometry: LesionGeometry
    grid: PatchGrid
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The lesion, for people."""
        return f"lesion {self.lesion_id}"

    @property
    def clinical(self) -> tuple[str, ...]:
        """Nothing but images."""
        return ()

    @property
    def slice_number(self) -> None:
        """A patch shows no single slice."""

    @property
    def centre_lps_mm(self) -> tuple[float, float, float]:
        """That of the lesion."""
        return self.geometry.centroid_lps_mm

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Patches and which sequences are present: what the network's ``features`` takes."""
        return self.patches, np.array(self.present)

    @property
    def crop_mm(self) -> float:
        """Side of the cube that was cropped."""
        return self.grid.side_mm


def extract_patches(
    study: Study,
    lesion_id: int,
    sequences: Sequence[str],
    parameters: PatchParameters,
    pose: PatchPose | None = None,
) -> LesionInput:
    """Crop one lesion out of every sequence.

    Each sequence is sampled once, from its native grid through its transform, on a grid of `spacing_mm`;
    what lies outside the image becomes 0. The cube is then resized to `size` voxels a side (image linear,
    annotation nearest) and the annotation blurred. Outlines drawn on a sequence are used for that sequence;
    otherwise the one outline is carried over in physical space.

    Parameters
    ----------
    study
        The study; its `lesions` must be set.
    lesion_id
        Label of the lesion.
    sequences
        The sequences wanted, in the network's order. Those that the study lacks are marked absent.
    parameters
        The crop rules.
    pose
        Variation for training.

    Returns
    -------
    LesionInput

    Raises
    ------
    StudyError
        If the study has no outlined lesions or none with this label.
    PatchError
        If no wanted sequence covers the lesion.

    Examples
    --------
    >>> import SimpleITK as sitk
    >>> from LiverLesionAI.study import SequenceImage, Study
    >>> ball = sitk.GaussianSource(sitk.sitkFloat32, [64] * 3, sigma=[8.0] * 3, mean=[32.0] * 3)
    >>> study = Study("S1", "made up", {"T2WI": SequenceImage(ball)}, lesions=ball > 128)
    >>> lesion = extract_patches(study, 1, ["T2WI", "DWI"], PatchParameters())
    >>> lesion.patches.shape, lesion.present, lesion.crop_mm
    ((2, 2, 64, 64, 64), (True, False), 64.0)
    """
    lesions = study.outlined_lesions
    geometry = lesion_geometry(lesions, lesion_id)
    covered = coverage(study, lesion_id, geometry, sequences)
    sampling = patch_grid(lesions, geometry, parameters, pose)
    patch = sampling.with_size(parameters.size)
    patches = np.zeros((len(sequences), 2, *[parameters.size] * 3), np.float32)
    shared_annotation = _annotation(lesions, lesion_id, sampling, patch, parameters, None)
    for index, (name, present) in enumerate(zip(sequences, covered.present, strict=True)):
        if not present:
            continue
        image = study.images[name]
        patches[index, 0] = _image_patch(image, sampling, patch, parameters)
        outline = study.outlines.get(name)
        patches[index, 1] = (
            shared_annotation
            if outline is None
            else _annotation(outline, lesion_id, sampling, patch, parameters, image.transform)
        )
    return LesionInput(
        lesion_id, tuple(sequences), patches, covered.present, geometry, patch, covered.warnings
    )


def _image_patch(
    image: SequenceImage, sampling: PatchGrid, patch: PatchGrid, parameters: PatchParameters
) -> np.ndarray:
    lower, upper = intensity_limits(image, parameters)
    interpolator = sitk.sitkNearestNeighbor if parameters.interpolation == "nearest" else sitk.sitkLinear
    sampled = sampling.sample(
        image.image, transform=image.transform, interpolator=interpolator, outside=lower
    )
    voxels = sitk.GetArrayFromImage(patch.sample(sampled, outside=lower))
    return np.clip((voxels - lower) / (upper - lower), 0.0, 1.0)


def _annotation(
    outline: sitk.Image,
    lesion_id: int,
    sampling: PatchGrid,
    patch: PatchGrid,
    parameters: PatchParameters,
    transform: sitk.Transform | None,
) -> np.ndarray:
    mask = sampling.sample(outline == lesion_id, transform=transform, interpolator=sitk.sitkNearestNeighbor)
    voxels = sitk.GetArrayFromImage(patch.sample(mask, interpolator=sitk.sitkNearestNeighbor))
    if not voxels.any():
        voxels = _thin_mask(outline == lesion_id, patch, transform)
    return np.clip(gaussian_filter(voxels, parameters.annotation_sigma, mode="nearest"), 0.0, 1.0)


def _thin_mask(mask: sitk.Image, patch: PatchGrid, transform: sitk.Transform | None) -> np.ndarray:
    """A lesion thinner than the sampling grid: every patch voxel that the mask touches by interpolation."""
    touched = sitk.GetArrayFromImage(patch.sample(sitk.Cast(mask, sitk.sitkFloat32), transform=transform)) > 0
    if not touched.any():
        centre = patch.size // 2
        touched[centre, centre, centre] = True
    return touched.astype(np.float32)
