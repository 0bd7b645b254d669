"""From a study to the network's input: patches with an annotation channel (Wang et al. 2021).

Training and inference both come through :func:`extract_patches`, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from LiverLesionAI.errors import PatchError
from LiverLesionAI.study import LesionGeometry, SequenceImage, Study, lesion_geometry


@dataclass(frozen=True)
class PatchParameters:
    """How lesions are cropped; stored whole in a bundle's metadata.

    The defaults are those of Wang et al. 2021 and, where the paper is silent, those of this project.

    Attributes
    ----------
    spacing_mm
        Spacing of the isotropic grid on which a sequence is sampled.
    interpolation
        How a sequence is sampled on that grid; the annotation is always sampled by nearest neighbour.
    intensity
        ``"minmax"``: the whole volume's minimum and maximum become 0 and 1. ``"percentile"``: its
        `percentiles` do; what lies beyond is clipped.
    percentiles
        Lower and upper percentile.
    size
        Side of the patch in voxels.
    small_below_mm, small_crop_mm
        Lesions of a smaller diameter are cropped to a cube of that side.
    medium_below_mm, medium_crop_mm
        The same for the next size; a lesion of exactly `small_below_mm` or `medium_below_mm` belongs to the
        larger class.
    margin_mm
        Larger lesions are cropped to a cube on the longest side of their box with this margin on each side.
    training_margin_mm
        Range of the random margin in training.
    annotation_sigma
        Standard deviation, in voxels of the patch, of the Gaussian that blurs the annotation.
    """

    spacing_mm: float = 1.0
    interpolation: Literal["nearest", "linear"] = "nearest"
    intensity: Literal["minmax", "percentile"] = "minmax"
    percentiles: tuple[float, float] = (0.5, 99.5)
    size: int = 64
    small_below_mm: float = 16.0
    small_crop_mm: float = 32.0
    medium_below_mm: float = 32.0
    medium_crop_mm: float = 64.0
    margin_mm: float = 8.0
    training_margin_mm: tuple[float, float] = (4.0, 16.0)
    annotation_sigma: float = 1.0


@dataclass(frozen=True)
class PatchPose:
    """Geometric variation of a patch for training, applied to the sampling grid.

    The images are therefore interpolated once, varied or not.

    Attributes
    ----------
    rotation_deg
        Euler angles about the patch's x, y and z axis through its centre.
    scale
        Above 1 the lesion appears larger.
    shift_mm
        Displacement of the patch's centre along its axes.
    margin_mm
        Margin for large lesions instead of :attr:`PatchParameters.margin_mm`.
    """

    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    margin_mm: float | None = None


@dataclass(frozen=True)
class PatchGrid:
    """A cubic sampling grid in the reference frame.

    Attributes
    ----------
    size
        Voxels per side.
    spacing_mm
        Distance of neighbouring voxels.
    centre_lps_mm
        Centre of the cube, LPS mm.
    direction
        Direction cosines, row-major as in SimpleITK; columns are the grid's x, y and z axis.
    """

    size: int
    spacing_mm: float
    centre_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def side_mm(self) -> float:
        """Side of the cube, whole voxels included."""
        return self.size * self.spacing_mm

    @cached_property
    def origin_lps_mm(self) -> tuple[float, float, float]:
        """Centre of the first voxel."""
        half = (self.size - 1) / 2 * self.spacing_mm
        axes = np.asarray(self.direction).reshape(3, 3)
        return tuple((np.asarray(self.centre_lps_mm) - axes @ np.full(3, half)).tolist())

    def with_size(self, size: int) -> PatchGrid:
        """Return the same cube in another number of voxels."""
        return replace(self, size=size, spacing_mm=self.side_mm / size)

    def sample(
        self,
        image: sitk.Image,
        *,
        transform: sitk.Transform | None = None,
        interpolator: int = sitk.sitkLinear,
        outside: float = 0.0,
    ) -> sitk.Image:
        """Sample an image on this grid.

        Parameters
        ----------
        image
            Image on its native grid.
        transform
            Points of the reference frame to points of the image (LPS mm); None is the identity.
        interpolator
            SimpleITK interpolator.
        outside
            Value where the image has none.
        """
        return sitk.Resample(
            image,
            [self.size] * 3,
            transform if transform is not None else sitk.Transform(3, sitk.sitkIdentity),
            interpolator,
            self.origin_lps_mm,
            [self.spacing_mm] * 3,
            self.direction,
            outside,
            sitk.sitkFloat32,
        )

    def image(self, array: np.ndarray) -> sitk.Image:
        """Return an array ``[z, y, x]`` of this grid as an image in the reference frame."""
        image = sitk.GetImageFromArray(array)
        image.SetOrigin(self.origin_lps_mm)
        image.SetSpacing([self.spacing_mm] * 3)
        image.SetDirection(self.direction)
        return image


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
    def crop_mm(self) -> float:
        """Side of the cube that was cropped."""
        return self.grid.side_mm


def intensity_limits(image: SequenceImage, parameters: PatchParameters) -> tuple[float, float]:
    """Intensities of a sequence that become 0 and 1.

    Returns
    -------
    tuple of float
        The limits that the sequence carries, else the whole volume's minimum and maximum or percentiles; the
        former too where the percentiles coincide, as in an image that is nearly everywhere constant.
    """
    if image.intensity_limits is not None:
        return image.intensity_limits
    voxels = sitk.GetArrayViewFromImage(image.image)
    if parameters.intensity == "percentile":
        lower, upper = np.percentile(voxels, parameters.percentiles)
        if upper > lower:
            return float(lower), float(upper)
    return float(voxels.min()), float(voxels.max())


def with_intensity_limits(study: Study, parameters: PatchParameters) -> Study:
    """Return the study with every sequence's intensity limits measured, once for all of its lesions."""
    images = {
        name: replace(image, intensity_limits=intensity_limits(image, parameters))
        for name, image in study.images.items()
    }
    return replace(study, images=images)


