"""Segmentations and structure sets: read in every form, and only of this patient and this examination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from made_dicom import T2, VIBE, image, save, slices
from made_outlines import ORGAN, TISSUE, segmentation, structure_set
from made_studies import directions, grid, misplacement
from pydicom.dataset import Dataset

from LiverLesionAI.errors import DicomError, StudyError
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.contours import filled
from LiverLesionAI.readers.segments import NoLesionError
from LiverLesionAI.study import Study

SIZE = (30, 26, 12)
GEOMETRY: dict[str, Any] = {"size": SIZE, "spacing": (3.0, 3.0, 4.0), "origin": (-40.0, -30.0, 10.0)}
LAP = {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_art"}


def _boxes(*corners: tuple[int, int, int]) -> np.ndarray:
    """Cuboids of 6 × 5 × 3 voxels, ``[z, y, x, segment]``."""
    masks = np.zeros((*SIZE[::-1], len(corners)), np.uint8)
    for index, (x, y, z) in enumerate(corners):
        masks[z : z + 3, y : y + 5, x : x + 6, index] = 1
    return masks


ONE = _boxes((4, 5, 3))[..., 0]
TWO = _boxes((4, 5, 3), (18, 14, 6))


def _sources(number: int = 1, said: dict[str, Any] = T2) -> list[Dataset]:
    return slices(image(**GEOMETRY, seed=number), number, **said)


def _study(folder: Path, *outlines: Dataset, lap: bool = False) -> Path:
    save(_sources(), folder / "t2")
    if lap:
        save(_sources(2, LAP), folder / "lap")
    for number, made in enumerate(outlines):
        made.save_as(folder / f"outline{number}.dcm", enforce_file_format=True)
    return folder


def _labels(study: Study) -> np.ndarray:
    return sitk.GetArrayFromImage(study.outlined_lesions)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("by_mask", [False, True])
def test_every_kind_of_segmentation_is_read(tmp_path: Path, kind: str, by_mask: bool) -> None:
    masks = TWO.astype(float) if kind == "FRACTIONAL" else TWO
    made = segmentation(_sources(), masks, ["HCC", "cyst"], kind=kind)
    folder = _study(tmp_path / "study", *([] if by_mask else [made]))
    made.save_as(tmp_path / "seg.dcm")
    study = read_study(folder, tmp_path / "seg.dcm" if by_mask else None)
    assert np.array_equal(_labels(study), TWO[..., 0] + 2 * TWO[..., 1])
    assert dict(study.lesion_names) == {1: "HCC", 2: "cyst"} and not study.warnings


def test_segments_are_chosen_by_code_and_none_is_lost(tmp_path: Path) -> None:
    folder = _study(tmp_path / "a", segmentation(_sources(), TWO, ["HCC", "Segment_2"], TISSUE))
    study = read_study(folder)
    assert study.lesion_ids == (1, 2)
    assert any("were read as lesions: 'Segment_2'" in said for said in study.warnings)
    folder = _study(tmp_path / "b", segmentation(_sources(), TWO, ["stomach", "pancreas"], ORGAN))
    study = read_study(folder)
    assert study.lesions is None and any("holds organs, no lesion" in said for said in study.warnings)
    with pytest.raises(NoLesionError, match="'stomach', 'pancreas'"):
        read_study(folder, folder / "outline0.dcm")


def test_a_segmentation_of_one_slice_is_read(tmp_path: Path) -> None:
    slab = ONE.copy()
    slab[:4], slab[5:] = 0, 0
    study = read_study(_study(tmp_path, segmentation(_sources(), slab, ["HCC"])))
    assert np.array_equal(_labels(study), slab)


def test_frames_that_make_no_volume_are_named(tmp_path: Path) -> None:
    made = segmentation(_sources(), ONE, ["HCC"])
    made.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient = [-40, -30, 27.3]
    with pytest.raises(DicomError, match=r"frames of .*outline0\.dcm make no regular volume"):
        read_study(_study(tmp_path, made))


def test_a_dicom_image_is_no_mask(tmp_path: Path) -> None:
    folder = _study(tmp_path)
    file = next((folder / "t2").iterdir())
    with pytest.raises(DicomError, match="is a DICOM object of class MR Image Storage and no lesion mask"):
        read_study(folder, file)


def test_a_mask_without_a_place_is_not_laid_on_dicom(tmp_path: Path) -> None:
    """Whether its rows run as those of the slices do, only the tool that wrote it knows."""
    sitk.WriteImage(sitk.GetImageFromArray(ONE), tmp_path / "mask.nii.gz")
    with pytest.raises(StudyError, match=r"mask\.nii\.gz gives no place .* order of T2WI cannot be told"):
        read_study(_study(tmp_path / "study"), tmp_path / "mask.nii.gz")


def test_two_mask_files_beside_need_a_choice(tmp_path: Path) -> None:
    folder = _study(tmp_path)
    mask = sitk.GetImageFromArray(ONE)
    mask.CopyInformation(image(**GEOMETRY))
    sitk.WriteImage(mask, folder / "lesions.nii.gz")
    assert read_study(folder).lesion_ids == (1,)
    sitk.WriteImage(mask, folder / "lesions.seg.nrrd")
    with pytest.raises(DicomError, match="both lesion masks; keep one"):
        read_study(folder)


@pytest.mark.parametrize("by_mask", [False, True])
@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("PatientID", "9999", r"another patient than the images \(PatientID\)"),
        ("PatientSex", "M", r"another patient than the images \(PatientSex\)"),
        ("PatientBirthDate", "19400101", r"another patient than the images \(PatientBirthDate\)"),
    ],
)
def test_another_patients_outlines_are_refused(
    tmp_path: Path, by_mask: bool, keyword: str, value: str, message: str
) -> None:
    made = segmentation(_sources(), ONE, ["lesion"])
    setattr(made, keyword, value)
    folder = _study(tmp_path / "study", *([] if by_mask else [made]))
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(DicomError, match=message) as refusal:
        read_study(folder, tmp_path / "seg.dcm" if by_mask else None)
    assert value not in str(refusal.value).replace(str(tmp_path), "").split() and "4711" not in str(
        refusal.value
    )


def test_patients_are_told_apart_where_no_image_keeps_its_slices(tmp_path: Path) -> None:
    """Unevenly spaced slices are interpolated, and the image stands for no file any more."""
    made = segmentation(_sources(), ONE, ["lesion"])
    made.PatientID = "9999"
    save([each for index, each in enumerate(_sources()) if index != 8], tmp_path / "t2")
    made.save_as(tmp_path / "seg.dcm")
    assert read_study(tmp_path / "t2").images["T2WI"].dicom is None
    with pytest.raises(DicomError, match=r"another patient than the images \(PatientID\)"):
        read_study(tmp_path / "t2", tmp_path / "seg.dcm")


def test_what_an_outline_does_not_say_is_no_difference(tmp_path: Path) -> None:
    made = segmentation(_sources(), ONE, ["lesion"])
    made.PatientID = made.PatientBirthDate = made.PatientSex = ""
    assert read_study(_study(tmp_path, made)).lesion_ids == (1,)


def test_an_outline_of_another_study_in_the_same_frame_is_read_with_a_warning(tmp_path: Path) -> None:
    made = segmentation(_sources(), ONE, ["lesion"])
    made.StudyInstanceUID = "1.2.77"
    study = read_study(_study(tmp_path, made))
    assert np.array_equal(_labels(study), ONE)
    assert any("The segmentation is of another study than the images" in said for said in study.warnings)


def test_an_outline_of_another_study_and_frame_is_left_out_or_refused(tmp_path: Path) -> None:
    made = segmentation(_sources(), ONE, ["lesion"])
    made.StudyInstanceUID, made.FrameOfReferenceUID = "1.2.77", "1.2.78"
    folder = _study(tmp_path, made)
    study = read_study(folder)
    assert study.lesions is None
    assert "The segmentation outline0.dcm is of another study and was left out." in study.warnings
    with pytest.raises(DicomError, match="another study than the images, in another frame of reference"):
        read_study(folder, folder / "outline0.dcm")


def test_another_frame_of_reference_is_said(tmp_path: Path) -> None:
    made = segmentation(_sources(), ONE, ["lesion"])
    made.FrameOfReferenceUID = "1.2.78"
    (said,) = read_study(_study(tmp_path, made)).warnings
    assert "The segmentation has another frame of reference than T2WI" in said


@pytest.mark.parametrize("by_mask", [False, True])
@pytest.mark.parametrize("missing", ["", "ReferencedSeriesSequence"])
def test_the_reference_is_the_series_that_was_outlined(tmp_path: Path, missing: str, by_mask: bool) -> None:
    made = segmentation(_sources(2, LAP), ONE, ["lesion"])
    if missing:
        delattr(made, missing)
    folder = _study(tmp_path / "study", *([] if by_mask else [made]), lap=True)
    made.save_as(tmp_path / "seg.dcm")
    assert read_study(folder, tmp_path / "seg.dcm" if by_mask else None).reference == "LAP"


def test_the_reference_lies_in_the_frame_of_the_outline(tmp_path: Path) -> None:
    """An outline that names no source belongs to the sequences of its own frame of reference."""
    sources = _sources(2, {**LAP, "FrameOfReferenceUID": "1.2.78"})
    made = segmentation(sources, ONE, ["lesion"])
    del made.ReferencedSeriesSequence
    for groups in made.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence
    folder = _study(tmp_path, made)
    save(sources, folder / "lap")
    assert read_study(folder).reference == "LAP"


@pytest.mark.parametrize("by_mask", [False, True])
def test_an_outline_without_a_series_is_read(tmp_path: Path, by_mask: bool) -> None:
    made = segmentation(_sources(), TWO, ["HCC", "cyst"])
    del made.SeriesInstanceUID
    folder = _study(tmp_path / "study", *([] if by_mask else [made]))
    made.save_as(tmp_path / "seg.dcm")
    study = read_study(folder, tmp_path / "seg.dcm" if by_mask else None)
    assert study.lesion_ids == (1, 2) and not any("damaged" in said for said in study.warnings)


def test_parts_of_a_segment_far_apart_become_lesions(tmp_path: Path) -> None:
    far = _boxes((1, 1, 0), (22, 20, 8)).max(axis=3)
    far[9:11, 20:22, 22:24] = 0
    study = read_study(_study(tmp_path, segmentation(_sources(), far, ["HCC"])))
    assert study.lesion_ids == (1, 2) and dict(study.lesion_names) == {1: "HCC", 2: "HCC (2)"}
    assert any("HCC of the mask has 2 parts" in said for said in study.warnings)


def test_two_outlines_need_a_choice(tmp_path: Path) -> None:
    drawn, unknown = segmentation(_sources(), ONE, ["lesion"]), structure_set({"GTV": [_rectangle(3)]})
    study = read_study(_study(tmp_path / "a", drawn, unknown))
    assert np.array_equal(_labels(study), ONE)
    said = "The segmentation outline1.dcm was not drawn on these images and was left out."
    assert said in study.warnings
    drawn_too = structure_set({"GTV": [_rectangle(3)]}, series_uid=_sources()[0].SeriesInstanceUID)
    with pytest.raises(DicomError, match=r"could be any of .*; say which by --mask"):
        read_study(_study(tmp_path / "b", drawn, drawn_too))


def _rectangle(
    k: int, x: tuple[float, float] = (3.5, 9.5), y: tuple[float, float] = (4.5, 9.5)
) -> np.ndarray:
    """Contour along the edges of voxels, given in indices of the study's grid."""
    corners = [(x[0], y[0], k), (x[1], y[0], k), (x[1], y[1], k), (x[0], y[1], k)]
    return np.array(corners) * GEOMETRY["spacing"] + GEOMETRY["origin"]


