"""Phantom studies as DICOM: what is written is read back by others' tools, and it says what it is."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_phantoms import SLICES, phantom, planned
from pydicom.dataset import Dataset

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.phantom.dicom import LAYOUTS, VENDORS, Series, plan_examination, write_dicom_study
from LiverLesionAI.phantom.dicom.cohort import write_dicom_cohort, write_dicom_phantom
from LiverLesionAI.phantom.protocol import MR_SEQUENCES

STYLES = [(vendor, layout) for vendor in VENDORS for layout in LAYOUTS]
CLASSIC = [style for style in STYLES if style[1] != "enhanced"]
WINDOWS_S = {"LAP": (15, 45), "PVP": (46, 110), "DP": (111, 480), "HBP": (600, 6000)}
GATED_ONLY = "Type 2C Conditional Element=<TriggerTime>"
"""GE scanners write the time of a phase there, which the standard keeps for gated acquisitions."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    root = tmp_path_factory.mktemp("dicom")
    return {
        (vendor, layout): write_dicom_study(
            phantom(), root / f"{vendor}-{layout}", vendor=vendor, layout=layout
        )
        for vendor, layout in STYLES
    }


@lru_cache(maxsize=16)
def _read(folder: Path) -> dict[str, list[Dataset]]:
    series: dict[str, list[Dataset]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            ds = pydicom.dcmread(file)
            series.setdefault(ds.SeriesInstanceUID, []).append(ds)
    return {uid: sorted(objects, key=lambda ds: ds.InstanceNumber) for uid, objects in series.items()}


def _frames(objects: list[Dataset]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, float]]:
    """Position, orientation, voxel size (x, y, z) and values of each frame, classic or enhanced."""
    for ds in objects:
        if "PerFrameFunctionalGroupsSequence" in ds:
            pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
            for frame, stored in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
                measures = frame.PixelMeasuresSequence[0]
                slope = float(frame.PixelValueTransformationSequence[0].RescaleSlope)
                place = frame.PlanePositionSequence[0], frame.PlaneOrientationSequence[0]
                yield *_geometry(*place, measures), stored * slope
        else:
            yield *_geometry(ds, ds, ds), ds.pixel_array * float(ds.get("RescaleSlope", 1))


def _geometry(position: Dataset, orientation: Dataset, measures: Dataset) -> tuple[np.ndarray, ...]:
    row_gap, column_gap = measures.PixelSpacing
    return (
        np.array(position.ImagePositionPatient, float),
        np.array(orientation.ImageOrientationPatient, float),
        np.array([column_gap, row_gap, measures.SpacingBetweenSlices], float),
    )


@pytest.mark.parametrize("style", STYLES, ids="-".join)
def test_geometry_and_values_come_back(folders: dict[tuple[str, str], Path], style: tuple[str, str]) -> None:
    written = _read(folders[style])
    assert set(written) == {series.uid for series in planned(*style)}
    for series in planned(*style):
        frames = list(_frames(written[series.uid]))
        assert len(frames) == sum(volume.image.GetSize()[2] for volume in series.volumes)
        for number, volume in enumerate(series.volumes):
            _same_volume(frames[_span(series, number)], volume.image)


def _span(series: Series, number: int) -> slice:
    sizes = [volume.image.GetSize()[2] for volume in series.volumes]
    return slice(sum(sizes[:number]), sum(sizes[: number + 1]))


def _same_volume(frames: list[tuple], image: sitk.Image) -> None:
    normal = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    frames = sorted(frames, key=lambda frame: float(frame[0] @ normal))
    expected = sitk.GetArrayFromImage(image)
    for index, (position, orientation, voxel, values) in enumerate(frames):
        assert position == pytest.approx(image.TransformIndexToPhysicalPoint((0, 0, index)), abs=1e-6)
        direction = np.array(image.GetDirection()).reshape(3, 3)
        assert orientation == pytest.approx(direction[:, :2].T.ravel(), abs=1e-9)
        assert voxel == pytest.approx(image.GetSpacing(), abs=1e-9)
        step = expected.max() / 4095 if expected.max() > 4095 else 1.0
        assert np.abs(values - expected[index]).max() <= step / 2 + 1e-6


def test_the_seven_sequences_are_the_phantoms_own() -> None:
    for style in STYLES:
        volumes = [v for s in planned(*style) for v in s.volumes]
        for name in MR_SEQUENCES:
            found = [v for v in volumes if v.sequence == name and v.b_value in (None, 800.0)]
            assert len(found) == (0 if (name, style[1]) == ("ADC", "multi_b") else 1), (style, name)
            assert all(v.image is phantom().study.images[name].image for v in found)