def crop_side_mm(geometry: LesionGeometry, longest_side_mm: float, parameters: PatchParameters) -> float:
    """Side of the cube that a lesion is cropped to (the paper's three rules).

    Parameters
    ----------
    geometry
        The lesion's size.
    longest_side_mm
        Longest side of its box.
    parameters
        The rules.
    """
    if geometry.diameter_mm < parameters.small_below_mm:
        return max(parameters.small_crop_mm, longest_side_mm)
    if geometry.diameter_mm < parameters.medium_below_mm:
        return max(parameters.medium_crop_mm, longest_side_mm)
    return longest_side_mm + 2 * parameters.margin_mm


def patch_grid(
    lesions: sitk.Image, geometry: LesionGeometry, parameters: PatchParameters, pose: PatchPose | None = None
) -> PatchGrid:
    """Place the sampling grid of `spacing_mm` around a lesion.

    The grid's axes are those of the label image's grid, permuted and reversed to lie closest to the patient's
    left, posterior and superior directions, so that every lesion is seen the same way round and slices stay
    slices.

    Parameters
    ----------
    lesions
        Label image in the reference frame.
    geometry
        Size and place of the lesion in it.
    parameters
        The crop rules.
    pose
        Variation for training.
    """
    pose = pose or PatchPose()
    if pose.margin_mm is not None:
        parameters = replace(parameters, margin_mm=pose.margin_mm)
    lower, upper = (np.asarray(corner) for corner in geometry.box_index)
    longest = float(((upper - lower) * np.asarray(lesions.GetSpacing())).max())
    size = max(1, round(crop_side_mm(geometry, longest, parameters) / parameters.spacing_mm))
    axes = _axes_closest_to_lps(lesions)
    centre = np.asarray(lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist()))
    rotation = sitk.Euler3DTransform((0.0, 0.0, 0.0), *np.deg2rad(pose.rotation_deg).tolist())
    return PatchGrid(
        size=size,
        spacing_mm=parameters.spacing_mm / pose.scale,
        centre_lps_mm=tuple((centre + axes @ np.asarray(pose.shift_mm)).tolist()),
        direction=tuple((axes @ np.asarray(rotation.GetMatrix()).reshape(3, 3)).ravel().tolist()),
    )


def _axes_closest_to_lps(image: sitk.Image) -> np.ndarray:
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    order = sorted(
        ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if {a, b, c} == {0, 1, 2}),
        key=lambda columns: -sum(abs(direction[row, column]) for row, column in enumerate(columns)),
    )[0]
    axes = direction[:, order]
    return axes * np.where(np.diag(axes) < 0, -1.0, 1.0)


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
    sampling = patch_grid(lesions, geometry, parameters, pose)
    patch = sampling.with_size(parameters.size)
    patches = np.zeros((len(sequences), 2, *[parameters.size] * 3), np.float32)
    shared_annotation = _annotation(lesions, lesion_id, sampling, patch, parameters, None)
    present, warnings = [], []
    for index, name in enumerate(sequences):
        image = study.images.get(name)
        if image is None:
            present.append(False)
            continue
        present.append(covers_lesion(image, lesions, geometry))
        if not present[-1]:
            warnings.append(f"{name} does not cover {study.lesion_name(lesion_id)} and was left out")
            continue
        patches[index, 0] = _image_patch(image, sampling, patch, parameters)
        outline = study.outlines.get(name)
        patches[index, 1] = (
            shared_annotation
            if outline is None
            else _annotation(outline, lesion_id, sampling, patch, parameters, image.transform)
        )
    if not any(present):
        wanted = ", ".join(sequences)
        raise PatchError(
            f"{study.lesion_name(lesion_id)} of study {study.id} lies outside every sequence that the model "
            f"reads ({wanted}); check that mask and images belong together."
        )
    return LesionInput(lesion_id, tuple(sequences), patches, tuple(present), geometry, patch, tuple(warnings))


def covers_lesion(image: SequenceImage, lesions: sitk.Image, geometry: LesionGeometry) -> bool:
    """Whether the centre of the lesion's box or its centroid lies within the sequence's field of view."""
    lower, upper = (np.asarray(corner) for corner in geometry.box_index)
    centre = lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist())
    return any(_inside(image, point) for point in (centre, geometry.centroid_lps_mm))


def _inside(image: SequenceImage, point_lps_mm: tuple[float, ...]) -> bool:
    if image.transform is not None:
        point_lps_mm = image.transform.TransformPoint(point_lps_mm)
    index = np.asarray(image.image.TransformPhysicalPointToContinuousIndex(point_lps_mm))
    return bool(np.all(index >= -0.5) and np.all(index <= np.asarray(image.image.GetSize()) - 0.5))


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
