"""From a stack of slices to an image: sorted by position, repaired where that is safe, else refused.

Repaired are slight irregularities of spacing, single missing slices, slices stored twice and a tilted
gantry; each with a warning. What would need a guess (missing geometry, overlapping stacks, wide gaps) is
refused with the file named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from LiverLesionAI.errors import DicomError
from LiverLesionAI.finite import NO_PLACE, finite_place, finite_voxels, spans_something
from LiverLesionAI.identity import frames_differ
from LiverLesionAI.readers.dicom.headers import Frame
from LiverLesionAI.readers.dicom.instances import dicom_source
from LiverLesionAI.readers.dicom.pixels import INVERTED, is_turned_round, pixels_of
from LiverLesionAI.readers.dicom.split import SAME_POSITION_MM, Stack
from LiverLesionAI.study import DicomSource, SequenceImage

SPACING_TOLERANCE = 0.05
"""Slices may lie this part of the spacing beside a regular grid and still be taken as regular."""

WIDEST_GAP = 2.5
"""A gap of more spacings than this is not closed."""

SAME_ORIENTATION_COSINE = 0.99996
"""Cosine of half a degree."""

SHEAR_FREE_DEG, STEEPEST_TILT_DEG = 0.5, 45.0


@dataclass(frozen=True)
class Volume:
    """An image and what was repaired on the way.

    Attributes
    ----------
    image
        With its slices' sources, unless voxels had to be interpolated: then no slice stands for a file.
    warnings
        In words, without patient data.
    """

    image: SequenceImage
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Grid:
    """Slices in order of position, with their places along the normal in mm."""

    frames: tuple[Frame, ...]
    along: np.ndarray
    normal: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        return np.diff(self.along)

    @property
    def spacing(self) -> float:
        """The regular spacing, robust against missing slices."""
        if len(self.along) > 1:
            return float(np.median(self.steps))
        first = self.frames[0]
        if first.thickness is None:
            raise DicomError(f"{first.file} is a single slice without a thickness; it makes no volume.")
        return first.thickness

    @property
    def is_regular(self) -> bool:
        """Whether the slices lie on a regular grid within the tolerance."""
        if len(self.along) < 3:
            return True
        regular = np.linspace(self.along[0], self.along[-1], len(self.along))
        mean = (self.along[-1] - self.along[0]) / (len(self.along) - 1)
        return bool(np.abs(self.along - regular).max() <= SPACING_TOLERANCE * mean)


def volume_of(stack: Stack) -> Volume:
    """Assemble a stack.

    Parameters
    ----------
    stack
        Slices of one orientation and size.

    Returns
    -------
    Volume
        Scalar 3D image in LPS mm.

    Raises
    ------
    DicomError
        If the slices make no regular image and cannot safely be repaired, or cannot be decoded; the message
        names the file.
    """
    grid = _placed(stack.frames)
    pixels = pixels_of(grid.frames)
    grid, pixels, warnings = _without_doubles(grid, pixels)
    shear = _shear(grid)
    image = _image(grid, pixels)
    source: DicomSource | None = dicom_source(grid.frames)
    if not grid.is_regular:
        image, source = _regular(image, grid), None
        warnings.append("slices were missing or unevenly spaced: voxels are interpolated on a regular grid")
    if shear is not None:
        image, source = _unsheared(image, grid, shear), None
        warnings.append("a tilted gantry was straightened: its voxels are interpolated")
    _check_values(image, grid)
    if is_turned_round(stack.first):
        warnings.append(f"its values were stored the wrong way round ({INVERTED}) and were turned")
    elif stack.first.photometric == INVERTED:
        warnings.append(f"it is CT that says {INVERTED}: its Hounsfield units were taken as they are stored")
    named = tuple(f"{stack.name}: {warning}." for warning in warnings)
    return Volume(SequenceImage(image, dicom=source), named)


def _placed(frames: Sequence[Frame]) -> _Grid:
    """Check the geometry and sort by position."""
    first = next((frame for frame in frames if frame.frame_of_reference), frames[0])
    for frame in frames:
        _check_geometry(frame, first)
    normal = np.asarray(first.normal)
    along = np.array([normal @ np.asarray(frame.position) for frame in frames])
    order = np.argsort(along, kind="stable")
    grid = _Grid(tuple(frames[i] for i in order), along[order], normal)
    _check_aligned(grid)
    return grid


def _check_aligned(grid: _Grid) -> None:
    """Refuse slices that lie beside the straight line from the first slice to the last one."""
    positions = np.array([frame.position for frame in grid.frames])
    extent = grid.along[-1] - grid.along[0]
    if len(positions) < 3 or extent <= SAME_POSITION_MM:
        return
    part = ((grid.along - grid.along[0]) / extent)[:, None]
    beside = positions - (positions[0] + part * (positions[-1] - positions[0]))
    away = np.linalg.norm(beside - (beside @ grid.normal)[:, None] * grid.normal, axis=1)
    worst = int(np.argmax(away))
    if away[worst] > max(grid.frames[0].spacing or (1.0,)):
        file = grid.frames[worst].file
        raise DicomError(
            f"{file} lies {away[worst]:.6g} mm beside the other slices of its series: it is mixed."
        )


def _check_geometry(frame: Frame, first: Frame) -> None:
    missing = [
        name
        for name, value in (
            ("ImagePositionPatient", frame.position),
            ("ImageOrientationPatient", frame.normal),
            ("PixelSpacing", frame.spacing),
            ("Rows", frame.rows),
            ("Columns", frame.columns),
        )
        if not value
    ]
    if missing:
        raise DicomError(
            f"{frame.file} lacks {', '.join(missing)}: its place in space is unknown; leave it out."
        )
    same_size = (frame.rows, frame.columns) == (first.rows, first.columns)
    if not same_size or not np.allclose(frame.spacing or (), first.spacing or (), rtol=1e-3):
        raise DicomError(f"{frame.file} has another pixel grid than {first.file.name} of the same series.")
    if not _same_direction(frame, first):
        raise DicomError(f"{frame.file} has another orientation than {first.file.name} of the same series.")
    if frames_differ(frame.frame_of_reference, first.frame_of_reference):
        raise DicomError(
            f"{frame.file} has another frame of reference than {first.file.name} of the same series."
        )


def _same_direction(a: Frame, b: Frame) -> bool:
    cosines = (np.dot(a.row or (), b.row or ()), np.dot(a.column or (), b.column or ()))
    return bool(min(cosines) > SAME_ORIENTATION_COSINE)


def _without_doubles(grid: _Grid, pixels: list[np.ndarray]) -> tuple[_Grid, list[np.ndarray], list[str]]:
    """Drop second copies of a slice; two different slices at one place are refused."""
    keep = [0]
    for index in range(1, len(pixels)):
        if grid.along[index] - grid.along[keep[-1]] > SAME_POSITION_MM:
            keep.append(index)
        elif not np.array_equal(pixels[index], pixels[keep[-1]]):
            a, b = grid.frames[keep[-1]].file, grid.frames[index].file
            raise DicomError(
                f"{a} and {b.name} are different slices at the same place; their series is mixed."
            )
    doubles = len(pixels) - len(keep)
    if not doubles:
        return grid, pixels, []
    kept = _Grid(tuple(grid.frames[i] for i in keep), grid.along[keep], grid.normal)
    return kept, [pixels[i] for i in keep], [f"{doubles} slices were stored twice, the copies were left out"]


def _shear(grid: _Grid) -> np.ndarray | None:
    """In-plane displacement (LPS mm) per mm along the normal; None where slices lie straight on another."""
    if len(grid.frames) < 2:
        return None
    first, last = (np.asarray(grid.frames[i].position) for i in (0, -1))
    along = grid.along[-1] - grid.along[0]
    shear = ((last - first) - along * grid.normal) / along
    tilt = math.degrees(math.atan(float(np.linalg.norm(shear))))
    if tilt <= SHEAR_FREE_DEG:
        return None
    if tilt > STEEPEST_TILT_DEG:
        raise DicomError(f"{grid.frames[0].file} begins a series whose slices are displaced by {tilt:.0f}°.")
    return shear


def _image(grid: _Grid, pixels: list[np.ndarray]) -> sitk.Image:
    """Put slices on a grid with the mean spacing; irregular ones are moved to their places later."""
    first = grid.frames[0]
    voxels = np.stack(pixels)
    if voxels.dtype not in (np.int16, np.uint16):
        voxels = voxels.astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    between_rows, between_columns = first.spacing or (1.0, 1.0)
    count = len(pixels)
    mean = (grid.along[-1] - grid.along[0]) / (count - 1) if count > 1 else grid.spacing
    image.SetSpacing((between_columns, between_rows, float(mean)))
    axes = np.column_stack([first.row, first.column, grid.normal])  # type: ignore[list-item]
    image.SetDirection(_orthonormal(axes).ravel().tolist())
    image.SetOrigin(first.position)
    return image


def _orthonormal(axes: np.ndarray) -> np.ndarray:
    """The closest rotation or reflection: direction cosines in files are rounded."""
    u, _, v = np.linalg.svd(axes)
    return u @ v


def _unsheared(image: sitk.Image, grid: _Grid, shear: np.ndarray) -> sitk.Image:
    """Resample slices that are displaced in their plane onto a straight grid that holds all of them."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    displacement = direction[:, :2].T @ (shear * (grid.along[-1] - grid.along[0]))
    size, spacing = list(image.GetSize()), image.GetSpacing()
    start = np.minimum(displacement, 0.0)
    origin = np.asarray(image.GetOrigin()) + direction[:, :2] @ start
    for axis in (0, 1):
        size[axis] += math.ceil(abs(displacement[axis]) / spacing[axis])
    transform = sitk.AffineTransform(3)
    matrix = np.eye(3) - np.outer(shear, grid.normal)
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetCenter(image.GetOrigin())
    background = float(sitk.GetArrayViewFromImage(image).min())
    return sitk.Resample(
        image, size, transform, sitk.sitkLinear, origin.tolist(), spacing, image.GetDirection(), background
    )