def test_adc_comes_back_from_the_b_values(folders: dict[tuple[str, str], Path]) -> None:
    written = _read(folders["siemens", "multi_b"])
    (series,) = (s for s in planned("siemens", "multi_b") if s.b_values)
    by_b: dict[int, list[np.ndarray]] = {}
    for ds in written[series.uid]:
        assert "DiffusionBValue" not in ds
        by_b.setdefault(int(ds[0x0019, 0x100C].value), []).append(ds.pixel_array.astype(float))
    assert sorted(by_b) == [50, 400, 800]
    low, high = np.stack(by_b[50]), np.stack(by_b[800])
    adc = sitk.GetArrayFromImage(phantom().study.images["ADC"].image)
    seen = (high > 60) & (adc > 0) & (adc < 4000)
    fitted = 1e6 * np.log(low[seen] / high[seen]) / 750
    assert seen.mean() > 0.3
    assert np.abs(fitted - adc[seen]).max() < 1e6 / 750 * (0.5 / 60 + 0.5 / 60)


@pytest.mark.parametrize(("vendor", "tag", "coded"), [("ge", (0x0043, 0x1039), 1_000_000_400)])
def test_ge_codes_several_b_values_with_an_offset(
    folders: dict[tuple[str, str], Path], vendor: str, tag: tuple[int, int], coded: int
) -> None:
    diffusion = [o for o in _read(folders[vendor, "multi_b"]).values() if tag in o[0]]
    assert {int(ds[tag].value[0]) for objects in diffusion for ds in objects} >= {coded}


@pytest.mark.parametrize("vendor", VENDORS)
def test_phases_lie_in_the_windows_after_injection(vendor: str) -> None:
    from LiverLesionAI.phantom.dicom.examination import INJECTION_S

    series = planned(vendor, "separate")
    starts = {v.sequence: v.start_s - INJECTION_S for s in series for v in s.volumes if v.sequence}
    assert starts["T1WI"] < 0
    for name, (low, high) in WINDOWS_S.items():
        assert low <= starts[name] <= high, name


@pytest.mark.parametrize("style", CLASSIC, ids="-".join)
def test_only_enhanced_phases_name_the_agent(
    folders: dict[tuple[str, str], Path], style: tuple[str, str]
) -> None:
    written = _read(folders[style])
    for series in planned(*style):
        expected = [v.enhanced for v in series.volumes for _ in range(v.image.GetSize()[2])]
        assert ["ContrastBolusAgent" in ds for ds in written[series.uid]] == expected


def test_enhanced_frames_tell_phase_and_contrast(folders: dict[tuple[str, str], Path]) -> None:
    written = _read(folders["philips", "enhanced"])
    (dynamic,) = (s for s in planned("philips", "enhanced") if len(s.sequences) > 1)
    (ds,) = written[dynamic.uid]
    told = [
        (f.FrameContentSequence[0].TemporalPositionIndex, f.ContrastBolusUsageSequence[0])
        for f in ds.PerFrameFunctionalGroupsSequence
    ]
    assert [position for position, _ in told] == [n for n in (1, 2, 3, 4) for _ in range(SLICES)]
    given = {position: usage.ContrastBolusAgentAdministered for position, usage in told}
    assert given == {1: "NO", 2: "YES", 3: "YES", 4: "YES"}


def test_objects_say_that_they_are_no_patient(folders: dict[tuple[str, str], Path]) -> None:
    for folder in folders.values():
        for objects in _read(folder).values():
            for ds in objects:
                assert str(ds.PatientName).startswith("PHANTOM^")
                assert ds.QualityControlSubject == "YES"
                assert "not a patient" in ds.ImageComments
                assert "not a patient" in ds.StudyDescription


def test_no_class_and_no_outline_is_written(folders: dict[tuple[str, str], Path]) -> None:
    for file in folders["siemens", "enhanced"].rglob("*.IMA"):
        header = str(pydicom.dcmread(file, stop_before_pixels=True))
        assert "HCC" not in header
        assert "lesion" not in header.replace("LIVERLESIONAI", "").lower()


def test_same_phantom_same_bytes(folders: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    again = write_dicom_study(phantom(), tmp_path, vendor="ge", layout="enhanced")
    first = folders["ge", "enhanced"]
    names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_uids_are_unique_and_valid(folders: dict[tuple[str, str], Path]) -> None:
    uids = [ds.SOPInstanceUID for f in folders.values() for o in _read(f).values() for ds in o]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)


