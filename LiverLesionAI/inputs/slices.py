"""From a study to square cross-sections of a lesion, a channel per sequence (Zhen et al. 2020).

Training and inference both come through :func:`extract_slices`, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.geometry import Coverage, LesionGeometry, coverage, lesion_geometry
from LiverLesionAI.inputs.appearance import Pictures
from LiverLesionAI.inputs.bounds import refuse_outside
from LiverLesionAI.inputs.intensity import intensity_limits
from LiverLesionAI.inputs.patch_grid import LARGEST_MM, SMALLEST_MM, axes_closest_to_lps
from LiverLesionAI.inputs.slice_stack import SlicePose, SliceStack, pose_transform
from LiverLesionAI.study import SequenceImage, Study

SMALLEST_SIZE, LARGEST_SIZE = 75, 1024
"""Pixels along the side of an image; smaller ones leave nothing to the network's last blocks."""
MOST_SLICES = 100
SURROUNDINGS_SIZE = 37
"""Pixels along the side of pictures of the surroundings."""


@dataclass(frozen=True)
class SliceParameters:
    """How cross-sections are cut; stored whole in a bundle's metadata.

    The defaults are those of Zhen et al. 2020 and, where the paper is silent, those of this project.

    Attributes
    ----------
    size
        Pixels along the side of an image.
    slice_spacing_mm
        Distance of neighbouring cross-sections.
    margin_mm
        What the square shows around the lesion's box, on each side.
    smallest_side_mm
        Side of the square around a small lesion.
    finest_mm
        Where pixels are coarser than this, a sequence is sampled this finely or a little coarser, and pixels
        are means.
    intensity
        ``"percentile"``: the whole volume's `percentiles` become 0 and 1 and what lies beyond is clipped.
        ``"minmax"``: its minimum and maximum do.
    percentiles
        Lower and upper percentile.
    training_shear_deg
        Largest shear of a training variant.
    surroundings_mm
        Side of a wider square by which it is told whether a study is unlike the training, where the square
        around the lesion is smaller: of three sequences without contrast medium 40 mm of a brain pass for
        liver. None: the square around the lesion tells that, too.
    """

    size: int = 299
    slice_spacing_mm: float = 7.0
    margin_mm: float = 12.0
    smallest_side_mm: float = 40.0
    finest_mm: float = 0.7
    intensity: Literal["minmax", "percentile"] = "percentile"
    percentiles: tuple[float, float] = (0.5, 99.5)
    training_shear_deg: float = 5.0
    surroundings_mm: float | None = None

    def __post_init__(self) -> None:
        lower, upper = self.percentiles
        refuse_outside(
            {
                "size": not SMALLEST_SIZE <= self.size <= LARGEST_SIZE,
                "slice_spacing_mm": not 0.5 <= self.slice_spacing_mm <= LARGEST_MM,
                "margin_mm": not 0 <= self.margin_mm <= LARGEST_MM,
                "smallest_side_mm": not 1 <= self.smallest_side_mm <= LARGEST_MM,
                "finest_mm": not SMALLEST_MM <= self.finest_mm <= LARGEST_MM,
                "percentiles": not 0 <= lower < upper <= 100,
                "training_shear_deg": not 0 <= self.training_shear_deg <= 45,
                "surroundings_mm": self.surroundings_mm is not None
                and not 1 <= self.surroundings_mm <= LARGEST_MM,
            },
            "a slice",
        )