@pytest.mark.parametrize("by_mask", [False, True])
def test_a_structure_set_is_read_on_the_grid_it_was_drawn_on(tmp_path: Path, by_mask: bool) -> None:
    sources = _sources(2, LAP)
    regions = {"HCC": [_rectangle(k) for k in (3, 4, 5)], "Liver": [_rectangle(3, (0, 25), (0, 25))]}
    made = structure_set(regions, series_uid=sources[0].SeriesInstanceUID)
    folder = _study(tmp_path / "study", *([] if by_mask else [made]), lap=True)
    made.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    study = read_study(folder, tmp_path / "rt.dcm" if by_mask else None)
    assert np.array_equal(_labels(study), ONE) and dict(study.lesion_names) == {1: "HCC"}
    assert study.reference == "LAP"
    assert misplacement(study.outlined_lesions, study.images["LAP"].image) < 1e-3
    assert study.warnings == ("Segments of the mask that are no lesions were left out: 'Liver'.",)


def test_regions_are_told_by_their_interpreted_types(tmp_path: Path) -> None:
    kinds = {"one": "GTV", "two": "PTV", "three": "ORGAN"}
    regions = {name: [_rectangle(k) for k in (3, 4, 5)] for name in kinds}
    study = read_study(_study(tmp_path, structure_set(regions, kinds=kinds)))
    assert np.array_equal(_labels(study), ONE)
    assert study.warnings == ("Segments of the mask that are no lesions were left out: 'two', 'three'.",)


