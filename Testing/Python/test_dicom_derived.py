"""Computed images are no echo, phase or b-value of their series; frames are ordered by their dimensions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from made_dicom import FRAME_UID, STUDY_UID, image, save, slices
from made_frames import identified, made_volume
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from LiverLesionAI.readers.dicom.bvalues import is_directional
from LiverLesionAI.readers.dicom.choose import choose
from LiverLesionAI.readers.dicom.diffusion import series_for_adc
from LiverLesionAI.readers.dicom.headers import Frame, frames_of
from LiverLesionAI.readers.dicom.split import split
from LiverLesionAI.readers.dicom.study import read_dicom_study

ORIGINAL, DERIVED = ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY")
TEN = 36000.0


def _dynamic(seconds: tuple[float, ...], image_type: tuple[str, ...], **said: Any) -> list[Frame]:
    return [
        frame
        for second in seconds
        for frame in made_volume(
            description="t1_vibe_dyn", acquired_s=TEN + second, image_type=image_type, **said
        )
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"image_type": (*DERIVED, "SUBTRACTION")},
        {"image_type": DERIVED},
        {"image_type": DERIVED, "derivation": ("113062",)},
        {"image_type": DERIVED, "derivation": ("113078",)},
        {"image_type": (*DERIVED, "T1", "MAXIMUM")},
    ],
)
@pytest.mark.parametrize("seconds", [(60.0, 95.0, 210.0), (95.0,), (61.0, 96.0)])
def test_computed_images_are_no_phases(said: dict[str, Any], seconds: tuple[float, ...]) -> None:
    phases = _dynamic((0.0, 60.0, 95.0, 210.0), (*ORIGINAL, "M"))
    found = identified(*phases, *_dynamic(seconds, **said))
    plain = [item for item in found if item.stack.first.image_type[0] == "ORIGINAL"]
    assert [item.sequence for item in plain] == ["T1WI", "LAP", "PVP", "DP"]
    assert [item.stack.phases for item in plain] == [4] * 4
    assert {item.sequence for item in found if item not in plain} <= {None, "other"}


def test_a_map_is_no_echo() -> None:
    dual = {"description": "Ax Dual Echo", "tr": 150.0, "field_t": 1.5}
    frames = [frame for te in (2.3, 4.6) for frame in made_volume(**dual, te=te, image_type=ORIGINAL)]
    computed = made_volume(**dual, te=0.0, image_type=(*DERIVED, "T2_STAR"))
    found = identified(*frames, *computed)
    assert sorted(str(item.sequence) for item in found) == ["INPHASE", "OUTPHASE", "other"]
    assert not any("of 3" in item.stack.part for item in found)


def test_single_slices_that_say_derived_stay_in_their_image() -> None:
    frames = made_volume(5, description="t1 vibe portal", image_type=ORIGINAL)
    frames[2:4] = [replace(frame, image_type=DERIVED) for frame in frames[2:4]]
    assert [len(item.stack.frames) for item in identified(*frames)] == [5]


def test_a_map_at_other_places_is_not_part_of_the_image() -> None:
    frames = made_volume(description="t2 fs", te=90.0, scanning_sequence=("SE",), image_type=ORIGINAL)
    computed = made_volume(start=1.5, description="t2 fs", te=90.0, image_type=(*DERIVED, "T2 MAP"))
    assert [len(item.stack.frames) for item in identified(*frames, *computed)] == [4, 4]


DWI = {"description": "dwi", "scanning_sequence": ("EP",), "te": 60.0, "tr": 5000.0}


def _weighted(b: float | None, image_type: tuple[str, ...] = ORIGINAL, **said: Any) -> list[Frame]:
    return made_volume(**DWI, b=b, image_type=image_type, **said)


def _fit(*frames: Frame) -> list[tuple[float | None, bool]]:
    chosen = series_for_adc(item for item in identified(*frames) if item.sequence == "DWI")
    return [(item.stack.first.b, item.stack.first.directional) for item in chosen]


def test_a_computed_b_value_is_none_of_the_series() -> None:
    frames = [*_weighted(50.0), *_weighted(800.0), *_weighted(1500.0, DERIVED)]
    kinds = {item.stack.first.b: item.stack.kind for item in identified(*frames)}
    assert kinds == {50.0: "", 800.0: "", 1500.0: "computed b"}
    assert _fit(*frames) == [(50.0, False), (800.0, False)]
    (choice,) = choose(identified(*_weighted(50.0), *_weighted(400.0), *_weighted(800.0, DERIVED)))
    assert choice.best.stack.first.b == 400.0


@pytest.mark.parametrize("name", ["ep2d_diff_CALC_BVAL", "cDWI b1500", "synthetic b1500 dwi", "Computed DWI"])
def test_a_b_value_that_is_named_as_computed_is_not_fitted(name: str) -> None:
    computed = made_volume(**{**DWI, "description": name}, b=1500.0, series_uid="2")
    assert _fit(*_weighted(50.0), *computed) == []
    (choice,) = choose(identified(*_weighted(50.0), *computed))
    assert choice.best.stack.first.b == 50.0 and choice.others[0].confidence < choice.best.confidence


def test_a_trace_beside_unweighted_or_single_directions_is_acquired() -> None:
    assert _fit(*_weighted(0.0), *_weighted(800.0, DERIVED)) == [(0.0, False), (800.0, False)]
    directions = [f for n in range(3) for f in _weighted(800.0, directional=True, acquisition_number=n)]
    frames = [*_weighted(0.0), *directions, *_weighted(800.0, DERIVED)]
    assert _fit(*frames) == [(0.0, False), (800.0, False)]
    assert choose(identified(*frames))[0].best.stack.first.directional is False


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_an_adc_is_fitted_to_all_directions_or_none(count: int) -> None:
    directions = [f for n in range(count) for f in _weighted(800.0, directional=True, acquisition_number=n)]
    expected = [(0.0, False), *[(800.0, True)] * count] if count >= 3 else []
    assert _fit(*_weighted(0.0), *directions) == expected


def test_directions_that_are_not_said_are_all_taken() -> None:
    directions = [frame for n in range(3) for frame in _weighted(800.0, acquisition_number=n)]
    assert _fit(*_weighted(0.0), *directions) == [(0.0, False), *[(800.0, False)] * 3]


def test_the_computed_adc_is_the_mean_over_directions(tmp_path: Path) -> None:
    signal = {(0.0, 0): 1000}
    signal |= {(800.0, n): round(1000 * np.exp(-0.8 * adc)) for n, adc in enumerate((0.6, 1.2, 1.8))}
    rng = np.random.default_rng(0)
    for number, ((b, direction), level) in enumerate(signal.items(), start=1):
        voxels = np.full((5, 12, 16), level, np.int16)
        voxels[0, 0, 0] = rng.integers(1, 500)
        made = sitk.GetImageFromArray(voxels)
        made.CopyInformation(image())
        said: dict[str, Any] = {"DiffusionBValue": b, "SeriesInstanceUID": "1.5", "AcquisitionNumber": number}
        if b:
            said["DiffusionGradientOrientation"] = np.eye(3)[direction].tolist()
        dwi = {"SeriesDescription": "ep2d_diff", "ScanningSequence": "EP", "EchoTime": 60.0}
        save(slices(made, number, **dwi, **said), tmp_path / str(number))
    study = read_dicom_study(tmp_path)
    assert any("shows one direction only" in warning for warning in study.warnings)
    found = sitk.GetArrayFromImage(study.images["ADC"].image)
    assert np.median(found) == pytest.approx(1200, abs=2)


def _private(group: int, creator: str, element: int, vr: str, value: Any) -> Dataset:
    ds = Dataset()
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    return ds


@pytest.mark.parametrize(
    ("maker", "dataset", "expected"),
    [
        ("SIEMENS", _private(0x19, "SIEMENS MR HEADER", 0x0D, "CS", "DIRECTIONAL"), True),
        ("SIEMENS", _private(0x19, "SIEMENS MR HEADER", 0x0D, "CS", "ISOTROPIC"), False),
        ("SIEMENS", _private(0x19, "SIEMENS MR HEADER", 0x0E, "FD", [0.5, 0.5, 0.7]), True),
        ("GE MEDICAL SYSTEMS", _private(0x43, "GEMS_PARM_01", 0x30, "SS", 3), True),
        ("GE MEDICAL SYSTEMS", _private(0x43, "GEMS_PARM_01", 0x30, "SS", 16), False),
        ("GE MEDICAL SYSTEMS", _private(0x19, "GEMS_ACQU_01", 0xBC, "DS", "0.7"), True),
        ("Philips", _private(0x2001, "Philips Imaging DD 001", 0x04, "CS", "O"), True),
        ("Philips", _private(0x2001, "Philips Imaging DD 001", 0x04, "CS", "I"), False),
        ("UIH", _private(0x65, "Image Private Header", 0x37, "FD", [1.0, 0.0, 0.0]), True),
        ("Philips", Dataset(), False),
    ],
)
def test_directions_are_found_where_vendors_keep_them(maker: str, dataset: Dataset, expected: bool) -> None:
    assert is_directional("", (), False, dataset, maker) is expected
    assert is_directional("", ("DERIVED", "TRACEW"), False, dataset, maker) is False
    assert is_directional("ISOTROPIC", (), True, dataset, maker) is False


def _item(**said: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def _enhanced(order: list[int], phases: int, depth: int, times: list[float]) -> Dataset:
    """Frames of a dynamic series in any order; the time dimension says another order than the times do."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedMRImageStorage, "1.2.3.9"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY_UID, "1.2.3", FRAME_UID
    ds.Modality, ds.Rows, ds.Columns, ds.NumberOfFrames = "MR", 4, 4, len(order)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    ds.DimensionIndexSequence = [
        _item(DimensionIndexPointer=0x00200032),
        _item(DimensionIndexPointer=0x00209128),
    ]
    orientation = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    measures = _item(PixelSpacing=[1, 1], SliceThickness=3)
    ds.SharedFunctionalGroupsSequence = [
        _item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[measures])
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[
                _item(
                    DimensionIndexValues=[n % depth + 1, n // depth + 1],
                    FrameAcquisitionDateTime=f"20200102{int(times[n // depth]):06d}",
                )
            ],
            PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, 3.0 * (n % depth)])],
        )
        for n in order
    ]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert phases * depth == len(order)
    return ds


@given(st.permutations(range(12)), st.permutations([100000.0, 100100.0, 100200.0]))
def test_frames_are_ordered_by_their_dimensions_first(order: list[int], times: list[float]) -> None:
    frames = frames_of(_enhanced(order, 3, 4, times), Path("x.dcm"))
    stacks = split(frames)
    assert [stack.phases for stack in stacks] == [3, 3, 3]
    for phase, stack in enumerate(stacks, start=1):
        assert [frame.dimension for frame in stack.frames] == [(phase,)] * 4
        assert [frame.position[2] for frame in stack.frames if frame.position] == [0, 3, 6, 9]
