"""A study of another part of the body is not a liver study; one wrong word does not make it one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_dicom import T2, VIBE, image, save, slices
from made_frames import identified, made_volume

from LiverLesionAI.errors import DicomError
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.dicom.choose import choose
from LiverLesionAI.readers.dicom.regions import region_of

NAMES = ("t2_tse_fs_tra", "t1_vibe_pre", "t1_vibe_art", "t1_vibe_ven")


def _write(folder: Path, *said: dict[str, Any]) -> Path:
    """A study of four series, each with what is said of it, the last for all further ones."""
    for number, name in enumerate(NAMES):
        basis = T2 if number == 0 else VIBE
        own = said[min(number, len(said) - 1)]
        series = {**basis, "SeriesDescription": name, **own}
        save(slices(image(seed=number), number + 1, **series), folder / str(number))
    return folder


@pytest.mark.parametrize(
    ("said", "region"),
    [
        ({"BodyPartExamined": "BRAIN"}, "head"),
        ({"BodyPartExamined": "KNEE"}, "limbs"),
        ({"BodyPartExamined": "CHEST"}, "chest"),
        ({"StudyDescription": "MRT Kopf nativ"}, "head"),
        ({"StudyDescription": "Kniegelenk rechts"}, "limbs"),
        ({"StudyDescription": "RM encefalo"}, "head"),
        ({"ProtocolName": "Lumbar spine routine"}, "spine"),
        ({"StudyDescription": "MR Prostate w/o"}, "pelvis"),
        ({"StudyDescription": "颅脑平扫", "SpecificCharacterSet": "ISO_IR 192"}, "head"),
    ],
)
def test_other_parts_of_the_body_are_refused(tmp_path: Path, said: dict[str, Any], region: str) -> None:
    _write(tmp_path, said)
    with pytest.raises(DicomError, match=rf"not a liver study.*{region}.*study folder"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        ({},),
        ({"BodyPartExamined": "ABDOMEN"},),
        ({"BodyPartExamined": "CHEST"}, {}),
        ({"BodyPartExamined": "CHEST"}, {"BodyPartExamined": "BRAIN"}, {}),
        ({"BodyPartExamined": "CHEST", "StudyDescription": "MRI liver"},),
        ({"BodyPartExamined": "PELVIS"}, {"BodyPartExamined": "PELVIS"}, {"BodyPartExamined": "ABDOMEN"}),
        ({"BodyPartExamined": "CHESTABDPELVIS"},),
        ({"BodyPartExamined": "WHOLEBODY"},),
        ({"BodyPartExamined": "KIDNEY"},),
        (
            {
                "BodyPartExamined": "HEAD",
                "StudyDescription": "3.0T上腹部增强",
                "SpecificCharacterSet": "GB18030",
            },
        ),
        ({"BodyPartExamined": "SPINE", "ProtocolName": "Oberbauch"},),
        ({"BodyPartExamined": "CHEST"}, {"BodyPartExamined": "CHEST", "SeriesDescription": "vibe_hbp_20"}),
    ],
)
def test_wrong_and_missing_words_do_not_matter(tmp_path: Path, said: tuple[dict[str, Any], ...]) -> None:
    assert "T2WI" in read_study(_write(tmp_path, *said)).sequences


@pytest.mark.parametrize(
    "name",
    ["t2_haste_cor_mbh", "Ax T2 FRFSE RTr ASSET", "ep2d_diff_b50_400_800_tra", "dyn_eTHRIVE", "artefact"],
)
def test_names_of_sequences_are_no_regions(name: str) -> None:
    assert region_of(name) is None


def test_a_series_named_after_another_region_is_chosen_last() -> None:
    t2 = {"scanning_sequence": ("SE",), "te": 90.0, "tr": 3500.0}
    liver = made_volume(**t2, description="t2_tse", series_uid="1", acquired_s=9.0)
    pelvis = made_volume(**t2, description="t2_tse_fs_pelvis", series_uid="2", acquired_s=99.0)
    (choice,) = choose(identified(*liver, *pelvis))
    assert choice.best.stack.first.series_uid == "1"


def test_of_several_stations_the_one_where_the_other_sequences_lie_is_chosen() -> None:
    t2 = {"scanning_sequence": ("SE",), "te": 90.0, "tr": 3500.0, "description": "t2_haste"}
    stations = [
        frame
        for n, start in enumerate((-60.0, 0.0, 60.0))
        for frame in made_volume(8, start, **t2, series_uid=f"t2 {n}", acquired_s=100.0 * n)
    ]
    phases = [
        frame
        for phase in ("art", "portal")
        for frame in made_volume(8, **{"description": f"vibe {phase}", "series_uid": phase})
    ]
    chosen = {
        choice.sequence: choice.best.stack.first.series_uid
        for choice in choose(identified(*stations, *phases))
    }
    assert chosen == {"T2WI": "t2 1", "LAP": "art", "PVP": "portal"}


def test_the_repetition_in_the_frame_of_reference_of_the_others_is_chosen() -> None:
    t2 = {"scanning_sequence": ("SE",), "te": 90.0, "tr": 3500.0, "description": "t2_haste"}
    frames = [
        *made_volume(**t2, series_uid="with them", acquired_s=1.0, frame_of_reference="1"),
        *made_volume(**t2, series_uid="after a break", acquired_s=9.0, frame_of_reference="2"),
        *made_volume(description="vibe art", series_uid="art", frame_of_reference="1"),
    ]
    assert choose(identified(*frames))[0].best.stack.first.series_uid == "with them"


def test_candidates_at_other_places_are_said(tmp_path: Path) -> None:
    for number, height in enumerate((0.0, 60.0)):
        made = image(origin=(0.0, 0.0, height), seed=number)
        save(slices(made, number + 1, **T2, AcquisitionTime=f"10000{number}"), tmp_path / str(number))
    assert any("1 of them at other places" in warning for warning in read_study(tmp_path).warnings)
