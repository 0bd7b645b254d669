"""Results as DICOM: SEG, SR and parametric maps are valid, stand where they belong and are read back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_phantoms import phantom, study_from_dicom
from hypothesis import HealthCheck, given, settings
from made_studies import answer, centres, directions, grid, made_result, made_study
from pydicom.sr.codedict import codes

from LiverLesionAI import decisions
from LiverLesionAI.errors import DicomError
from LiverLesionAI.phantom.dicom import write_dicom_study
from LiverLesionAI.results import PHANTOM_NOTICE, StudyResult
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import taxonomy_named
from LiverLesionAI.writers.dicom import write_dicom
from LiverLesionAI.writers.dicom.parametric_map import parametric_map
from LiverLesionAI.writers.dicom.source import SourceSeries, as_volume, read_source, save

STYLES = [("siemens", "separate"), ("ge", "multi_b"), ("philips", "enhanced")]
NAMES = {1: "segment VI", 3: "lesion 3"}
CLASSES = ("HCC", "haemangioma")


def _two_lesions(study: Study) -> Study:
    """The phantom's lesion, and a second one of the label 3 with a name missing."""
    labels = sitk.GetArrayFromImage(study.outlined_lesions).astype(np.uint16)
    labels[1:3, 5:11, 6:15] = 3
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(study.outlined_lesions)
    return replace(study, lesions=image, lesion_names={1: NAMES[1]})


@pytest.fixture(scope="module", params=STYLES, ids="-".join)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, StudyResult, Path, Path]:
    vendor, layout = request.param
    root = tmp_path_factory.mktemp(f"{vendor}-{layout}")
    write_dicom_study(phantom(), root / "in", vendor=vendor, layout=layout, distractors=False)
    study = _two_lesions(study_from_dicom(root / "in", vendor, layout))
    result = made_result(study, CLASSES)
    result = replace(result, provenance=replace(result.provenance, parameters={"patches": {"size": 64}}))
    segmentation, report = write_dicom(study, result, root)
    return study, result, segmentation, report


def _source_header(study: Study) -> pydicom.Dataset:
    return pydicom.dcmread(study.images["T2WI"].dicom.files[0], stop_before_pixels=True)


def test_files_lie_where_the_design_says(written: tuple[Study, StudyResult, Path, Path]) -> None:
    _, _, segmentation, report = written
    assert (segmentation.parent.name, segmentation.name, report.name) == ("dicom", "seg.dcm", "sr.dcm")
    assert {p.name for p in segmentation.parent.iterdir()} == {"seg.dcm", "sr.dcm"}


def test_segments_are_the_outlines_voxel_for_voxel(written: tuple[Study, StudyResult, Path, Path]) -> None:
    study, _, file, _ = written
    segmentation = hd.seg.segread(file)
    reference = study.images["T2WI"].image
    source = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    labels = sitk.GetArrayFromImage(study.outlined_lesions)
    found = np.zeros_like(labels)
    for index in np.argwhere(source.array):
        point = source.affine @ [*index, 1.0]
        x, y, z = reference.TransformPhysicalPointToIndex(point[:3].tolist())
        centre = reference.TransformIndexToPhysicalPoint((x, y, z))
        assert np.abs(point[:3] - centre).max() < 1e-3
        found[z, y, x] = {1: 1, 2: 3}[int(source.array[tuple(index)])]
    assert np.array_equal(found, labels)


def test_segments_are_named_coded_and_tracked(written: tuple[Study, StudyResult, Path, Path]) -> None:
    _, result, file, _ = written
    segmentation = hd.seg.segread(file)
    for number, name, kind in zip((1, 2), NAMES.values(), CLASSES, strict=True):
        segment = segmentation.get_segment_description(number)
        code = next(c.code for c in taxonomy_named("W7").classes if c.name == kind)
        assert segment.segment_label == segment.tracking_id == name
        assert (segment.segmented_property_type.value, segment.segmented_property_type.scheme_designator) == (
            code.value,
            "SCT",
        )
        assert segment.segmented_property_category == codes.SCT.MorphologicallyAbnormalStructure
        assert segment.algorithm_identification.name == "LiverLesionAI"
        assert PHANTOM_NOTICE in segment.SegmentDescription
    assert PHANTOM_NOTICE in segmentation.SeriesDescription
    assert PHANTOM_NOTICE in segmentation.ContentDescription
    assert result.is_phantom_trained


