"""Regular grids and smooth random fields, both in LPS millimetres.

Every grid of the phantom is axial (direction cosines are the identity), so that a field given on a lattice is
evaluated on a grid axis by axis: three small matrix products instead of one interpolation per voxel.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

_SPLINE_ENERGY = (151.0 / 315.0) ** 3
"""Variance that unit white noise keeps on a lattice of cubic B-splines, averaged over positions."""


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """Random generator of one named purpose: adding a purpose never changes the draws of another."""
    keys = [zlib.crc32(str(part).encode()) for part in name]
    return np.random.default_rng([int(seed), *keys])


@dataclass(frozen=True)
class Grid:
    """Axial sampling grid.

    Attributes
    ----------
    origin : centre of the first voxel, LPS mm, (x, y, z).
    spacing : voxel spacing in mm, (x, y, z).
    size : number of voxels, (x, y, z).
    """

    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    size: tuple[int, int, int]

    @classmethod
    def covering(cls, low: ArrayLike, high: ArrayLike, spacing: ArrayLike) -> Grid:
        """Smallest grid of the given spacing (mm) that covers the box from `low` to `high` (LPS mm)."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        step = np.broadcast_to(np.asarray(spacing, float), 3)
        size = np.maximum(np.ceil((high - low) / step - 1e-9).astype(int), 1)
        origin = (low + high) / 2 - (size - 1) / 2 * step
        nx, ny, nz = (int(n) for n in size)
        return cls(triple(origin), triple(step), (nx, ny, nz))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this grid, [z, y, x]."""
        return self.size[::-1]

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower corner of the first voxel, LPS mm."""
        return np.asarray(self.origin, np.float64) - np.asarray(self.spacing, np.float64) / 2

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper corner of the last voxel, LPS mm."""
        return self.low + np.multiply(self.spacing, self.size).astype(np.float64)

    def axis(self, k: int) -> NDArray[np.float64]:
        """Voxel centres along axis `k` (0 = x, 1 = y, 2 = z), LPS mm."""
        return self.origin[k] + self.spacing[k] * np.arange(self.size[k], dtype=np.float64)

    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """x, y and z of the voxel centres, shaped to broadcast to [z, y, x]."""
        x, y, z = (self.axis(k).astype(np.float32) for k in range(3))
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def window(self, low: ArrayLike, high: ArrayLike) -> tuple[slice, slice, slice]:
        """Index slices [z, y, x] of the voxel centres in the box from `low` to `high` (may be empty)."""
        slices = []
        for k, (a, b) in enumerate(zip(np.asarray(low, float), np.asarray(high, float), strict=True)):
            first = int(np.clip(np.ceil((a - self.origin[k]) / self.spacing[k] - 1e-9), 0, self.size[k]))
            last = int(
                np.clip(np.floor((b - self.origin[k]) / self.spacing[k] + 1e-9) + 1, first, self.size[k])
            )
            slices.append(slice(first, last))
        return slices[2], slices[1], slices[0]

    def cropped(self, window: tuple[slice, slice, slice]) -> Grid:
        """The part of this grid under index slices [z, y, x]; voxel centres stay where they were."""
        starts = [s.start for s in window[::-1]]
        origin = np.asarray(self.origin) + np.asarray(starts) * np.asarray(self.spacing)
        nz, ny, nx = (s.stop - s.start for s in window)
        return Grid(triple(origin), self.spacing, (nx, ny, nz))

    def image(self, array: NDArray) -> sitk.Image:
        """SimpleITK image of an array [z, y, x] (or [z, y, x, component]) on this grid."""
        image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
        image.SetOrigin(self.origin)
        image.SetSpacing(self.spacing)
        return image


@dataclass(frozen=True)
class Lattice:
    """Smooth scalar field: cubic B-splines on a coarse lattice; beyond it the border value continues.

    Attributes
    ----------
    grid : the lattice nodes.
    coefficients : spline coefficients [z, y, x]; the field never leaves their range.
    """

    grid: Grid
    coefficients: NDArray[np.float32]

    @classmethod
    def noise(cls, rng: np.random.Generator, low: ArrayLike, high: ArrayLike, scale: float) -> Lattice:
        """Gaussian random field of zero mean and unit variance; `scale` (mm) is the lattice spacing."""
        margin = 2 * scale
        grid = Grid.covering(np.asarray(low, float) - margin, np.asarray(high, float) + margin, scale)
        values = rng.standard_normal(grid.shape) / np.sqrt(_SPLINE_ENERGY)
        return cls(grid, values.astype(np.float32))

    def on(self, grid: Grid) -> NDArray[np.float32]:
        """Values on another grid, [z, y, x]."""
        x, y, z = (self._basis(k, grid.axis(k)) for k in range(3))
        rows = np.tensordot(self.coefficients, x, axes=(2, 1))
        planes = np.matmul(y, rows)
        flat = z @ planes.reshape(planes.shape[0], -1)
        return flat.reshape(grid.shape)

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at points [n, 3] (LPS mm, xyz)."""
        index = (np.asarray(points, float) - self.grid.origin) / self.grid.spacing
        index = np.clip(index, 0, np.asarray(self.grid.size) - 1)
        coefficients = self.coefficients.astype(np.float64)
        return map_coordinates(coefficients, index.T[::-1], order=3, mode="nearest", prefilter=False)

    def _basis(self, k: int, position: NDArray[np.float64]) -> NDArray[np.float32]:
        """Cubic B-spline weights [position, node] along axis `k`."""
        count = self.grid.size[k]
        index = np.clip((position - self.grid.origin[k]) / self.grid.spacing[k], 0, count - 1)
        cell = np.floor(index).astype(int)
        t = index - cell
        weights = (
            np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
        )
        padded = np.zeros((len(position), count + 3), np.float32)
        rows = np.arange(len(position))
        for column, weight in enumerate(weights):
            padded[rows, cell + column] = weight
        basis = padded[:, 1 : count + 1]
        basis[:, 0] += padded[:, 0]
        basis[:, -1] += padded[:, count + 1 :].sum(axis=1)
        return basis


def triple(values: ArrayLike) -> tuple[float, float, float]:
    """Three numbers as a tuple of floats."""
    x, y, z = (float(v) for v in np.asarray(values))
    return x, y, z
