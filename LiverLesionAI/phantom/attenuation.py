"""X-ray attenuation of tissues at 120 kVp, in Hounsfield units (HU), without and with iodine.

A lesion's tissue is described by its relaxation, as for MRI. Both T1 and attenuation follow how much of a
tissue is not water: the relaxation rate is taken as proportional to it, so that pure water and the patient's
liver fix a line from 1/T1 to HU (:func:`unenhanced`). Fat is mixed in by its share.

References
----------
[L] Lamba R et al. AJR Am J Roentgenol 2014;203:1013 — HU of abdominal organs on unenhanced CT.
[P] Piekarski J et al. Radiology 1980;137:727 — the liver lies some 8 HU above the spleen.
[K] Kodama Y et al. AJR Am J Roentgenol 2007;188:1307 — the liver loses HU with its fat.
[B] Bae KT. Radiology 2010;256:32 — 1 mg of iodine in 1 ml adds 25 HU at 120 kVp; time and dose of injection.
[I] ICRU report 44, 1989 — lung, bone, fat.
[e] estimate: water-like fluid, or chosen so that the published appearance results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .kinetics import ContrastAgent, concentrations
from .tissues import Tissue, tissue

FIELD_TESLA = 1.5
"""Field strength whose relaxation times stand for a tissue's composition."""
AIR_HU = -1000.0
LIVER_HU = 60.0
"""Of a liver without fat [L]."""
HU_PER_MG_ML = 25.0
MG_PER_MMOL = 126.9
IODINE_MG_PER_KG = 520.0
"""Yasaka et al. 2018: 2 ml/kg of 350 or 370 mg/ml, but 100 ml at most; a patient of 71 kg."""
IODINE = ContrastAgent("iodine", IODINE_MG_PER_KG / MG_PER_MMOL, injection_s=30.0)
"""A non-ionic agent; like gadolinium chelates it stays outside of cells, so that their kinetics hold."""

_WATER_HU, _FAT_HU = 2.0, -100.0
_MOST_SOLID = 1.15
"""Share of non-water, relative to the liver's, beyond which 1/T1 (iron, haemorrhage) says nothing of HU."""

_HU: Mapping[str, tuple[float, str]] = {
    "air": (AIR_HU, "I"),
    "fat": (_FAT_HU, "I"),
    "muscle": (56.0, "L"),
    "lung": (-820.0, "I"),
    "marrow": (150.0, "I"),
    "cortical bone": (800.0, "I"),
    "cerebrospinal fluid": (8.0, "e"),
    "spinal cord": (36.0, "e"),
    "spleen": (51.0, "P"),
    "kidney cortex": (33.0, "L"),
    "kidney medulla": (30.0, "L"),
    "pancreas": (42.0, "L"),
    "artery": (43.0, "L"),
    "portal vein": (43.0, "L"),
    "hepatic vein": (43.0, "L"),
    "bile": (7.0, "e"),
    "bowel wall": (40.0, "e"),
    "bowel fluid": (12.0, "e"),
    "bowel content": (30.0, "e"),
    "ascites": (9.0, "e"),
}
"""Tissues that are no part of the liver: HU, and the reference above that they come from."""


def unenhanced(
    names: Sequence[str], tissues: Sequence[Tissue], liver: Tissue, liver_hu: float
) -> NDArray[np.float64]:
    """Attenuation before contrast.

    Parameters
    ----------
    names : what the first of the tissues are called; those in the table have its values.
    tissues : all tissues; liver and lesions among them.
    liver : the patient's parenchyma.
    liver_hu : HU of the patient's liver without its fat.

    Returns
    -------
    numpy.ndarray
        HU of each tissue, ``[tissue]``.
    """
    water_rate = 1 / tissue("cerebrospinal fluid", FIELD_TESLA).t1_ms
    solid = np.array([(1 / each.t1_ms - water_rate) / (1 / liver.t1_ms - water_rate) for each in tissues])
    lean = _WATER_HU + np.clip(solid, 0, _MOST_SOLID) * (liver_hu - _WATER_HU)
    fat = np.array([each.fat for each in tissues])
    found = (1 - fat) * lean + fat * _FAT_HU
    for index, name in enumerate(names):
        if name in _HU:
            found[index] = _HU[name][0]
    return found


def enhancement(tissues: Sequence[Tissue], time_s: float | None, agent: ContrastAgent) -> NDArray[np.float64]:
    """HU that the agent adds to each tissue at a time after its arrival in the aorta (None: before)."""
    if time_s is None:
        return np.zeros(len(tissues))
    millimolar = concentrations([each.kinetics for each in tissues], [time_s], agent)[:, 0]
    return HU_PER_MG_ML * MG_PER_MMOL / 1000 * millimolar
