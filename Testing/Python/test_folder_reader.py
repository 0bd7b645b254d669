"""Study folders, good and bad."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from LiverLesionAI.errors import StudyError
from LiverLesionAI.readers.folder import is_study_folder, read_clinical, read_study_folder
from LiverLesionAI.readers.images import read_sequence_image
from LiverLesionAI.readers.mask_files import read_mask


def _write(path: Path, voxels: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(voxels), path)
    return path


RANDOM = np.random.default_rng(0).normal(100, 10, (6, 30, 30)).astype(np.float32)


def test_a_folder_is_read_with_geometry_and_lesions(study_folder: Path) -> None:
    study = read_study_folder(study_folder)
    assert study.id == "S1" and study.reference == "T2WI"
    assert study.sequences == ("T2WI", "DWI", "LAP")
    assert study.lesion_ids == (1,)
    assert study.images["DWI"].image.GetSpacing() == pytest.approx((2.6, 2.6, 7.0))


def test_aliases_and_other_formats_are_read_in_the_order_of_the_sequences(tmp_path: Path) -> None:
    for name in ("C+V.nrrd", "t1.mha", "ADC.nii"):
        _write(tmp_path / name, RANDOM)
    (tmp_path / "notes.txt").write_text("not an image")
    study = read_study_folder(tmp_path)
    assert study.sequences == ("ADC", "T1WI", "PVP")
    assert study.reference == "ADC" and study.lesions is None
    assert is_study_folder(tmp_path) and not is_study_folder(tmp_path / "none")


def test_outlines_per_sequence_stand_in_for_one_mask(study_folder: Path) -> None:
    mask = read_mask(study_folder / "lesions.nii.gz").labels
    (study_folder / "lesions.nii.gz").unlink()
    sitk.WriteImage(mask, study_folder / "lesions_T2WI.nii.gz")
    sitk.WriteImage(mask, study_folder / "lesions_LAP.nii.gz")
    study = read_study_folder(study_folder)
    assert study.lesion_ids == (1,) and set(study.outlines) == {"T2WI", "LAP"}


def test_outlines_of_one_sequence_make_it_the_reference(study_folder: Path) -> None:
    """They are in its frame, not in that of T2WI."""
    mask = read_mask(study_folder / "lesions.nii.gz").labels
    (study_folder / "lesions.nii.gz").unlink()
    sitk.WriteImage(mask, study_folder / "lesions_LAP.nii.gz")
    assert read_study_folder(study_folder).reference == "LAP"
    sitk.WriteImage(mask, study_folder / "lesions_DWI.nii.gz")
    assert read_study_folder(study_folder).reference == "DWI"
    assert read_study_folder(study_folder, reference="T2WI").reference == "T2WI"


def test_an_outline_that_lacks_a_lesion_is_refused(study_folder: Path) -> None:
    mask = read_mask(study_folder / "lesions.nii.gz").labels
    sitk.WriteImage(mask * 2, study_folder / "lesions_LAP.nii.gz")
    with pytest.raises(StudyError, match=r"lesions_LAP.nii.gz lacks lesion 1"):
        read_study_folder(study_folder)


def test_a_mask_given_apart_is_used(study_folder: Path, tmp_path: Path) -> None:
    mask = read_mask(study_folder / "lesions.nii.gz").labels * 5
    sitk.WriteImage(mask, tmp_path / "other.nrrd")
    assert read_study_folder(study_folder, mask=tmp_path / "other.nrrd").lesion_ids == (5,)


def test_intensity_limits_of_partial_volumes_are_read(study_folder: Path) -> None:
    (study_folder / "acquisition.json").write_text(json.dumps({"DWI": {"intensity_limits": [0, 900]}}))
    study = read_study_folder(study_folder)
    assert study.images["DWI"].intensity_limits == (0, 900) and study.images["LAP"].intensity_limits is None


@pytest.mark.parametrize("content", ["[", '{"DWI": 3}', '{"DWI": {"intensity_limits": [5, 5]}}', "[1]"])
def test_bad_intensity_limits_are_refused(study_folder: Path, content: str) -> None:
    (study_folder / "acquisition.json").write_text(content)
    with pytest.raises(StudyError, match=r"acquisition\.json"):
        read_study_folder(study_folder)


def test_clinical_data_are_read_with_and_without_a_byte_order_mark(study_folder: Path) -> None:
    given = {"age": 63, "afp": 1.5e3, "sex": "F", "cirrhosis": True, "hbv": None}
    for encoding in ("utf-8", "utf-8-sig"):
        (study_folder / "clinical.json").write_text(json.dumps(given), encoding=encoding)
        assert read_study_folder(study_folder).clinical == given


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_clinical_numbers_are_finite(tmp_path: Path, number: str) -> None:
    (tmp_path / "clinical.json").write_text(f'{{"age": {number}}}')
    with pytest.raises(StudyError, match=r"clinical\.json gives 'age' no finite number; .*\.$"):
        read_clinical(tmp_path / "clinical.json")


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"age": [63]}', f'{{"age": {"9" * 5000}}}', '{"a":' * 100_000, "\x00"]
)
def test_what_is_no_clinical_data_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "clinical.json").write_text(content)
    with pytest.raises(StudyError, match=r"clinical\.json is no JSON object of clinical data") as refusal:
        read_clinical(tmp_path / "clinical.json")
    assert "\n" not in str(refusal.value)


def test_a_folder_without_sequences_or_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no sequence"):
        read_study_folder(tmp_path)
    with pytest.raises(StudyError, match="no folder"):
        read_study_folder(tmp_path / "missing")


def test_an_unknown_sequence_name_is_refused_by_name(study_folder: Path) -> None:
    _write(study_folder / "FLAIR.nii.gz", RANDOM)
    with pytest.raises(StudyError, match=r"FLAIR.nii.gz is named after no sequence"):
        read_study_folder(study_folder)


def test_two_files_for_one_sequence_are_refused(study_folder: Path) -> None:
    _write(study_folder / "T2.nrrd", RANDOM)
    with pytest.raises(StudyError, match="both T2WI"):
        read_study_folder(study_folder)


def test_a_reference_that_is_missing_is_refused(study_folder: Path) -> None:
    with pytest.raises(StudyError, match="no HBP"):
        read_study_folder(study_folder, reference="HBP")


def test_a_mask_outside_the_images_is_refused(study_folder: Path) -> None:
    mask = sitk.ReadImage(study_folder / "lesions.nii.gz")
    mask.SetOrigin((1000, 1000, 1000))
    sitk.WriteImage(mask, study_folder / "lesions.nii.gz")
    with pytest.raises(StudyError, match=r"lesions.nii.gz lies outside every sequence"):
        read_study_folder(study_folder)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    file = _write(tmp_path / f"T2WI{suffix}", RANDOM)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(StudyError, match=f"T2WI{suffix}"):
        read_sequence_image(file)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08\x00garbage", b"{}" * 500])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "T2WI.nii.gz"
    file.write_bytes(content)
    with pytest.raises(StudyError, match=r"T2WI.nii.gz cannot be read|T2WI.nii.gz is damaged"):
        read_sequence_image(file)


def test_2d_4d_nan_constant_and_colour_images_are_refused(tmp_path: Path) -> None:
    with_nan = RANDOM.copy()
    with_nan[0, 0, 0] = np.nan
    bad = {
        "2 dimensions": sitk.GetImageFromArray(RANDOM[0]),
        "4 dimensions": sitk.JoinSeries([sitk.GetImageFromArray(RANDOM)] * 2),
        "not numbers": sitk.GetImageFromArray(with_nan),
        "same value": sitk.GetImageFromArray(np.full((4, 4, 4), 3.0)),
        "colour": sitk.GetImageFromArray(RANDOM.reshape(6, 30, 10, 3), isVector=True),
    }
    for message, image in bad.items():
        for suffix in (".nii.gz", ".nrrd"):
            file = tmp_path / f"{message.replace(' ', '_')}{suffix}"
            sitk.WriteImage(image, file)
            with pytest.raises(StudyError, match=message):
                read_sequence_image(file)


def test_masks_without_lesions_or_with_fractions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="empty"):
        read_mask(_write(tmp_path / "a.nii.gz", np.zeros((4, 4, 4), np.uint8)))
    with pytest.raises(StudyError, match="whole numbers"):
        read_mask(_write(tmp_path / "b.nii.gz", RANDOM))
    with pytest.raises(StudyError, match="between 0 and 65535"):
        read_mask(_write(tmp_path / "c.nii.gz", np.full((4, 4, 4), -1, np.int16)))


def test_a_mask_stored_as_floats_is_read(tmp_path: Path) -> None:
    labels = np.zeros((4, 4, 4), np.float64)
    labels[1, 1, 1] = 2
    image = read_mask(_write(tmp_path / "m.nii.gz", labels)).labels
    assert image.GetPixelID() == sitk.sitkUInt16 and sitk.GetArrayFromImage(image).max() == 2


def test_an_image_of_one_dimension_is_refused(tmp_path: Path) -> None:
    line = nibabel.Nifti1Image(np.arange(5, dtype=np.int16), np.eye(4))
    line.set_sform(np.diag([2, 1, 1, 1]), 1)
    line.set_qform(np.eye(4), 1)
    nibabel.save(line, tmp_path / "T2WI.nii.gz")
    with pytest.raises(StudyError, match=r"T2WI\.nii\.gz has (two geometries|1 dimensions)"):
        read_study_folder(tmp_path)
