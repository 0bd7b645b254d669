"""Nothing of a folder is dropped untold, and only true copies are dropped as copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import T2, VIBE, image, save, slices, write_study
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.volumes import volume_of


def _said(path: Path, words: str) -> str:
    (said,) = (warning for warning in read_study(path).warnings if words in warning)
    return said


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uids=st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_slices_that_share_uids_are_all_kept(
    tmp_path_factory: pytest.TempPathFactory, uids: list[int]
) -> None:
    folder, made = tmp_path_factory.mktemp("uids"), image((8, 6, 6))
    objects = slices(made, **T2)
    for ds, uid in zip(objects, uids, strict=True):
        ds.SOPInstanceUID = f"1.2.{uid}"
    save(objects, folder)
    found = scan(folder)
    (stack,) = split(found.images)
    assert np.array_equal(sitk.GetArrayFromImage(volume_of(stack).image.image), sitk.GetArrayFromImage(made))
    assert found.copies == 0 and found.repeated == 6 - len(set(uids))


def test_one_uid_per_slice_in_every_phase_loses_no_phase(tmp_path: Path) -> None:
    empty_top = image()
    empty_top[:, :, 4] = 0
    for number, phase in enumerate(("pre", "art", "ven"), start=1):
        objects = slices(empty_top, number, **VIBE, SeriesDescription=f"t1_vibe_{phase}")
        for index, ds in enumerate(objects):
            ds.SOPInstanceUID = f"1.2.3.{index + 1}"
        save(objects, tmp_path / phase)
    assert read_study(tmp_path).sequences == ("T1WI", "LAP", "PVP")
    assert _said(tmp_path, "SOPInstanceUID").startswith("10 images")


def test_copies_are_counted_however_they_are_stored(tmp_path: Path) -> None:
    objects = slices(image(), **T2)
    save(objects, tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    for file in save(objects, tmp_path / "third"):
        ds = dcmread(file)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(file)
    assert _said(tmp_path, "found a second time").startswith("10 images")


def test_copies_without_uids_are_copies_too(tmp_path: Path) -> None:
    objects = slices(image(), **T2, SOPInstanceUID="anonymized")
    for ds in objects:
        ds.file_meta.MediaStorageSOPInstanceUID = "1.2"
    save(objects, tmp_path / "first")
    save(objects, tmp_path / "second")
    found = scan(tmp_path)
    assert (len(found.images), found.copies, found.repeated) == (5, 5, 5)


def test_a_damaged_copy_is_called_damaged(tmp_path: Path) -> None:
    objects = slices(image(), **T2)
    save(objects, tmp_path / "a")
    file = save(objects, tmp_path / "b")[2]
    file.write_bytes(file.read_bytes()[:-20])
    found = scan(tmp_path)
    assert found.unreadable == (file,) and len(found.images) == 5 and found.copies == 4


def test_files_and_series_that_are_left_out_are_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_text("hello")
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 200)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "scout"}
    save(slices(image(seed=7), 7, **VIBE, **scout), tmp_path / "scout")
    save(slices(image((8, 8, 2), seed=8), 8, **VIBE, SeriesDescription="hbp 20 min"), tmp_path / "short")
    assert "1 file was no DICOM and left out (notes.txt)" in _said(tmp_path, "no DICOM")
    assert "(….dcm)" in _said(tmp_path, "damaged")
    assert "(series 7)" in _said(tmp_path, "none of the sequences")
    assert "(series 8)" in _said(tmp_path, "fewer than 3 slices")


def test_a_folder_that_lies_too_deep_is_named(tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    deep = tmp_path
    for _ in range(40):
        deep = deep / "d"
    save(slices(image(), **T2), deep)
    assert _said(tmp_path, "not looked into").startswith("1 folder was")


def test_a_mask_beside_the_images_is_not_left_out(tmp_path: Path) -> None:
    t2 = write_study(tmp_path)
    mask = sitk.Cast(t2 * 0, sitk.sitkUInt8)
    mask[5, 5, 2] = 1
    sitk.WriteImage(mask, tmp_path / "lesions.nii.gz")
    assert not any("no DICOM" in warning for warning in read_study(tmp_path).warnings)


def test_frames_whose_places_are_not_said_are_not_cut_to_the_first(tmp_path: Path) -> None:
    write_study(tmp_path)
    many = slices(image(seed=9), 9, **VIBE, SeriesDescription="t1_vibe_hbp")[0]
    many.NumberOfFrames = 2
    many.PixelData = many.PixelData * 2
    save([many], tmp_path / "many")
    assert "(series 9)" in _said(tmp_path, "not recognised")


def test_an_object_of_fewer_frames_than_it_says_is_damaged(tmp_path: Path) -> None:
    write_study(tmp_path)
    whole = slices(image(seed=9), 9, **VIBE, SeriesDescription="t1_vibe_hbp")[0]
    whole.NumberOfFrames, whole.PixelData = 3, whole.PixelData * 3
    whole.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    save([whole], tmp_path / "cut", "CUT")
    assert "1 damaged file was left out (…0013)" in _said(tmp_path, "damaged")