def test_structure_sets_without_usable_contours_are_refused(tmp_path: Path) -> None:
    folder = _study(tmp_path)
    bad = {
        "has no closed contour": structure_set({"HCC": [_rectangle(3)]}, geometric_type="POINT"),
        "in the slices of no image": structure_set({"HCC": [_rectangle(3)[:, [2, 1, 0]]]}),
        "or reach beyond it": structure_set({"HCC": [_rectangle(3), _rectangle(4, x=(3.5, 1e30))]}),
        "no image of the study, or reach": structure_set({"HCC": [_rectangle(11), _rectangle(14)]}),
        "holds organs, no lesion": structure_set({"Liver": [_rectangle(3)]}),
    }
    for message, made in bad.items():
        made.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
        with pytest.raises(StudyError, match=message):
            read_study(folder, tmp_path / "rt.dcm")


def test_a_region_without_closed_contours_is_named(tmp_path: Path) -> None:
    made = structure_set({"HCC": [_rectangle(k) for k in (3, 4, 5)], "mark": [_rectangle(7)]})
    made.ROIContourSequence[1].ContourSequence[0].ContourGeometricType = "POINT"
    study = read_study(_study(tmp_path, made))
    assert np.array_equal(_labels(study), ONE)
    assert study.warnings == ("Regions of the mask without closed contours were left out: 'mark'.",)


