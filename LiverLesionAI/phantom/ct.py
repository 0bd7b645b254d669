"""Triphasic CT of the phantom: protocol, and from a label map to images in Hounsfield units.

Protocol and noise follow Yasaka et al. 2018 (120 kVp, noise index 11.4 and 13, 5 mm slices without and 3 mm
with contrast, soft-tissue kernel). Left out: beam hardening, scatter, partial scans, metal, and slices that
overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .acquisition import Scene, sample, sample_positions, voxel_average
from .anatomy import LABELS
from .attenuation import AIR_HU, IODINE, LIVER_HU, enhancement, unenhanced
from .fields import Grid, stream
from .kinetics import ContrastAgent
from .motion import Displacement
from .protocol import FIELD_OF_VIEW_Z, VENDORS

MATRIX = 512
KVP = 120
TIMES_S: Mapping[str, tuple[float, float]] = {
    "CT_ART": (22.0, 28.0),
    "CT_PORTAL": (50.0, 60.0),
    "CT_DELAY": (155.0, 170.0),
}
"""Seconds after arrival in the aorta, which reaches 200 HU some 8 s later and is scanned 15 s after that."""
LOWEST_HU, HIGHEST_HU = -1024, 3071
_NOISE_HU = (10.5, 14.0)
_KERNEL_PEAK_PER_MM = (0.2, 0.3)
"""Spatial frequency at which the noise of soft-tissue kernels is strongest (Solomon J et al. Med Phys
2012;39:6048)."""


@dataclass(frozen=True)
class CTAcquisition:
    """How one phase is acquired.

    Attributes
    ----------
    grid : voxel grid of the whole volume, LPS mm.
    time_s : seconds after arrival of contrast in the aorta; None before injection.
    noise_hu : standard deviation of the noise.
    """

    grid: Grid
    time_s: float | None
    noise_hu: float


@dataclass(frozen=True)
class CTProtocol:
    """One scanner's liver protocol.

    Attributes
    ----------
    vendor : one of `VENDORS`.
    agent : contrast agent.
    acquisitions : by phase.
    kernel_peak_per_mm : spatial frequency at which the kernel leaves most noise.
    """

    vendor: str
    agent: ContrastAgent
    acquisitions: Mapping[str, CTAcquisition]
    kernel_peak_per_mm: float

    @property
    def facts(self) -> dict[str, object]:
        """What the truth says of it."""
        noise = {name: round(each.noise_hu, 2) for name, each in self.acquisitions.items()}
        return {"kvp": KVP, "vendor": self.vendor, "contrast_agent": self.agent.name, "noise_hu": noise}


@dataclass(frozen=True)
class CTScanner:
    """A protocol together with what is random about one examination.

    Attributes
    ----------
    protocol : the phases.
    liver_hu : of the patient's liver without fat and contrast.
    seed : of the noise.
    """

    protocol: CTProtocol
    liver_hu: float
    seed: int

    def attenuation(self, scene: Scene, phase: str) -> NDArray[np.float64]:
        """HU of each label in a phase, ``[label]``."""
        acquisition = self.protocol.acquisitions[phase]
        plain = unenhanced(LABELS, scene.tissues, scene.tissues[scene.liver], self.liver_hu)
        return scene.mixture @ (plain + enhancement(scene.tissues, acquisition.time_s, self.protocol.agent))

    def acquire(
        self, scene: Scene, grids: Mapping[str, Grid], displacements: Mapping[str, Displacement]
    ) -> dict[str, NDArray[np.int16]]:
        """Images of phases on their grids in HU, ``[z, y, x]``."""
        return {name: self._phase(scene, name, grid, displacements[name]) for name, grid in grids.items()}

    def _phase(self, scene: Scene, phase: str, grid: Grid, displacement: Displacement) -> NDArray[np.int16]:
        labels = self.attenuation(scene, phase).astype(np.float32)
        above_air = np.take(labels, scene.labels) * scene.texture - np.float32(AIR_HU)
        thick = voxel_average(above_air, scene.grid, grid.spacing)
        volume = sample(thick, sample_positions(scene.grid, grid, displacement)) + np.float32(AIR_HU)
        rng = stream(self.seed, "noise", phase, "image")
        noise = kernel_noise(rng, grid, self.protocol.kernel_peak_per_mm)
        volume += np.float32(self.protocol.acquisitions[phase].noise_hu) * noise
        return np.rint(np.clip(volume, LOWEST_HU, HIGHEST_HU)).astype(np.int16)


def kernel_noise(rng: np.random.Generator, grid: Grid, peak_per_mm: float) -> NDArray[np.float32]:
    """Noise of unit variance as filtered backprojection leaves it, ``[z, y, x]``.

    Its power rises with spatial frequency, as the ramp filter has it, and falls beyond the kernel's peak:
    f·exp(−(f/f₀)²) in the plane of a slice. Slices are independent.
    """
    nz, ny, nx = grid.shape
    dx, dy, _ = grid.spacing
    frequency = np.hypot(np.fft.rfftfreq(nx, dx)[None, :], np.fft.fftfreq(ny, dy)[:, None])
    kernel = np.sqrt(frequency * np.exp(-((frequency / (peak_per_mm * np.sqrt(2))) ** 2)))
    noise = np.empty(grid.shape, np.float32)
    for z in range(nz):
        white = np.fft.rfft2(rng.standard_normal((ny, nx), dtype=np.float32))
        noise[z] = np.fft.irfft2(white * kernel, s=(ny, nx))
    return noise / noise.std()


def draw_ct_scanner(
    rng: np.random.Generator, phases: Sequence[str], vendor: str | None, seed: int
) -> CTScanner:
    """Random scanner, protocol and liver; the vendor may be fixed."""
    drawn_vendor = VENDORS[rng.integers(3)]
    field_of_view = rng.uniform(340, 400)
    shift = rng.uniform(-4, 4, 2)
    noise = rng.uniform(*_NOISE_HU)
    times = {name: float(rng.uniform(*between)) for name, between in TIMES_S.items()}
    acquisitions = {
        name: CTAcquisition(
            _grid(field_of_view, 3.0 if name in times else 5.0, shift),
            times.get(name),
            float(noise * rng.uniform(0.9, 1.1)),
        )
        for name in ("CT_PLAIN", *times)
    }
    peak = float(rng.uniform(*_KERNEL_PEAK_PER_MM))
    liver_hu = float(LIVER_HU + rng.normal(0, 4))
    chosen = {name: acquisitions[name] for name in phases}
    return CTScanner(CTProtocol(vendor or drawn_vendor, IODINE, chosen, peak), liver_hu, seed)


def _grid(field_of_view: float, thickness: float, shift: NDArray[np.float64]) -> Grid:
    low, high = FIELD_OF_VIEW_Z
    step = field_of_view / MATRIX
    slices = int((high - low) / thickness)
    x, y = shift - field_of_view / 2 + step / 2
    first = (low + high - (slices - 1) * thickness) / 2
    return Grid((float(x), float(y), first), (step, step, thickness), (MATRIX, MATRIX, slices))
