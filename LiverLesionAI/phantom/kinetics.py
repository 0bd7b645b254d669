"""Contrast agent over time: arterial and portal input, tissue concentration, hepatocyte uptake.

Times are seconds after the arrival of contrast in the aorta; rates are per minute; concentrations are in mM
of tissue.

References
----------
Parker GJM et al. Magn Reson Med 2006;56:993 (population arterial input for 0.1 mmol/kg).
Materne R et al. Magn Reson Med 2002;47:135 (dual-input one-compartment model of the liver).
Rohrer M et al. Invest Radiol 2005;40:715 (relaxivities in plasma at 1.5 and 3 T).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STEP_S = 0.5
PORTAL_DELAY_S = 6.0
PORTAL_TRANSIT_S = 12.0
PARKER_DOSE = 0.1


@dataclass(frozen=True)
class Kinetics:
    """Uptake: C(t) = b·Ca(t) + ∫ [a·Ca(u) + p·Cp(u)] exp(−k·(t − u)) du + hepatocyte uptake.

    Attributes
    ----------
    blood : blood volume fraction b.
    arterial, portal : inflow a and p from artery and portal vein, per minute.
    washout : rate constant k, per minute; (a + p) / k is the distribution volume.
    delay_s : later arrival of both inputs, s.
    hepatocytes : hepatocyte uptake relative to normal liver (0 = none).
    """

    blood: float = 0.0
    arterial: float = 0.0
    portal: float = 0.0
    washout: float = 1.0
    delay_s: float = 0.0
    hepatocytes: float = 0.0

    @classmethod
    def supplied(
        cls,
        volume: float,
        *,
        arterial: float,
        portal: float = 0.0,
        delay_s: float = 0.0,
        hepatocytes: float = 0.0,
    ) -> Kinetics:
        """Tissue with a given distribution volume (0–1) and inflow rates (per minute)."""
        return cls(0.0, arterial, portal, (arterial + portal) / volume, delay_s, hepatocytes)

    def varied(self, inflow: float = 1.0, volume: float = 1.0) -> Kinetics:
        """The same tissue with multiplied inflow and distribution volume."""
        return replace(
            self,
            blood=self.blood * volume,
            arterial=self.arterial * inflow,
            portal=self.portal * inflow,
            washout=self.washout * inflow / volume,
        )


NO_UPTAKE = Kinetics()


@dataclass(frozen=True)
class ContrastAgent:
    """What is injected into a vein.

    Attributes
    ----------
    dose : mmol/kg.
    uptake : hepatocyte uptake rate of normal liver, per minute.
    injection_s : how long the injection takes beyond that of the bolus of gadolinium, s.
    """

    name: str
    dose: float
    uptake: float = 0.0
    injection_s: float = 0.0


@dataclass(frozen=True)
class GadoliniumChelate(ContrastAgent):
    """An agent for MRI.

    Attributes
    ----------
    r1, r2 : relaxivity in plasma per field strength (T), 1/(mM·s).
    hepatobiliary_s : when its hepatobiliary phase is acquired, s.
    """

    r1: Mapping[float, float] = field(default_factory=dict)
    r2: Mapping[float, float] = field(default_factory=dict)
    hepatobiliary_s: float = 0.0


GADOBENATE = GadoliniumChelate(
    "gadobenate", 0.1, 0.02, r1={1.5: 6.3, 3.0: 5.5}, r2={1.5: 8.7, 3.0: 11.0}, hepatobiliary_s=5400.0
)
GADOXETATE = GadoliniumChelate(
    "gadoxetate", 0.025, 0.16, r1={1.5: 6.9, 3.0: 6.2}, r2={1.5: 8.7, 3.0: 11.0}, hepatobiliary_s=1200.0
)


def arterial_input(time_s: NDArray[np.float64], dose: float = PARKER_DOSE) -> NDArray[np.float64]:
    """Blood concentration in the aorta (mM): Parker's population function, scaled to the dose (mmol/kg)."""
    t = np.asarray(time_s, float) / 60.0
    first = 0.809 / (0.0563 * np.sqrt(2 * np.pi)) * np.exp(-((t - 0.17046) ** 2) / (2 * 0.0563**2))
    second = 0.330 / (0.132 * np.sqrt(2 * np.pi)) * np.exp(-((t - 0.365) ** 2) / (2 * 0.132**2))
    tail = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483)))
    return np.where(t >= 0, first + second + tail, 0.0) * (dose / PARKER_DOSE)


def portal_input(time_s: NDArray[np.float64], dose: float = PARKER_DOSE) -> NDArray[np.float64]:
    """Blood concentration in the portal vein (mM): the arterial one, delayed and dispersed by the gut."""
    fine, _, portal = _inputs(float(np.max(time_s)) + STEP_S)
    return np.interp(time_s, fine, portal, left=0.0) * (dose / PARKER_DOSE)


def concentrations(
    tissues: Sequence[Kinetics], times_s: Sequence[float], agent: ContrastAgent
) -> NDArray[np.float64]:
    """Concentration of the agent (mM), [tissue, time]."""
    result = np.zeros((len(tissues), len(times_s)))
    if not len(times_s):
        return result
    fine, arterial, portal = _inputs(max(times_s) + STEP_S, agent.injection_s)
    parameters = np.array(
        [[k.blood, k.arterial, k.portal, k.washout, k.delay_s, k.hepatocytes] for k in tissues]
    )
    blood, a, p, washout, delay, hepatocytes = parameters.T
    for column, time in enumerate(times_s):
        age = time - delay[:, None] - fine
        residue = np.where(age >= 0, np.exp(-washout[:, None] * np.maximum(age, 0) / 60), 0) * (STEP_S / 60)
        inflow = a * (residue @ arterial) + p * (residue @ portal)
        taken_up = agent.uptake * hepatocytes * np.sum(portal[fine <= time]) * (STEP_S / 60)
        result[:, column] = blood * np.interp(time - delay, fine, arterial, left=0.0) + inflow + taken_up
    return result * (agent.dose / PARKER_DOSE)


@lru_cache(maxsize=8)
def _inputs(
    until_s: float, injection_s: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Time, and blood concentrations in aorta and portal vein; a longer injection spreads both out."""
    time = np.arange(0.0, until_s, STEP_S)
    arterial = arterial_input(time)
    if injection_s:
        steps = round(injection_s / STEP_S)
        arterial = np.convolve(arterial, np.full(steps, 1 / steps))[: len(time)]
    lag = np.arange(0.0, 8 * PORTAL_TRANSIT_S, STEP_S)
    transit = np.exp(-lag / PORTAL_TRANSIT_S)
    dispersed = np.convolve(arterial, transit / transit.sum())[: len(time)]
    return time, arterial, np.interp(time - PORTAL_DELAY_S, time, dispersed, left=0.0)
