"""From a label map of tissues to the images of a protocol: partial volume, motion, coil shading, noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d, map_coordinates

from .fields import Grid, Lattice, stream
from .kinetics import concentrations
from .motion import Displacement
from .protocol import B_VALUE, MR_SEQUENCES, Acquisition, Protocol
from .signal import DiffusionEcho, PulseSequence, Relaxation, apparent_diffusion, rician
from .tissues import Tissue

SHADING_MM = 150.0
"""Scale of the coil's sensitivity variation."""
_SCALE = 1000.0
"""Twice the stored value of unenhanced liver."""


@dataclass(frozen=True)
class Scene:
    """Tissue in the reference frame.

    Attributes
    ----------
    grid : fine grid in the reference frame.
    labels : [z, y, x].
    tissues : pure tissues.
    mixture : share of each tissue in each label, [label, tissue].
    texture : relative signal variation, [z, y, x].
    liver : index of normal liver, whose signal defines noise and gain.
    """

    grid: Grid
    labels: NDArray[np.uint8]
    tissues: tuple[Tissue, ...]
    mixture: NDArray[np.float64]
    texture: NDArray[np.float32]
    liver: int


@dataclass(frozen=True)
class Scanner:
    """A protocol together with what is random about one examination.

    Attributes
    ----------
    protocol : the sequences.
    shading : logarithm of the sensitivity left after the scanner's correction, by sequence.
    seed : of the noise.
    """

    protocol: Protocol
    shading: Mapping[str, Lattice]
    seed: int

    def signals(self, scene: Scene, sequence: str) -> tuple[NDArray[np.float64], ...]:
        """Signal of each label in stored units: one array, or those of b = 0 and b = 800 for DWI and ADC."""
        acquisition = self.protocol.acquisitions[sequence]
        state = relaxation(scene.tissues, acquisition.time_s, self.protocol)
        precontrast = relaxation(scene.tissues, None, self.protocol)
        gain = _SCALE / (2 * _unweighted(acquisition.pulse).signal(precontrast)[scene.liver])
        pulses: tuple[PulseSequence, ...] = (acquisition.pulse,)
        if isinstance(acquisition.pulse, DiffusionEcho):
            pulses = (_unweighted(acquisition.pulse), acquisition.pulse)
        return tuple(gain * scene.mixture @ pulse.signal(state) for pulse in pulses)

    def acquire(
        self, scene: Scene, grids: Mapping[str, Grid], displacements: Mapping[str, Displacement]
    ) -> dict[str, NDArray[np.int16]]:
        """Images of sequences on their grids, [z, y, x]; the ADC map is computed from the DWI."""
        images: dict[str, NDArray] = {}
        for name, grid in grids.items():
            if name in ("DWI", "ADC"):
                images |= {} if "DWI" in images else self._diffusion(scene, grid, displacements[name])
            else:
                images[name] = self._volumes(scene, name, grid, displacements[name])[0]
        return {name: np.rint(images[name]).astype(np.int16) for name in grids}

    def _diffusion(
        self, scene: Scene, grid: Grid, displacement: Displacement
    ) -> dict[str, NDArray[np.float32]]:
        name = "DWI" if "DWI" in self.protocol.acquisitions else "ADC"
        low_b, high_b = self._volumes(scene, name, grid, displacement)
        return {"DWI": high_b, "ADC": self.diffusion_map(low_b, high_b)}

    def _volumes(
        self, scene: Scene, sequence: str, grid: Grid, displacement: Displacement
    ) -> list[NDArray[np.float32]]:
        acquisition = self.protocol.acquisitions[sequence]
        points = sample_positions(scene.grid, grid, displacement)
        coil = np.exp(self.shading[sequence].on(grid))
        volumes = []
        for part, signal in enumerate(self.signals(scene, sequence)):
            fine = np.take(signal.astype(np.float32), scene.labels) * scene.texture
            volume = coil * sample(voxel_average(fine, scene.grid, acquisition.resolution), points)
            volumes.append(self.with_noise(volume, acquisition, sequence, part, "image"))
        return volumes

    def with_noise(
        self, volume: NDArray, acquisition: Acquisition, sequence: str, part: int, purpose: str
    ) -> NDArray[np.float32]:
        """Volume with Rician noise; sequence, part (b-value) and purpose name the random stream."""
        rng = stream(self.seed, "noise", sequence, part, purpose)
        return rician(volume, noise_sigma(acquisition), rng, acquisition.averages)

    def diffusion_map(self, low_b: NDArray, high_b: NDArray) -> NDArray[np.float32]:
        """ADC in 10⁻⁶ mm²/s from noisy b = 0 and b = 800 images; the background is set to 0."""
        acquisition = self.protocol.acquisitions.get("ADC") or self.protocol.acquisitions["DWI"]
        return apparent_diffusion(low_b, high_b, B_VALUE, floor=3.5 * noise_sigma(acquisition))

    def whole_volume_limits(self, coarse: Scene) -> Mapping[str, tuple[float, float]]:
        """0.5 and 99.5 percentile of each sequence's whole volume, from a coarse scene of the whole body."""
        limits: dict[str, tuple[float, float]] = {}
        for name, acquisition in self.protocol.acquisitions.items():
            if name in limits:
                continue
            slices = max(round(acquisition.grid.spacing[2] / coarse.grid.spacing[2]), 1)
            modulation = np.exp(self.shading[name].on(coarse.grid)) * coarse.texture
            volumes = []
            for part, signal in enumerate(self.signals(coarse, name)):
                volume = _slab_means(np.take(signal.astype(np.float32), coarse.labels) * modulation, slices)
                volumes.append(self.with_noise(volume, acquisition, name, part, "limits"))
            limits[name] = percentile_limits(volumes[-1])
            if name in ("DWI", "ADC"):
                limits |= {"DWI": limits[name], "ADC": percentile_limits(self.diffusion_map(*volumes))}
        return limits