def test_gdcm_reads_a_series(folders: dict[tuple[str, str], Path]) -> None:
    series = next(s for s in planned("ge", "separate") if s.sequences == ("T2WI",))
    folder = folders["ge", "separate"] / f"S{series.number:03d}"
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series.uid)
    image, expected = sitk.ReadImage(files), phantom().study.images["T2WI"].image
    assert image.GetOrigin() == pytest.approx(expected.GetOrigin(), abs=1e-6)
    assert image.GetSpacing() == pytest.approx(expected.GetSpacing(), abs=1e-6)
    assert (sitk.GetArrayFromImage(image) == sitk.GetArrayFromImage(expected)).all()


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not here")
@pytest.mark.parametrize("style", STYLES, ids="-".join)
def test_objects_are_valid(folders: dict[tuple[str, str], Path], style: tuple[str, str]) -> None:
    for objects in _read(folders[style]).values():
        file = Path(objects[-1].filename)
        checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        lines = (checked.stdout + checked.stderr).splitlines()
        assert any("IOD" in line or "MR" in line for line in lines), lines
        errors = [line for line in lines if line.startswith("Error") and GATED_ONLY not in line]
        assert not errors, objects[-1].SeriesDescription


def test_in_and_opposed_phase_show_fat(folders: dict[tuple[str, str], Path]) -> None:
    volumes = {
        v.part: sitk.GetArrayFromImage(v.image).astype(float)
        for s in planned("siemens", "separate")
        for v in s.volumes
    }
    water, fat = volumes["water"], volumes["fat"]
    pure_fat, pure_water = (fat > 200) & (water < 60), (water > 200) & (fat < 60)
    mixed = (fat > 150) & (water > 150)
    drop = volumes["OUTPHASE"] / np.maximum(volumes["INPHASE"], 1)
    assert min(pure_fat.sum(), pure_water.sum(), mixed.sum()) > 20
    assert np.median(drop[pure_fat]) == pytest.approx(1, abs=0.2)
    assert np.median(drop[pure_water]) == pytest.approx(1, abs=0.2)
    assert np.median(drop[mixed]) < 0.5


@pytest.mark.parametrize("omitted", [("ADC",), ("DWI",), ("T1WI", "LAP"), ("DWI", "ADC", "PVP")])
def test_a_study_without_some_sequences_is_written_without(omitted: tuple[str, ...]) -> None:
    kept = {n: i for n, i in phantom().study.images.items() if n not in omitted}
    partial = replace(phantom(), study=replace(phantom().study, images=kept))
    for layout in LAYOUTS:
        series = plan_examination(partial, "philips", layout).series
        found = {name for s in series for name in s.sequences} - {"INPHASE", "OUTPHASE"}
        assert found == set(kept) - ({"ADC"} if layout == "multi_b" and "DWI" in kept else set())


def test_unknown_vendor_and_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no scanner of vendor 'canon'"):
        write_dicom_study(phantom(), tmp_path, vendor="canon", layout="separate")
    with pytest.raises(ConfigError, match="no DICOM layout 'mosaic'"):
        write_dicom_study(phantom(), tmp_path, vendor="ge", layout="mosaic")


def test_phantom_folder_keeps_the_truth_apart(tmp_path: Path) -> None:
    folder = write_dicom_phantom(phantom(), tmp_path, layout="enhanced")
    study = phantom().study
    assert folder == tmp_path / study.id
    mask = sitk.ReadImage(str(folder / "lesions.nii.gz"))
    assert (sitk.GetArrayFromImage(mask) == sitk.GetArrayFromImage(study.outlined_lesions)).all()
    assert (tmp_path / "truth" / study.id / "truth.json").is_file()
    assert {p.name for p in folder.iterdir()} == {"dicom", "lesions.nii.gz"}


def test_phantom_folder_is_a_study_by_itself(tmp_path: Path) -> None:
    from LiverLesionAI.pipeline import read_study

    folder = write_dicom_phantom(phantom(), tmp_path, layout="dynamic")
    read = read_study(folder)
    assert set(read.sequences) >= set(MR_SEQUENCES)
    expected = sitk.GetArrayFromImage(phantom().study.outlined_lesions)
    assert np.array_equal(sitk.GetArrayFromImage(read.outlined_lesions), expected)


def test_lesion_centred_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Lesion-centred"):
        write_dicom_cohort(tmp_path / "out", 1, lesion_centred=True)


@pytest.mark.slow
def test_command_line_writes_a_cohort(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from LiverLesionAI.cli import app

    out = tmp_path / "cohort"
    result = CliRunner().invoke(app, ["phantom", "--out", str(out), "--seed", "7", "--format", "dicom"])
    assert result.exit_code == 0, result.output
    with (out / "cohort.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert (out / row["path"] / "lesions.nii.gz").is_file()
        assert any(path.is_file() for path in (out / row["path"] / "dicom").rglob("*"))
