"""Bad input ends in one clear message or a correct answer, in bounded time, and never in a traceback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import T2, VIBE, image, save, slices, write_study
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from typer.testing import CliRunner

from LiverLesionAI.cli.commands import UNUSABLE_INPUT, app
from LiverLesionAI.errors import DicomError, StudyError
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.dicom.segmentations import read_segmentation
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.study import read_dicom_study
from LiverLesionAI.readers.dicom.volumes import volume_of
from LiverLesionAI.readers.naming import file_in_results

UNRELATED_FILES = 10_000
SECONDS_FOR_UNRELATED_FILES = 60.0


def _only_volume(folder: Path) -> sitk.Image:
    (stack,) = split(scan(folder).images)
    return volume_of(stack).image.image


def _edited(folder: Path, edit: Any, index: int = 2) -> Path:
    """Write a series of which one slice was tampered with; returns that slice's file."""
    objects = slices(image(), **T2)
    edit(objects[index])
    return save(objects, folder)[index]


@pytest.mark.parametrize("end", [40, 10], ids=["nearly complete", "nearly empty"])
def test_cut_off_pixels_are_noticed(tmp_path: Path, end: int) -> None:
    file = save(slices(image(), **T2), tmp_path)[2]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - (50 - end) * 6])
    with pytest.raises(DicomError, match=file.name):
        _only_volume(tmp_path)


def test_missing_pixels_are_noticed(tmp_path: Path) -> None:
    file = _edited(tmp_path, lambda ds: ds.__delitem__("PixelData"))
    with pytest.raises(DicomError, match=rf"{file.name} has no pixel data"):
        _only_volume(tmp_path)


def test_a_damaged_candidate_gives_way_to_the_next_one(tmp_path: Path) -> None:
    write_study(tmp_path)
    better = {**T2, "SeriesDescription": "t2 fs tra", "AcquisitionTime": "235959"}
    file = save(slices(image(seed=9), 9, **better), tmp_path / "better")[0]
    file.write_bytes(file.read_bytes()[:-20])
    study = read_dicom_study(tmp_path)
    assert study.images["T2WI"].dicom is not None
    assert all("better" not in str(f) for f in study.images["T2WI"].dicom.files)
    (said,) = (warning for warning in study.warnings if "is cut short" in warning)
    assert f"{file_in_results(file)} is cut short" in said and "better" not in said


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_is_named(tmp_path: Path, keyword: str) -> None:
    objects = slices(image(), **T2)
    for ds in objects:
        delattr(ds, keyword)
    save(objects, tmp_path)
    with pytest.raises(DicomError, match=keyword):
        read_study(tmp_path)
    assert [item.sequence for item in identify(tmp_path)] == ["T2WI"]


@pytest.mark.parametrize("value", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], ["nan"] * 6])
def test_impossible_orientations_are_refused(tmp_path: Path, value: list[Any]) -> None:
    def edit(ds: Dataset) -> None:
        ds.ImageOrientationPatient = value

    objects = slices(image(), **T2)
    for ds in objects:
        edit(ds)
    save(objects, tmp_path)
    with pytest.raises(DicomError, match="ImageOrientationPatient"):
        read_study(tmp_path)


def test_zero_slice_thickness_does_not_matter_where_positions_tell(tmp_path: Path) -> None:
    made = image()
    save(slices(made, **T2, SliceThickness="0"), tmp_path / "many")
    found = _only_volume(tmp_path / "many")
    assert found.GetSpacing() == pytest.approx(made.GetSpacing())
    save(slices(image(size=(8, 8, 1)), **T2, SliceThickness="0"), tmp_path / "single")
    with pytest.raises(DicomError, match="without a thickness"):
        _only_volume(tmp_path / "single")


def test_all_slices_at_one_place_make_no_volume(tmp_path: Path) -> None:
    objects = slices(image(), **T2, ImagePositionPatient=[0, 0, 0])
    save(objects, tmp_path)
    with pytest.raises(StudyError):
        read_study(tmp_path)


def test_slices_of_another_size_stay_apart(tmp_path: Path) -> None:
    save(slices(image(), **T2, SeriesInstanceUID="1.7"), tmp_path / "a")
    other = slices(image(size=(32, 24, 5), seed=4), **T2, SeriesInstanceUID="1.7", AcquisitionNumber=2)
    save(other, tmp_path / "b")
    assert sorted(stack.first.rows or 0 for stack in split(scan(tmp_path).images)) == [12, 24]


def test_a_header_that_promises_a_giant_is_refused(tmp_path: Path) -> None:
    def edit(ds: Dataset) -> None:
        ds.Rows = ds.Columns = 65535

    objects = slices(image(), **T2)
    for ds in objects:
        edit(ds)
    save(objects, tmp_path)
    start = time.process_time()
    with pytest.raises(DicomError, match=r"voxels|cut short"):
        read_study(tmp_path)
    assert time.process_time() - start < 20