def _slab_means(volume: NDArray[np.float32], slices: int) -> NDArray[np.float32]:
    whole = volume.shape[0] // slices * slices
    return volume[:whole].reshape(-1, slices, *volume.shape[1:]).mean(axis=1)


def draw_shading(
    rng: np.random.Generator, sequences: Sequence[str], low: ArrayLike, high: ArrayLike
) -> Mapping[str, Lattice]:
    """Random residual shading of each sequence within the box `low`–`high` (LPS mm).

    All sequences share the coil's sensitivity; transmit field and the scanner's correction add a part of
    their own to each of them. DWI and ADC are one acquisition.
    """
    fields = {name: Lattice.noise(rng, low, high, SHADING_MM) for name in ("coil", *MR_SEQUENCES)}
    common, own = rng.uniform(0.08, 0.25), rng.uniform(0.12, 0.3)
    coil = fields["coil"]
    return {
        name: Lattice(
            coil.grid,
            (common * coil.coefficients + own * fields["DWI" if name == "ADC" else name].coefficients).astype(
                np.float32
            ),
        )
        for name in sequences
    }


def noise_sigma(acquisition: Acquisition) -> float:
    """Standard deviation of the noise in stored units."""
    return _SCALE / 2 / acquisition.snr


def relaxation(tissues: Sequence[Tissue], time_s: float | None, protocol: Protocol) -> Relaxation:
    """State of tissues at a time after contrast arrival (None: before injection)."""
    agent, field = protocol.agent, protocol.field_tesla
    kinetics = [t.kinetics for t in tissues]
    c = np.zeros(len(tissues)) if time_s is None else concentrations(kinetics, [time_s], agent)[:, 0]
    r2 = 1e3 / np.array([t.t2_ms for t in tissues]) + agent.r2[field] * c
    return Relaxation(
        density=np.array([t.density for t in tissues]),
        r1=1e3 / np.array([t.t1_ms for t in tissues]) + agent.r1[field] * c,
        r2=r2,
        r2_star=r2 + 1e3 / np.array([t.t2_prime_ms for t in tissues]),
        adc=1e-3 * np.array([t.adc for t in tissues]),
        fat=np.array([t.fat for t in tissues], float),
        flow=np.array([t.flow for t in tissues], float),
    )


def sample_positions(fine: Grid, grid: Grid, displacement: Displacement) -> NDArray[np.float32]:
    """Continuous index [3 (z, y, x), z, y, x] in the fine grid that each voxel of a sequence shows."""
    field = displacement.on(grid)
    points = np.empty_like(field)
    for k, axis in enumerate(grid.axes()):
        points[2 - k] = (axis - field[k] - np.float32(fine.origin[k])) / np.float32(fine.spacing[k])
    return points


def sample(volume: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear interpolation; outside the volume is air."""
    return map_coordinates(volume, points, order=1, mode="constant", cval=0.0, prefilter=False)


def voxel_average(volume: NDArray[np.float32], fine: Grid, extent_mm: Sequence[float]) -> NDArray[np.float32]:
    """Mean over a box of `extent_mm` (x, y, z) around each voxel of the fine grid."""
    for axis, (width, step) in enumerate(zip(extent_mm[::-1], fine.spacing[::-1], strict=True)):
        if width > 1.25 * step:
            volume = correlate1d(volume, box_weights(width / step), axis=axis, mode="nearest")
    return volume


def box_weights(width: float) -> NDArray[np.float64]:
    """Weights of a centred box of `width` samples (≥ 1, may be fractional)."""
    half = int(np.ceil((width - 1) / 2))
    weights = np.ones(2 * half + 1)
    if half:
        weights[[0, -1]] = (width - (2 * half - 1)) / 2
    return weights / weights.sum()


def _unweighted(pulse: PulseSequence) -> PulseSequence:
    if isinstance(pulse, DiffusionEcho):
        return DiffusionEcho(pulse.tr_ms, pulse.te_ms, 0.0, pulse.residual_fat)
    return pulse


def percentile_limits(values: NDArray) -> tuple[float, float]:
    """0.5 and 99.5 percentile."""
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(high)
