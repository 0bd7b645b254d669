"""Acquisition protocols: Table 1 of Wang et al. 2021."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .fields import Grid, triple
from .kinetics import GADOBENATE, GADOXETATE, GadoliniumChelate
from .signal import DiffusionEcho, PulseSequence, SpinEcho, SpoiledGradientEcho

B_VALUE = 800.0
DYNAMIC = ("T1WI", "LAP", "PVP", "DP", "HBP")
MR_SEQUENCES = ("T2WI", "DWI", "ADC", *DYNAMIC)
VENDORS = ("siemens", "ge", "philips")
FIELD_OF_VIEW_Z = (-108.0, 108.0)


@dataclass(frozen=True)
class Acquisition:
    """How one sequence is acquired.

    Attributes
    ----------
    pulse : signal equation with its parameters.
    grid : voxel grid of the whole volume, LPS mm.
    phase_resolution_mm : acquired resolution along y (coarser than the grid).
    time_s : seconds after arrival of contrast in the aorta; None before injection.
    snr : signal of normal liver over the noise's standard deviation, per acquisition.
    averages : number of averaged magnitude images.
    """

    pulse: PulseSequence
    grid: Grid
    phase_resolution_mm: float
    time_s: float | None
    snr: float
    averages: int = 1

    @property
    def resolution(self) -> tuple[float, float, float]:
        """Extent of the point-spread function in mm, (x, y, z)."""
        x, y, z = self.grid.spacing
        return x, max(y, self.phase_resolution_mm), z


@dataclass(frozen=True)
class Protocol:
    """One scanner's liver protocol.

    Attributes
    ----------
    field_tesla : 1.5 or 3.
    vendor : one of `VENDORS`.
    agent : contrast agent; gadoxetate when a hepatobiliary phase belongs to the protocol, else gadobenate.
    acquisitions : by sequence; ADC is computed from DWI and shares its acquisition.
    """

    field_tesla: float
    vendor: str
    agent: GadoliniumChelate
    acquisitions: Mapping[str, Acquisition]

    @property
    def facts(self) -> dict[str, object]:
        """What the truth says of it."""
        return {
            "field_tesla": self.field_tesla,
            "vendor": self.vendor,
            "contrast_agent": self.agent.name,
        }


def draw_protocol(
    rng: np.random.Generator,
    sequences: Sequence[str],
    field_tesla: float | None = None,
    vendor: str | None = None,
) -> Protocol:
    """Random protocol within the ranges of Table 1; field strength and vendor may be fixed."""
    drawn_vendor, drawn_field = VENDORS[rng.integers(3)], (3.0 if rng.random() < 0.7 else 1.5)
    field = float(field_tesla or drawn_field)
    fov = rng.uniform(380, 420)
    jitter = rng.uniform(-1, 1, 3) * 4
    quality = rng.uniform(0.85, 1.2) * (1.0 if field > 2 else 0.72)
    thick, thin = rng.uniform(6, 8), rng.uniform(3, 4)
    agent = GADOXETATE if "HBP" in sequences else GADOBENATE

    t2 = Acquisition(
        SpinEcho(rng.uniform(5000, 9000), rng.uniform(80, 90)),
        _grid(fov, 288, thick, jitter),
        fov / 224,
        None,
        snr=22 * quality,
    )
    dwi = Acquisition(
        DiffusionEcho(3000, rng.uniform(58, 72), B_VALUE),
        _grid(fov, 128, thick, -jitter),
        fov / 110,
        None,
        26 * quality,
        4,
    )
    matrix, lines = ((288, 172), (320, 216), (320, 192))[rng.integers(3)]
    pulse = SpoiledGradientEcho(rng.uniform(3.4, 4.6), rng.uniform(1.3, 2.0), 15)
    dynamic_grid = _grid(fov, matrix, thin, jitter[::-1])
    times = {
        "T1WI": None,
        "LAP": rng.uniform(15, 20),
        "PVP": rng.uniform(60, 70),
        "DP": rng.uniform(180, 300),
        "HBP": agent.hepatobiliary_s,
    }
    snr = 24 * quality
    acquisitions = {"T2WI": t2, "DWI": dwi, "ADC": dwi}
    acquisitions |= {n: Acquisition(pulse, dynamic_grid, fov / lines, t, snr) for n, t in times.items()}
    return Protocol(field, vendor or drawn_vendor, agent, {n: acquisitions[n] for n in sequences})


def _grid(fov: float, matrix: int, thickness: float, offset: np.ndarray) -> Grid:
    reach = np.array([fov / 2, fov / 2, 0.0])
    low = -reach + offset + [0, 0, FIELD_OF_VIEW_Z[0]]
    high = reach + offset + [0, 0, FIELD_OF_VIEW_Z[1]]
    step = (fov / matrix, fov / matrix, thickness)
    low[2] += (high[2] - low[2]) % thickness / 2
    slices = int((high[2] - low[2]) / thickness + 1e-6)
    origin = triple(low + np.asarray(step) / 2)
    return Grid(origin, step, (matrix, matrix, slices))
