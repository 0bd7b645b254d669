"""What is a lesion mask and what is none; what of a mask is a lesion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from made_studies import same_voxels

from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.readers.masks import MOST_LESIONS, Outlined, judged, with_lesions
from LiverLesionAI.study import SequenceImage, Study, labels_in

SIZE, SPACING = (60, 56, 30), (3.0, 3.0, 4.0)
EXTENT = np.array(SIZE) * SPACING
MIDDLE = tuple((EXTENT / 2).tolist())


def _points() -> np.ndarray:
    k, j, i = np.indices(SIZE[::-1])
    return np.stack([i * SPACING[0], j * SPACING[1], k * SPACING[2]], axis=-1)


POINTS = _points()


def _ball(centre: tuple[float, ...], radius_mm: float) -> np.ndarray:
    return np.linalg.norm(POINTS - np.asarray(centre), axis=-1) <= radius_mm


def _image(voxels: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(SPACING)
    return image


def _judged(voxels: np.ndarray, *, split: bool = True, names: dict[int, str] | None = None) -> Outlined:
    return judged(Outlined(_image(voxels.astype(np.uint16)), names or {}), "mask", split=split)


def _read(outlined: Outlined) -> np.ndarray:
    return sitk.GetArrayFromImage(outlined.labels)


def test_an_ordinary_mask_comes_back_as_it_is() -> None:
    labels = np.zeros(SIZE[::-1])
    for label, x in ((1, 40.0), (2, 90.0), (7, 140.0)):
        labels[_ball((x, 80.0, 60.0), 12)] = label
    given_labels = _image(labels.astype(np.uint16))
    outlined = judged(Outlined(given_labels, {2: "HCC"}), "mask", split=True)
    assert outlined.labels is given_labels and outlined.names == {2: "HCC"} and not outlined.warnings


def _probabilities(softness_mm: float, levels: int) -> np.ndarray:
    distance = 25 - np.linalg.norm(POINTS - MIDDLE, axis=-1)
    return np.round(levels / (1 + np.exp(-distance / softness_mm)))


@pytest.mark.parametrize("softness_mm", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("levels", [5, 20, 100])
def test_probability_maps_are_no_masks(softness_mm: float, levels: int) -> None:
    with pytest.raises(StudyError, match=r"mask is no lesion mask: .* image or a probability map; give"):
        _judged(_probabilities(softness_mm, levels))


@pytest.mark.parametrize("levels", [8, 60])
def test_images_are_no_masks(levels: int) -> None:
    rng = np.random.default_rng(0)
    body = np.clip(0.7 * _ball(MIDDLE, 55) + rng.normal(0, 0.05, SIZE[::-1]), 0, 1)
    with pytest.raises(StudyError, match="no lesion mask"):
        _judged(np.round(body * levels))


def test_more_labels_than_anyone_outlines_are_refused() -> None:
    labels = np.zeros(SIZE[::-1])
    labels.flat[np.arange(MOST_LESIONS + 1) * 700] = np.arange(1, MOST_LESIONS + 2)
    with pytest.raises(StudyError, match=r"outlines 101 lesions where 100 are the most"):
        _judged(labels)


def test_noise_is_no_mask() -> None:
    with pytest.raises(StudyError, match="scattered like noise"):
        _judged(np.random.default_rng(0).random(SIZE[::-1]) < 0.03)


def test_a_background_that_is_labelled_is_no_mask() -> None:
    with pytest.raises(StudyError, match=r"take up 3\.6 litres \(100% of its voxels\)"):
        _judged(np.ones(SIZE[::-1]))


def test_the_liver_around_lesions_is_left_out() -> None:
    labels = np.zeros(SIZE[::-1])
    labels[_ball(MIDDLE, 55)] = 1
    labels[_ball((90.0, 80.0, 60.0), 12)] = 2
    labels[_ball((45.0, 80.0, 60.0), 12)] = 3
    outlined = _judged(labels)
    assert labels_in(outlined.labels) == (2, 3)
    assert np.array_equal(_read(outlined), np.where(labels == 1, 0, labels))
    (said,) = outlined.warnings
    assert said.startswith("label 1 of mask (") and "taken for the liver and left out" in said


def test_a_lesion_by_name_is_no_liver_and_nothing_inside_the_liver_is_one() -> None:
    labels = np.zeros(SIZE[::-1])
    labels[_ball(MIDDLE, 45)] = 1
    labels[_ball(MIDDLE, 30)] = 2
    named = _judged(labels, names={1: "HCC", 2: "necrosis"})
    assert labels_in(named.labels) == (1, 2) and "HCC of mask (" in named.warnings[0]
    labels[_ball(MIDDLE, 12)] = 3
    labels[(labels == 0) & _ball(MIDDLE, 55)] = 4
    assert labels_in(_judged(np.where(labels == 4, 1, labels)).labels) == (2, 3)


def test_a_lesion_that_bulges_out_of_the_liver_is_one() -> None:
    labels = np.zeros(SIZE[::-1])
    liver = _ball(MIDDLE, 64)
    labels[liver] = 1
    bulging = _ball((MIDDLE[0] - 67, MIDDLE[1], MIDDLE[2]), 12)
    labels[bulging] = 2
    assert np.count_nonzero(bulging & liver) < np.count_nonzero(bulging & ~liver)
    outlined = _judged(labels)
    assert labels_in(outlined.labels) == (2,) and "taken for the liver" in outlined.warnings[0]


def test_a_core_outlined_apart_is_asked_about() -> None:
    labels = np.zeros(SIZE[::-1])
    labels[_ball(MIDDLE, 20)] = 1
    labels[_ball(MIDDLE, 9)] = 2
    outlined = _judged(labels)
    assert labels_in(outlined.labels) == (1, 2)
    assert any("encloses lesion 2: each is answered for" in said for said in outlined.warnings)


def test_lesions_of_one_voxel_are_no_levels() -> None:
    labels = np.zeros(SIZE[::-1])
    labels[10, 10, 10:50:10] = (1, 2, 3, 4)
    assert labels_in(_judged(labels).labels) == (1, 2, 3, 4)


def test_touching_lesions_are_no_levels() -> None:
    labels = np.zeros(SIZE[::-1])
    for label, x in enumerate((50.0, 75.0, 100.0, 125.0), start=1):
        labels[_ball((x, 80.0, 60.0), 15)] = label
    assert not _judged(labels).warnings


def test_a_litre_and_three_voxels_are_asked_about() -> None:
    labels = np.zeros(SIZE[::-1])
    labels[_ball(MIDDLE, 70)] = 1
    labels[0, 0, :3] = 2
    said = _judged(labels).warnings
    assert any(
        "lesion 1 of mask measures 1." in warning and "is it the liver?" in warning for warning in said
    )
    assert any("lesion 2 of mask has only 3 voxels" in warning for warning in said)


def test_parts_of_the_liver_are_asked_about_together() -> None:
    labels = _ball(MIDDLE, 70) * (1 + (POINTS[..., 0] > MIDDLE[0]) + 2 * (POINTS[..., 1] > MIDDLE[1]))
    assert any("litres together: are they parts of the liver?" in said for said in _judged(labels).warnings)


THREE = ((30.0, 30.0, 20.0), (90.0, 80.0, 60.0), (150.0, 130.0, 100.0))


def _three_parts(label: int) -> np.ndarray:
    labels = np.zeros(SIZE[::-1])
    for centre, radius in zip(THREE, (8, 14, 10), strict=True):
        labels[_ball(centre, radius)] = label
    return labels


def test_parts_far_apart_become_lesions_and_the_largest_keeps_its_number() -> None:
    labels = _three_parts(3)
    labels[_ball((150.0, 30.0, 20.0), 10)] = 5
    outlined = _judged(labels, names={3: "metastasis"})
    found = _read(outlined)
    assert labels_in(outlined.labels) == (3, 5, 6, 7)
    assert np.array_equal(found > 0, labels > 0)
    assert [int(found[tuple(np.round(np.array(c)[::-1] / SPACING[::-1]).astype(int))]) for c in THREE] == [
        7,
        3,
        6,
    ]
    assert outlined.names == {3: "metastasis", 6: "metastasis (6)", 7: "metastasis (7)"}
    (said,) = outlined.warnings
    assert "has 3 parts that lie apart: the largest stays metastasis" in said and "lesion 6, lesion 7" in said
    assert judged(outlined, "mask", split=True).labels is outlined.labels


def test_parts_far_apart_stay_one_lesion_where_numbers_are_not_ours_to_give() -> None:
    outlined = _judged(_three_parts(1), split=False)
    assert labels_in(outlined.labels) == (1,)
    assert any("3 parts that lie apart: they are answered for as one lesion" in w for w in outlined.warnings)


def test_satellites_and_skipped_slices_stay_with_their_lesion() -> None:
    labels = 1.0 * _ball(MIDDLE, 15)
    labels[_ball((MIDDLE[0] + 30, *MIDDLE[1:]), 6)] = 1
    labels[14] = 0
    assert not _judged(labels).warnings


def test_no_number_left_for_parts_is_said() -> None:
    with pytest.raises(StudyError, match="no number left"):
        _judged(_three_parts(65535))


@given(
    specks=st.lists(st.tuples(*[st.integers(0, n - 1) for n in SIZE]), min_size=1, max_size=6),
    radius=st.floats(12, 20),
)
def test_stray_voxels_never_move_or_grow_a_lesion(specks: list[tuple[int, int, int]], radius: float) -> None:
    clean = 4 * _ball(MIDDLE, radius)
    labels = clean.copy()
    for x, y, z in specks:
        labels[z, y, x] = 4
    outlined = _judged(labels)
    box = np.array(lesion_geometry(outlined.labels, 4).box_index)
    expected = np.array(lesion_geometry(_image(clean.astype(np.uint16)), 4).box_index)
    most = np.maximum(5.0, SPACING) / SPACING + 1
    assert labels_in(outlined.labels) == (4,)
    assert (np.abs(box - expected) <= len(specks) * most).all()
    assert np.array_equal(_read(outlined)[clean > 0], clean[clean > 0])
    assert bool(outlined.warnings) == (np.count_nonzero(_read(outlined)) < np.count_nonzero(labels))


@given(st.integers(0, 2**32 - 1))
def test_separate_lesions_of_any_shape_are_kept_voxel_for_voxel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(SIZE[::-1])
    for label, x in enumerate((30.0, 90.0, 150.0), start=1):
        shift, radii = rng.uniform(-10, 10, 3), rng.uniform(8, 18, 3)
        centre = np.array((x, MIDDLE[1], MIDDLE[2])) + shift
        labels[np.linalg.norm((POINTS - centre) / radii, axis=-1) <= 1] = label
    outlined = _judged(labels)
    assert same_voxels(outlined.labels, _image(labels.astype(np.uint16))) and not outlined.warnings


def _study(*images: tuple[str, np.ndarray]) -> Study:
    made = {name: SequenceImage(_image(voxels.astype(np.float32))) for name, voxels in images}
    return Study("made up", "made up", made, reference=images[0][0])


def _body(lesion: float = 100.0) -> np.ndarray:
    voxels = 100.0 * _ball(MIDDLE, 58) + np.random.default_rng(0).normal(0, 1, SIZE[::-1])
    return np.where(_ball(MIDDLE, 10), lesion, voxels)


def test_a_mask_in_the_air_is_refused_and_a_dark_lesion_is_not() -> None:
    outside = _judged(_ball((15.0, 15.0, 20.0), 10))
    with pytest.raises(StudyError, match="mask lies in the air around the body"):
        with_lesions(_study(("T2WI", _body())), outside, "mask")
    dark = _judged(_ball(MIDDLE, 10))
    assert not with_lesions(_study(("HBP", _body(lesion=0.0))), dark, "mask").warnings


def test_one_lesion_of_several_in_the_air_is_named() -> None:
    labels = 1 * _ball(MIDDLE, 10) + 2 * _ball((15.0, 15.0, 20.0), 10)
    study = with_lesions(_study(("T2WI", _body())), _judged(labels), "mask")
    assert study.warnings == ("lesion 2 of mask lies in the air around the body.",)


def test_air_is_where_no_sequence_shows_the_body() -> None:
    """A lesion outside the body of a small or dark sequence is one where another sequence shows it."""
    lesion = _judged(_ball((15.0, 15.0, 20.0), 10))
    bright = np.random.default_rng(0).normal(100, 5, SIZE[::-1])
    assert not with_lesions(_study(("DWI", _body()), ("T2WI", bright)), lesion, "mask").warnings


def test_lesions_of_an_image_that_moved_are_looked_for_where_it_shows_them() -> None:
    shift = (-75.0, -60.0, -40.0)
    study = _study(("T2WI", _body()))
    moved = replace(study.images["T2WI"], transform=sitk.TranslationTransform(3, [-s for s in shift]))
    study = replace(study, images={"T2WI": moved})
    inside = _judged(_ball(tuple(np.add(MIDDLE, shift).tolist()), 10))
    assert not with_lesions(study, inside, "mask").warnings
