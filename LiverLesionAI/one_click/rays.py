"""Space unfolded around a point: rays in all directions, and radii on a logarithmic scale.

A *step* is a position on that scale, 0 at `SMALLEST_MM` and ``STEPS - 1`` at `LARGEST_MM`; a surface is an
array of steps, one for each ray. Offsets are in mm along the axes of the reference frame (LPS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LiverLesionAI.study import SequenceImage

Floats = NDArray[np.float64]

RAYS = 220
SMALLEST_MM, LARGEST_MM, STEPS = 1.2, 80.0, 44
STEP = float(np.log(LARGEST_MM / SMALLEST_MM) / (STEPS - 1))
"""Logarithm of the ratio of two neighbouring radii."""
RADII_MM: Floats = SMALLEST_MM * np.exp(STEP * np.arange(STEPS))

_LATTICE = 11
_SUBVOXEL_MM = 2.5
"""Voxels are counted in an odd number of parts, so that none is exactly half inside."""
_ROWS, _COLUMNS = 60, 120


def radii_mm(steps: Floats) -> Floats:
    """Radii of steps."""
    return SMALLEST_MM * np.exp(STEP * steps)


def steps_of(radii: Floats) -> Floats:
    """Steps of radii in mm, kept on the scale."""
    return np.clip(np.log(np.maximum(radii, 1e-3) / SMALLEST_MM) / STEP, 0, STEPS - 1)


@lru_cache(maxsize=1)
def ray_directions() -> Floats:
    """Unit vectors of the rays, ``[rays, 3]``: a Fibonacci lattice on the sphere."""
    number = np.arange(RAYS) + 0.5
    height = 1 - 2 * number / RAYS
    turn = np.pi * (1 + 5**0.5) * number
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)


@lru_cache(maxsize=4)
def smoothing(stiffness: float) -> Floats:
    """Matrix ``[rays, rays]`` that smooths a surface over neighbouring rays; its entries are not negative."""
    cosines = ray_directions() @ ray_directions().T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, 1:7]
    adjacent = np.zeros((RAYS, RAYS))
    np.put_along_axis(adjacent, nearest, 1.0, axis=1)
    adjacent = np.maximum(adjacent, adjacent.T)
    laplacian = np.diag(adjacent.sum(axis=1)) - adjacent
    return np.asarray(np.linalg.inv(np.eye(RAYS) + stiffness * laplacian), np.float64)


@dataclass(frozen=True)
class Rays:
    """Sequences sampled along rays.

    Attributes
    ----------
    values
        Intensities, ``[sequence, rays, steps]``.
    inside
        Whether the sequence's image covers the sample, same shape.
    voxel_mm3
        Volume of a voxel of each sequence.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    voxel_mm3: tuple[float, ...]


def cast_rays(images: Sequence[SequenceImage], centre_lps_mm: Floats) -> Rays:
    """Sample sequences (linear interpolation on their native grids) along rays from a point."""
    offsets = ray_directions()[:, None, :] * RADII_MM[None, :, None]
    points = (centre_lps_mm + offsets).reshape(-1, 3)
    sampled = [_sampled(image, points, centre_lps_mm) for image in images]
    shape = (len(images), RAYS, STEPS)
    return Rays(
        np.stack([values for values, _ in sampled]).reshape(shape),
        np.stack([inside for _, inside in sampled]).reshape(shape),
        tuple(float(np.prod(image.image.GetSpacing())) for image in images),
    )


