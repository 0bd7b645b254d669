"""Tissue properties at 1.5 and 3 T.

References
----------
[B] de Bazelaire CMJ et al. Radiology 2004;230:652 — T1, T2 of abdominal organs at 1.5 and 3 T.
[S] Stanisz GJ et al. Magn Reson Med 2005;54:507 — T1, T2 of blood.
[R] Rooney WD et al. Magn Reson Med 2007;57:308 — T1 of cerebrospinal fluid.
[T] Taouli B, Koh DM. Radiology 2010;254:47 — ADC of liver and focal lesions.
[e] estimate: water-like fluid, or chosen so that the published appearance results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .kinetics import NO_UPTAKE, Kinetics


@dataclass(frozen=True)
class Tissue:
    """What the scanner sees of a tissue at one field strength.

    Attributes
    ----------
    density : proton density relative to water.
    t1_ms, t2_ms : relaxation times, ms.
    adc : apparent diffusion coefficient between b = 0 and 800 s/mm², 10⁻³ mm²/s.
    kinetics : uptake of contrast agent.
    fat : fraction of the signal that comes from fat (0–1).
    flow : fraction of the signal lost to flow in spin-echo sequences (0–1).
    t2_prime_ms : additional dephasing of gradient echoes, ms (1/T2* = 1/T2 + 1/T2').
    """

    density: float
    t1_ms: float
    t2_ms: float
    adc: float
    kinetics: Kinetics = NO_UPTAKE
    fat: float = 0.0
    flow: float = 0.0
    t2_prime_ms: float = 60.0

    def scaled(self, *, t1: float = 1.0, t2: float = 1.0, density: float = 1.0) -> Tissue:
        """The same tissue with multiplied relaxation times and density."""
        return replace(self, t1_ms=self.t1_ms * t1, t2_ms=self.t2_ms * t2, density=self.density * density)


_supplied = Kinetics.supplied
# name: (density, T1 at 1.5 T, T1 at 3 T, T2 at 1.5 T, T2 at 3 T, ADC, fat, flow, kinetics, source)
_ROWS: dict[str, tuple[float, float, float, float, float, float, float, float, Kinetics, str]] = {
    "air": (0.0, 1000, 1000, 10, 10, 0.0, 0, 0, NO_UPTAKE, "e"),
    "fat": (0.95, 343, 382, 58, 68, 0.1, 1, 0, _supplied(0.02, arterial=0.02), "B"),
    "muscle": (0.72, 856, 898, 27, 29, 1.5, 0, 0, _supplied(0.12, arterial=0.10), "B"),
    "lung": (0.08, 1200, 1300, 25, 20, 1.0, 0, 0, Kinetics(blood=0.10), "e"),
    "marrow": (0.65, 549, 586, 49, 49, 0.5, 0.5, 0, _supplied(0.10, arterial=0.12), "B"),
    "cortical bone": (0.06, 300, 400, 5, 5, 0.5, 0, 0, NO_UPTAKE, "e"),
    "cerebrospinal fluid": (1.0, 4300, 4300, 1500, 1500, 3.0, 0, 0.2, NO_UPTAKE, "R"),
    "spinal cord": (0.8, 745, 993, 74, 78, 1.0, 0, 0, NO_UPTAKE, "S"),
    "liver": (
        0.78,
        586,
        809,
        46,
        34,
        1.15,
        0,
        0,
        _supplied(0.34, arterial=0.22, portal=0.90, hepatocytes=1),
        "B",
    ),
    "spleen": (0.85, 1057, 1328, 79, 61, 0.85, 0, 0, _supplied(0.34, arterial=1.7), "B"),
    "kidney cortex": (0.86, 966, 1142, 87, 76, 2.0, 0, 0, _supplied(0.60, arterial=2.6), "B"),
    "kidney medulla": (0.88, 1412, 1545, 85, 81, 1.9, 0, 0, _supplied(0.70, arterial=0.8), "B"),
    "pancreas": (0.78, 584, 725, 46, 43, 1.5, 0.05, 0, _supplied(0.28, arterial=1.5), "B"),
    "artery": (0.9, 1441, 1932, 290, 275, 2.5, 0, 0.88, Kinetics(blood=1), "S"),
    "portal vein": (0.9, 1441, 1932, 200, 150, 2.5, 0, 0.80, _supplied(0.92, arterial=0.0, portal=12.0), "S"),
    "hepatic vein": (0.9, 1441, 1932, 200, 150, 2.5, 0, 0.80, _supplied(0.92, arterial=0.4, portal=2.2), "S"),
    "bile": (1.0, 2200, 2600, 500, 400, 2.9, 0, 0, NO_UPTAKE, "e"),
    "bowel wall": (0.78, 900, 1100, 50, 42, 1.5, 0, 0, _supplied(0.30, arterial=0.7), "e"),
    "bowel fluid": (1.0, 2200, 2500, 250, 220, 2.6, 0, 0.1, NO_UPTAKE, "e"),
    "bowel content": (0.85, 900, 1050, 120, 105, 2.0, 0.05, 0.05, NO_UPTAKE, "e"),
    "ascites": (1.0, 3500, 3500, 900, 800, 2.9, 0, 0.1, NO_UPTAKE, "e"),
    "fibrosis": (0.76, 780, 1040, 60, 46, 1.05, 0, 0, _supplied(0.42, arterial=0.25, portal=0.3), "e"),
}

NAMES = tuple(_ROWS)


def tissue(name: str, field_tesla: float) -> Tissue:
    """Tissue of the table at 1.5 or 3 T."""
    density, t1_low, t1_high, t2_low, t2_high, adc, fat, flow, kinetics, _ = _ROWS[name]
    low = field_tesla < 2
    return Tissue(density, t1_low if low else t1_high, t2_low if low else t2_high, adc, kinetics, fat, flow)


def source(name: str) -> str:
    """Key of the reference, in this module's docstring, that a row comes from."""
    return _ROWS[name][-1]
