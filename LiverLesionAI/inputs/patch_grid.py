"""Where and how finely a lesion is sampled: crop rules, sampling grid and its variation for training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.geometry import LesionGeometry
from LiverLesionAI.inputs.bounds import refuse_outside

SMALLEST_MM, LARGEST_MM = 0.05, 500.0
SMALLEST_SIZE, LARGEST_SIZE = 8, 128
"""Lengths of a patch and voxels along its side."""


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

    def __post_init__(self) -> None:
        lower, upper = self.percentiles
        least, most = self.training_margin_mm
        refuse_outside(
            {
                "spacing_mm": not SMALLEST_MM <= self.spacing_mm <= LARGEST_MM,
                "percentiles": not 0 <= lower < upper <= 100,
                "size": not SMALLEST_SIZE <= self.size <= LARGEST_SIZE,
                "small_crop_mm": not 1 <= self.small_crop_mm <= LARGEST_MM,
                "medium_crop_mm": not 1 <= self.medium_crop_mm <= LARGEST_MM,
                "medium_below_mm": not 0 <= self.small_below_mm <= self.medium_below_mm <= LARGEST_MM,
                "margin_mm": not 0 <= self.margin_mm <= LARGEST_MM,
                "training_margin_mm": not 0 <= least <= most <= LARGEST_MM,
                "annotation_sigma": not 0 <= self.annotation_sigma <= LARGEST_SIZE,
            },
            "a patch",
        )


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
    axes = axes_closest_to_lps(lesions)
    centre = np.asarray(lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist()))
    rotation = sitk.Euler3DTransform((0.0, 0.0, 0.0), *np.deg2rad(pose.rotation_deg).tolist())
    return PatchGrid(
        size=size,
        spacing_mm=parameters.spacing_mm / pose.scale,
        centre_lps_mm=tuple((centre + axes @ np.asarray(pose.shift_mm)).tolist()),
        direction=tuple((axes @ np.asarray(rotation.GetMatrix()).reshape(3, 3)).ravel().tolist()),
    )


def axes_closest_to_lps(image: sitk.Image) -> np.ndarray:
    """Axes of an image's grid as columns, those closest to left, posterior and superior in this order."""
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    order = sorted(
        ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if {a, b, c} == {0, 1, 2}),
        key=lambda columns: -sum(abs(direction[row, column]) for row, column in enumerate(columns)),
    )[0]
    axes = direction[:, order]
    return axes * np.where(np.diag(axes) < 0, -1.0, 1.0)
