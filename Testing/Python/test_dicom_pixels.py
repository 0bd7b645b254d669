"""Padding is no intensity, and images that show low values bright are turned round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_dicom import T2, image, save, slices
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.pixels import _by_gdcm, _by_pydicom
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.volumes import Volume, volume_of


def _volume(folder: Path) -> Volume:
    (stack,) = split(scan(folder).images)
    return volume_of(stack)


def _voxels(folder: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(_volume(folder).image.image)


def _made(change: Any = None, **said: Any) -> tuple[list[Dataset], np.ndarray]:
    """A series whose stored values went through `change`, and the values before."""
    made = image() + 100
    plain = sitk.GetArrayFromImage(made)
    objects = slices(made, **T2, **said)
    for ds, pixels in zip(objects, plain, strict=True):
        ds.PixelData = (pixels if change is None else change(pixels.copy())).astype(np.int16).tobytes()
    return objects, plain


def _frame_of(value: int) -> Any:
    def framed(pixels: np.ndarray) -> np.ndarray:
        pixels[:2] = value
        return pixels

    return framed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-32768, {"PixelPaddingValue": -32768}),
        (-2000, {"PixelPaddingValue": -1024, "PixelPaddingRangeLimit": -3000}),
        (32767, {"PixelPaddingValue": 32767}),
        (-2000, {"PixelPaddingValue": -2000, "RescaleSlope": "2", "RescaleIntercept": "5"}),
        (2000, {"PixelPaddingValue": 2000, "RescaleSlope": "-1", "RescaleIntercept": "0"}),
    ],
    ids=["value", "range", "above", "rescaled", "negative slope"],
)
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_padding_becomes_the_lowest_value(
    tmp_path: Path, value: int, said: dict[str, Any], syntax: str | None
) -> None:
    objects, plain = _made(_frame_of(value), **said)
    for ds in objects:
        if syntax:
            ds.compress(syntax, generate_instance_uid=False)
    save(objects, tmp_path)
    found = _voxels(tmp_path)
    expected = plain[:, 2:] * float(said.get("RescaleSlope", 1)) + float(said.get("RescaleIntercept", 0))
    assert np.array_equal(found[:, 2:], expected) and (found[:, :2] == expected.min()).all()


def test_padding_with_the_wrong_sign_is_padding(tmp_path: Path) -> None:
    objects, plain = _made(_frame_of(-32768))
    for ds in objects:
        ds.add_new("PixelPaddingValue", "US", 32768)
    save(objects, tmp_path)
    assert _voxels(tmp_path).min() == plain[:, 2:].min()


def test_a_padding_value_amid_the_signal_makes_no_holes(tmp_path: Path) -> None:
    objects, plain = _made(PixelPaddingValue=500)
    save(objects, tmp_path)
    assert np.array_equal(_voxels(tmp_path), plain)


def test_a_slice_of_nothing_but_padding_is_dark(tmp_path: Path) -> None:
    objects, plain = _made(PixelPaddingValue=-1)
    objects[0].PixelData = np.full(plain.shape[1:], -1, np.int16).tobytes()
    save(objects, tmp_path)
    found = _voxels(tmp_path)
    assert np.array_equal(found[1:], plain[1:]) and (found[0] == plain[1:].min()).all()


def test_nothing_but_padding_is_refused(tmp_path: Path) -> None:
    objects, _ = _made(lambda pixels: pixels * 0 - 1, PixelPaddingValue=-1)
    save(objects, tmp_path)
    with pytest.raises(DicomError, match="same value everywhere"):
        _volume(tmp_path)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("slope", ["1e38", "1.5e37"])
def test_values_beyond_single_precision_are_refused(tmp_path: Path, slope: str) -> None:
    save(_made(RescaleSlope=slope, RescaleIntercept="0")[0], tmp_path)
    with pytest.raises(DicomError, match="voxels that are not numbers"):
        _volume(tmp_path)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=st.integers(1200, 30000), slope=st.sampled_from([1, 0.5, 3]))
def test_inverted_images_are_turned_round(
    tmp_path_factory: pytest.TempPathFactory, top: int, slope: float
) -> None:
    folder = tmp_path_factory.mktemp("inverted")
    objects, plain = _made(
        lambda pixels: top - pixels, PhotometricInterpretation="MONOCHROME1", RescaleSlope=str(slope)
    )
    save(objects, folder)
    volume = _volume(folder)
    found = sitk.GetArrayFromImage(volume.image.image)
    assert np.allclose(found - found.min(), slope * (plain - plain.min()))
    assert found.min() == slope * (top - plain.max()) and "MONOCHROME1" in volume.warnings[0]


@pytest.mark.parametrize("signed", [True, False])
def test_both_decoders_agree(tmp_path: Path, signed: bool) -> None:
    said = {"RescaleSlope": "2", "RescaleIntercept": "5", "PixelPaddingValue": int(_made()[1][0, 0, 0])}
    objects, _ = _made(**said, PhotometricInterpretation="MONOCHROME1", PixelRepresentation=int(signed))
    file = save(objects[:1], tmp_path)[0]
    (frame,) = scan(tmp_path).images
    (one,), (other,) = (read(file, [frame]) for read in (_by_pydicom, _by_gdcm))
    assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.padding, other.padding)
    assert one.padding.any()


def test_padding_of_inverted_images_is_dark(tmp_path: Path) -> None:
    def change(pixels: np.ndarray) -> np.ndarray:
        return _frame_of(-5000)(2000 - pixels)

    objects, plain = _made(change, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-5000)
    save(objects, tmp_path)
    found = _voxels(tmp_path)
    assert (found[:, :2] == found.min()).all()
    assert np.array_equal(found[:, 2:] - found.min(), plain[:, 2:] - plain[:, 2:].min())


def test_hounsfield_units_stay_what_they_are(tmp_path: Path) -> None:
    save(slices(image(), Modality="CT", PhotometricInterpretation="MONOCHROME1"), tmp_path)
    volume = _volume(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(volume.image.image), sitk.GetArrayFromImage(image()))
    assert "Hounsfield units" in volume.warnings[0]


def test_a_series_of_both_kinds_is_mixed(tmp_path: Path) -> None:
    objects, _ = _made()
    objects[2].PhotometricInterpretation = "MONOCHROME1"
    save(objects, tmp_path)
    with pytest.raises(DicomError, match="it is mixed"):
        _volume(tmp_path)


def test_a_colour_table_is_colour(tmp_path: Path) -> None:
    objects, _ = _made(PhotometricInterpretation="PALETTE COLOR")
    save(objects, tmp_path)
    assert [item.sequence for item in identify(tmp_path)] == ["other"]
