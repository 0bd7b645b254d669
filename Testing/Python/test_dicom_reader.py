"""DICOM folders become studies: right sequences, lesions, and nothing of the patient."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import highdicom
import made_outlines
import numpy as np
import pytest
import SimpleITK as sitk
from made_dicom import STUDY_UID, VIBE, image, save, slices, write_study
from made_studies import misplacement
from pydicom import dcmread
from pydicom.fileset import FileSet
from test_phantom_dicom import phantom
from tiny_bundles import tiny_bundle
from typer.testing import CliRunner

from LiverLesionAI.cli import app
from LiverLesionAI.phantom.dicom import LAYOUTS, VENDORS, write_dicom_study
from LiverLesionAI.phantom.dicom.cohort import write_dicom_phantom
from LiverLesionAI.pipeline import read_study
from LiverLesionAI.readers.dicom.scan import scan
from LiverLesionAI.readers.dicom.segmentations import read_segmentation
from LiverLesionAI.readers.dicom.study import read_dicom_study
from LiverLesionAI.readers.segments import NoLesionError
from LiverLesionAI.sequences import W_SEQUENCES

QUICK = [("siemens", "enhanced"), ("ge", "dynamic"), ("philips", "multi_b")]


STYLES = [
    pytest.param(vendor, layout, marks=() if (vendor, layout) in QUICK else pytest.mark.slow)
    for vendor in VENDORS
    for layout in LAYOUTS
]


def _voxels(made: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(made)


def _is_same(found: sitk.Image, expected: sitk.Image) -> bool:
    return misplacement(found, expected) < 1e-3 and np.array_equal(_voxels(found), _voxels(expected))


@pytest.mark.parametrize(("vendor", "layout"), STYLES)
def test_phantom_studies_come_back_sequence_for_sequence(vendor: str, layout: str, tmp_path: Path) -> None:
    truth = phantom().study
    write_dicom_study(phantom(), tmp_path, vendor=vendor, layout=layout)
    study = read_study(tmp_path)
    assert set(study.sequences) - {"INPHASE", "OUTPHASE"} == set(truth.sequences)
    assert study.reference == "T2WI"
    for name, expected in truth.images.items():
        found = study.images[name]
        assert misplacement(found.image, expected.image) < 1e-3, name
        a, b = _voxels(found.image).astype(float), _voxels(expected.image).astype(float)
        computed = name == "ADC" and layout == "multi_b"
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > (0.9 if computed else 0.9999), name
        assert (found.dicom is None) == computed
    assert any("computed from b = 50, 400, 800" in w for w in study.warnings) == (layout == "multi_b")


def _dwi(b: float, **said: Any) -> dict[str, Any]:
    return {
        "SeriesDescription": "ep2d_diff",
        "ScanningSequence": "EP",
        "EchoTime": 60.0,
        "DiffusionBValue": b,
        **said,
    }


def test_adc_is_computed_only_where_none_was_delivered(tmp_path: Path) -> None:
    write_study(tmp_path)
    for number, b in enumerate((50.0, 800.0), start=10):
        save(slices(image(seed=number), number, **_dwi(b, SeriesInstanceUID="1.5")), tmp_path / f"b{b}")
    study = read_dicom_study(tmp_path)
    assert study.images["ADC"].dicom is None and any("it was computed" in w for w in study.warnings)
    delivered = image(seed=20)
    adc = _dwi(0.0, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])
    save(slices(delivered, 20, **adc), tmp_path / "adc")
    study = read_dicom_study(tmp_path)
    assert _is_same(study.images["ADC"].image, delivered) and study.images["ADC"].dicom is not None


LESION = ((2, 4), (3, 7), (5, 9))


def _segmentation(
    folder: Path, *labels: str, coded: tuple[Any, Any] = made_outlines.LESION
) -> highdicom.seg.Segmentation:
    sources = [dcmread(file) for file in sorted((folder / "t2").iterdir())]
    sources.sort(key=lambda ds: ds.ImagePositionPatient[2])
    masks = np.zeros((5, 12, 16, len(labels)), np.uint8)
    for index in range(len(labels)):
        (a, b), (c, d), (e, f) = LESION
        masks[a:b, c:d, e - 4 * index : f - 4 * index, index] = 1
    return made_outlines.segmentation(sources, masks, labels, coded)


def test_a_segmentation_inside_gives_the_lesions(tmp_path: Path) -> None:
    t2 = write_study(tmp_path)
    _segmentation(tmp_path, "HCC in S6", "cyst").save_as(tmp_path / "seg")
    study = read_dicom_study(tmp_path)
    assert study.lesion_ids == (1, 2) and study.lesion_name(2) == "cyst" and study.reference == "T2WI"
    assert misplacement(study.outlined_lesions, t2) < 1e-3
    (a, b), (c, d), (e, f) = LESION
    expected = np.zeros((5, 12, 16), int)
    expected[a:b, c:d, e:f], expected[a:b, c:d, e - 4 : f - 4] = 1, 2
    assert np.array_equal(_voxels(study.outlined_lesions), expected)


def test_a_segmentation_of_organs_gives_no_lesion(tmp_path: Path) -> None:
    write_study(tmp_path)
    organ = _segmentation(tmp_path, "Liver", coded=made_outlines.ORGAN)
    organ.save_as(tmp_path / "seg")
    study = read_dicom_study(tmp_path)
    assert study.lesions is None and any("holds organs" in warning for warning in study.warnings)
    mask = sitk.Cast(image() * 0, sitk.sitkUInt8)
    mask[5, 5, 2] = 1
    sitk.WriteImage(mask, tmp_path / "lesion.nii.gz")
    assert read_dicom_study(tmp_path, tmp_path / "lesion.nii.gz").lesion_ids == (1,)


def test_real_segmentations_are_read_where_they_lie(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shared_data / "dcmqi" / "liver.dcm"
    with pytest.raises(NoLesionError, match=r"holds organs, no lesion \('Liver'\)"):
        read_segmentation(file)
    module = "LiverLesionAI.readers.dicom.segmentations"
    monkeypatch.setattr(f"{module}.lesions_among", lambda segments, what: (segments, ()))
    found = read_segmentation(file).lesions.labels
    expected = sitk.ReadImage(shared_data / "dcmqi" / "liver_seg.nrrd")
    assert misplacement(found, expected) < 1e-2
    same = sitk.Resample(found, expected, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert np.array_equal(_voxels(same) > 0, _voxels(expected) > 0)


@lru_cache(maxsize=1)
def _bundle(root: Path) -> Path:
    return tiny_bundle(root / "tiny", sequences=W_SEQUENCES)


@pytest.mark.parametrize(
    "lesions", ["mask option", "mask beside", "segmentation inside", "segmentation given"]
)
def test_a_dicom_folder_is_classified_in_one_go(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, lesions: str
) -> None:
    folder, options = tmp_path / "study", []
    t2 = write_study(folder)
    mask = sitk.GetImageFromArray(np.zeros((5, 12, 16), np.uint8))
    mask.CopyInformation(t2)
    mask[5:9, 3:7, 2:4] = 1
    if lesions == "segmentation inside":
        _segmentation(folder, "lesion").save_as(folder / "seg.dcm")
    elif lesions == "segmentation given":
        _segmentation(folder, "lesion").save_as(tmp_path / "seg.dcm")
        options = ["--mask", str(tmp_path / "seg.dcm")]
    elif lesions == "mask beside":
        sitk.WriteImage(mask, folder / "lesions.nii.gz")
    else:
        sitk.WriteImage(mask, tmp_path / "mine.nii.gz")
        options = ["--mask", str(tmp_path / "mine.nii.gz")]
    model = str(_bundle(tmp_path_factory.getbasetemp()))
    out = tmp_path / "out"
    command = [
        "classify",
        str(folder),
        "--out",
        str(out),
        "--model",
        model,
        "--no-saliency",
        "--no-register",
        *options,
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    result = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert result["study"]["sequences"] == ["T2WI", "T1WI", "LAP", "PVP"]
    assert len(result["lesions"]) == 1 and result["lesions"][0]["tasks"]["type"]["predicted"]


IDENTITY = ("Doe", "Jane", "4711", "19501231", STUDY_UID)


def test_nothing_of_the_patient_is_told(tmp_path: Path) -> None:
    write_study(tmp_path)
    study = read_dicom_study(tmp_path)
    told = f"{study.id} {study.source} {study.warnings} {study.lesion_names}"
    done = CliRunner().invoke(app, ["identify", str(tmp_path), "--json"])
    shown = CliRunner().invoke(app, ["identify", str(tmp_path)])
    frames = " ".join(f"{frame.identity} {frame.description}" for frame in scan(tmp_path).frames)
    for secret in IDENTITY:
        assert secret not in told + done.stdout + done.stderr + shown.stdout + shown.stderr + frames
    assert study.id.startswith("study-") and study.id == read_dicom_study(tmp_path).id


def test_a_dicomdir_leads_to_its_folder(tmp_path: Path) -> None:
    write_study(tmp_path / "source")
    disc = FileSet()
    for file in sorted((tmp_path / "source").rglob("*")):
        if file.is_file():
            disc.add(file)
    disc.write(tmp_path / "disc")
    by_index = read_study(tmp_path / "disc" / "DICOMDIR")
    assert by_index.sequences == ("T2WI", "T1WI", "LAP", "PVP")
    assert read_study(tmp_path / "disc").id == by_index.id


def test_a_phantom_study_on_disk_brings_its_outline(tmp_path: Path) -> None:
    folder = write_dicom_phantom(phantom(), tmp_path, layout="enhanced")
    study = read_study(folder)
    assert study.lesion_ids == phantom().study.lesion_ids
    assert misplacement(study.outlined_lesions, phantom().study.outlined_lesions) < 1e-3


def test_one_multi_frame_file_is_a_study(tmp_path: Path) -> None:
    write_dicom_study(phantom(), tmp_path, vendor="siemens", layout="enhanced", distractors=False)
    dynamic = next(
        f for f in sorted(tmp_path.rglob("*.IMA")) if dcmread(f).SeriesDescription.endswith("_dyn")
    )
    study = read_study(dynamic)
    assert study.sequences == ("T1WI", "LAP", "PVP", "DP") and study.reference == "T1WI"
    source = study.images["LAP"].dicom
    assert (
        source is not None
        and set(source.files) == {dynamic}
        and len(set(source.frames)) == len(source.frames)
    )


def test_progress_is_told_and_cancels(tmp_path: Path) -> None:
    write_study(tmp_path)
    told: list[tuple[str, float]] = []
    read_study(tmp_path, progress=lambda step, fraction: told.append((step, fraction)))
    assert {step for step, _ in told} == {"scan", "read"} and told[-1] == ("read", 1.0)

    def cancel(step: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_study(tmp_path, progress=cancel)


def test_a_vibe_of_one_phase_is_read(tmp_path: Path) -> None:
    made = image()
    save(slices(made, **VIBE, SeriesDescription="Ax LAVA +C portal"), tmp_path)
    study = read_study(tmp_path)
    assert study.sequences == ("PVP",) and _is_same(study.images["PVP"].image, made)