@dataclass(frozen=True)
class LesionSlices:
    """The cross-sections of one lesion.

    Attributes
    ----------
    lesion_id
        The lesion's label.
    sequences
        Names, in the order of the channels.
    images
        float32 ``[slice, sequence, y, x]`` in [0, 1]; zeros for an absent sequence.
    present
        Which sequences are at hand and cover the lesion.
    geometry
        The lesion's size and place.
    stack
        The grid, the same for every sequence.
    outline
        bool ``[slice, y, x]``; the lesion on that grid.
    warnings
        What was noticed about this lesion.
    surroundings
        Wider pictures of each slice; empty where none were asked for.
    """

    lesion_id: int
    sequences: tuple[str, ...]
    images: np.ndarray
    present: tuple[bool, ...]
    geometry: LesionGeometry
    stack: SliceStack
    outline: np.ndarray
    warnings: tuple[str, ...] = ()
    surroundings: tuple[Pictures, ...] = ()

    @property
    def grid(self) -> SliceStack:
        """The grid that maps of the slices lie on."""
        return self.stack

    @cached_property
    def patches(self) -> np.ndarray:
        """float32 ``[sequence, channel, slice, y, x]``; channel 0 is the image, channel 1 the outline."""
        images = self.images.swapaxes(0, 1)
        outline = np.broadcast_to(self.outline.astype(np.float32), images.shape)
        return np.stack([images, outline], axis=1)


def extract_slices(
    study: Study,
    lesion_id: int,
    sequences: Sequence[str],
    parameters: SliceParameters,
    pose: SlicePose | None = None,
) -> LesionSlices:
    """Cut the cross-sections of one lesion out of every sequence.

    Each sequence is sampled once, from its native grid through its transform, by linear interpolation; what
    lies outside the image becomes 0.

    Parameters
    ----------
    study
        The study; its `lesions` must be set.
    lesion_id
        Label of the lesion.
    sequences
        The sequences wanted, in the network's order. Those that the study lacks are marked absent.
    parameters
        How they are cut.
    pose
        Variation for training. The number of slices is that of the unvaried lesion; surroundings are not cut.

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
    >>> slices = extract_slices(study, 1, ["T2WI", "DWI"], SliceParameters(size=96))
    >>> slices.images.shape, slices.present, round(slices.stack.side_mm)
    ((3, 2, 96, 96), (True, False), 43)
    """
    lesions = study.outlined_lesions
    geometry = lesion_geometry(lesions, lesion_id)
    stack = slice_stack(lesions, geometry, parameters)

    def limits(name: str) -> tuple[float, float]:
        return intensity_limits(study.images[name], parameters)

    lesion = MeasuredLesion.of(study, lesion_id, sequences, geometry, stack)
    slices = cut_slices(study, lesion, sequences, limits, parameters.finest_mm, pose)
    if parameters.surroundings_mm is None or pose is not None:
        return slices
    wide = stack.with_size(SURROUNDINGS_SIZE).with_side(max(parameters.surroundings_mm, stack.side_mm))
    images = _sampled(_shown(study, lesion, sequences, limits), wide, wide.pixel_mm, None)
    return replace(slices, surroundings=tuple(Pictures(each, wide.side_mm) for each in images))


@dataclass(frozen=True)
class MeasuredLesion:
    """What is the same in every pose of a lesion.

    Attributes
    ----------
    lesion_id, geometry
        Its label, size and place.
    mask
        Its outline in the reference frame.
    covered
        Which sequences show it.
    stack
        Where its slices lie.
    """

    lesion_id: int
    geometry: LesionGeometry
    mask: sitk.Image
    covered: Coverage
    stack: SliceStack

    @classmethod
    def of(
        cls,
        study: Study,
        lesion_id: int,
        sequences: Sequence[str],
        geometry: LesionGeometry,
        stack: SliceStack,
    ) -> MeasuredLesion:
        """Find out what shows a lesion whose slices are placed.

        Raises
        ------
        PatchError
            If no wanted sequence does.
        """
        covered = coverage(study, lesion_id, geometry, sequences)
        return cls(lesion_id, geometry, study.outlined_lesions == lesion_id, covered, stack)


