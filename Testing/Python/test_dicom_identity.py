"""Series become one study only where nothing contradicts it, and what it rests on is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_dicom import FRAME_UID, T2, VIBE, image, save, slices
from pydicom.dataset import Dataset

from LiverLesionAI.errors import DicomError
from LiverLesionAI.identity import identity_of
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.dicom.identify import identify

PORTAL = {**VIBE, "SeriesDescription": "t1_vibe_fs_tra_portal"}


def _write(folder: Path, *edits: dict[str, Any]) -> Path:
    """A T2-weighted and a portal venous series; an attribute that is edited to None is left out."""
    for number, (said, edit) in enumerate(zip((T2, PORTAL), edits, strict=True), start=1):
        objects = slices(image(seed=number), number, **said)
        for ds in objects:
            _edit(ds, edit)
        save(objects, folder / str(number))
    return folder


def _edit(ds: Dataset, edit: dict[str, Any]) -> None:
    for keyword, value in edit.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)


NO_STUDY = {"StudyInstanceUID": None}


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientID", "815"), ("PatientSex", "M"), ("PatientBirthDate", "19700101")]
)
@pytest.mark.parametrize("study", [{}, NO_STUDY], ids=["same study UID", "no study UID"])
def test_two_patients_are_never_one_study(
    tmp_path: Path, keyword: str, value: str, study: dict[str, Any]
) -> None:
    _write(tmp_path, study, {**study, keyword: value})
    with pytest.raises(DicomError, match="2 patients") as refused:
        read_study(tmp_path)
    said = str(refused.value).replace(str(tmp_path), "")
    assert "give a folder" in said and (len(value) == 1 or value not in said)


def test_a_patient_attribute_that_is_missing_or_overwritten_parts_nothing(tmp_path: Path) -> None:
    anonymous = {"PatientID": "ANONYMOUS", "PatientSex": "O", "PatientBirthDate": "19000101"}
    for name, edit in (("overwritten", anonymous), ("missing", dict.fromkeys(anonymous))):
        assert read_study(_write(tmp_path / name, {}, edit)).sequences == ("T2WI", "PVP")


def test_issuers_part_only_where_both_are_named() -> None:
    first, other, unsaid = (
        identity_of({"PatientID": "1", "IssuerOfPatientID": issuer}.get) for issuer in ("A", "B", None)
    )
    assert first.differences(other) == ("IssuerOfPatientID",)
    assert first.differences(unsaid) == other.differences(unsaid) == ()


@pytest.mark.parametrize("missing", [None, "anonymized", "0.0"])
def test_without_a_study_uid_patient_and_date_join(tmp_path: Path, missing: str | None) -> None:
    edit = {"StudyInstanceUID": missing}
    study = read_study(_write(tmp_path / "joined", edit, edit))
    assert study.sequences == ("T2WI", "PVP")
    assert any("rests on the same PatientID and study date" in warning for warning in study.warnings)
    with pytest.raises(DicomError, match="StudyInstanceUID"):
        read_study(_write(tmp_path / "dates", edit, {**edit, "StudyDate": "20200103"}))


def test_one_series_without_a_study_uid_joins_its_patients_study(tmp_path: Path) -> None:
    study = read_study(_write(tmp_path / "same day", {}, NO_STUDY))
    assert study.sequences == ("T2WI", "PVP")
    assert any("StudyInstanceUID is missing in 1 series" in warning for warning in study.warnings)
    with pytest.raises(DicomError, match="StudyInstanceUID"):
        read_study(_write(tmp_path / "another day", {}, {**NO_STUDY, "StudyDate": "20200103"}))


def test_where_no_patient_is_named_a_common_frame_of_reference_joins(tmp_path: Path) -> None:
    nobody = {**NO_STUDY, "PatientID": "anon"}
    study = read_study(_write(tmp_path / "joined", nobody, nobody))
    assert any("rests on the same frame of reference" in warning for warning in study.warnings)
    for name, frame in (("other", FRAME_UID[:-2] + "77"), ("missing", None)):
        with pytest.raises(DicomError, match="nothing says that they are one study"):
            read_study(_write(tmp_path / name, nobody, {**nobody, "FrameOfReferenceUID": frame}))


def test_where_the_study_uid_stands_alone_it_is_said(tmp_path: Path) -> None:
    nobody = dict.fromkeys(("PatientID", "PatientBirthDate", "PatientSex"))
    moved = {**nobody, "FrameOfReferenceUID": FRAME_UID[:-2] + "77"}
    for name, edits, alone in (("one place", (nobody, nobody), False), ("two places", (nobody, moved), True)):
        warnings = read_study(_write(tmp_path / name, *edits)).warnings
        assert any("rests on StudyInstanceUID alone" in warning for warning in warnings) == alone


def test_a_single_series_needs_nothing_that_joins_it(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("StudyInstanceUID", "PatientID", "FrameOfReferenceUID"))
    objects = slices(image(), **T2)
    for ds in objects:
        _edit(ds, nothing)
    save(objects, tmp_path)
    study = read_study(tmp_path)
    assert study.sequences == ("T2WI",) and not any("StudyInstanceUID" in w for w in study.warnings)


def test_studies_without_uid_have_different_names(tmp_path: Path) -> None:
    names = {
        read_study(_write(tmp_path / patient, *[{**NO_STUDY, "PatientID": patient}] * 2)).id
        for patient in ("4711", "815")
    }
    assert len(names) == 2


def test_another_frame_of_reference_is_said(tmp_path: Path) -> None:
    study = read_study(_write(tmp_path / "other", {}, {"FrameOfReferenceUID": FRAME_UID[:-2] + "77"}))
    (said,) = study.warnings
    assert said.startswith("PVP lies in another frame of reference than T2WI") and "registration" in said
    assert not read_study(_write(tmp_path / "same", {}, {})).warnings
    assert not read_study(_write(tmp_path / "none", *[{"FrameOfReferenceUID": None}] * 2)).warnings
    (said,) = read_study(_write(tmp_path / "one", {}, {"FrameOfReferenceUID": None})).warnings
    assert said.startswith("FrameOfReferenceUID is missing in PVP")


def test_without_series_uids_number_and_name_tell_series_apart(tmp_path: Path) -> None:
    edit = {"SeriesInstanceUID": "anonymized"}
    study = read_study(_write(tmp_path, edit, edit))
    assert study.sequences == ("T2WI", "PVP")
    assert any("SeriesInstanceUID is missing in 10 files" in warning for warning in study.warnings)
    assert [len(item.stack.frames) for item in identify(tmp_path)] == [5, 5]
