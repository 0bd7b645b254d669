"""What is known about a phantom: kept apart from the study, never read by anything that classifies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from .acquisition import Scene, sample, sample_positions, voxel_average
from .anatomy import LABELS
from .ct import CTProtocol
from .fields import Grid
from .kinetics import concentrations
from .lesions import Painted
from .motion import Displacement
from .protocol import Protocol

FIELD_SPACING_MM = 8.0


@dataclass(frozen=True)
class LesionTruth:
    """Truth about one lesion.

    Attributes
    ----------
    id : its number in the mask.
    lesion_class : name in taxonomy W7 or Z7.
    atypical : whether it lacks a leading sign of its class.
    variant : form it takes, for people.
    centre_lps_mm : centre in the reference frame.
    diameter_mm : longest axial diameter of the undegraded lesion.
    displacement_mm : per sequence, point in the sequence − point in the reference, at the centre (LPS mm).
    """

    id: int
    lesion_class: str
    atypical: bool
    variant: str
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float
    displacement_mm: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Truth:
    """Truth about one phantom study.

    Attributes
    ----------
    seed : it was generated from.
    background : healthy, fatty or cirrhotic liver.
    lesions : in order of their ids.
    protocol : of the scanner.
    grids : voxel grid of each sequence.
    displacements : of each sequence.
    scene : tissues in the reference frame, at the resolution that the images were sampled from.
    painted : lesions and sub-regions on the scene's grid.
    """

    seed: int
    background: str
    lesions: tuple[LesionTruth, ...]
    protocol: Protocol | CTProtocol
    grids: Mapping[str, Grid]
    displacements: Mapping[str, Displacement]
    scene: Scene
    painted: Painted

    @property
    def mr_protocol(self) -> Protocol:
        """The protocol of an MRI study."""
        assert isinstance(self.protocol, Protocol)
        return self.protocol

    def tissue_at(self, point_lps_mm: ArrayLike) -> str:
        """Name of the tissue at a point of the reference frame; ``"lesion"`` in a lesion, else an organ's."""
        index = (np.asarray(point_lps_mm) - self.scene.grid.origin) / self.scene.grid.spacing
        x, y, z = np.clip(np.rint(index).astype(int), 0, np.subtract(self.scene.grid.size, 1))
        label = int(self.scene.labels[z, y, x])
        return LABELS[label] if label < len(LABELS) else "lesion"

    def mask(self, sequence: str) -> sitk.Image:
        """Lesion numbers on a sequence's grid, where the lesions appear in that sequence."""
        return outline(self.painted, self.scene.grid, self.grids[sequence], self.displacements[sequence])

    def regions(self) -> sitk.Image:
        """Sub-regions (index into `region_names`) in the reference frame, cropped to the lesions.

        Without lesions it is a single empty voxel.
        """
        inside = np.nonzero(self.painted.regions) if self.lesions else ([0], [0], [0])
        z, y, x = (slice(int(np.min(i)), int(np.max(i)) + 1) for i in inside)
        window = z, y, x
        return self.scene.grid.cropped(window).image(self.painted.regions[window])

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the sub-regions; a region's value is its index."""
        return self.painted.region_names

    def displacement_field(self, sequence: str, spacing_mm: float = FIELD_SPACING_MM) -> sitk.Image:
        """Dense displacement (LPS mm, float32 vectors) over the reference frame."""
        grid = Grid.covering(self.scene.grid.low, self.scene.grid.high, spacing_mm)
        points = np.stack([a.ravel() for a in np.broadcast_arrays(*grid.axes())], axis=1)
        field = self.displacements[sequence].of(points).astype(np.float32)
        return grid.image(field.reshape(*grid.shape, 3))

    def concentrations(self, times_s: ArrayLike) -> Mapping[str, NDArray[np.float64]]:
        """Mean concentration (mM) of each sub-region at times after contrast arrival in the aorta (s)."""
        times = [float(t) for t in np.atleast_1d(times_s)]
        pure = concentrations([t.kinetics for t in self.scene.tissues], times, self.protocol.agent)
        curves = self.scene.mixture @ pure
        means = {}
        for index, name in enumerate(self.region_names[1:], start=1):
            count = np.bincount(self.scene.labels[self.painted.regions == index], minlength=len(curves))
            if count.sum():
                means[name] = count @ curves / count.sum()
        return means


def outline(painted: Painted, fine: Grid, grid: Grid, displacement: Displacement) -> sitk.Image:
    """Lesion numbers (uint8) on a grid: voxels at least half filled, as a reader would draw them.

    A lesion too small to fill half a voxel gets the voxel it fills most.
    """
    points = sample_positions(fine, grid, displacement)
    labels = np.zeros(grid.shape, np.uint8)
    for number in range(1, int(painted.masks.max()) + 1):
        lesion = (painted.masks == number).astype(np.float32)
        share = sample(voxel_average(lesion, fine, grid.spacing), points)
        inside = share >= min(0.5, max(float(share.max()), 1e-3))
        labels[inside & (labels == 0)] = number
    return grid.image(labels)
