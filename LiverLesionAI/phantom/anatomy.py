"""Parametric abdomen: a label map of tissues on any grid, different from study to study.

Body coordinates are LPS mm with the origin in the middle of the liver's level: −x is the patient's right,
where the liver lies; +y is posterior; +z is cranial.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Point
from .fields import Grid, Lattice, triple
from .kinetics import Kinetics
from .tissues import NAMES, Tissue, tissue
from .vessels import Branch, hepatic_veins, portal_tree

Background = Literal["healthy", "fatty", "cirrhotic"]
LABELS = (*NAMES, "liver nodule")
LIVER_LABELS = ("liver", "liver nodule", "fibrosis")
LIVER_BOX = (np.array([-165.0, -120.0, -110.0]), np.array([100.0, 110.0, 110.0]))
_NODE_MM = 5.0


@dataclass(frozen=True)
class Anatomy:
    """One patient's abdomen.

    Attributes
    ----------
    background : state of the liver parenchyma.
    scale : body size relative to the reference body, (x, y, z).
    half_axes : of the body outline in x and y, mm.
    fat_mm, wall_mm : thickness of subcutaneous fat and of the abdominal wall.
    organs : random displacement of each organ, mm, [organ, xyz].
    plumpness : random size factor of each organ.
    right_lobe, left_lobe : size factors of the liver's lobes.
    spleen : size factor of the spleen.
    ascites : thickness of the fluid around the liver, mm (0 = none).
    liver_noise, nodules : shape noise of the liver and nodular texture of the parenchyma.
    vessels : portal and hepatic venous tree.
    """

    background: Background
    scale: tuple[float, float, float]
    half_axes: tuple[float, float]
    fat_mm: float
    wall_mm: float
    organs: NDArray[np.float64]
    plumpness: NDArray[np.float64]
    right_lobe: float
    left_lobe: float
    spleen: float
    ascites: float
    liver_noise: Lattice
    nodules: Lattice
    vessels: tuple[Branch, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, background: Background) -> Anatomy:
        """Random patient with the given liver background."""
        cirrhotic, fatty = background == "cirrhotic", background == "fatty"
        fat = rng.uniform(18, 34) if fatty else rng.uniform(8, 26)
        return cls(
            background=background,
            scale=triple(rng.uniform(0.93, 1.06, 3)),
            half_axes=(float(rng.uniform(142, 152) + fat * 0.8), float(rng.uniform(90, 99) + fat * 0.8)),
            fat_mm=float(fat),
            wall_mm=float(rng.uniform(9, 13)),
            organs=rng.normal(0, 4, (12, 3)),
            plumpness=rng.uniform(0.9, 1.12, 12),
            right_lobe=float(rng.uniform(0.80, 0.92) if cirrhotic else rng.uniform(0.94, 1.08)),
            left_lobe=float(rng.uniform(1.02, 1.25) if cirrhotic else rng.uniform(0.80, 1.12)),
            spleen=float(rng.uniform(1.1, 1.4) if cirrhotic else rng.uniform(0.85, 1.1)),
            ascites=float(rng.uniform(5, 14) if cirrhotic and rng.random() < 0.45 else 0.0),
            liver_noise=Lattice.noise(rng, *LIVER_BOX, scale=28.0),
            nodules=Lattice.noise(rng, *LIVER_BOX, scale=float(rng.uniform(4.5, 7.0))),
            vessels=(*portal_tree(rng), *hepatic_veins(rng)),
        )

    @cached_property
    def liver_depth(self) -> Lattice:
        """Approximate depth below the liver surface in mm (negative outside), in body coordinates."""
        grid = Grid.covering(*LIVER_BOX, _NODE_MM)
        x, y, z = grid.axes()
        r, left = self.right_lobe, self.left_lobe
        lobes = (
            ((-74, 4, 12), (74 * r, 84 * r, 92 * r), 0.10),
            ((-62, 8, -42), (50 * r, 58 * r, 52 * r), 0.0),
            ((-8, -38, 26), (72 * left, 36 * left, 44 * left), 0.25),
            ((-16, -2, 22), (24 * left, 26 * left, 34), 0.0),
        )
        blend = np.zeros(grid.shape, np.float32)
        for (cx, cy, cz), (rx, ry, rz), lean in lobes:
            radius2 = ((x - cx - lean * (z - cz)) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2
            blend += np.exp(7 * (1 - radius2))
        level = np.log(np.maximum(blend, 1e-12)) / 7
        level += 0.10 * self.liver_noise.on(grid)
        gradient = np.linalg.norm(np.gradient(level, _NODE_MM), axis=0)
        depth = np.clip(level / np.maximum(gradient, 4e-3), -60, 60)
        depth = np.minimum(depth, self._cavity_depth(x, y) - 3)
        depth = np.minimum(depth, _dome(x, y) - z - 3)
        if self.background == "cirrhotic":
            depth = depth + 1.6 * np.minimum(np.abs(self.nodules.on(grid)), 2)
        return Lattice(grid, depth.astype(np.float32))

    def depth_on(self, grid: Grid) -> NDArray[np.float32]:
        """Depth below the liver surface in mm on a grid in LPS mm, [z, y, x]."""
        return self.liver_depth.on(self._to_body(grid)) * min(self.scale)

    def labels_on(self, grid: Grid) -> NDArray[np.uint8]:
        """Tissue labels (indices into `LABELS`) on a grid, [z, y, x]."""
        canvas = Canvas(grid, LABELS, self.scale)
        x, y, z = canvas.axes
        self._paint_body(canvas, x, y, z)
        self._paint_skeleton(canvas)
        self._paint_organs(canvas)
        self._paint_liver(canvas)
        self._paint_renal_sinus(canvas)
        return canvas.labels

    def tissues(self, field_tesla: float, rng: np.random.Generator) -> dict[str, Tissue]:
        """Tissue of each label for this patient: the table with biological variation."""
        table = {
            name: tissue(name, field_tesla).scaled(
                t1=rng.lognormal(0, 0.05), t2=rng.lognormal(0, 0.07), density=rng.lognormal(0, 0.02)
            )
            for name in NAMES
        }
        table["air"] = tissue("air", field_tesla)
        for name in ("spleen", "kidney cortex", "kidney medulla", "pancreas", "portal vein", "hepatic vein"):
            table[name] = replace(
                table[name],
                kinetics=table[name].kinetics.varied(rng.lognormal(0, 0.25), rng.lognormal(0, 0.15)),
            )
        liver = table["liver"]
        flow, volume = rng.lognormal(0, 0.25), float(np.clip(0.34 * rng.lognormal(0, 0.2), 0.22, 0.5))
        arterial = liver.kinetics.arterial * flow
        kinetics = Kinetics.supplied(
            volume, arterial=arterial, portal=liver.kinetics.portal * flow, hepatocytes=1
        )
        liver = replace(liver.scaled(t1=rng.lognormal(0, 0.08), t2=rng.lognormal(0, 0.12)), kinetics=kinetics)
        liver = replace(liver, adc=liver.adc * rng.lognormal(0, 0.08))
        if self.background == "fatty":
            liver = replace(liver, fat=float(rng.uniform(0.12, 0.32)))
        if self.background == "cirrhotic":
            stiff = Kinetics.supplied(
                volume * 1.05, arterial=0.35 * flow, portal=0.55 * flow, hepatocytes=0.7
            )
            liver = replace(liver.scaled(t1=1.06, t2=1.04), kinetics=stiff)
        table["liver"] = liver
        table["liver nodule"] = liver.scaled(t1=0.90, t2=0.92)
        fibrosis = table["fibrosis"]
        table["fibrosis"] = replace(
            liver, t1_ms=liver.t1_ms * 1.12, t2_ms=liver.t2_ms * 1.22, kinetics=fibrosis.kinetics
        )
        return table

    def _to_body(self, grid: Grid) -> Grid:
        scale = np.asarray(self.scale)
        return Grid(tuple(grid.origin / scale), tuple(grid.spacing / scale), grid.size)

    def _cavity_depth(self, x: NDArray, y: NDArray) -> NDArray:
        inset = self.fat_mm * 0.85 + self.wall_mm
        return _outline_depth(x, y, self.half_axes[0] - inset - self.fat_mm * 0.15, self.half_axes[1] - inset)

    def _paint_body(self, canvas: Canvas, x: NDArray, y: NDArray, z: NDArray) -> None:
        a, b = self.half_axes
        outline = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.uint8)
        skin = _outline_depth(x, y, a, b)
        cavity = self._cavity_depth(x, y)
        outline[skin > 0] = canvas.code("fat")
        outline[(cavity > -self.wall_mm) & (skin > 0)] = canvas.code("muscle")
        outline[cavity > 0] = canvas.code("fat")
        canvas.labels[:] = outline
        canvas.labels[(z > _dome(x, y)) & (cavity > 0)] = canvas.code("lung")

    def _paint_skeleton(self, canvas: Canvas) -> None:
        back = self.half_axes[1] - 98
        for side in (-1, 1):
            canvas.ellipsoid("muscle", (side * 34, 72 + back, 0), (27, 21, 400))
            canvas.ellipsoid("muscle", (side * 30, 44 + back, -90), (17, 20, 70))
            for k in range(-4, 6):
                turn = np.linspace(0.42, 2.3, 9)
                inset = self.fat_mm + 0.4 * self.wall_mm
                rx, ry = self.half_axes[0] - inset, self.half_axes[1] - inset
                path = np.stack(
                    [side * rx * np.sin(turn) ** 0.85, ry * np.cos(turn), 27.0 * k - 26 * turn + 40], axis=1
                )
                canvas.tube("cortical bone", path, np.full(9, 4.6), only=("muscle", "fat"))
                canvas.tube("marrow", path, np.full(9, 3.2), only=("cortical bone",))
        canvas.ellipsoid("marrow", (0, 50 + back, 0), (22, 18, 400))
        canvas.shape(
            "cortical bone",
            lambda x, y, z: (
                (np.abs((z + 400) % 32 - 16) < 3.5) & ((x / 20) ** 2 + ((y - 50 - back) / 16) ** 2 < 1)
            ),
            (-24, 30 + back, -400),
            (24, 70 + back, 400),
            only=("marrow",),
        )
        canvas.ellipsoid("cortical bone", (0, 80 + back, 0), (15, 14, 400))
        canvas.ellipsoid("cerebrospinal fluid", (0, 78 + back, 0), (9.5, 8, 400))
        canvas.ellipsoid("spinal cord", (0, 78 + back, 60), (5, 4.2, 70))
        canvas.ellipsoid("marrow", (0, 100 + back, 0), (3, 9, 400))

    def _paint_organs(self, canvas: Canvas) -> None:
        d, back = self.organs, self.half_axes[1] - 98
        inside = ("fat", "lung")

        organ = partial(self._paint_organ, canvas)
        organ(0, "artery", (22, -38, 118), (50, 42, 46), only=inside)
        organ(0, "muscle", (22, -38, 118), (50, 42, 46), only=("artery",))
        organ(0, "artery", (30, -38, 118), (32, 26, 32))
        self._paint_stomach(canvas)
        organ(
            2,
            "spleen",
            (98, 34 + back, 26),
            np.array((30, 44, 54)) * self.spleen,
            lean=(0.12, -0.1),
            only=inside,
        )
        for k, side, centre in self._kidneys():
            organ(k, "kidney cortex", centre, (27, 25, 54), lean=(-side * 0.15, 0), only=inside)
            organ(k, "kidney medulla", centre, (18, 16, 42), lean=(-side * 0.15, 0), only=("kidney cortex",))
            organ(k, "kidney cortex", centre, (17, 16, 5), only=("kidney medulla",))
        for k in range(5):
            x, z = -70 + 38 * k + d[5, k % 3] * 2, -88 + d[6, k % 3] * 3
            organ(7, "bowel wall", (x, -42, z), (21, 22, 24), only=("fat",))
            organ(
                7,
                ("bowel content", "bowel fluid", "bowel content", "air")[k % 4],
                (x, -42, z),
                (18, 19, 21),
                only=("bowel wall",),
            )
        path = np.array([(-20, -12, -30), (0, -16, -22), (22, -8, -16), (52, 10, 0), (84, 22, 16)]) + d[8]
        canvas.tube("pancreas", path, np.array([13.0, 10, 10, 9, 6]), only=inside)
        spine_y = 50 + back
        canvas.tube(
            "artery", np.array([(9, spine_y - 28, 130), (6, spine_y - 28, -130.0)]), np.array([11.5, 9.0])
        )

    def _paint_organ(
        self,
        canvas: Canvas,
        k: int,
        name: str,
        centre: Point,
        radii: Point,
        lean: tuple[float, float] = (0.0, 0.0),
        only: Iterable[str] | None = None,
    ) -> None:
        """Paint an ellipsoid with the random place and size of organ `k`.

        More than six parameters: what the organ is, and where and how it lies.
        """
        radii = np.asarray(radii) * self.plumpness[k]
        canvas.ellipsoid(name, np.asarray(centre) + self.organs[k], radii, lean=lean, only=only)

    def _kidneys(self) -> Iterator[tuple[int, int, tuple[float, float, float]]]:
        """Organ number, side and nominal centre of both kidneys."""
        y = 44 + self.half_axes[1] - 98
        yield 3, -1, (-64, y, -62)
        yield 4, 1, (64, y, -50)

    def _paint_renal_sinus(self, canvas: Canvas) -> None:
        for k, side, centre in self._kidneys():
            middle = np.add(centre, (-side * 10, -3, 0)) + self.organs[k]
            radii = np.array((13, 9, 24)) * self.plumpness[k]
            canvas.ellipsoid("fat", middle, radii, only=("kidney cortex", "kidney medulla"))

    def _paint_stomach(self, canvas: Canvas) -> None:
        organ = partial(self._paint_organ, canvas)
        centre, lean = (66, -34, 34), (0.25, 0.35)
        organ(1, "bowel wall", centre, (40, 32, 46), lean=lean, only=("fat", "lung"))
        wall = ("bowel wall",)
        organ(1, "bowel content", centre, (35, 27, 41), lean=lean, only=wall)
        gas = -34 + self.organs[1, 1] - 8
        canvas.shape(
            "air",
            lambda x, y, z: (y < gas) & (x > -400) & (z > -400),
            (0, -100, -60),
            (130, gas, 110),
            only=("bowel content",),
        )

    def _paint_liver(self, canvas: Canvas) -> None:
        depth = self.depth_on(canvas.grid)
        if self.ascites:
            fluid = (depth > -self.ascites) & (depth <= 0) & canvas.where("fat")
            canvas.labels[fluid] = canvas.code("ascites")
        room = canvas.where(
            "fat", "ascites", "bowel wall", "bowel fluid", "bowel content", "pancreas", "air", "spleen"
        )
        liver = (depth > 0) & room
        canvas.labels[liver] = canvas.code("liver")
        if self.background == "cirrhotic":
            texture = self.nodules.on(self._to_body(canvas.grid))
            canvas.labels[liver & (texture > 0.75)] = canvas.code("liver nodule")
            canvas.labels[liver & (np.abs(texture + 0.15) < 0.22)] = canvas.code("fibrosis")
        spine_y = 50 + self.half_axes[1] - 98
        cava = np.array([(-19, spine_y - 26, -130), (-20, spine_y - 30, 10), (-16, spine_y - 40, 130.0)])
        canvas.tube("hepatic vein", cava, np.array([10.5, 11.5, 12.5]))
        for branch in self.vessels:
            only = None if branch.extrahepatic else LIVER_LABELS
            canvas.tube(branch.label, branch.points, branch.radii, only=only)
        bladder, size = np.add((-50, -46, -34), self.organs[9]), self.plumpness[9]
        canvas.ellipsoid("bowel wall", bladder, np.array((17.5, 16.5, 33.5)) * size, lean=(0.1, -0.35))
        canvas.ellipsoid("bile", bladder, np.array((16, 15, 32)) * size, lean=(0.1, -0.35))


def _outline_depth(x: NDArray, y: NDArray, a: float, b: float) -> NDArray:
    """Approximate depth (mm) below a super-elliptic outline with half axes `a` and `b`."""
    radius = (np.abs(x / a) ** 2.5 + np.abs(y / b) ** 2.5) ** 0.4
    return (1 - radius) * b


def _dome(x: NDArray, y: NDArray) -> NDArray:
    """Height of the diaphragm (z, mm)."""
    right = 88 - ((x + 68) / 78) ** 2 * 42 - ((y + 2) / 80) ** 2 * 38
    left = 76 - ((x - 75) / 68) ** 2 * 42 - ((y - 2) / 78) ** 2 * 38
    return np.maximum(np.maximum(right, left), 18)