def _regular(image: sitk.Image, grid: _Grid) -> sitk.Image:
    """Interpolate between unevenly spaced slices on a grid with their usual spacing."""
    usual, steps = grid.spacing, grid.steps
    widest = int(np.argmax(steps))
    if steps[widest] > WIDEST_GAP * usual:
        file = grid.frames[widest].file
        raise DicomError(
            f"After {file} {steps[widest]:.6g} mm are missing in its series; export it completely."
        )
    if steps.min() < usual / WIDEST_GAP:
        file = grid.frames[int(np.argmin(steps))].file
        raise DicomError(
            f"{file} and the next slice of its series are {steps.min():.2f} mm apart: it is mixed."
        )
    places = np.arange(grid.along[0], grid.along[-1] + usual / 20, usual)
    upper = np.clip(np.searchsorted(grid.along, places), 1, len(grid.along) - 1)
    weight = (places - grid.along[upper - 1]) / steps[upper - 1]
    weight = np.clip(weight, 0.0, 1.0).astype(np.float32)[:, None, None]
    voxels = sitk.GetArrayFromImage(image).astype(np.float32)
    filled = sitk.GetImageFromArray(voxels[upper - 1] * (1 - weight) + voxels[upper] * weight)
    filled.SetSpacing((*image.GetSpacing()[:2], usual))
    filled.SetDirection(image.GetDirection())
    filled.SetOrigin(image.GetOrigin())
    return filled


def _check_values(image: sitk.Image, grid: _Grid) -> None:
    voxels = sitk.GetArrayViewFromImage(image)
    if not finite_voxels(voxels):
        raise DicomError(
            f"{grid.frames[0].file} and its series have voxels that are not numbers; export it again."
        )
    if not finite_place(image):
        raise DicomError(f"{grid.frames[0].file} and its series have {NO_PLACE}; export it again.")
    if not spans_something(voxels.min(), voxels.max()):
        raise DicomError(
            f"{grid.frames[0].file} and its series have the same value everywhere; export it again."
        )
