"""Age and sex as DICOM files tell them."""

from __future__ import annotations

from pathlib import Path

import made_dicom
import pytest

from LiverLesionAI.errors import DicomError
from LiverLesionAI.readers.dicom.patient import age_and_sex


def written(folder: Path, **attributes: str) -> Path:
    said = {**made_dicom.T2, **attributes}
    made_dicom.save(made_dicom.slices(made_dicom.image(), **said), folder)
    return next(path for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"PatientAge": "063Y", "PatientSex": "F"}, {"age": 63, "sex": "female"}),
        ({"PatientAge": "018M", "PatientSex": "M"}, {"age": 1, "sex": "male"}),
        ({"PatientBirthDate": "19600601", "StudyDate": "20230531", "PatientAge": ""}, {"age": 62}),
        ({"PatientBirthDate": "19600615", "StudyDate": "20230615", "PatientAge": ""}, {"age": 63}),
        ({"PatientBirthDate": "19000101", "StudyDate": "20230615", "PatientAge": ""}, {}),
        ({"PatientBirthDate": "20300101", "StudyDate": "20230531", "PatientSex": "O"}, {}),
        ({"PatientAge": "old", "PatientBirthDate": "1960", "PatientSex": ""}, {}),
    ],
)
def test_age_and_sex(tmp_path: Path, attributes: dict[str, str], found: dict[str, object]) -> None:
    empty = dict.fromkeys(("PatientAge", "PatientBirthDate", "PatientSex"), "")
    assert age_and_sex(written(tmp_path / "dicom", **{**empty, **attributes})) == found


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="cannot be read as DICOM"):
        age_and_sex(tmp_path / "missing")
