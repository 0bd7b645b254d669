"""Clinical data of phantoms: usable, overlapping, and missing without a word about the class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.inputs.clinical import FIELDS, coded_patient
from LiverLesionAI.phantom import CLASSES, generate_lesion
from LiverLesionAI.phantom.clinical import PROFILES, draw_clinical
from LiverLesionAI.phantom.generate import draw_background
from LiverLesionAI.taxonomy import TAXONOMIES

MALIGNANT = ("HCC", "metastasis", "other_primary")
SEEDS = range(860_000, 862_400)


@pytest.fixture(scope="module")
def patients() -> dict[str, list[dict[str, object]]]:
    return {
        name: [draw_clinical(seed, name, draw_background(seed, name)) for seed in SEEDS] for name in MALIGNANT
    }


def test_every_class_of_the_taxonomies_has_patients() -> None:
    assert set(PROFILES) == {name for key in ("W7", "Z7", "Y5") for name in TAXONOMIES[key].names}
    assert TAXONOMIES["W7"].names == CLASSES


def test_all_that_is_drawn_can_be_read(patients) -> None:
    for drawn in patients.values():
        for each in drawn[:300]:
            unread = set(each) - set(coded_patient(each).known)
            assert not unread or (unread == {"ferritin"} and "sex" not in each)
    assert draw_clinical(1, "HCC", "healthy") == draw_clinical(1, "HCC", "healthy")


def test_which_fields_are_missing_tells_nothing_of_the_class(patients) -> None:
    """At least a fifth of every field is missing, as often in every class; only men have a PSA."""
    known = {
        name: np.array([[each.name in patient for each in FIELDS] for patient in drawn])
        for name, drawn in patients.items()
    }
    for column, each in enumerate(FIELDS):
        counts = np.array([[k[:, column].sum(), (~k[:, column]).sum()] for k in known.values()])
        assert counts[:, 1].min() >= 0.2 * len(SEEDS)
        assert chi2_contingency(counts).pvalue > 1e-4, each.name
    for drawn in patients.values():
        assert not any("psa" in each and each.get("sex") == "female" for each in drawn)


def test_classes_differ_and_overlap_as_the_sources_say(patients) -> None:
    def shares(field: str, limit: float) -> dict[str, float]:
        found = {name: [each[field] for each in drawn if field in each] for name, drawn in patients.items()}
        return {name: float(np.mean(np.array(values) >= limit)) for name, values in found.items()}

    afp, ca19_9 = shares("afp", 20), shares("ca19_9", 100)
    assert afp["HCC"] == pytest.approx(0.60, abs=0.05) and max(afp["metastasis"], afp["other_primary"]) < 0.12
    assert ca19_9["other_primary"] == pytest.approx(0.53, abs=0.05)
    women = np.mean([draw_clinical(s, "FNH", "healthy").get("sex") == "female" for s in SEEDS])
    assert women / 0.75 == pytest.approx(8 / 9, abs=0.04)


def test_the_phantom_makes_the_further_classes_of_zhen() -> None:
    made = generate_lesion(860_000, "other_benign", sequences=("T2WI", "T1WI"))
    assert made.truth.lesions[0].lesion_class == "other_benign"
    assert made.study.clinical == draw_clinical(860_000, "other_benign", made.truth.background)
    variants = {
        generate_lesion(860_000 + i, "other_primary", atypical=True, sequences=("T2WI",))
        .truth.lesions[0]
        .variant
        for i in range(6)
    }
    assert len(variants) >= 2
    with pytest.raises(ConfigError, match="no lesion class 'adenoma'"):
        generate_lesion(1, "adenoma")
