"""Names, taxonomies and measurements."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import tilts

from LiverLesionAI.errors import ConfigError, StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.results import StudyResult
from LiverLesionAI.sequences import SEQUENCES, W_SEQUENCES, sequence_named
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES, taxonomy_named


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_is_known_by_its_name_in_any_case(name: str) -> None:
    assert sequence_named(name) == sequence_named(name.lower()) == name


def test_names_of_the_lld_mmri_dataset_are_known() -> None:
    names = ["T2WI", "DWI", "C-pre", "C+A", "C+V", "C+Delay", "InPhase", "OutPhase"]
    assert [sequence_named(n) for n in names] == [
        "T2WI",
        "DWI",
        "T1WI",
        "LAP",
        "PVP",
        "DP",
        "INPHASE",
        "OUTPHASE",
    ]


def test_what_is_no_sequence_is_none() -> None:
    assert sequence_named("FLAIR") is None


def test_order_and_malignancy_of_w_are_the_papers() -> None:
    w7 = TAXONOMIES["W7"]
    assert w7.names == ("cyst", "FNH", "haemangioma", "abscess", "HCC", "ICC", "metastasis")
    assert [c.malignant for c in w7.classes] == [False] * 4 + [True] * 3
    assert W_SEQUENCES == ("T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP")


def test_order_of_z_is_not_w() -> None:
    assert TAXONOMIES["Z7"].names[:3] == ("cyst", "haemangioma", "FNH")


def test_unknown_class_and_taxonomy_are_named() -> None:
    with pytest.raises(ConfigError, match="adenoma"):
        taxonomy_named("W7").index("adenoma")
    with pytest.raises(ConfigError, match="W9"):
        taxonomy_named("W9")


def _verhoeff_is_valid(number: str) -> bool:
    """SNOMED CT identifiers end in a Verhoeff check digit (SNOMED CT Release File Specification)."""
    dihedral = [
        [(a + b) % 5 + 5 * 0 for b in range(5)] + [(a + b) % 5 + 5 for b in range(5)] for a in range(5)
    ]
    dihedral += [[(a - b) % 5 + 5 for b in range(5)] + [(a - b) % 5 for b in range(5)] for a in range(5)]
    permutation = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    for row in range(2, 8):
        permutation.append([permutation[row - 1][d] for d in permutation[1]])
    check = 0
    for position, digit in enumerate(reversed(number)):
        check = dihedral[check][permutation[position % 8][int(digit)]]
    return check == 0


def test_snomed_codes_have_a_valid_check_digit() -> None:
    codes = {c.code.value for t in TAXONOMIES.values() for c in t.classes if c.code}
    assert len(codes) >= 9
    assert all(_verhoeff_is_valid(code) for code in codes)
    assert not _verhoeff_is_valid("25370002")


@settings(max_examples=25)
@given(
    radius=st.floats(6, 25),
    spacing=st.tuples(st.floats(0.6, 2.0), st.floats(0.6, 2.0), st.floats(2.0, 7.0)),
    angles=tilts(300),
)
def test_ball_measures_its_diameter_and_volume_on_any_grid(radius, spacing, angles) -> None:
    rotation = sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()
    size = tuple(int(np.ceil(60 / s)) for s in spacing)
    middle = (np.asarray(size) - 1) / 2 * np.asarray(spacing)
    centre = np.asarray(rotation).reshape(3, 3) @ middle
    image = ball_image(size, spacing, tuple(centre), radius, direction=rotation)
    geometry = lesion_geometry(sitk.Cast(image > 50, sitk.sitkUInt8), 1)
    pixel = max(spacing[:2])
    assert geometry.diameter_mm == pytest.approx(2 * radius, abs=1.5 * pixel + spacing[2] ** 2 / (4 * radius))
    assert geometry.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.35)
    assert np.allclose(geometry.centroid_lps_mm, centre, atol=0.6 * max(spacing))


def test_one_voxel_measures_its_longer_in_plane_side() -> None:
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[2, 2, 2] = 7
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing((0.8, 1.1, 6.0))
    geometry = lesion_geometry(image, 7)
    assert geometry.diameter_mm == pytest.approx(1.1)
    assert geometry.volume_ml == pytest.approx(0.8 * 1.1 * 6 / 1000)


def test_diameter_is_axial_also_in_a_coronal_image() -> None:
    mask = np.zeros((9, 9, 40), np.uint8)
    mask[4, 4, 5:35] = 1
    coronal = sitk.GetImageFromArray(mask)
    coronal.SetDirection((0, 0, 1, 0, 1, 0, 1, 0, 0))
    assert lesion_geometry(coronal, 1).diameter_mm < 3


def test_missing_label_is_an_error() -> None:
    with pytest.raises(StudyError, match="label 3"):
        lesion_geometry(sitk.Image([4, 4, 4], sitk.sitkUInt8), 3)


def test_transforms_are_only_taken_for_sequences_at_hand(ball_study) -> None:
    study: Study = ball_study()
    moved = study.with_transforms({"DWI": sitk.TranslationTransform(3, (1.0, 2.0, 3.0))})
    assert moved.images["DWI"].transform is not None and moved.images["T2WI"].transform is None
    with pytest.raises(StudyError, match="HBP"):
        study.with_transforms({"HBP": sitk.TranslationTransform(3)})


def test_results_of_another_schema_are_refused() -> None:
    with pytest.raises(StudyError, match="schema"):
        StudyResult.from_dict({"schema": "something.else"})
    with pytest.raises(StudyError, match="v2: study: Field required"):
        StudyResult.from_dict({"schema": "liverlesionai.results.v2"})