def test_objects_belong_to_the_study(written: tuple[Study, StudyResult, Path, Path]) -> None:
    study, _, *files = written
    header = _source_header(study)
    for file in files:
        ds = pydicom.dcmread(file)
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate"):
            assert ds[keyword].value == header[keyword].value
        assert ds.SeriesInstanceUID != header.SeriesInstanceUID
    assert pydicom.dcmread(files[0]).FrameOfReferenceUID == header.FrameOfReferenceUID


def test_every_object_tells_the_model_and_its_parameters(
    written: tuple[Study, StudyResult, Path, Path], tmp_path: Path
) -> None:
    study, result, *files = written
    for file in (*files, _write_map(study, result, _saliency(study), tmp_path / "pm.dcm")):
        equipment = pydicom.dcmread(file).ContributingEquipmentSequence[-1]
        assert equipment.Manufacturer == "LiverLesionAI"
        assert result.models[0].sha256 in equipment.ContributionDescription
        assert '{"patches":{"size":64}}' in equipment.ContributionDescription


def test_frames_name_their_source_images(written: tuple[Study, StudyResult, Path, Path]) -> None:
    study, _, file, _ = written
    source = study.images["T2WI"].dicom
    uids = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in set(source.files)}
    segmentation = pydicom.dcmread(file)
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        images = frame.DerivationImageSequence[0].SourceImageSequence
        assert len(images) == 1
        assert images[0].ReferencedSOPInstanceUID in uids


