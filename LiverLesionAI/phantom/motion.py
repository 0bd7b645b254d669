"""Breathing displacement between sequences: a rigid shift plus a smooth deformation, known exactly.

The displacement of a sequence is given where the scanner samples, `e(q)`: the point q of the sequence shows
the tissue that lies at q − e(q) in the reference frame. Its inverse, the displacement d(p) of a reference
point p, solves d = e(p + d).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from LiverLesionAI.sequences import CT_PHASES

from .fields import Grid, Lattice, triple

LATTICE_MM = 70.0
SHARED = 0.7
"""Part of the displacement that all phases of the dynamic series have in common."""
_DYNAMIC = ("T1WI", "LAP", "PVP", "DP", "HBP")
"""Breath-holds of MRI; of CT every phase is one."""
_BREATHING = np.array([0.4, 0.6, 1.0])
"""Relative size of right–left, antero-posterior and cranio-caudal motion."""


@dataclass(frozen=True)
class Displacement:
    """Displacement field of one sequence.

    Attributes
    ----------
    shift : rigid part, LPS mm.
    smooth : three spline fields (x, y, z) in mm, empty when there is no deformation.
    """

    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    smooth: tuple[Lattice, ...] = ()

    def on(self, grid: Grid) -> NDArray[np.float32]:
        """e(q) at the voxels of a grid of the sequence, [3, z, y, x], LPS mm."""
        field = np.empty((3, *grid.shape), np.float32)
        field[:] = np.asarray(self.shift, np.float32)[:, None, None, None]
        for component, lattice in zip(field, self.smooth, strict=False):
            component += lattice.on(grid)
        return field

    def at(self, points: ArrayLike) -> NDArray[np.float64]:
        """e(q) at points [n, 3] of the sequence (LPS mm)."""
        points = np.atleast_2d(np.asarray(points, float))
        field = np.tile(np.asarray(self.shift, float), (len(points), 1))
        for component, lattice in zip(field.T, self.smooth, strict=False):
            component += lattice.at(points)
        return field

    def of(self, points: ArrayLike) -> NDArray[np.float64]:
        """d(p) = point in the sequence − point in the reference, for reference points [n, 3] (LPS mm)."""
        points = np.atleast_2d(np.asarray(points, float))
        displacement = np.tile(np.asarray(self.shift, float), (len(points), 1))
        if not self.smooth:
            return displacement
        for _ in range(12):
            displacement = self.at(points + displacement)
        return displacement

    @property
    def is_zero(self) -> bool:
        """Whether the sequence lies exactly on the reference."""
        return not self.smooth and not any(self.shift)


def draw_displacements(
    rng: np.random.Generator,
    sequences: Sequence[str],
    reference: str,
    bounds_mm: tuple[float, float],
    low: ArrayLike,
    high: ArrayLike,
) -> Mapping[str, Displacement]:
    """Random displacement of each sequence within the box `low`–`high` (LPS mm).

    The rigid and the smooth part each have a magnitude drawn uniformly up to their bound and never exceed it.
    DWI and ADC move together; the phases of the dynamic series share most of their displacement; the
    reference stays.
    """
    phases = CT_PHASES if reference in CT_PHASES else _DYNAMIC
    draws = {name: _draw(rng, bounds_mm, low, high) for name in ("dynamic", "DWI", *phases)}
    result = {}
    for name in sequences:
        if name == reference or {name, reference} == {"DWI", "ADC"}:
            result[name] = Displacement()
        elif name in phases:
            result[name] = _blend(draws["dynamic"], draws[name], SHARED)
        else:
            result[name] = draws["DWI"]
    return result


def _draw(
    rng: np.random.Generator, bounds: tuple[float, float], low: ArrayLike, high: ArrayLike
) -> Displacement:
    heading = rng.normal(size=3) * _BREATHING
    shift = heading / np.linalg.norm(heading) * rng.uniform(0, bounds[0])
    fields = [Lattice.noise(rng, low, high, LATTICE_MM) for _ in range(3)]
    magnitude = rng.uniform(0, bounds[1])
    if not bounds[1]:
        return Displacement(triple(shift))
    vectors = np.stack([f.coefficients * b for f, b in zip(fields, _BREATHING, strict=True)])
    vectors *= magnitude / np.linalg.norm(vectors, axis=0).max()
    smooth = tuple(Lattice(f.grid, v) for f, v in zip(fields, vectors, strict=True))
    return Displacement(triple(shift), smooth)


def _blend(common: Displacement, own: Displacement, share: float) -> Displacement:
    shift = share * np.asarray(common.shift) + (1 - share) * np.asarray(own.shift)
    smooth = tuple(
        Lattice(a.grid, share * a.coefficients + (1 - share) * b.coefficients)
        for a, b in zip(common.smooth, own.smooth, strict=True)
    )
    return Displacement(triple(shift), smooth)
