"""Clinical data of phantom patients, in the fields of :mod:`LiverLesionAI.inputs.clinical`.

Every distribution overlaps those of the other classes: no field decides by itself. Which fields are missing
is drawn independently of the class and of all values, from a stream of its own. Prostate-specific antigen,
which only men have, is known of the same share of the patients of every class, so that its absence tells
nothing either.

Figures that have a source name it; the others are estimates of ours.

References
----------
[T] Trevisani F et al. J Hepatol 2001;34:570 — AFP above 20 ng/ml in 60% of HCC, and in 9% of controls with
    chronic liver disease.
[P] Patel AH et al. Am J Gastroenterol 2000;95:204 — CA 19-9 above 100 U/ml in 53% of cholangiocarcinomas.
[N] Nguyen BN et al. Am J Surg Pathol 1999;23:1441 — FNH: eight women to one man, mean age 38.
[e] estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from LiverLesionAI.study import ClinicalValue

from .fields import stream

MISSING_SHARE = 0.25
"""Share of the patients that a field is not known of."""
PSA_KNOWN_SHARE = 0.1


@dataclass(frozen=True)
class LogNormal:
    """A marker: median, and standard deviation of its natural logarithm."""

    median: float
    spread: float

    def draw(self, rng: np.random.Generator) -> float:
        """A value of two to three digits."""
        return float(f"{self.median * np.exp(self.spread * rng.standard_normal()):.3g}")


@dataclass(frozen=True)
class Profile:
    """What patients with a class of lesion are like.

    Attributes
    ----------
    age : mean and standard deviation, years.
    male : share of men.
    hepatitis : share with hepatitis B, hepatitis C or alcohol abuse among those without cirrhosis.
    other_cancer : share with a cancer elsewhere.
    afp, cea, ca125, ca19_9, ferritin : ng/ml and U/ml.
    albumin : mean and standard deviation without cirrhosis, g/l.
    bilirubin : without cirrhosis, µmol/l.
    """

    age: tuple[float, float]
    male: float
    hepatitis: float
    other_cancer: float
    afp: LogNormal = LogNormal(3.2, 0.7)
    cea: LogNormal = LogNormal(2.0, 0.6)
    ca125: LogNormal = LogNormal(13, 0.6)
    ca19_9: LogNormal = LogNormal(10, 0.8)
    ferritin: LogNormal = LogNormal(120, 0.8)
    albumin: tuple[float, float] = (43.0, 4.0)
    bilirubin: LogNormal = LogNormal(11, 0.4)


_BENIGN = Profile((50, 13), 0.42, 0.12, 0.10)
_CHOLANGIO = Profile(
    (62, 11),
    0.55,
    0.22,
    0.10,
    afp=LogNormal(4.5, 1.1),
    cea=LogNormal(3.2, 1.0),
    ca125=LogNormal(26, 1.1),
    ca19_9=LogNormal(110, 1.9),
    ferritin=LogNormal(190, 0.9),
    albumin=(39.0, 5.0),
    bilirubin=LogNormal(19, 1.1),
)
_METASTASIS = Profile(
    (61, 12),
    0.55,
    0.15,
    0.72,
    afp=LogNormal(3.4, 0.8),
    cea=LogNormal(8.5, 1.6),
    ca125=LogNormal(20, 1.0),
    ca19_9=LogNormal(22, 1.5),
    ferritin=LogNormal(180, 0.9),
    albumin=(39.0, 5.0),
    bilirubin=LogNormal(12, 0.5),
)
PROFILES: Mapping[str, Profile] = {
    "cyst": Profile((58, 13), 0.42, 0.10, 0.10),
    "haemangioma": Profile((49, 12), 0.35, 0.10, 0.09),
    "FNH": Profile((38, 11), 0.12, 0.07, 0.06),  # [N]
    "abscess": Profile((57, 14), 0.60, 0.12, 0.12, ferritin=LogNormal(320, 0.8), albumin=(34.0, 5.0)),
    "other_benign": Profile((56, 11), 0.66, 0.45, 0.08, afp=LogNormal(5.5, 1.0)),
    "HCC": Profile(
        (59, 11),
        0.80,
        0.62,
        0.07,
        afp=LogNormal(36, 2.4),
        ca125=LogNormal(20, 0.9),
        ca19_9=LogNormal(17, 1.0),
        ferritin=LogNormal(230, 0.9),
        albumin=(39.0, 5.0),
        bilirubin=LogNormal(15, 0.6),
    ),  # [T] for AFP
    "metastasis": _METASTASIS,
    "other_malignant": _METASTASIS,
    "indeterminate": _BENIGN,
    "ICC": _CHOLANGIO,  # [P] for CA 19-9
    "other_primary": _CHOLANGIO,
}
"""Class to what its patients are like."""


def draw_clinical(seed: int, lesion_class: str, background: str) -> dict[str, ClinicalValue]:
    """Draw the clinical data of a patient.

    Parameters
    ----------
    seed : of the study.
    lesion_class : of the first lesion.
    background : ``"healthy"``, ``"fatty"`` or ``"cirrhotic"`` liver.

    Returns
    -------
    dict
        Field to value; fields that are not known are left out.
    """
    profile, cirrhotic = PROFILES[lesion_class], background == "cirrhotic"
    values = _values(stream(seed, "clinical data"), profile, cirrhotic)
    rng = stream(seed, "clinical data known")
    known = {name for name in values if rng.random() >= MISSING_SHARE}
    psa_known = values["sex"] == "male" and rng.random() * profile.male < PSA_KNOWN_SHARE
    known = known - {"psa"} | ({"psa"} if psa_known else set())
    return {name: value for name, value in values.items() if name in known}


def _values(rng: np.random.Generator, profile: Profile, cirrhotic: bool) -> dict[str, ClinicalValue]:
    """All fields of a patient."""
    age = float(np.clip(rng.normal(*profile.age), 18, 92))
    history = cirrhotic or rng.random() < profile.hepatitis
    loss = rng.uniform(2, 9) if cirrhotic else 0.0
    albumin = float(np.clip(rng.normal(*profile.albumin) - loss, 18, 55))
    bilirubin = profile.bilirubin.draw(rng) * (rng.uniform(1.0, 2.6) if cirrhotic else 1.0)
    prolonged = rng.normal(2.2, 1.6) if cirrhotic else rng.normal(0.4, 0.7)
    return {
        "age": round(age),
        "sex": "male" if rng.random() < profile.male else "female",
        "cirrhosis_history": bool(history),
        "other_cancer": bool(rng.random() < profile.other_cancer),
        "afp": profile.afp.draw(rng),
        "cea": profile.cea.draw(rng),
        "ca125": profile.ca125.draw(rng),
        "ca19_9": profile.ca19_9.draw(rng),
        "psa": LogNormal(1.1, 0.8).draw(rng),
        "ferritin": profile.ferritin.draw(rng),
        "albumin": round(albumin, 1),
        "total_bilirubin": float(f"{np.clip(bilirubin, 2, 600):.3g}"),
        "prothrombin_prolongation": round(float(prolonged), 1),
        "encephalopathy": _drawn(rng, ("none", "grade 1–2", "grade 3–4"), (0.9, 0.08, 0.02), cirrhotic),
        "ascites": _drawn(rng, ("none", "mild", "marked"), (0.6, 0.26, 0.14), cirrhotic),
    }


def _drawn(
    rng: np.random.Generator, codes: tuple[str, ...], shares: tuple[float, ...], cirrhotic: bool
) -> str:
    """A sign of failing liver; hardly ever seen without cirrhosis."""
    if not cirrhotic:
        shares = (0.97, 0.03, 0.0)
    return codes[int(rng.choice(len(codes), p=shares))]