def _groups(file: Path) -> list[hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    return hd.sr.srread(file).content.get_volumetric_roi_measurement_groups()


def test_report_measures_each_segment(written: tuple[Study, StudyResult, Path, Path]) -> None:
    _, result, segmentation_file, file = written
    segmentation = hd.seg.segread(segmentation_file)
    groups = _groups(file)
    assert len(groups) == 2
    for number, (group, lesion) in enumerate(zip(groups, result.lesions, strict=True), start=1):
        segment = segmentation.get_segment_description(number)
        assert group.tracking_uid == segment.tracking_uid
        assert group.tracking_identifier == segment.tracking_id
        assert group.referenced_segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
        (diameter,) = group.get_measurements(name=codes.SCT.LongAxis)
        (volume,) = group.get_measurements(name=codes.SCT.Volume)
        assert (diameter.value, diameter.unit.value) == (pytest.approx(lesion.diameter_mm, abs=0.01), "mm")
        assert (volume.value, volume.unit.value) == (pytest.approx(lesion.volume_ml, abs=1e-3), "mL")


def test_report_tells_every_probability(written: tuple[Study, StudyResult, Path, Path]) -> None:
    _, result, _, file = written
    for group, lesion in zip(_groups(file), result.lesions, strict=True):
        told = {
            m[0].ContentSequence[0].ConceptCodeSequence[0].CodeValue: m.value
            for m in group.get_measurements(name=codes.DCM.Probability)
        }
        kinds = lesion.tasks["type"].probabilities
        expected = {c.code.value: kinds[c.name] for c in taxonomy_named("W7").classes}
        expected |= {"21594007": lesion.tasks["malignancy"].probabilities["malignant"]}
        assert told == pytest.approx(expected, abs=1e-6)
        answers = {e.name.value: e.value.value for e in group.get_qualitative_evaluations()}
        assert answers["predicted type"] == next(
            c.code.value for c in taxonomy_named("W7").classes if c.name == lesion.tasks["type"].predicted
        )


def _comments(items: pydicom.Sequence) -> list[str]:
    return [
        i.TextValue
        for i in items
        if i.ValueType == "TEXT" and i.ConceptNameCodeSequence[0].CodeValue == "121106"
    ]


def _texts(ds: pydicom.Dataset) -> set[str]:
    own = {ds.TextValue} if "TextValue" in ds else set()
    return own.union(*(_texts(item) for item in ds.get("ContentSequence", ())))


def test_report_says_what_it_is(written: tuple[Study, StudyResult, Path, Path]) -> None:
    _, result, _, file = written
    ds = pydicom.dcmread(file)
    assert PHANTOM_NOTICE in _comments(ds.ContentSequence)
    assert set(result.warnings) <= set(_comments(ds.ContentSequence))
    for group in _groups(file):
        assert PHANTOM_NOTICE in _comments(group[0].ContentSequence)
    assert (ds.CompletionFlag, ds.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    texts, model = _texts(ds), result.models[0]
    assert {model.name, model.version, f"sha256: {model.sha256}", "intended use: phantom"} <= texts


def test_report_names_all_images_as_evidence(written: tuple[Study, StudyResult, Path, Path]) -> None:
    study, _, segmentation, file = written
    ds = pydicom.dcmread(file)
    named = {
        instance.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for item in ds.get(keyword, ())
        for series in item.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    files = {f for image in study.images.values() if image.dicom for f in image.dicom.files}
    seen = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in files}
    assert len(seen) > 1
    assert named == seen | {pydicom.dcmread(segmentation).SOPInstanceUID}


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not here")
def test_objects_are_valid(written: tuple[Study, StudyResult, Path, Path], tmp_path: Path) -> None:
    study, result, *files = written
    files.append(_write_map(study, result, _saliency(study), tmp_path / "pm.dcm"))
    kinds = ("Segmentation", "ComprehensiveSR", "ParametricMap")
    for file, kind in zip(files, kinds, strict=True):
        _check_valid(file, kind)


def test_report_tells_what_readers_decided(
    written: tuple[Study, StudyResult, Path, Path], tmp_path: Path
) -> None:
    study, result, *_ = written
    first = decisions.override(result.lesions[0], "FNH", "Ada^Reader", reason="central scar")
    lesion = decisions.reach_consensus(decisions.accept(first), "FNH", reason="agreed")
    _, file = write_dicom(study, decisions.with_lesion(result, lesion), tmp_path)
    group, other = _groups(file)
    asked = [
        (item.ConceptNameCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeValue, item)
        for item in group[0].ContentSequence
        if item.ValueType == "CODE" and item.RelationshipType == "CONTAINS"
    ]
    fnh, hcc = "278527001", "109841003"
    read = [(name, value) for name, value, _ in asked if name in ("read type", "consensus type")]
    assert read == [("read type", fnh), ("read type", hcc), ("consensus type", fnh)]
    assert ("predicted type", hcc) in {(name, value) for name, value, _ in asked}
    named, unnamed = (item for name, _, item in asked if name == "read type")
    observer, name = named.ContentSequence
    assert observer.ConceptCodeSequence[0].CodeMeaning == "Person"
    assert name.PersonName == "Ada Reader^"
    assert "ContentSequence" not in unnamed
    assert any("central scar" in comment for comment in _comments(group[0].ContentSequence))
    assert not any(e.name.value == "read type" for e in other.get_qualitative_evaluations())
    _check_valid(file, "ComprehensiveSR")


def _check_valid(file: Path, kind: str) -> None:
    """Have the Debian package dicom3tools judge a file, where it is installed."""
    if not shutil.which("dciodvfy"):
        return
    checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    lines = (checked.stdout + checked.stderr).splitlines()
    assert kind in lines
    assert not [line for line in lines if line.startswith("Error")]


def test_same_result_same_bytes(written: tuple[Study, StudyResult, Path, Path], tmp_path: Path) -> None:
    study, result, *files = written
    again = write_dicom(study, result, tmp_path)
    assert [f.read_bytes() for f in again] == [f.read_bytes() for f in files]


def test_the_reader_takes_the_segmentation_as_mask(written: tuple[Study, StudyResult, Path, Path]) -> None:
    from LiverLesionAI.readers.dicom.segmentations import read_segmentation

    study, _, file, _ = written
    found = read_segmentation(file)
    assert list(found.lesions.names.values()) == list(NAMES.values())
    assert found.source_series == (study.images["T2WI"].dicom.series_uid,)
    on_grid = sitk.Resample(
        found.lesions.labels, study.outlined_lesions, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    expected = sitk.GetArrayFromImage(study.outlined_lesions)
    assert np.array_equal(sitk.GetArrayFromImage(on_grid), np.where(expected == 3, 2, expected))


def _saliency(study: Study) -> sitk.Image:
    """A smooth map on a grid of its own around the lesion, in [0, 1]."""
    frame = grid((12, 10, 8), (2.0, 2.5, 3.0), np.eye(3), _centre(study))
    values = np.random.default_rng(3).random((8, 10, 12), dtype=np.float32)
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(frame)
    return image


def _write_map(study: Study, result: StudyResult, image: sitk.Image, file: Path) -> Path:
    source = read_source(study.images["T2WI"])
    return save(parametric_map(source, result, image, title="saliency of lesion 1 in LAP"), file)


def _centre(study: Study) -> tuple[float, float, float]:
    middle = [(n - 1) / 2 for n in study.outlined_lesions.GetSize()]
    return study.outlined_lesions.TransformContinuousIndexToPhysicalPoint(middle)


def test_map_keeps_values_and_place(written: tuple[Study, StudyResult, Path, Path], tmp_path: Path) -> None:
    study, result, *_ = written
    image = _saliency(study)
    file = _write_map(study, result, image, tmp_path / "pm.dcm")
    read = hd.imread(file)
    volume = read.get_volume(apply_real_world_transform=False)
    assert volume.spatial_shape == image.GetSize()[::-1]
    for index in np.ndindex(volume.spatial_shape):
        point = (volume.affine @ [*index, 1])[:3]
        place = image.TransformPhysicalPointToIndex(point.tolist())
        assert point == pytest.approx(image.TransformIndexToPhysicalPoint(place), abs=1e-3)
        assert volume.array[index] == image[place]
    ds = pydicom.dcmread(file)
    assert PHANTOM_NOTICE in ds.SeriesDescription
    assert "FloatPixelData" in ds


def test_a_map_that_is_zero_everywhere_is_valid(dicom_study: Study, tmp_path: Path) -> None:
    image = _saliency(dicom_study) * 0
    file = _write_map(dicom_study, made_result(dicom_study, ("HCC",)), image, tmp_path / "pm.dcm")
    assert not hd.imread(file).get_volume(apply_real_world_transform=False).array.any()


@given(direction=directions(), centre=centres)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_volumes_stand_where_the_images_do(direction: np.ndarray, centre: tuple[float, float, float]) -> None:
    header = pydicom.Dataset()
    header.FrameOfReferenceUID = "2.25.1"
    image = grid((5, 4, 3), (0.7, 1.3, 4.1), direction, centre, sitk.sitkUInt8)
    volume = as_volume(image, SourceSeries((header,), ()))
    for index in ((0, 0, 0), (2, 3, 4), (1, 0, 3)):
        expected = image.TransformIndexToPhysicalPoint(index[::-1])
        assert (volume.affine @ [*index, 1])[:3] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def dicom_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("source")
    write_dicom_study(phantom(), folder, vendor="siemens", layout="separate", distractors=False)
    return study_from_dicom(folder, "siemens", "separate")


def test_outlines_on_another_grid_are_resampled_and_it_is_said(dicom_study: Study, tmp_path: Path) -> None:
    given_on = dicom_study.outlined_lesions
    x, y, z = given_on.GetSpacing()
    finer = sitk.Resample(
        given_on,
        [2 * n for n in given_on.GetSize()[:2]] + [given_on.GetSize()[2] * 3],
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        given_on.TransformContinuousIndexToPhysicalPoint((-0.25, -0.25, -1 / 3)),
        (x / 2, y / 2, z / 3),
        given_on.GetDirection(),
    )
    study = replace(dicom_study, lesions=finer)
    segmentation, report = write_dicom(study, made_result(study, ("HCC",)), tmp_path)
    read = hd.seg.segread(segmentation)
    assert "resampled" in read.ContentDescription
    assert any("resampled" in text for text in _comments(pydicom.dcmread(report).ContentSequence))
    volume = read.get_volume(combine_segments=True, allow_missing_positions=True)
    expected = int((sitk.GetArrayViewFromImage(given_on) == 1).sum())
    assert int((volume.array > 0).sum()) == pytest.approx(expected, rel=0.03)


def test_an_unclassified_lesion_is_outlined_and_its_reason_told(dicom_study: Study, tmp_path: Path) -> None:
    study = _two_lesions(dicom_study)
    segmentation, report = write_dicom(study, made_result(study, (None, "cyst")), tmp_path)
    segment = hd.seg.segread(segmentation).get_segment_description(1)
    assert segment.segmented_property_type == codes.SCT.Lesion
    assert "The lesion lies at the edge." in segment.SegmentDescription
    first, _ = _groups(report)
    assert first.get_measurements(name=codes.DCM.Probability) == []
    assert any("not classified" in text for text in _comments(first[0].ContentSequence))


def test_classes_without_a_concept_have_a_code_of_our_own(dicom_study: Study, tmp_path: Path) -> None:
    result = made_result(dicom_study, ("HCC",))
    lesion = replace(result.lesions[0], tasks={"type": answer("Z7", "other_benign", primary=True)})
    segmentation, report = write_dicom(dicom_study, replace(result, lesions=(lesion,)), tmp_path)
    kind = hd.seg.segread(segmentation).get_segment_description(1).segmented_property_type
    assert (kind.value, kind.scheme_designator) == ("Z7.3", "99LIVERLESIONAI")
    assert "99LIVERLESIONAI" in str(pydicom.dcmread(report).CodingSchemeIdentificationSequence[0])


def test_models_for_other_uses_are_no_phantom_models(dicom_study: Study, tmp_path: Path) -> None:
    result = made_result(dicom_study, ("HCC",))
    result = replace(result, models=(replace(result.models[0], intended_use="research"),))
    segmentation, _ = write_dicom(dicom_study, result, tmp_path)
    description = pydicom.dcmread(segmentation).SeriesDescription
    assert "phantom" not in description
    assert "not for clinical use" in description


def test_studies_that_are_not_dicom_get_none(tmp_path: Path) -> None:
    study = made_study()
    assert write_dicom(study, made_result(study), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DicomError, match="did not come from DICOM"):
        read_source(study.images["T2WI"])


def test_single_frames_that_are_counted_and_classes_that_the_file_says_once_are_taken(
    dicom_study: Study, tmp_path: Path
) -> None:
    """With NumberOfFrames 1 it is no multi-frame object; the meta information repeats its class."""
    source = dicom_study.images["T2WI"].dicom
    files = []
    for number, file in enumerate(source.files):
        header = pydicom.dcmread(file)
        if "SharedFunctionalGroupsSequence" in header:
            pytest.skip("a multi-frame object")
        header.NumberOfFrames = 1
        del header.SOPClassUID
        files.append(tmp_path / f"{number}.dcm")
        header.save_as(files[-1])
    sequence = replace(dicom_study.images["T2WI"], dicom=replace(source, files=tuple(files)))
    read = read_source(sequence)
    assert not read.is_multi_frame and len(read.main) == len(set(files))
    assert {each.SOPClassUID for each in read.objects} == {
        read_source(dicom_study.images["T2WI"]).first.SOPClassUID
    }
    header.NumberOfFrames = 7
    header.save_as(files[-1])
    with pytest.raises(DicomError, match="frames without functional groups"):
        read_source(sequence)


def test_de_identified_sources_and_any_name_are_taken(dicom_study: Study, tmp_path: Path) -> None:
    source = dicom_study.images["T2WI"].dicom
    bare = [_without(file, tmp_path / f"{n}.dcm") for n, file in enumerate(source.files)]
    image = replace(dicom_study.images["T2WI"], dicom=replace(source, files=tuple(bare)))
    study = replace(
        dicom_study,
        images={**dicom_study.images, "T2WI": image},
        lesion_names={1: "Läsion\\in [Segment] Ⅵ 肝臓" + " und so weiter" * 6},
    )
    segmentation, report = write_dicom(study, made_result(study, ("HCC",)), tmp_path)
    label = hd.seg.segread(segmentation).get_segment_description(1).segment_label
    assert label == study.lesion_names[1][:64].replace("\\", "/")
    assert _groups(report)[0].tracking_identifier == label


def _without(file: Path, target: Path) -> Path:
    """Copy of an image that lacks what de-identification may remove."""
    ds = pydicom.dcmread(file)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyID", "StudyTime", "SliceThickness"):
        del ds[keyword]
    ds.save_as(target)
    return target


def test_a_source_without_frame_of_reference_is_named(dicom_study: Study, tmp_path: Path) -> None:
    source = dicom_study.images["T2WI"].dicom
    ds = pydicom.dcmread(source.files[0])
    del ds.FrameOfReferenceUID
    ds.save_as(tmp_path / "placeless.dcm")
    files = (tmp_path / "placeless.dcm", *source.files[1:])
    image = replace(dicom_study.images["T2WI"], dicom=replace(source, files=files))
    study = replace(dicom_study, images={**dicom_study.images, "T2WI": image})
    with pytest.raises(DicomError, match=r"placeless\.dcm names no frame of reference"):
        write_dicom(study, made_result(study, ("HCC",)), tmp_path)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("SOPInstanceUID", "1.2.3", "the SOPInstanceUID of another slice"),
        ("SOPInstanceUID", "anonymized", "no SOPInstanceUID"),
        ("StudyInstanceUID", "", "no StudyInstanceUID"),
        ("SeriesInstanceUID", "0", "no SeriesInstanceUID"),
    ],
)
def test_slices_that_uids_do_not_tell_apart_are_not_referred_to(
    dicom_study: Study, tmp_path: Path, keyword: str, value: str, said: str
) -> None:
    source = dicom_study.images["T2WI"].dicom
    files = []
    for number, file in enumerate(source.files):
        ds = pydicom.dcmread(file)
        setattr(ds, keyword, value)
        ds.save_as(tmp_path / f"{number}.dcm")
        files.append(tmp_path / f"{number}.dcm")
    image = replace(dicom_study.images["T2WI"], dicom=replace(source, files=tuple(files)))
    study = replace(dicom_study, images={**dicom_study.images, "T2WI": image})
    with pytest.raises(DicomError, match=said):
        write_dicom(study, made_result(study, ("HCC",)), tmp_path)


def test_a_vanished_source_is_named(dicom_study: Study, tmp_path: Path) -> None:
    reference = dicom_study.images["T2WI"]
    gone = replace(reference.dicom, files=(tmp_path / "gone.dcm", *reference.dicom.files[1:]))
    images = {**dicom_study.images, "T2WI": replace(reference, dicom=gone)}
    with pytest.raises(DicomError, match=r"gone\.dcm"):
        write_dicom(replace(dicom_study, images=images), made_result(dicom_study, ("HCC",)), tmp_path)


def test_lesions_outside_the_series_are_refused(dicom_study: Study, tmp_path: Path) -> None:
    far = sitk.Image(dicom_study.outlined_lesions)
    far.SetOrigin((5000.0, 0.0, 0.0))
    study = replace(dicom_study, lesions=far)
    with pytest.raises(DicomError, match="outside"):
        write_dicom(study, made_result(study, ("HCC",)), tmp_path)
