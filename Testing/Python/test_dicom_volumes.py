"""Slices become volumes: exact voxels in exact places, repaired where that is safe, else refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from made_dicom import FRAME_UID, OBLIQUE, T2, image, save, slices
from made_studies import misplacement, tilts
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.bvalues import b_value
from LiverLesionAI.readers.dicom.diffusion import adc_map
from LiverLesionAI.readers.dicom.headers import frames_of, second_of_day
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.volumes import Volume, volume_of


def _voxels(made: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(made)


def _only_volume(folder: Path) -> Volume:
    (stack,) = split(scan(folder).images)
    return volume_of(stack)


def _is_same(found: sitk.Image, expected: sitk.Image) -> bool:
    return misplacement(found, expected) < 1e-3 and np.array_equal(_voxels(found), _voxels(expected))


@settings(max_examples=12)
@given(
    angles=tilts(600),
    spacing=st.tuples(st.floats(0.5, 3), st.floats(0.5, 3), st.floats(1, 9)),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_voxels_lie_where_the_scanner_saw_them(
    angles: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...]
) -> None:
    direction = np.reshape(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix(), (3, 3))
    made = image((7, 6, 4), spacing, origin, direction)  # type: ignore[arg-type]
    frames = [frame for ds in slices(made, **T2) for frame in frames_of(ds, Path("x"))]
    (stack,) = split(reversed(frames))
    for index, frame in enumerate(stack.frames):
        point = made.TransformIndexToPhysicalPoint((0, 0, index))
        assert frame.position is not None and np.allclose(frame.position, point, atol=1e-6)


def test_a_volume_is_exact_and_knows_its_files(tmp_path: Path) -> None:
    made = image(direction=OBLIQUE)
    files = save(slices(made, **T2), tmp_path)
    volume = _only_volume(tmp_path)
    assert _is_same(volume.image.image, made) and not volume.warnings
    assert volume.image.dicom is not None
    assert volume.image.dicom.files == tuple(files) and volume.image.dicom.frames == (1,) * 5


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_slices_are_sorted_by_position_and_not_by_number(tmp_path: Path, order: str) -> None:
    made = image()
    objects = slices(made, **T2)
    numbers = [5, 4, 3, 2, 1] if order == "reversed" else [3, 1, 5, 2, 4]
    for ds, number in zip(objects, numbers, strict=True):
        ds.InstanceNumber = number
    save(objects, tmp_path)
    assert _is_same(_only_volume(tmp_path).image.image, made)


def test_coronal_and_sagittal_series_keep_their_geometry(tmp_path: Path) -> None:
    for name, direction in (
        ("coronal", [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        ("sagittal", [[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    ):
        made = image(direction=np.array(direction, float))
        save(slices(made, **T2), tmp_path / name)
        (stack,) = split(scan(tmp_path / name).images)
        assert stack.first.plane == name
        assert misplacement(volume_of(stack).image.image, made) < 1e-3


def test_rescaled_values_are_what_they_mean(tmp_path: Path) -> None:
    made = image()
    save(slices(made, **T2, RescaleSlope="1.5", RescaleIntercept="-3"), tmp_path)
    found = _voxels(_only_volume(tmp_path).image.image)
    assert np.allclose(found, _voxels(made) * 1.5 - 3)


def test_slices_where_no_scanner_is_are_refused(tmp_path: Path) -> None:
    save(slices(image(origin=(3e5, 0.0, 0.0)), **T2), tmp_path)
    with pytest.raises(DicomError, match="series have a position that no scanner gives"):
        _only_volume(tmp_path)


def test_files_without_preamble_and_with_implicit_vr_are_read(tmp_path: Path) -> None:
    made = image()
    for index, ds in enumerate(slices(made, **T2)):
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        del ds.file_meta
        ds.save_as(tmp_path / f"{index}", implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert (tmp_path / f"{index}").read_bytes()[128:132] != b"DICM"
    assert _is_same(_only_volume(tmp_path).image.image, made)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
def test_compressed_series_are_read(tmp_path: Path, syntax: str) -> None:
    made = image(size=(32, 24, 3))
    objects = slices(made, **T2)
    for ds in objects:
        ds.compress(syntax, encoding_plugin="pyjpegls" if syntax == JPEGLSLossless else "pydicom")
    save(objects, tmp_path)
    assert _is_same(_only_volume(tmp_path).image.image, made)


def test_jpeg_2000_is_read_by_gdcm_as_by_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(size=(32, 24, 3))
    for ds in slices(made, **T2):
        plain = tmp_path / "plain.dcm"
        ds.save_as(plain, enforce_file_format=True)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.SetFileName(str(tmp_path / "compressed.dcm"))
        writer.Execute(sitk.ReadImage(str(plain)))
        packed = dcmread(tmp_path / "compressed.dcm")
        ds.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        assert ds.file_meta.TransferSyntaxUID.is_compressed
        ds.PixelData, ds["PixelData"].VR = packed.PixelData, "OB"
        ds.BitsStored, ds.HighBit = packed.BitsStored, packed.HighBit
        ds.PixelRepresentation = packed.PixelRepresentation
        ds["PixelData"].is_undefined_length = True
        save([ds], tmp_path / "series", name=f"s{ds.InstanceNumber}-")
    assert _is_same(_only_volume(tmp_path / "series").image.image, made)

    def missing(*_: Any, **__: Any) -> None:
        raise RuntimeError("no decoder")

    monkeypatch.setattr("pydicom.pixels.pixel_array", missing)
    assert _is_same(_only_volume(tmp_path / "series").image.image, made)


def test_a_missing_slice_is_interpolated_and_said(tmp_path: Path) -> None:
    made = image(size=(8, 8, 9))
    objects = slices(made, **T2)
    del objects[4]
    save(objects, tmp_path)
    volume = _only_volume(tmp_path)
    assert volume.image.dicom is None and "interpolated" in volume.warnings[0]
    assert misplacement(volume.image.image, made) < 1e-3
    expected = _voxels(made).astype(float)
    expected[4] = (expected[3] + expected[5]) / 2
    assert np.allclose(_voxels(volume.image.image), expected, atol=1e-3)


def test_slightly_uneven_spacing_is_regular_and_large_gaps_are_refused(tmp_path: Path) -> None:
    made = image(size=(8, 8, 9))
    objects = slices(made, **T2)
    for ds, off in zip(objects, np.random.default_rng(1).uniform(-0.1, 0.1, 9), strict=True):
        ds.ImagePositionPatient[2] += off
    save(objects, tmp_path / "uneven")
    volume = _only_volume(tmp_path / "uneven")
    assert volume.image.dicom is not None and misplacement(volume.image.image, made) < 0.25
    save([ds for i, ds in enumerate(objects) if i not in (4, 5)], tmp_path / "gap")
    with pytest.raises(DicomError, match=r"gap.*mm are missing"):
        _only_volume(tmp_path / "gap")


def test_slices_that_are_stored_twice_count_once(tmp_path: Path) -> None:
    made = image(size=(8, 8, 9))
    objects = slices(made, **T2)
    save(objects, tmp_path / "series")
    save(objects, tmp_path / "copy")
    found = scan(tmp_path)
    assert found.copies == 9 and len(found.images) == 9
    again = slices(made, **T2)[2]
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    save([again], tmp_path / "again")
    volume = _only_volume(tmp_path)
    assert "stored twice" in volume.warnings[0] and _is_same(volume.image.image, made)
    again.PixelData = bytes(len(again.PixelData))
    save([again], tmp_path / "again")
    with pytest.raises(DicomError, match="different slices at the same place"):
        _only_volume(tmp_path)


def test_a_slice_beside_the_others_or_turned_against_them_is_refused(tmp_path: Path) -> None:
    objects = slices(image(), **T2)
    objects[2].ImagePositionPatient[0] += 10
    save(objects, tmp_path / "beside")
    with pytest.raises(DicomError, match=r"10 mm beside the other slices"):
        _only_volume(tmp_path / "beside")
    turned = slices(image(), **T2)
    turned[2].ImageOrientationPatient = [0.99985, 0.01745, 0, -0.01745, 0.99985, 0]
    save(turned, tmp_path / "turned")
    with pytest.raises(DicomError, match="another orientation"):
        _only_volume(tmp_path / "turned")


def test_a_tilted_gantry_is_straightened(tmp_path: Path) -> None:
    size, spacing = (40, 40, 12), (1.0, 1.0, 2.0)
    shear = np.tan(np.radians(15))
    z, y, x = np.meshgrid(*map(np.arange, size[::-1]), indexing="ij")
    height = z * spacing[2]
    voxels = (1000 * np.exp(-((x - 20) ** 2 + (y + height * shear - 24) ** 2) / 60)).astype(np.int16)
    made = sitk.GetImageFromArray(voxels)
    made.SetSpacing(spacing)
    objects = slices(made, **T2)
    for index, ds in enumerate(objects):
        ds.ImagePositionPatient[1] += index * spacing[2] * shear
    save(objects, tmp_path)
    volume = _only_volume(tmp_path)
    assert volume.image.dicom is None and "tilted gantry" in volume.warnings[0]
    straight = _voxels(volume.image.image)
    for level in range(2, 10):
        row, column = np.unravel_index(straight[level].argmax(), straight[level].shape)
        point = volume.image.image.TransformIndexToPhysicalPoint((int(column), int(row), level))
        assert np.allclose(point[:2], (20, 24), atol=1.01), level


def test_computed_adc_is_exact(tmp_path: Path) -> None:
    adc = np.random.default_rng(3).uniform(300, 3000, (3, 8, 8))
    pairs = []
    for b in (50.0, 400.0, 800.0):
        made = sitk.GetImageFromArray((1e4 * np.exp(-b * adc * 1e-6)).astype(np.float32))
        pairs.append((b, made))
    assert np.allclose(_voxels(adc_map(pairs)), adc, atol=0.1)
    dark = sitk.GetImageFromArray(np.zeros((3, 8, 8), np.float32))
    assert not _voxels(adc_map([(0.0, pairs[0][1]), (800.0, dark)])).any()
    with pytest.raises(DicomError, match="two b-values"):
        adc_map(pairs[:1])


def _block(group: int, creator: str, element: int, vr: str, value: Any) -> Dataset:
    ds = Dataset()
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    return ds


def _csa(b: bytes) -> bytes:
    items = struct.pack("<4i", len(b), len(b), 77, len(b)) + b.ljust((len(b) + 3) // 4 * 4, b"\0")
    element = b"B_value".ljust(64, b"\0") + struct.pack("<i", 1) + b"IS\0\0" + struct.pack("<3i", 6, 1, 77)
    return b"SV10\4\3\2\1" + struct.pack("<2i", 1, 77) + element + items


@pytest.mark.parametrize(
    ("vendor", "dataset", "expected"),
    [
        ("SIEMENS", _block(0x19, "SIEMENS MR HEADER", 0x0C, "IS", "800"), 800),
        ("SIEMENS", _block(0x29, "SIEMENS CSA HEADER", 0x10, "OB", _csa(b"400")), 400),
        ("GE MEDICAL SYSTEMS", _block(0x43, "GEMS_PARM_01", 0x39, "IS", ["800", "8", "0", "0"]), 800),
        ("GE MEDICAL SYSTEMS", _block(0x43, "GEMS_PARM_01", 0x39, "IS", ["1000000050", "8", "0", "0"]), 50),
        ("GE MEDICAL SYSTEMS", _block(0x43, "GEMS_PARM_01", 0x39, "UN", b"1000000600\\8\\0\\0"), 600),
        ("Philips", _block(0x2001, "Philips Imaging DD 001", 0x03, "FL", 600.0), 600),
        ("Philips", _block(0x2001, "Philips Imaging DD 001", 0x03, "UN", struct.pack("<f", 600.0)), 600),
        ("UIH", _block(0x65, "Image Private Header", 0x09, "FD", 1000.0), 1000),
        ("", _block(0x19, "SIEMENS MR HEADER", 0x0C, "IS", "50"), 50),
        ("Philips", _block(0x19, "SIEMENS MR HEADER", 0x0C, "IS", "50"), None),
        ("SIEMENS", Dataset(), None),
    ],
)
def test_b_values_are_found_where_vendors_keep_them(
    vendor: str, dataset: Dataset, expected: int | None
) -> None:
    assert b_value(None, dataset, vendor, "")[0] == expected
    assert b_value(1400.0, dataset, vendor, "")[0] == 1400


def test_b_value_in_the_sequence_name() -> None:
    assert b_value(None, Dataset(), "SIEMENS", "*ep_b800t") == (800, "SequenceName")
    assert b_value(None, Dataset(), "SIEMENS", "*fl3d1")[0] is None


def test_times_are_seconds_of_the_day() -> None:
    assert second_of_day("141127.937501") == pytest.approx(14 * 3600 + 11 * 60 + 27.9375, abs=1e-3)
    assert second_of_day("20200102010203.5") == pytest.approx(3723.5)
    assert second_of_day("") is None and second_of_day("25:99") is None


@pytest.mark.parametrize("series", ["imagedata_phantom/fl3d_dynamic", "imagedata_phantom/dwi_b50_400_800"])
def test_real_series_are_the_volumes_that_others_read(shared_data: Path, series: str) -> None:
    for stack in split(scan(shared_data / series).images):
        found = volume_of(stack).image.image
        expected = sitk.ReadImage([str(frame.file) for frame in stack.frames])
        assert misplacement(found, expected) < 1e-2
        assert np.array_equal(_voxels(found), _voxels(expected))


def test_real_compressed_ct_is_the_volume_that_others_read(shared_data: Path) -> None:
    (stack,) = split(scan(shared_data / "totalsegmentator" / "example_ct_dicom").images)
    found = volume_of(stack).image.image
    expected = sitk.ReadImage([str(frame.file) for frame in stack.frames])
    assert _is_same(found, expected)


def test_series_of_several_frames_of_reference_are_refused(tmp_path: Path) -> None:
    objects = slices(image(), **T2)
    objects[2].FrameOfReferenceUID = FRAME_UID + ".1"
    save(objects, tmp_path)
    with pytest.raises(DicomError, match="another frame of reference"):
        _only_volume(tmp_path)