def test_holes_keyholes_and_islands(tmp_path: Path) -> None:
    outer, inner, island = ((2.5, 12.5), (2.5, 12.5)), ((5.5, 9.5), (5.5, 9.5)), ((6.5, 8.5), (6.5, 8.5))
    expected = np.zeros((SIZE[1], SIZE[0]), bool)
    expected[3:13, 3:13] = True
    expected[6:10, 6:10] = False
    frame = image(**GEOMETRY)
    nested = filled([_rectangle(4, *outer), _rectangle(4, *inner)], frame)
    assert np.array_equal(nested[4], expected) and not nested[[3, 5]].any()
    outside, hole = _rectangle(4, *outer), _rectangle(4, *inner)
    keyhole = np.concatenate([outside, outside[:1], hole[[0, 3, 2, 1]], hole[:1]])
    assert np.array_equal(filled([keyhole], frame)[4], expected)
    expected[7:9, 7:9] = True
    islands = filled([_rectangle(4, *outer), _rectangle(4, *inner), _rectangle(4, *island)], frame)
    assert np.array_equal(islands[4], expected)


def test_an_outline_on_every_second_slice_has_no_gaps() -> None:
    voxels = filled([_rectangle(k) for k in (3, 5, 7)], image(**GEOMETRY))
    assert np.flatnonzero(voxels.any(axis=(1, 2))).tolist() == [2, 3, 4, 5, 6, 7]
    single = filled([_rectangle(3)], image(**GEOMETRY))
    assert np.flatnonzero(single.any(axis=(1, 2))).tolist() == [3]


def _runs(rows: np.ndarray) -> list[np.ndarray]:
    """Contours, in index space, along the edges of the runs of set voxels in each row of a slice."""
    contours = []
    for k, j in np.ndindex(rows.shape[:2]):
        edges = np.flatnonzero(np.diff(np.pad(rows[k, j].astype(int), 1)))
        for a, b in edges.reshape(-1, 2):
            x, y = (a - 0.5, b - 0.5), (j - 0.5, j + 0.5)
            contours.append(np.array([(x[0], y[0], k), (x[1], y[0], k), (x[1], y[1], k), (x[0], y[1], k)]))
    return contours


@given(
    seed=st.integers(0, 2**32 - 1),
    direction=directions(),
    centre=st.tuples(*[st.floats(-200, 200)] * 3),
    share=st.floats(0.05, 0.9),
)
def test_contours_along_voxels_give_the_voxels_back(
    seed: int, direction: np.ndarray, centre: tuple[float, float, float], share: float
) -> None:
    frame = grid((9, 7, 4), (0.7, 1.3, 5.0), direction, centre, sitk.sitkUInt8)
    expected = np.random.default_rng(seed).random((4, 7, 9)) < share
    expected[0, 0, 0] = expected[1, 0, 0] = True
    to_points: Callable[[list[float]], Any] = frame.TransformContinuousIndexToPhysicalPoint
    contours = [np.array([to_points(point.tolist()) for point in each]) for each in _runs(expected)]
    assert np.array_equal(filled(contours, frame), expected)


@given(angles=st.lists(st.floats(0, 6.28), min_size=5, max_size=30, unique=True), radius=st.floats(6, 30))
def test_a_polygon_is_filled_as_large_as_it_is(angles: list[float], radius: float) -> None:
    turns = np.sort(angles)
    x, y = 40 + radius * np.cos(turns), 40 + radius * np.sin(turns)
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    frame = grid((400, 400, 1), (0.2, 0.2, 2.0), np.eye(3), (39.9, 39.9, 0.0), sitk.sitkUInt8)
    voxels = filled([np.stack([x, y, np.zeros_like(x)], axis=1)], frame)
    outline = 2 * np.pi * radius
    assert np.count_nonzero(voxels) * 0.04 == pytest.approx(area, abs=0.15 * outline)
