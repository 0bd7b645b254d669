"""From a study to the slice of a lesion's largest diameter on phases of CT, 8 bit (Yasaka et al. 2018).

Training and inference both come through :func:`extract_largest_slice`, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import PatchError
from LiverLesionAI.geometry import LesionGeometry, largest_level, lesion_geometry
from LiverLesionAI.inputs.bounds import refuse_outside
from LiverLesionAI.inputs.patch_grid import LARGEST_MM, SMALLEST_MM, axes_closest_to_lps
from LiverLesionAI.inputs.slice_stack import SlicePose, SliceStack
from LiverLesionAI.inputs.slices import LesionSlices, MeasuredLesion, cut_slices
from LiverLesionAI.study import Study

PLAIN = "CT_PLAIN"
Window = tuple[float, float]
"""Level and width, HU."""
SMALLEST_SIZE, LARGEST_SIZE = 16, 1024
TABLE_SHARE = 0.25
"""How far, in units of the lesion's height, a slice of training may lie from that of the largest diameter."""


@dataclass(frozen=True)
class CTSliceParameters:
    """How a slice is cut; stored whole in a bundle's metadata.

    Attributes
    ----------
    size
        Pixels along the side of an image.
    margin_mm
        What the square shows around the lesion in the slice, on each side.
    smallest_side_mm
        Side of the square around a small lesion.
    finest_mm
        Where pixels are coarser than this, a phase is sampled this finely or a little coarser, and pixels are
        means.
    plain_window, enhanced_window
        Level and width of the unenhanced phase and of the others, HU.
    table_step_mm
        Distance of neighbouring table positions in training.
    """

    size: int = 70
    margin_mm: float = 20.0
    smallest_side_mm: float = 70.0
    finest_mm: float = 0.7
    plain_window: Window = (40.0, 250.0)
    enhanced_window: Window = (45.0, 290.0)
    table_step_mm: float = 1.5

    def __post_init__(self) -> None:
        refuse_outside(
            {
                "size": not SMALLEST_SIZE <= self.size <= LARGEST_SIZE,
                "margin_mm": not 0 <= self.margin_mm <= LARGEST_MM,
                "smallest_side_mm": not 1 <= self.smallest_side_mm <= LARGEST_MM,
                "finest_mm": not SMALLEST_MM <= self.finest_mm <= LARGEST_MM,
                "plain_window": not 1 <= self.plain_window[1] <= 4096,
                "enhanced_window": not 1 <= self.enhanced_window[1] <= 4096,
                "table_step_mm": not 0 <= self.table_step_mm <= LARGEST_MM,
            },
            "a slice",
        )

    def limits_hu(self, phase: str) -> tuple[float, float]:
        """What becomes black and white in a phase."""
        level, width = self.plain_window if phase == PLAIN else self.enhanced_window
        return level - width / 2, level + width / 2


def extract_largest_slice(
    study: Study,
    lesion_id: int,
    phases: Sequence[str],
    parameters: CTSliceParameters,
    poses: Sequence[SlicePose | None] = (None,),
) -> list[LesionSlices]:
    """Cut the slice of a lesion's largest diameter out of every phase, once for each pose.

    Each phase is sampled once, from its native grid through its transform, by linear interpolation; its
    window becomes 256 steps of [0, 1].

    Parameters
    ----------
    study
        The study; its `lesions` must be set.
    lesion_id
        Label of the lesion.
    phases
        The phases wanted, in the network's order.
    parameters
        How they are cut.
    poses
        Variations for training; they leave the slice by :data:`TABLE_SHARE` of the lesion's height at most.
        None is the lesion as it is.

    Raises
    ------
    StudyError
        If the study has no outlined lesions or none with this label.
    PatchError
        If a wanted phase does not show the lesion.
    """
    lesions = study.outlined_lesions
    geometry = lesion_geometry(lesions, lesion_id)
    stack, height_mm = _largest_slice(lesions, lesion_id, geometry, parameters)
    lesion = MeasuredLesion.of(study, lesion_id, phases, geometry, stack)
    unseen = [name for name, there in zip(phases, lesion.covered.present, strict=True) if not there]
    if unseen:
        raise PatchError(
            f"{study.lesion_name(lesion_id)} of study {study.id} is not shown by {', '.join(unseen)}, which "
            "the model reads; choose a model of other phases."
        )
    warnings = _scale_warnings(study, phases)
    found = []
    for pose in poses:
        moved = None if pose is None else _within(pose, TABLE_SHARE * height_mm)
        slices = cut_slices(study, lesion, phases, parameters.limits_hu, parameters.finest_mm, moved)
        images = np.rint(slices.images * 255).astype(np.float32) / np.float32(255)
        found.append(replace(slices, images=images, warnings=warnings))
    return found


def _largest_slice(
    lesions: sitk.Image, lesion_id: int, geometry: LesionGeometry, parameters: CTSliceParameters
) -> tuple[SliceStack, float]:
    """The square around the lesion where its diameter is largest, and the lesion's height."""
    axis, level = largest_level(lesions, lesion_id)
    mask = sitk.GetArrayViewFromImage(lesions) == lesion_id
    pixels = np.argwhere(np.take(mask, [level], axis=2 - axis))[:, ::-1].astype(float)
    pixels[:, axis] = level
    lower, upper = pixels.min(axis=0), pixels.max(axis=0)
    axes, spacing = axes_closest_to_lps(lesions), np.asarray(lesions.GetSpacing())
    in_grid = np.abs(axes.T @ np.asarray(lesions.GetDirection()).reshape(3, 3))
    width, depth, _ = in_grid @ ((upper - lower + 1) * spacing)
    whole = np.subtract(geometry.box_index[1], geometry.box_index[0])
    side = max(float(max(width, depth)) + 2 * parameters.margin_mm, parameters.smallest_side_mm)
    stack = SliceStack(
        size=parameters.size,
        pixel_mm=side / parameters.size,
        count=1,
        slice_mm=float(spacing[axis]),
        centre_lps_mm=tuple(lesions.TransformContinuousIndexToPhysicalPoint(((lower + upper) / 2).tolist())),
        direction=tuple(axes.ravel().tolist()),
    )
    return stack, float((in_grid @ (whole * spacing))[2])


def _within(pose: SlicePose, reach_mm: float) -> SlicePose:
    x, y, z = pose.shift_mm
    return replace(pose, shift_mm=(x, y, float(np.clip(z, -reach_mm, reach_mm))))


def _scale_warnings(study: Study, phases: Sequence[str]) -> tuple[str, ...]:
    """Air and fat lie below 0 HU; where nothing does the values may be of another scale."""
    wrong = [name for name in phases if sitk.GetArrayViewFromImage(study.images[name].image).min() >= 0]
    return tuple(f"{name} has no value below 0 and may not be in Hounsfield units" for name in wrong)