def cut_slices(
    study: Study,
    lesion: MeasuredLesion,
    sequences: Sequence[str],
    limits: Callable[[str], tuple[float, float]],
    finest_mm: float,
    pose: SlicePose | None,
) -> LesionSlices:
    """Sample every sequence on a lesion's slices.

    Parameters
    ----------
    study, sequences, pose
        See :func:`extract_slices`.
    lesion
        Where the slices lie.
    limits
        Gives the intensities of a sequence that become 0 and 1.
    finest_mm
        See :class:`SliceParameters`.
    """
    stack, covered = lesion.stack, lesion.covered
    moved = None if pose is None else pose_transform(stack, pose)
    images = _sampled(_shown(study, lesion, sequences, limits), stack, finest_mm, moved)
    return LesionSlices(
        lesion.lesion_id,
        tuple(sequences),
        images,
        covered.present,
        lesion.geometry,
        stack,
        stack.sample(lesion.mask, moved, sitk.sitkNearestNeighbor, 0.0) > 0.5,
        covered.warnings,
    )


_Shown = tuple[SequenceImage, tuple[float, float]]
"""An image, and what becomes 0 and 1 in it."""


def _shown(
    study: Study,
    lesion: MeasuredLesion,
    sequences: Sequence[str],
    limits: Callable[[str], tuple[float, float]],
) -> list[_Shown | None]:
    """The sequences that show a lesion, in order; None for the others."""
    named = zip(sequences, lesion.covered.present, strict=True)
    return [(study.images[name], limits(name)) if present else None for name, present in named]


def _sampled(
    shown: Sequence[_Shown | None], stack: SliceStack, finest_mm: float, moved: sitk.Transform | None
) -> np.ndarray:
    """Sequences on a stack ``[slice, sequence, y, x]``, in [0, 1]; zeros for an absent one."""
    images = np.zeros((stack.count, len(shown), stack.size, stack.size), np.float32)
    for channel, each in enumerate(shown):
        if each is not None:
            image, limits = each
            images[:, channel] = _scaled(image, stack, moved, limits, finest_mm)
    return images


def slice_stack(lesions: sitk.Image, geometry: LesionGeometry, parameters: SliceParameters) -> SliceStack:
    """Place the slices of a lesion.

    The stack's axes are those of the label image's grid that lie closest to the patient's left, posterior and
    superior directions. The slices are centred on the lesion's box; there are as many as its height holds,
    rounded, and one at least.

    Parameters
    ----------
    lesions
        Label image in the reference frame.
    geometry
        Size and place of the lesion in it.
    parameters
        How slices are cut.
    """
    lower, upper = (np.asarray(corner) for corner in geometry.box_index)
    axes = axes_closest_to_lps(lesions)
    grid_axes = np.asarray(lesions.GetDirection()).reshape(3, 3)
    width, depth, height = np.abs(axes.T @ grid_axes) @ ((upper - lower) * np.asarray(lesions.GetSpacing()))
    side = max(float(max(width, depth)) + 2 * parameters.margin_mm, parameters.smallest_side_mm)
    centre = lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist())
    return SliceStack(
        size=parameters.size,
        pixel_mm=side / parameters.size,
        count=min(max(1, round(float(height) / parameters.slice_spacing_mm)), MOST_SLICES),
        slice_mm=parameters.slice_spacing_mm,
        centre_lps_mm=tuple(centre),
        direction=tuple(axes.ravel().tolist()),
    )


def _scaled(
    image: SequenceImage,
    stack: SliceStack,
    moved: sitk.Transform | None,
    limits: tuple[float, float],
    finest_mm: float,
) -> np.ndarray:
    """A sequence on the stack, in [0, 1]."""
    lower, upper = limits
    times = max(1, int(np.ceil(stack.pixel_mm / finest_mm - 1e-9)))
    ways = [way for way in (image.transform, moved) if way is not None]
    way = sitk.CompositeTransform(ways) if ways else None
    fine = stack.with_size(stack.size * times).sample(image.image, way, sitk.sitkLinear, lower)
    pixels = fine.reshape(stack.count, stack.size, times, stack.size, times).mean(axis=(2, 4))
    return np.clip((pixels - lower) / (upper - lower), 0.0, 1.0)
