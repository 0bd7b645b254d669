"""The sampling grid of a lesion's cross-sections, and how training varies it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True)
class SlicePose:
    """Geometric variation of a lesion's slices for training, applied to the sampling grid.

    Attributes
    ----------
    rotation_deg
        About the axis of the slices, through the centre of the square.
    scale
        Above 1 the lesion appears larger.
    shear_deg
        Shear along the rows.
    shift_mm
        Displacement of the square along the stack's axes: to the left, to the back, to the head.
    """

    rotation_deg: float = 0.0
    scale: float = 1.0
    shear_deg: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SliceStack:
    """The sampling grid of a lesion's slices in the reference frame.

    Attributes
    ----------
    size
        Pixels along the side of a slice.
    pixel_mm
        Distance of neighbouring pixels.
    count
        Number of slices.
    slice_mm
        Distance of neighbouring slices.
    centre_lps_mm
        Centre of the stack, LPS mm.
    direction
        Direction cosines, row-major as in SimpleITK; columns are the axes of columns, rows and slices.
    """

    size: int
    pixel_mm: float
    count: int
    slice_mm: float
    centre_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def side_mm(self) -> float:
        """Side of the square, whole pixels included."""
        return self.size * self.pixel_mm

    @property
    def spacing_mm(self) -> float:
        """Distance of neighbouring pixels."""
        return self.pixel_mm

    @cached_property
    def axes(self) -> np.ndarray:
        """Unit vectors as columns, ``[3, 3]``."""
        return np.asarray(self.direction).reshape(3, 3)

    @cached_property
    def origin_lps_mm(self) -> tuple[float, float, float]:
        """Centre of the first pixel of the first slice."""
        half = (self.size - 1) / 2 * self.pixel_mm
        reach = np.array([half, half, (self.count - 1) / 2 * self.slice_mm])
        return tuple((np.asarray(self.centre_lps_mm) - self.axes @ reach).tolist())

    def with_size(self, size: int) -> SliceStack:
        """Return the same squares in another number of pixels."""
        return replace(self, size=size, pixel_mm=self.side_mm / size)

    def with_side(self, side_mm: float) -> SliceStack:
        """Return larger or smaller squares with the same middles and as many pixels."""
        return replace(self, pixel_mm=side_mm / self.size)

    def slice_centre_lps_mm(self, index: int) -> tuple[float, float, float]:
        """Centre of a slice, LPS mm."""
        along = (index - (self.count - 1) / 2) * self.slice_mm
        return tuple((np.asarray(self.centre_lps_mm) + self.axes[:, 2] * along).tolist())

    def sample(
        self, image: sitk.Image, transform: sitk.Transform | None, interpolator: int, outside: float
    ) -> np.ndarray:
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

        Returns
        -------
        numpy.ndarray
            float32 ``[slice, y, x]``.
        """
        sampled = sitk.Resample(
            image,
            [self.size, self.size, self.count],
            transform if transform is not None else sitk.Transform(3, sitk.sitkIdentity),
            interpolator,
            self.origin_lps_mm,
            [self.pixel_mm, self.pixel_mm, self.slice_mm],
            self.direction,
            outside,
            sitk.sitkFloat32,
        )
        return sitk.GetArrayFromImage(sampled)

    def image(self, array: np.ndarray) -> sitk.Image:
        """Return an array ``[slice, y, x]`` of this grid as an image in the reference frame."""
        image = sitk.GetImageFromArray(array)
        image.SetOrigin(self.origin_lps_mm)
        image.SetSpacing([self.pixel_mm, self.pixel_mm, self.slice_mm])
        image.SetDirection(self.direction)
        return image


def pose_transform(stack: SliceStack, pose: SlicePose) -> sitk.AffineTransform:
    """Points of the unvaried stack to points of the reference frame."""
    turn, shear = np.deg2rad(pose.rotation_deg), np.tan(np.deg2rad(pose.shear_deg))
    in_plane = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    own = np.eye(3)
    own[:2, :2] = in_plane @ np.array([[1.0, shear], [0.0, 1.0]]) / pose.scale
    transform = sitk.AffineTransform(3)
    transform.SetCenter(stack.centre_lps_mm)
    transform.SetMatrix((stack.axes @ own @ stack.axes.T).ravel().tolist())
    transform.SetTranslation((stack.axes @ np.asarray(pose.shift_mm)).tolist())
    return transform