def _sampled(
    image: SequenceImage, points: Floats, centre: Floats
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    from scipy.ndimage import map_coordinates

    if image.transform is not None:
        points = _carried(image.transform, points, centre)
    index = continuous_index(image.image, points)[:, ::-1].T
    voxels = sitk.GetArrayViewFromImage(image.image)
    size = np.array(voxels.shape)[:, None]
    inside = ((index > -0.75) & (index < size - 0.25)).all(axis=0)
    values = map_coordinates(voxels, index, output=np.float32, order=1, mode="nearest")
    return np.asarray(values, np.float32), np.asarray(inside)


def _carried(transform: sitk.Transform, points: Floats, centre: Floats) -> Floats:
    """Points through a transform that is evaluated on a lattice of 16 mm: exact where it is affine."""
    from scipy.ndimage import map_coordinates

    axis = np.linspace(-LARGEST_MM, LARGEST_MM, _LATTICE)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + centre
    images = np.array([transform.TransformPoint(node) for node in nodes.tolist()])
    position = ((points - centre + LARGEST_MM) / (axis[1] - axis[0])).T
    return np.stack(
        [map_coordinates(part.reshape((_LATTICE,) * 3), position, order=1) for part in images.T], axis=1
    )


def continuous_index(image: sitk.Image, points: Floats) -> Floats:
    """Continuous index ``[n, 3]`` (x, y, z) of points ``[n, 3]`` of an image's own space."""
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    return (points - image.GetOrigin()) @ np.linalg.inv(direction).T / image.GetSpacing()


def seen_from(steps: Floats, shift_mm: Floats) -> Floats:
    """The same surface from another point inside it, `shift_mm` away from the one where its rays begin."""
    points = ray_directions() * radii_mm(steps)[:, None] - shift_mm
    distances = np.linalg.norm(points, axis=1)
    return steps_of(_between(points / distances[:, None], distances, ray_directions()))


def centroid_mm(steps: Floats) -> Floats:
    """Centre of mass of what a surface encloses, from the point where its rays begin."""
    radii = radii_mm(steps)
    return (ray_directions() * (0.75 * radii**4)[:, None]).sum(axis=0) / (radii**3).sum()


def rasterised(centre_lps_mm: Sequence[float], steps: Floats, grid: sitk.Image) -> NDArray[np.uint8] | None:
    """Voxels of an image's grid that are at least half inside a surface, ``[z, y, x]``; None where none is.

    Where none is half inside, those are taken that are the most.
    """
    reach = float(radii_mm(steps).max())
    spacing = np.asarray(grid.GetSpacing())
    middle = continuous_index(grid, np.asarray(centre_lps_mm)[None])[0]
    size = np.asarray(grid.GetSize())
    low = np.clip(np.floor(middle - reach / spacing), 0, size).astype(int)
    high = np.clip(np.ceil(middle + reach / spacing) + 1, 0, size).astype(int)
    if (high <= low).any():
        return None
    parts = 2 * np.ceil((spacing / _SUBVOXEL_MM - 1) / 2).clip(0).astype(int) + 1
    axes = [
        (np.arange(low[a] * parts[a], high[a] * parts[a]) + 0.5) / parts[a] - 0.5 - middle[a]
        for a in range(3)
    ]
    share = _share_inside(axes, steps, grid, tuple((high - low).tolist()), tuple(parts.tolist()))
    if share.max() == 0:
        return None
    mask = np.zeros(tuple(size[::-1].tolist()), np.uint8)
    window = tuple(slice(low[a], high[a]) for a in (2, 1, 0))
    mask[window] = share >= min(0.5, float(share.max()))
    return mask


def _share_inside(
    axes: Sequence[Floats], steps: Floats, grid: sitk.Image, size: tuple[int, ...], parts: tuple[int, ...]
) -> Floats:
    columns = np.asarray(grid.GetDirection()).reshape(3, 3) * np.asarray(grid.GetSpacing())
    x, y, z = axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
    offset = [columns[a, 0] * x + columns[a, 1] * y + columns[a, 2] * z for a in range(3)]
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    row = np.arccos(np.clip(offset[2] / np.maximum(distance, 1e-9), -1, 1)) * (_ROWS / np.pi)
    column = (np.arctan2(offset[1], offset[0]) + np.pi) * (_COLUMNS / (2 * np.pi))
    table = _table(radii_mm(steps))
    limit = table[np.minimum(row.astype(int), _ROWS - 1), np.minimum(column.astype(int), _COLUMNS - 1)]
    inside = (distance <= limit).astype(np.float64)
    cut = (size[2], parts[2], size[1], parts[1], size[0], parts[0])
    return inside.reshape(cut).mean(axis=(1, 3, 5))


def _table(radii: Floats) -> Floats:
    """Radii by polar angle and azimuth, in cells of 3°."""
    polar = ((np.arange(_ROWS) + 0.5) * (np.pi / _ROWS))[:, None]
    azimuth = ((np.arange(_COLUMNS) + 0.5) * (2 * np.pi / _COLUMNS) - np.pi)[None, :]
    across = np.sin(polar)
    towards = [across * np.cos(azimuth), across * np.sin(azimuth), np.cos(polar) + 0 * azimuth]
    directions = np.stack([part.ravel() for part in towards], axis=1)
    return _between(ray_directions(), radii, directions).reshape(_ROWS, _COLUMNS)


def _between(known: Floats, values: Floats, wanted: Floats) -> Floats:
    """Values in wanted directions from the three nearest of the known ones."""
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(known).query(wanted, k=3)
    weight = 1 / np.maximum(distance, 1e-3) ** 2
    return (values[nearest] * weight).sum(axis=1) / weight.sum(axis=1)
