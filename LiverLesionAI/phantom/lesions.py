"""Focal liver lesions as layers of tissue: shape, local coordinates, size, and painting.

What distinguishes the classes — which layers, where, and how they enhance — stands in `patterns`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .fields import Grid, Lattice, stream
from .tissues import Tissue

MIN_DIAMETER_MM, MAX_DIAMETER_MM = 6.0, 120.0
HALO_MM = 22.0
"""Reach of perilesional layers beyond the lesion's surface."""

# Table 2 of Wang et al. 2021: quartiles, or mean and standard deviation (printed there as SE). Classes of
# Zhen et al. 2020 that are not among them are estimates; those of Yasaka et al. 2018 follow its means.
_QUARTILES = {
    "cyst": (8.65, 12.8, 22.5),
    "haemangioma": (15.3, 19.7, 32.6),
    "HCC": (23.2, 28.9, 45.9),
    "ICC": (30.72, 52.45, 69.45),
    "metastasis": (20.18, 28.55, 38.32),
    "other_benign": (11.0, 15.0, 21.0),
    "other_primary": (22.0, 33.0, 50.0),
    "other_malignant": (22.0, 31.0, 43.0),
    "indeterminate": (11.0, 15.0, 21.0),
}
_MEAN_SD = {"FNH": (34.13, 12.89), "abscess": (62.98, 31.26)}


def draw_diameter(rng: np.random.Generator, lesion_class: str) -> float:
    """Lesion diameter in mm, distributed as in Table 2 and kept within 6–120 mm."""
    score = float(ndtri(rng.uniform(0.01, 0.99)))
    if lesion_class in _MEAN_SD:
        mean, deviation = _MEAN_SD[lesion_class]
        diameter = mean + deviation * score
    else:
        lower, median, upper = _QUARTILES[lesion_class]
        spread = np.log(upper / median) if score > 0 else np.log(median / lower)
        diameter = median * np.exp(spread * score / 0.6745)
    return float(np.clip(diameter, MIN_DIAMETER_MM, MAX_DIAMETER_MM))


@dataclass(frozen=True)
class Shape:
    """Irregular ellipsoid.

    Attributes
    ----------
    centre : LPS mm.
    radius : half the intended diameter, mm.
    axes : semi-axes relative to `radius`.
    rotation : orthonormal axes, [3, 3].
    irregularity : amplitude of the radial noise relative to the radius.
    coarseness : scale of that noise relative to the radius; small values give lobulation.
    seed : of every random field of the lesion.
    """

    centre: tuple[float, float, float]
    radius: float
    axes: tuple[float, float, float]
    rotation: NDArray[np.float64]
    irregularity: float
    coarseness: float
    seed: int

    @property
    def reach(self) -> float:
        """Half side of a box that contains the lesion and its surroundings, mm."""
        return self.radius * (1.15 + 2.5 * self.irregularity) + HALO_MM


