"""Files that lie or are cut short: one sentence each, before C++ or memory breaks down."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import made_dicom
import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import bspline
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from LiverLesionAI.cohort import read_rows
from LiverLesionAI.errors import DicomError, LiverLesionError, MemoryShortError, StudyError
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.claims import check_claims
from LiverLesionAI.readers.dicom.identify import identify
from LiverLesionAI.readers.dicom.opening import open_dicom
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.readers.images import read_sequence_image
from LiverLesionAI.readers.transforms import read_transform
from LiverLesionAI.training.config import read_config

# --- transforms


@pytest.mark.parametrize(
    "transform",
    [
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.TranslationTransform(3, (1.0, 2.0, 3.0)),
        sitk.ScaleTransform(3, (1.0, 1.1, 1.2)),
        sitk.AffineTransform(3),
        sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3),
        sitk.VersorTransform((0.0, 0.0, 1.0), 0.2),
        sitk.VersorRigid3DTransform((0.0, 0.0, 1.0), 0.2),
        sitk.Similarity3DTransform(),
        sitk.ScaleVersor3DTransform(),
        sitk.ScaleSkewVersor3DTransform(),
        bspline(),
        sitk.DisplacementFieldTransform(sitk.Image([4, 5, 6], sitk.sitkVectorFloat64)),
        sitk.CompositeTransform([sitk.AffineTransform(3), bspline(), sitk.Euler3DTransform()]),
    ],
    ids=lambda transform: transform.GetName(),
)
def test_every_kind_of_transform_is_read_and_refused_when_it_lacks_a_parameter(
    tmp_path: Path, transform: sitk.Transform
) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(transform, str(file))
    point = (3.0, -7.0, 11.0)
    assert read_transform(file).TransformPoint(point) == pytest.approx(transform.TransformPoint(point))
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key, _, values = line.partition(":")
        if key in ("Parameters", "FixedParameters") and values.split():
            shorter = [*lines[:number], f"{key}: {' '.join(values.split()[:-2])}", *lines[number + 1 :]]
            file.write_text("\n".join(shorter) + "\n")
            with pytest.raises(
                StudyError, match=r"LAP\.tfm cannot be read as a transform: .*(instead of|grid)"
            ):
                read_transform(file)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Euler3DTransform_double_3_3", "Euler2DTransform_double_2_2", "it has 2 dimensions"),
        ("Euler3DTransform_double_3_3", "ThinPlateTransform_double_3_3", "are not read here"),
        ("Euler3DTransform_double_3_3", "Euler3DTransform", "none of ITK's"),
        ("0.5", "nan", "not all finite"),
        ("0.5", "1e999", "not all finite"),
        ("0.5", "half", "not all numbers"),
        ("#Insight Transform File V1.0", "#Other", "does not begin"),
        ("Fixed", "Loose", "none of ITK's"),
        ("FixedParameters", "Parameters", "wrong place"),
        ("0.5", "Ü", "no text file"),
    ],
)
def test_transforms_that_are_none_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(sitk.Euler3DTransform((0, 0, 0), 0.5, 0.0, 0.0), str(file))
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new, 1), encoding="latin-1")
    with pytest.raises(StudyError, match=reason):
        read_transform(file)


def test_a_grid_of_gigabytes_is_refused_before_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "LAP.tfm"
    sitk.WriteTransform(bspline(), str(file))
    lines = file.read_text(encoding="utf-8").splitlines()
    fixed = next(line for line in lines if line.startswith("Fixed")).split()
    lines[lines.index(" ".join(fixed))] = " ".join([fixed[0], "100000", "100000", *fixed[3:]])
    file.write_text("\n".join(lines))
    with pytest.raises(StudyError, match="no possible size"):
        read_transform(file)


# --- image headers


def _image(path: Path, compressed: bool = True) -> Path:
    voxels = np.random.default_rng(0).normal(100, 20, (6, 8, 10)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), compressed)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_honest_headers_pass(tmp_path: Path, name: str) -> None:
    check_claims(_image(tmp_path / name))
    check_claims(_image(tmp_path / name, compressed=False))


def _claiming(path: Path, side: int) -> Path:
    """An image whose header claims `side`³ voxels."""
    _image(path)
    packed = path.name.endswith(".gz")
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    if ".nii" in path.name:
        changed = content[:40] + struct.pack("<4h", 3, side, side, side) + content[48:]
    else:
        shape = b"10 8 6"
        assert shape in content
        changed = content.replace(shape, f"{side} {side} {side}".encode(), 1)
    path.write_bytes(gzip.compress(changed) if packed else changed)
    return path


@pytest.mark.parametrize("name", ["T2WI.nii", "T2WI.nii.gz", "T2WI.nrrd", "T2WI.mha"])
def test_headers_that_claim_more_than_the_file_can_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match=f"{name} is damaged or cut short"):
        read_sequence_image(_claiming(tmp_path / name, 300))
    with pytest.raises(StudyError, match=f"{name} claims 30000 × 30000 × 30000 voxels"):
        read_sequence_image(_claiming(tmp_path / name, 30000))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (108, float("nan"), "vox_offset"),
        (108, -5.0, "vox_offset"),
        (108, 100.0, "vox_offset"),
        (108, 1e9, "cut short"),
        (116, float("inf"), "scl_inter"),
        (116, float("nan"), "scl_inter"),
    ],
)
def test_impossible_places_and_scalings_of_nifti_voxels_are_named(
    tmp_path: Path, field: int, value: float, reason: str
) -> None:
    file = _image(tmp_path / "T2WI.nii", compressed=False)
    content = bytearray(file.read_bytes())
    struct.pack_into("<f", content, field, value)
    file.write_bytes(content)
    with pytest.raises(StudyError, match=reason):
        read_sequence_image(file)


def test_voxels_at_the_usual_place_may_leave_it_unsaid(tmp_path: Path) -> None:
    file = _image(tmp_path / "T2WI.nii", compressed=False)
    content = bytearray(file.read_bytes())
    for field, value in ((108, 0.0), (112, float("nan")), (116, float("nan"))):
        struct.pack_into("<f", content, field, value)
    file.write_bytes(content)
    check_claims(file)


def test_a_cut_file_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    file = _claiming(tmp_path / "T2WI.nii.gz", 900)
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(StudyError, match="claims"):
        check_claims(file)


def test_an_image_that_does_not_fit_the_machine_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _image(tmp_path / "T2WI.nii.gz")
    monkeypatch.setattr("LiverLesionAI.limits.available_bytes", lambda: 4000)
    with pytest.raises(MemoryShortError, match=r"T2WI\.nii\.gz, with 480 voxels, needs .* GiB of memory"):
        read_sequence_image(file)


@pytest.mark.parametrize("limits", [[0, 1e-300], [1e17, 1e17 + 32]])
def test_intensities_that_single_precision_cannot_tell_apart_are_no_limits(
    study_folder: Path, limits: list[float]
) -> None:
    (study_folder / "acquisition.json").write_text(json.dumps({"T2WI": {"intensity_limits": limits}}))
    with pytest.raises(StudyError, match=r"acquisition\.json is not of the form"):
        read_study_folder(study_folder)


def test_an_image_that_single_precision_cannot_tell_from_a_constant_is_refused(tmp_path: Path) -> None:
    voxels = np.zeros((4, 4, 4))
    voxels[1] = 1e-300
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "T2WI.nrrd"))
    with pytest.raises(StudyError, match="same value"):
        read_sequence_image(tmp_path / "T2WI.nrrd")


# --- DICOM


def _deflated(folder: Path) -> list[Path]:
    objects = made_dicom.slices(made_dicom.image(size=(600, 600, 4)) * 0 + 1, **made_dicom.T2)
    for ds in objects:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return made_dicom.save(objects, folder)


def test_deflated_objects_are_read_and_bombs_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _deflated(tmp_path)
    assert len(scan(tmp_path).images) == 4
    monkeypatch.setattr("LiverLesionAI.limits._HARMLESS_BYTES", 500_000)
    with pytest.raises(DicomError, match="unpacks to more than"):
        open_dicom(files[0])
    with pytest.raises(DicomError):
        scan(tmp_path)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImageType", "InstanceNumber", "Rows"])
def test_one_damaged_element_does_not_fail_the_folder(tmp_path: Path, keyword: str) -> None:
    """Whatever its kind of value is said to be, and wherever it is said to end."""
    made_dicom.write_study(tmp_path)
    file = next(file for file in sorted((tmp_path / "t2").iterdir()))
    content = file.read_bytes()
    tag = Tag(keyword)
    start = content.find(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"))
    for kind in (b"SQ", b"OB", b"XX", b"UN", b"AT", b"FD"):
        file.write_bytes(content[: start + 4] + kind + content[start + 6 :])
        assert {item.sequence for item in identify(tmp_path)} >= {"T1WI"}
        try:
            assert "T1WI" in read_study(tmp_path).images
        except StudyError as error:
            assert str(tmp_path) in str(error)


# --- texts


@pytest.mark.parametrize("name", ["clinical.json", "acquisition.json", "cohort.csv", "config.yaml"])
def test_files_of_text_have_a_size(
    tmp_path: Path, study_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("LiverLesionAI.limits.MAX_TEXT_BYTES", 1000)
    file = study_folder / name
    file.write_bytes(b" " * 2000)
    readers = {"cohort.csv": read_rows, "config.yaml": read_config}
    with pytest.raises(LiverLesionError, match=f"{name} is larger than such a file may be"):
        readers.get(name, lambda path: read_study_folder(path.parent))(file)
