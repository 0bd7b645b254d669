"""What patterns are made of: the setting they are drawn from, and where in a lesion a layer lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kinetics import NO_UPTAKE, Kinetics
from .lesions import Frame, Layer
from .tissues import Tissue

Interval = tuple[float, float]
Where = Callable[[Frame], NDArray[np.bool_]]


@dataclass(frozen=True)
class Pattern:
    """Layers of a lesion and what they ask of its shape.

    Attributes
    ----------
    variant : name of the form.
    layers : painted in order.
    irregularity, coarseness : see `Shape`.
    texture, mottle : strength of unresolved and of resolved heterogeneity.
    """

    variant: str
    layers: tuple[Layer, ...]
    irregularity: float
    coarseness: float = 0.8
    texture: float = 0.04
    mottle: float = 1.0


@dataclass(frozen=True)
class Setting:
    """What a pattern is drawn from.

    Relaxation times and diffusion have a level of their own in every lesion, drawn from one wide distribution
    for all solid classes; a pattern says how its regions differ from that level.

    Attributes
    ----------
    rng : source of every random choice.
    liver : the patient's parenchyma, to which a lesion's properties are relative.
    diameter : mm.
    t1, t2 : the lesion's level relative to the liver.
    adc : the lesion's level, 10⁻³ mm²/s.
    """

    rng: np.random.Generator
    liver: Tissue
    diameter: float
    t1: float
    t2: float
    adc: float

    @classmethod
    def draw(cls, rng: np.random.Generator, liver: Tissue, diameter: float) -> Setting:
        """Setting with a random level."""
        t1, t2, adc = (
            rng.uniform(1.1, 1.6),
            np.exp(rng.uniform(np.log(1.15), np.log(2.0))),
            rng.uniform(0.75, 1.5),
        )
        return cls(rng, liver, diameter, float(t1), float(t2), float(adc))

    @property
    def radius(self) -> float:
        """Half the diameter, mm."""
        return self.diameter / 2

    def uniform(self, low: float, high: float) -> float:
        """Uniform draw."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def solid(self, kinetics: Kinetics, *, t1: float = 1.0, t2: float = 1.0, adc: float = 1.0) -> Tissue:
        """Soft tissue whose T1, T2 and ADC are multiples of the lesion's level."""
        return Tissue(
            density=0.82,
            t1_ms=self.liver.t1_ms * self.t1 * t1,
            t2_ms=self.liver.t2_ms * self.t2 * t2,
            adc=min(self.adc * adc, 3.0),
            kinetics=kinetics,
        )

    def supplied(self, volume: float, arterial: float, delay_s: float = 0.0) -> Kinetics:
        """Arterial supply; the distribution volume is relative to that of the patient's liver."""
        liver = self.liver.kinetics
        own = (liver.arterial + liver.portal) / liver.washout
        return Kinetics.supplied(own * volume, arterial=arterial, delay_s=delay_s)

    def grain(self) -> float:
        """Amplitude of unresolved heterogeneity."""
        return self.uniform(0.03, 0.14)

    def fluid(self, t1_ms: Interval, t2_ms: Interval, adc: Interval) -> Tissue:
        """Fluid that takes up no contrast agent."""
        return Tissue(0.98, self.uniform(*t1_ms), self.uniform(*t2_ms), self.uniform(*adc), NO_UPTAKE)

    def directions(self, count: int) -> NDArray[np.float64]:
        """Unit vectors spread over the sphere, favouring the axial plane, [count, 3]."""
        turn = (
            self.uniform(0, 2 * np.pi)
            + 2 * np.pi * np.arange(count) / count
            + self.rng.normal(0, 0.25, count)
        )
        rise = self.rng.uniform(-0.75, 0.75, count)
        flat = np.sqrt(1 - rise**2)
        return np.stack([flat * np.cos(turn), flat * np.sin(turn), rise], axis=1)


def everywhere(frame: Frame) -> NDArray[np.bool_]:
    """The whole lesion."""
    return frame.relative > -np.inf


def shell(thickness: float, wobble: float = 0.0, name: str = "shell") -> Where:
    """Outermost layer of the given thickness (mm) that varies by the relative amplitude `wobble`."""

    def where(frame: Frame) -> NDArray[np.bool_]:
        if not wobble:
            return frame.depth < thickness
        return frame.depth < thickness * (1 + wobble * frame.noise(name, 0.6 * frame.shape.radius))

    return where


def halo(width: float, name: str = "halo") -> Where:
    """Liver within about `width` mm around the lesion."""
    return lambda frame: frame.depth > -width * (1 + 0.35 * frame.noise(name, 10.0))


def wedge(s: Setting, width: float) -> Where:
    """Liver on one side of the lesion, within about `width` mm of it."""
    toward = s.directions(1)[0]

    def where(frame: Frame) -> NDArray[np.bool_]:
        x, y, z = frame.offset
        along = toward[0] * x + toward[1] * y + toward[2] * z
        return halo(width, "wedge")(frame) & (along > 0.6 * np.sqrt(x * x + y * y + z * z))

    return where


def ducts(s: Setting) -> Where:
    """Dilated bile ducts that leave the lesion to one side."""
    toward = s.directions(1)[0]
    spread = toward * (1, 1, 0.3) + s.rng.normal(0, 0.4, (int(s.rng.integers(4, 8)), 3))
    length = 1 + s.rng.uniform(10, 20, (len(spread), 1)) / s.radius
    tips = spread / np.linalg.norm(spread, axis=1, keepdims=True) * length
    calibre = s.uniform(1.8, 2.8)
    return lambda frame: frame.distance_to_rays(tips) < calibre


def patches(level: float, scale: float, name: str, core: float = -1.0) -> Where:
    """Where a random field of `scale` × radius exceeds `level`, only deeper than `core` (relative)."""
    return lambda frame: (frame.noise(name, scale * frame.shape.radius) > level) & (frame.relative > core)


def strands(width: float, scale: float, name: str) -> Where:
    """Thin septa: the zero surfaces of a random field."""
    return lambda frame: np.abs(frame.noise(name, scale * frame.shape.radius)) < width


def centre(extent: float, name: str = "centre", wobble: float = 0.08) -> Where:
    """Innermost part: relative depth beyond `1 − extent`."""
    return lambda frame: frame.relative + wobble * frame.noise(name, 0.35 * frame.shape.radius) > 1 - extent


def near(sites: NDArray[np.float64], reached: float) -> Where:
    """Within `reached` mm of the nearest site [n, 3] (relative to the radius), with an irregular front."""

    def where(frame: Frame) -> NDArray[np.bool_]:
        wobble = 1 + 0.22 * frame.noise("filling", 0.4 * frame.shape.radius)
        return frame.distance_to(sites) * wobble < reached

    return where