class Frame:
    """A lesion's own coordinates on a grid: what the layers' predicates are written in.

    Parameters
    ----------
    shape : the lesion.
    grid : where it is evaluated.
    """

    def __init__(self, shape: Shape, grid: Grid) -> None:
        self.shape, self.grid = shape, grid
        self._noise: dict[tuple[str, float], NDArray[np.float32]] = {}

    @cached_property
    def offset(self) -> tuple[NDArray, NDArray, NDArray]:
        """x, y, z from the centre in mm, broadcastable."""
        x, y, z = self.grid.axes()
        cx, cy, cz = (np.float32(c) for c in self.shape.centre)
        return x - cx, y - cy, z - cz

    @cached_property
    def relative(self) -> NDArray[np.float32]:
        """1 in the centre, 0 on the surface, negative outside."""
        x, y, z = self.offset
        rows = self.shape.rotation.astype(np.float32) / np.asarray(self.shape.axes, np.float32)[:, None]
        radius2 = sum((r[0] * x + r[1] * y + r[2] * z) ** 2 for r in rows)
        distance = np.sqrt(radius2) / np.float32(self.shape.radius)
        if self.shape.irregularity:
            warp = self.noise("surface", self.shape.coarseness * self.shape.radius)
            distance = distance / (1 + self.shape.irregularity * np.clip(warp, -2, 2))
        return (1 - distance).astype(np.float32)

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Depth below the surface in mm, negative outside."""
        return self.relative * np.float32(self.shape.radius)

    def noise(self, name: str, scale_mm: float) -> NDArray[np.float32]:
        """Named random field of unit variance with the given scale, the same on every grid."""
        if (name, scale_mm) not in self._noise:
            centre, reach = np.asarray(self.shape.centre), self.shape.reach
            lattice = Lattice.noise(
                stream(self.shape.seed, name), centre - reach, centre + reach, max(scale_mm, 2.0)
            )
            self._noise[name, scale_mm] = lattice.on(self.grid)
        return self._noise[name, scale_mm]

    def distance_to(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance (mm) to the nearest of points [n, 3], relative to the centre in units of the radius."""
        x, y, z = self.offset
        nearest = np.full(self.grid.shape, np.inf, np.float32)
        for px, py, pz in (points * self.shape.radius).astype(np.float32):
            np.minimum(nearest, (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2, out=nearest)
        return np.sqrt(nearest)

    def distance_to_rays(self, tips: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance (mm) to segments from the centre to `tips` [n, 3], relative to the radius."""
        x, y, z = self.offset
        nearest = np.full(self.grid.shape, np.inf, np.float32)
        for tx, ty, tz in (tips * self.shape.radius).astype(np.float32):
            t = np.clip((x * tx + y * ty + z * tz) / (tx * tx + ty * ty + tz * tz), 0, 1)
            np.minimum(nearest, (x - t * tx) ** 2 + (y - t * ty) ** 2 + (z - t * tz) ** 2, out=nearest)
        return np.sqrt(nearest)


BULK = ("core", "necrosis")
"""Regions that heterogeneity occurs in."""


@dataclass(frozen=True)
class Layer:
    """One region of a lesion.

    Attributes
    ----------
    region : its name in the truth (core, rim, capsule, scar, nodules, septa, necrosis, oedema, hyperaemia …).
    tissue : what it is made of.
    where : predicate on the lesion's frame; later layers cover earlier ones.
    outside : whether it lies in the liver around the lesion instead of within the lesion.
    """

    region: str
    tissue: Tissue
    where: Callable[[Frame], NDArray[np.bool_]]
    outside: bool = False


@dataclass(frozen=True)
class Mottle:
    """Patches in which a lesion's bulk differs: haemorrhage, fibrosis, fat, dead or dense tissue.

    Such heterogeneity occurs in every class and belongs to none.

    Attributes
    ----------
    level, scale : patches are where a random field exceeds the level; its scale is relative to the radius.
    t1, t2, adc : factors of relaxation times and diffusion within the patches.
    inflow, volume : factors of arterial and portal inflow, and of the distribution volume.
    """

    level: float
    scale: float
    t1: float
    t2: float
    adc: float
    inflow: float
    volume: float

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float) -> Mottle:
        """Random heterogeneity; `strength` 0 is none, 1 marked."""
        reach = strength * np.array([0.25, 0.5, 0.4, 0.9, 0.55])
        t1, t2, adc, inflow, volume = (float(f) for f in np.exp(reach * rng.uniform(-1, 1, 5)))
        return cls(float(rng.uniform(-0.2, 0.9)), float(rng.uniform(0.25, 0.55)), t1, t2, adc, inflow, volume)

    def of(self, tissue: Tissue) -> Tissue:
        """The tissue as it is within the patches."""
        kinetics = tissue.kinetics.varied(self.inflow, self.volume)
        return replace(
            tissue.scaled(t1=self.t1, t2=self.t2), adc=min(tissue.adc * self.adc, 3.2), kinetics=kinetics
        )


@dataclass(frozen=True)
class Lesion:
    """One lesion of known class.

    Attributes
    ----------
    lesion_class : name in taxonomy W7 or Z7.
    variant : which typical or atypical form it takes, for people.
    atypical : whether it lacks a leading sign of its class.
    shape : its outline.
    layers : its tissues, painted in order.
    texture : relative amplitude of unresolved signal variation.
    mottle : heterogeneity that belongs to no class.
    purity : share of a voxel that is its region's own tissue; the rest is the lesion's average composition.
    infiltration : share of every lesion voxel that is liver.
    """

    lesion_class: str
    variant: str
    atypical: bool
    shape: Shape
    layers: tuple[Layer, ...]
    texture: float
    mottle: Mottle
    purity: float
    infiltration: float

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        """Two tissues for each layer: as it is, and within the patches of the mottle."""
        return tuple(t for layer in self.layers for t in (layer.tissue, self.mottle.of(layer.tissue)))

    @property
    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners (LPS mm) of a box around everything the lesion paints."""
        centre = np.asarray(self.shape.centre)
        return centre - self.shape.reach, centre + self.shape.reach


@dataclass(frozen=True)
class Painted:
    """Result of painting lesions into a label map.

    Attributes
    ----------
    masks : lesion number (1…N; 0 = none), [z, y, x].
    regions : index into `region_names` (0 = none), [z, y, x].
    region_names : names of the sub-regions in order; the first is "none".
    """

    masks: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    region_names: tuple[str, ...]


def paint_lesions(
    labels: NDArray[np.uint8],
    texture: NDArray[np.float32],
    grid: Grid,
    lesions: Sequence[Lesion],
    host: NDArray[np.bool_],
    room: NDArray[np.bool_],
    first_label: int,
) -> Painted:
    """Paint lesions over a label map and its texture, both changed in place.

    The tissues of the lesions, in order, take the labels from `first_label` on. More than six parameters: two
    images that are changed, and what may be changed where.

    Parameters
    ----------
    labels, texture : [z, y, x] on `grid`.
    lesions : in order of their numbers.
    host : liver, in which perilesional layers may appear.
    room : where a lesion itself may appear.
    first_label : value of the first new label.
    """
    masks, regions = np.zeros_like(labels), np.zeros_like(labels)
    names = ["none", *dict.fromkeys(layer.region for lesion in lesions for layer in lesion.layers)]
    for number, lesion in enumerate(lesions, start=1):
        window = grid.window(*lesion.box)
        frame = Frame(lesion.shape, grid.cropped(window))
        free = masks[window] == 0
        inside = (frame.relative > 0) & room[window] & free
        around = (frame.relative <= 0) & host[window] & free
        masks[window][inside] = number
        codes = _tissue_codes(lesion, frame, inside, around)
        painted = codes > 0
        labels[window][painted] = codes[painted] + (first_label - 1)
        region_of = np.array(
            [0, *(names.index(layer.region) for layer in lesion.layers for _ in range(2))], np.uint8
        )
        regions[window][painted] = region_of[codes[painted]]
        texture[window][inside] = (1 + lesion.texture * frame.noise("grain", 3.0))[inside]
        first_label += len(lesion.tissues)
    return Painted(masks, regions, tuple(names))


def mixing(lesions: Sequence[Lesion], liver: int, first_label: int) -> NDArray[np.float64]:
    """Composition of each label [label, tissue]: lesion tissues intermingle with each other and with liver.

    Labels below `first_label` are pure.
    """
    matrix = np.eye(first_label + sum(len(lesion.tissues) for lesion in lesions))
    for lesion in lesions:
        rows = slice(first_label, first_label + len(lesion.tissues))
        own = np.repeat([not layer.outside for layer in lesion.layers], 2)
        blend = lesion.purity * np.eye(len(own)) + (1 - lesion.purity) * _composition(lesion)
        matrix[rows, rows] = np.where(own[:, None], (1 - lesion.infiltration) * blend, np.eye(len(own)))
        matrix[rows, liver] = np.where(own, lesion.infiltration, 0.0)
        first_label = rows.stop
    return matrix


def _composition(lesion: Lesion) -> NDArray[np.float64]:
    """Share of each tissue in the lesion's volume."""
    centre, reach = np.asarray(lesion.shape.centre), lesion.shape.reach - HALO_MM
    frame = Frame(lesion.shape, Grid.covering(centre - reach, centre + reach, lesion.shape.radius / 9))
    inside = frame.relative > 0
    codes = _tissue_codes(lesion, frame, inside, np.zeros_like(inside))
    counts = np.bincount(codes[inside], minlength=len(lesion.tissues) + 1)[1:]
    return counts / counts.sum()


def _tissue_codes(
    lesion: Lesion, frame: Frame, inside: NDArray[np.bool_], around: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """1 + index into the lesion's tissues (0 = none)."""
    codes = np.zeros(inside.shape, np.uint8)
    mottled = frame.noise("mottle", lesion.mottle.scale * lesion.shape.radius) > lesion.mottle.level
    for index, layer in enumerate(lesion.layers):
        where = layer.where(frame) & (around if layer.outside else inside)
        codes[where] = 2 * index + 1
        if layer.region in BULK:
            codes[where & mottled] = 2 * index + 2
    return codes
