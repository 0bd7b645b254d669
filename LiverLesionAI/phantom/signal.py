"""Signal equations of the phantom's sequences, per unit of receiver gain.

References
----------
Ernst RR, Anderson WA. Rev Sci Instrum 1966;37:93 (spoiled gradient echo in the steady state).
Bernstein MA, King KF, Zhou XJ. Handbook of MRI Pulse Sequences, 2004 (spin echo, diffusion weighting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Relaxation:
    """Tissue state seen by a sequence, one entry per tissue.

    Attributes
    ----------
    density : relative proton density.
    r1, r2, r2_star : relaxation rates with contrast agent included, 1/s.
    adc : apparent diffusion coefficient, mm²/s.
    fat : fraction of the signal that comes from fat.
    flow : fraction of the signal lost to flow in spin-echo sequences.
    """

    density: Array
    r1: Array
    r2: Array
    r2_star: Array
    adc: Array
    fat: Array
    flow: Array


@dataclass(frozen=True)
class SpoiledGradientEcho:
    """T1-weighted spoiled gradient echo (LAVA, VIBE, eTHRIVE). Times in ms, flip angle in degrees."""

    tr_ms: float
    te_ms: float
    flip_deg: float
    residual_fat: float = 0.12

    def signal(self, state: Relaxation) -> Array:
        """Steady-state signal M·sin α·(1 − E1)/(1 − cos α·E1)·exp(−TE·R2*)."""
        e1 = np.exp(-self.tr_ms * 1e-3 * state.r1)
        alpha = np.deg2rad(self.flip_deg)
        steady = np.sin(alpha) * (1 - e1) / (1 - np.cos(alpha) * e1)
        decay = np.exp(-self.te_ms * 1e-3 * state.r2_star)
        return state.density * steady * decay * _fat_suppression(state, self.residual_fat)


@dataclass(frozen=True)
class SpinEcho:
    """Fat-suppressed T2-weighted fast spin echo at its effective echo time. Times in ms."""

    tr_ms: float
    te_ms: float
    residual_fat: float = 0.15

    def signal(self, state: Relaxation) -> Array:
        """M·(1 − exp(−TR·R1))·exp(−TE·R2)."""
        recovery = 1 - np.exp(-self.tr_ms * 1e-3 * state.r1)
        decay = np.exp(-self.te_ms * 1e-3 * state.r2)
        return (
            state.density * recovery * decay * _fat_suppression(state, self.residual_fat) * (1 - state.flow)
        )


@dataclass(frozen=True)
class DiffusionEcho:
    """Diffusion-weighted single-shot spin-echo EPI. Times in ms, b in s/mm²."""

    tr_ms: float
    te_ms: float
    b: float
    residual_fat: float = 0.06

    def signal(self, state: Relaxation) -> Array:
        """Spin-echo signal times exp(−b·ADC)."""
        echo = SpinEcho(self.tr_ms, self.te_ms, self.residual_fat).signal(state)
        return echo * np.exp(-self.b * state.adc)


PulseSequence = SpoiledGradientEcho | SpinEcho | DiffusionEcho


def apparent_diffusion(low_b: NDArray, high_b: NDArray, b: float, floor: float) -> NDArray[np.float32]:
    """ADC map in 10⁻⁶ mm²/s from magnitude images at b = 0 and `b` (s/mm²), as a scanner computes it.

    Voxels whose b = 0 signal is below `floor` are set to 0; values are kept within 0–4000.
    """
    ratio = np.maximum(low_b, 1e-6) / np.maximum(high_b, 1e-6)
    adc = np.clip(np.log(ratio) / b * 1e6, 0, 4000)
    return np.where(low_b > floor, adc, 0).astype(np.float32)


def rician(signal: NDArray, sigma: float, rng: np.random.Generator, averages: int = 1) -> NDArray[np.float32]:
    """Mean magnitude of `averages` acquisitions with complex Gaussian noise of standard deviation `sigma`."""
    total = np.zeros(signal.shape, np.float32)
    for _ in range(averages):
        real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
        imaginary = sigma * rng.standard_normal(signal.shape, dtype=np.float32)
        total += np.hypot(real, imaginary)
    return (total / averages).astype(np.float32)


def _fat_suppression(state: Relaxation, residual: float) -> Array:
    return 1 - state.fat * (1 - residual)
