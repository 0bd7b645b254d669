"""Masks and images in other forms: Slicer's segmentations, NIfTI with odd headers, masks without a place."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import misplacement, same_voxels

from LiverLesionAI.errors import StudyError
from LiverLesionAI.geometry import lesion_geometry
from LiverLesionAI.readers.folder import read_study_folder
from LiverLesionAI.readers.images import read_sequence_image
from LiverLesionAI.readers.mask_files import read_mask
from LiverLesionAI.readers.segments import NoLesionError

TISSUE = "SCT^85756007^Tissue~SCT^85756007^Tissue"
MASS = "SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass"
LIVER = "SCT^123037004^Anatomical Structure~SCT^10200004^Liver"


def _write_segmentation(file: Path, layers: np.ndarray, segments: list[dict[str, object]]) -> Path:
    """Write a ``.seg.nrrd`` as Slicer does: ``[layer, z, y, x]``, or ``[z, y, x]`` for a single layer."""
    layered = layers.ndim == 4
    sizes = layers.shape[:0:-1] if layered else layers.shape[::-1]
    header = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {layers.ndim}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if layered else ''}{' '.join(map(str, sizes))}",
        f"space directions: {'none ' if layered else ''}(2,0,0) (0,2,0) (0,0,3)",
        f"kinds: {'list ' if layered else ''}domain domain domain",
        "encoding: raw",
        "space origin: (5,6,7)",
    ]
    for index, said in enumerate(segments):
        terms = f"TerminologyEntry:a list~{said.get('terms', TISSUE)}~^^~other~^^~^^|"
        fields = {"ID": f"S{index}", "Name": said["name"], "LabelValue": said["value"], "Tags": terms}
        fields["Layer"] = said.get("layer", 0)
        header += [f"Segment{index}_{key}:={value}" for key, value in fields.items()]
    voxels = np.moveaxis(layers, 0, -1) if layered else layers
    file.write_bytes(("\n".join(header) + "\n\n").encode() + np.ascontiguousarray(voxels).tobytes())
    return file


def _two_layers() -> np.ndarray:
    layers = np.zeros((2, 6, 12, 14), np.uint8)
    layers[0, 1:4, 2:7, 2:7] = 1
    layers[1, 2:5, 5:10, 5:10] = 1
    return layers


def test_layers_of_a_segmentation_become_lesions(tmp_path: Path) -> None:
    layers = _two_layers()
    segments = [{"name": "HCC", "value": 1}, {"name": "cyst", "value": 1, "layer": 1, "terms": MASS}]
    found = read_mask(_write_segmentation(tmp_path / "two.seg.nrrd", layers, segments))
    assert np.array_equal(sitk.GetArrayFromImage(found.labels), np.where(layers[1], 2, layers[0]))
    assert found.names == {1: "HCC", 2: "cyst"}
    assert found.labels.GetOrigin() == (5, 6, 7) and found.labels.GetSpacing() == (2, 2, 3)
    assert found.warnings == ("Segments of the mask overlap: common voxels went to the later one.",)


def test_one_layer_keeps_names_and_values_and_leaves_out_organs(tmp_path: Path) -> None:
    labels = np.zeros((6, 12, 14), np.uint8)
    labels[1:5, 2:10, 2:10], labels[2, 3:5, 3:5], labels[3, 6:8, 6:8] = 3, 7, 9
    segments = [
        {"name": "around", "value": 3, "terms": LIVER},
        {"name": "FNH", "value": 7, "terms": MASS},
        {"name": "HCC", "value": 9},
    ]
    found = read_mask(_write_segmentation(tmp_path / "one.seg.nrrd", labels, segments))
    assert np.array_equal(sitk.GetArrayFromImage(found.labels), np.where(labels == 3, 0, labels))
    assert found.names == {7: "FNH", 9: "HCC"}
    assert found.warnings == ("Segments of the mask that are no lesions were left out: 'around'.",)
    with pytest.raises(NoLesionError, match="'around'"):
        read_mask(_write_segmentation(tmp_path / "liver.seg.nrrd", labels, segments[:1]))


def test_older_files_keep_a_segment_in_each_layer_and_say_neither_layer_nor_value(tmp_path: Path) -> None:
    layers = np.zeros((3, 6, 12, 14), np.uint8)
    layers[0, 1:3, 2:5, 2:5] = layers[1, 3:5, 6:9, 6:9] = 1
    file = _write_segmentation(
        tmp_path / "old.seg.nrrd", layers, [{"name": name, "value": 1} for name in ("HCC", "cyst", "FNH")]
    )
    content = file.read_bytes()
    head, voxels = content.split(b"\n\n", 1)
    kept = [line for line in head.split(b"\n") if b"_Layer" not in line and b"_LabelValue" not in line]
    file.write_bytes(b"\n".join(kept) + b"\n\n" + voxels)
    found = read_mask(file)
    assert np.array_equal(sitk.GetArrayFromImage(found.labels), layers[0] + 2 * layers[1])
    assert found.names == {1: "HCC", 2: "cyst"}
    assert found.warnings == ("Segment 'FNH' of the mask is empty and was left out.",)


def test_layers_without_a_description_are_lesions_each(tmp_path: Path) -> None:
    first, second = (sitk.GetImageFromArray(layer) for layer in _two_layers())
    sitk.WriteImage(sitk.Compose(first, second), tmp_path / "plain.seg.nrrd")
    found = read_mask(tmp_path / "plain.seg.nrrd")
    assert sitk.GetArrayFromImage(found.labels).max() == 2 and "overlap" in found.warnings[0]
    sitk.WriteImage(sitk.Compose(first, second), tmp_path / "colour.nrrd")
    with pytest.raises(StudyError, match="colour or vector"):
        read_mask(tmp_path / "colour.nrrd")


def test_a_segmentation_without_its_layer_is_refused(tmp_path: Path) -> None:
    segments = [{"name": "HCC", "value": 1, "layer": 4}]
    with pytest.raises(StudyError, match="lacks a layer of segment 'HCC'"):
        read_mask(_write_segmentation(tmp_path / "cut.seg.nrrd", _two_layers(), segments))


def test_a_segmentation_is_the_mask_of_a_study_folder(study_folder: Path) -> None:
    mask = sitk.ReadImage(study_folder / "lesions.nii.gz")
    for key, value in {"ID": "S0", "Name": "HCC", "LabelValue": "1", "Layer": "0"}.items():
        mask.SetMetaData(f"Segment0_{key}", value)
    (study_folder / "lesions.nii.gz").unlink()
    sitk.WriteImage(mask, study_folder / "lesions.seg.nrrd")
    study = read_study_folder(study_folder)
    assert study.lesion_name(1) == "HCC" and same_voxels(
        study.outlined_lesions, sitk.Cast(mask, sitk.sitkUInt16)
    )


AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 50], [0, 0, 3, -20], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(0, 900, (14, 12, 6)).astype(np.int16)


def _nifti(file: Path, affine: np.ndarray = AFFINE, unit: str = "mm", voxels: np.ndarray = VOXELS) -> Path:
    made = nibabel.Nifti1Image(voxels, affine)
    made.header.set_xyzt_units(unit)
    nibabel.save(made, file)
    return file


def _expected(folder: Path) -> sitk.Image:
    return sitk.ReadImage(str(_nifti(folder / "expected.nii")))


def _same(file: Path, expected: sitk.Image) -> bool:
    found = read_sequence_image(file)
    return misplacement(found, expected) < 1e-4 and same_voxels(found, expected)


def test_compression_is_told_by_the_content_not_the_name(tmp_path: Path) -> None:
    expected = _expected(tmp_path)
    plain = (tmp_path / "expected.nii").read_bytes()
    (tmp_path / "T2WI.nii.gz").write_bytes(plain)
    (tmp_path / "DWI.nii").write_bytes(gzip.compress(plain))
    assert _same(tmp_path / "T2WI.nii.gz", expected) and _same(tmp_path / "DWI.nii", expected)
    (tmp_path / "DWI.nii").write_bytes(gzip.compress(plain)[:-200])
    with pytest.raises(StudyError, match=r"DWI\.nii is damaged or cut short"):
        read_sequence_image(tmp_path / "DWI.nii")


def test_headers_with_their_voxels_beside_them_are_read(tmp_path: Path) -> None:
    expected = _expected(tmp_path)
    sitk.WriteImage(expected, str(tmp_path / "T2WI.mhd"))
    nibabel.save(nibabel.Nifti1Pair(VOXELS, AFFINE), tmp_path / "DWI.hdr")
    assert _same(tmp_path / "T2WI.mhd", expected) and _same(tmp_path / "DWI.hdr", expected)
    (tmp_path / "expected.nii").unlink()
    assert read_study_folder(tmp_path).sequences == ("T2WI", "DWI")
    raw = tmp_path / "T2WI.raw"
    raw.write_bytes(raw.read_bytes()[:-30])
    with pytest.raises(StudyError, match=r"T2WI\.mhd cannot be read as an image \(damaged or cut short\)"):
        read_sequence_image(tmp_path / "T2WI.mhd")
    raw.unlink()
    with pytest.raises(StudyError, match=r"T2WI\.mhd is a header whose voxels are not beside it"):
        read_sequence_image(tmp_path / "T2WI.mhd")
    (tmp_path / "DWI.img").unlink()
    with pytest.raises(StudyError, match=r"DWI\.hdr is one half .* copy DWI\.img along"):
        read_sequence_image(tmp_path / "DWI.hdr")


@pytest.mark.parametrize("elsewhere", ["../secret.raw", "/etc/hostname", "LIST"])
def test_a_header_reads_no_file_elsewhere(tmp_path: Path, elsewhere: str) -> None:
    (tmp_path / "study").mkdir()
    sitk.WriteImage(_expected(tmp_path), str(tmp_path / "study" / "T2WI.mhd"))
    shutil.copy(tmp_path / "study" / "T2WI.raw", tmp_path / "secret.raw")
    header = tmp_path / "study" / "T2WI.mhd"
    header.write_text(header.read_text(encoding="utf-8").replace("T2WI.raw", elsewhere))
    with pytest.raises(StudyError, match="whose voxels are not beside it"):
        read_sequence_image(header)
    fields = ["NRRD0004", "type: short", "dimension: 3", "sizes: 14 12 6", "encoding: raw", "endian: little"]
    (tmp_path / "study" / "DWI.nrrd").write_text("\n".join([*fields, f"data file: {elsewhere}"]))
    with pytest.raises(StudyError, match="whose voxels are not beside it"):
        read_sequence_image(tmp_path / "study" / "DWI.nrrd")


@pytest.mark.parametrize(("unit", "length"), [("meter", 1e-3), ("micron", 1e3), ("unknown", 1.0)])
def test_units_of_length_are_read(tmp_path: Path, unit: str, length: float) -> None:
    affine = np.diag([length, length, length, 1.0]) @ AFFINE
    assert _same(_nifti(tmp_path / "T2WI.nii", affine, unit), _expected(tmp_path))


@pytest.mark.parametrize(
    ("unit", "sides"), [("meter", "2000 × 2000 × 3000"), ("micron", "0.002 × 0.002 × 0.003")]
)
def test_a_wrong_unit_of_length_is_named(tmp_path: Path, unit: str, sides: str) -> None:
    with pytest.raises(StudyError, match=f"has voxels of {sides} mm; mend the unit"):
        read_sequence_image(_nifti(tmp_path / "T2WI.nii", unit=unit))


def test_sheared_axes_and_complex_values_and_other_kinds_are_named(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.3
    bad = {
        r"sheared axes, 8\.53° from": _nifti(tmp_path / "sheared.nii", sheared),
        "complex values": _nifti(tmp_path / "complex.nii", voxels=VOXELS.astype(np.complex64)),
        "NIfTI-2 file": tmp_path / "second.nii",
        "ANALYZE file": tmp_path / "old.hdr",
    }
    nibabel.save(nibabel.Nifti2Image(VOXELS, AFFINE), bad["NIfTI-2 file"])
    nibabel.save(nibabel.AnalyzeImage(VOXELS, None), bad["ANALYZE file"])
    for message, file in bad.items():
        with pytest.raises(StudyError, match=message):
            read_sequence_image(file)
    complex_nrrd = sitk.Cast(_expected(tmp_path), sitk.sitkComplexFloat32)
    sitk.WriteImage(complex_nrrd, tmp_path / "complex.nrrd")
    with pytest.raises(StudyError, match="complex values"):
        read_sequence_image(tmp_path / "complex.nrrd")


def _two_geometries(file: Path, shift_mm: float) -> Path:
    made = nibabel.Nifti1Image(VOXELS, AFFINE)
    beside = AFFINE.copy()
    beside[0, 3] += shift_mm
    made.set_sform(AFFINE, 2)
    made.set_qform(beside, 1)
    nibabel.save(made, file)
    return file


def test_two_geometries_of_one_file_must_agree(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="two geometries: its sform and its qform place it 10 voxels apart"):
        read_sequence_image(_two_geometries(tmp_path / "T2WI.nii", 20.0))
    assert read_sequence_image(_two_geometries(tmp_path / "T2WI.nii", 0.01)).GetSize() == VOXELS.shape


def test_a_rotation_that_is_none_is_named(tmp_path: Path) -> None:
    made = nibabel.Nifti1Image(VOXELS, AFFINE)
    made.set_qform(AFFINE, 1)
    made.header["quatern_b"], made.header["quatern_c"] = 3.0, 4.0
    nibabel.save(made, tmp_path / "T2WI.nii")
    with pytest.raises(StudyError, match="gives a qform that is no rotation"):
        read_sequence_image(tmp_path / "T2WI.nii")


def test_images_in_formats_that_are_not_read_are_named(study_folder: Path) -> None:
    (study_folder / "LAP.json").write_text("{}")
    assert read_study_folder(study_folder).lesion_ids == (1,)
    (study_folder / "HBP.mgz").write_bytes(b"x")
    with pytest.raises(StudyError, match=r"HBP\.mgz is in a format that is not read; convert it to NIfTI"):
        read_study_folder(study_folder)


def _nibabel_mask(folder: Path, affine: np.ndarray) -> sitk.Image:
    """Save the mask of a folder with another affine; returns the mask as it was."""
    right = sitk.ReadImage(folder / "lesions.nii.gz")
    voxels = sitk.GetArrayFromImage(right).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / "lesions.nii.gz")
    return right


def test_a_mask_without_a_place_is_laid_on_its_image(study_folder: Path) -> None:
    right = _nibabel_mask(study_folder, np.eye(4))
    study = read_study_folder(study_folder)
    assert misplacement(study.outlined_lesions, right) < 1e-6
    assert lesion_geometry(study.outlined_lesions, 1) == lesion_geometry(right, 1)
    (said,) = study.warnings
    assert (
        said == "lesions.nii.gz gives no place in its header; it has the voxels of T2WI and was laid on it."
    )


def test_a_mask_without_a_place_is_refused_where_it_fits_two_images(study_folder: Path) -> None:
    t2 = sitk.ReadImage(study_folder / "T2WI.nii.gz")
    t2.SetOrigin((30.0, 0.0, 0.0))
    sitk.WriteImage(t2, study_folder / "HBP.nii.gz")
    _nibabel_mask(study_folder, np.eye(4))
    with pytest.raises(StudyError, match=r"whether its voxels are in the order of T2WI, HBP cannot be told"):
        read_study_folder(study_folder)


def test_an_image_without_a_place_is_told_of(study_folder: Path) -> None:
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(study_folder / "DWI.nii.gz")).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), study_folder / "DWI.nii.gz")
    (said,) = read_study_folder(study_folder).warnings
    assert said.startswith("DWI gives no place in its header")
    for name in ("T2WI", "LAP", "lesions"):
        (study_folder / f"{name}.nii.gz").unlink()
    assert not read_study_folder(study_folder).warnings


def test_a_mask_with_the_voxels_of_an_image_but_other_axes_is_refused(study_folder: Path) -> None:
    _nibabel_mask(study_folder, np.diag([-1.0, -1.0, 6.0, 1.0]))
    with pytest.raises(StudyError, match=r"lesions\.nii\.gz has as many voxels as T2WI but another spacing"):
        read_study_folder(study_folder)


def test_a_shifted_mask_is_told_of_and_a_flipped_one_is_the_same(study_folder: Path) -> None:
    file = study_folder / "lesions.nii.gz"
    right = sitk.ReadImage(file)
    sitk.WriteImage(sitk.Flip(right, (True, True, False)), file)
    assert not read_study_folder(study_folder).warnings
    right.SetOrigin((9.0, 0.0, 0.0))
    sitk.WriteImage(right, file)
    (said,) = read_study_folder(study_folder).warnings
    assert said == "lesions.nii.gz has as many voxels as T2WI but lies 9.0 mm beside; check its header."