def test_colour_images_and_reports_are_no_sequences(tmp_path: Path) -> None:
    objects = slices(image(), **T2, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    save(objects, tmp_path)
    report = slices(image(), 2, **T2)[0]
    report.Modality = "SR"
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    save([report], tmp_path / "report")
    parametric_map = "1.2.840.10008.5.1.4.1.1.30"
    save(slices(image(), 3, **T2, SOPClassUID=parametric_map), tmp_path / "map")
    assert [item.sequence for item in identify(tmp_path)] == ["other"] * 3
    with pytest.raises(DicomError, match="no series that is recognised"):
        read_study(tmp_path)


def test_constant_images_are_refused(tmp_path: Path) -> None:
    save(slices(image() * 0, **T2), tmp_path)
    with pytest.raises(DicomError, match="same value everywhere"):
        _only_volume(tmp_path)


def test_ten_thousand_unrelated_files_do_not_matter(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.mkdir()
    rng = np.random.default_rng(0)
    contents = [
        b"",
        b"\x02",
        b"hello",
        rng.bytes(300),
        b"\0" * 200,
        b"\x08\x00",
        b"\x08\x00\x05\x00" + rng.bytes(90),
    ]
    for number in range(UNRELATED_FILES):
        (junk / f"{number}.dcm").write_bytes(contents[number % len(contents)])
    start = time.perf_counter()
    with pytest.raises(DicomError, match=r"no DICOM file|damaged"):
        identify(tmp_path)
    write_study(tmp_path / "study")
    study = read_dicom_study(tmp_path)
    assert study.sequences == ("T2WI", "T1WI", "LAP", "PVP")
    assert time.perf_counter() - start < SECONDS_FOR_UNRELATED_FILES


def test_a_dicomdir_alone_is_only_an_index(tmp_path: Path) -> None:
    disc = FileSet()
    for ds in slices(image(), **T2):
        disc.add(ds)
    disc.write(tmp_path / "disc")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "DICOMDIR").write_bytes((tmp_path / "disc" / "DICOMDIR").read_bytes())
    for path in (alone, alone / "DICOMDIR"):
        with pytest.raises(DicomError, match="only an index"):
            read_study(path)


def test_loops_of_links_end(tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    (tmp_path / "study" / "loop").symlink_to(tmp_path / "study", target_is_directory=True)
    (tmp_path / "study" / "t2" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "study" / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "study" / "self").symlink_to(tmp_path / "study" / "self")
    found = scan(tmp_path)
    assert len(found.images) == 20 and found.copies == 0
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "study", target_is_directory=True)
    assert read_study(linked).sequences == ("T2WI", "T1WI", "LAP", "PVP")


def test_very_deep_nesting_ends(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(60):
        deep = deep / "d"
    save(slices(image(), **T2), deep)
    with pytest.raises(DicomError, match="no DICOM file"):
        scan(tmp_path)


def test_two_patients_are_refused_and_listed(tmp_path: Path) -> None:
    write_study(tmp_path / "one")
    other = {"PatientID": "815", "PatientName": "Roe^Richard", "StudyInstanceUID": "1.2.3.4"}
    save(slices(image(seed=7), 7, **T2, **other), tmp_path / "two")
    done = CliRunner().invoke(app, ["classify", str(tmp_path), "--out", str(tmp_path / "out")])
    assert done.exit_code == UNUSABLE_INPUT and not (tmp_path / "out").exists()
    assert "2 patients" in done.stderr and str(tmp_path / "two") in done.stderr
    assert "Traceback" not in done.stderr and "Roe" not in done.stderr
    shown = CliRunner().invoke(app, ["identify", str(tmp_path)])
    assert shown.exit_code == 0 and "Study 2 of 2" in shown.stdout
    assert read_study(tmp_path / "two").sequences == ("T2WI",)


def test_two_studies_of_one_patient_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path / "one")
    save(slices(image(seed=7), 7, **T2, StudyInstanceUID="1.2.3.4"), tmp_path / "two")
    with pytest.raises(DicomError, match="2 studies of one patient"):
        read_study(tmp_path)


def test_a_second_study_without_sequences_is_left_alone(tmp_path: Path) -> None:
    write_study(tmp_path / "one")
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "StudyInstanceUID": "1.2.3.4"}
    save(slices(image(seed=7), 7, **VIBE, **scout), tmp_path / "two")
    assert read_study(tmp_path).sequences == ("T2WI", "T1WI", "LAP", "PVP")


def test_several_segmentations_need_a_choice_and_broken_ones_a_word(tmp_path: Path) -> None:
    file = tmp_path / "seg.dcm"
    file.write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + b"\0" * 40)
    with pytest.raises(DicomError, match="cannot be read as a DICOM segmentation"):
        read_segmentation(file)


@pytest.mark.parametrize(
    "content", [b"", b"x" * 4000, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 500]
)
def test_rubbish_is_no_study(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.dcm").write_bytes(content)
    for path in (tmp_path, tmp_path / "file.dcm"):
        with pytest.raises(StudyError):
            read_study(path)
        done = CliRunner().invoke(app, ["identify", str(path)])
        assert done.exit_code == UNUSABLE_INPUT and done.stderr.startswith("Error: ")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="missing"):
        read_study(tmp_path / "missing")
    with pytest.raises(DicomError, match="does not exist"):
        identify(tmp_path / "missing")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_flipped_bytes_never_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, int]]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for number, file in enumerate(save(slices(image(size=(8, 6, 3)), **T2), folder)):
        content = bytearray(file.read_bytes())
        for where, value in edits[number::3]:
            content[128 + int(where * (len(content) - 129))] = value
        file.write_bytes(content)
    try:
        study = read_dicom_study(folder)
    except StudyError as error:
        assert str(folder) in str(error)
    else:
        assert np.isfinite(sitk.GetArrayViewFromImage(study.images[study.reference].image)).all()


def test_values_that_are_no_numbers_count_as_missing(tmp_path: Path) -> None:
    objects = slices(image(), **T2)
    save(objects, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"3500.0", b"35O0.0"))
    (stack,) = split(scan(tmp_path).images)
    assert stack.first.tr is None and stack.first.te == 90.0
