"""Studies that come back from Slicer scenes, our own and those of others."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_studies import (
    bspline,
    directions,
    filled,
    grid,
    made_result,
    made_study,
    misplacement,
    rigid,
    rigid_transforms,
    same_image,
    same_study,
)

from LiverLesionAI import mrml
from LiverLesionAI.errors import LiverLesionError, StudyError
from LiverLesionAI.scenes.file import read_scene
from LiverLesionAI.scenes.logic import nodes_for, only_segmentation
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.read import open_scene, study_from_nodes, study_from_scene
from LiverLesionAI.scenes.show import write_scene
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.taxonomy import Code

pytest.importorskip("slicer", reason="slicer-core is not installed")

few = settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))


# --- studies


@few
@given(directions(), st.tuples(*[st.floats(-15, 15)] * 3), st.none() | rigid_transforms)
def test_a_study_comes_back_from_a_scene_file(tmp_path_factory, direction, centre, transform):
    path = tmp_path_factory.mktemp("scene") / "scene.mrb"
    study = made_study(direction, centre, transform)
    write_scene(study, made_result(study), path)
    same_study(study, open_scene(path))


@few
@given(directions(), st.tuples(*[st.floats(-15, 15)] * 3))
def test_other_programs_find_the_files_of_a_scene_in_place(tmp_path_factory, direction, centre):
    """The bundle's NRRD files, read by ITK, lie where the study's images lie."""
    folder = tmp_path_factory.mktemp("scene")
    study = made_study(direction, centre)
    write_scene(study, made_result(study), folder / "scene.mrb")
    with zipfile.ZipFile(folder / "scene.mrb") as bundle:
        bundle.extractall(folder)
    data = folder / "scene" / "Data"
    assert same_image(study.lesions, sitk.ReadImage(data / "S1 lesion segments.seg.nrrd"))
    assert same_image(study.images["LAP"].image, sitk.ReadImage(data / "LAP.nrrd"))
    classes = sitk.ReadImage(data / "S1 lesion classes.nrrd")
    assert misplacement(classes, study.lesions) <= 1e-9


def test_everything_that_a_study_may_have_comes_back(tmp_path):
    study = made_study(transform=bspline(), study_id="S:1; 50% |x|")
    outline = filled(
        study.images["LAP"].image, np.uint16(sitk.GetArrayFromImage(study.images["LAP"].image) > 150)
    )
    outline = outline * 2 + sitk.Cast(outline == 0, sitk.sitkUInt16)
    limited = SequenceImage(study.images["T1WI"].image, None, (-3.25, 1e3 / 3))
    study = replace(
        study,
        images={**study.images, "T1WI": limited},
        outlines={"LAP": outline},
        lesion_names={2: "Segment VII | near the vein: café"},
        reference="T2WI",
    )
    write_scene(study, made_result(study), tmp_path / "scene.mrb")
    same_study(study, read_scene(tmp_path / "scene.mrb"))


def test_another_reference_sequence_is_remembered(tmp_path):
    study = replace(made_study(), reference="T1WI")
    write_scene(study, made_result(study), tmp_path / "scene.mrb")
    assert read_scene(tmp_path / "scene.mrb").reference == "T1WI"
    assert read_scene(tmp_path / "scene.mrb", reference="LAP").reference == "LAP"
    with pytest.raises(StudyError, match="no HBP"):
        read_scene(tmp_path / "scene.mrb", reference="HBP")


# --- scenes of others


def foreign_scene(study: Study):
    """What a radiologist might have: own names for the volumes, own names for the segments."""
    scene = mrml.new_scene()
    names = {"T2WI": "t2", "T1WI": "pre", "LAP": "C+A"}
    nodes = {name: mrml.add_volume(scene, image.image, names[name]) for name, image in study.images.items()}
    segments = [mrml.Segment(2, "tumour in VIII", (1, 1, 1)), mrml.Segment(1, "lesion 1", (2, 2, 2))]
    segmentation = mrml.add_segmentation(scene, study.lesions, "Segmentation", segments, nodes["T2WI"])
    return scene, nodes, segmentation


def test_volumes_are_known_by_their_names_and_parent_transforms_are_honoured():
    way, table = rigid((0.1, -0.05, 0.2), (4, 5, -6)), rigid((0, 0, 0.4), (30, -20, 10))
    study = made_study(transform=way)
    scene, nodes, segmentation = foreign_scene(study)
    mrml.add_volume(scene, study.images["T2WI"].image, "FLAIR")
    moved, registered = (
        mrml.add_transform(scene, table, "table"),
        mrml.add_transform(scene, way, "registered"),
    )
    registered.SetAndObserveTransformNodeID(moved.GetID())
    for node in (nodes["T2WI"], nodes["T1WI"], segmentation):
        node.SetAndObserveTransformNodeID(moved.GetID())
    nodes["LAP"].SetAndObserveTransformNodeID(registered.GetID())
    back = study_from_scene(scene, "S1", "test")
    same_study(replace(study, lesion_names={2: "tumour in VIII"}), back)
    assert back.warnings == ("Volume 'FLAIR' is named after no sequence and was left out.",)


def test_lesions_that_were_moved_against_the_reference_are_carried_back():
    study = made_study()
    scene, _, segmentation = foreign_scene(study)
    shift = mrml.add_transform(scene, sitk.TranslationTransform(3, (0.0, -8.0, 0.0)), "shift")
    segmentation.SetAndObserveTransformNodeID(shift.GetID())
    back = study_from_scene(scene, "S1", "test")
    expected = np.roll(sitk.GetArrayFromImage(study.lesions), 2, axis=1)
    assert np.array_equal(sitk.GetArrayViewFromImage(back.lesions), expected)


def test_a_label_map_serves_where_there_is_no_segmentation():
    study = made_study()
    scene, _, segmentation = foreign_scene(study)
    mrml.remove_nodes(scene, [segmentation])
    mrml.add_volume(scene, study.lesions, "lesions-label", labels=True)
    back = study_from_scene(scene, "S1", "test")
    assert same_image(back.lesions, study.lesions)
    mrml.add_volume(scene, study.lesions, "second-label", labels=True)
    with pytest.raises(StudyError, match="any of 'lesions-label', 'second-label'"):
        study_from_scene(scene, "S1", "test")


def test_segments_of_a_scene_are_told_apart_by_code_and_name():
    study = made_study()
    scene, nodes, segmentation = foreign_scene(study)
    mrml.remove_nodes(scene, [segmentation])
    around = np.uint16(sitk.GetArrayFromImage(study.lesions) == 0) * 7
    both = filled(study.lesions, sitk.GetArrayFromImage(study.lesions) + around)
    codes = (Code("123037004", "Anatomical Structure"), Code("10200004", "Liver"))
    segments = [
        mrml.Segment(1, "spot", (1, 1, 1)),
        mrml.Segment(2, "tumour", (2, 2, 2)),
        mrml.Segment(7, "all", (3, 3, 3)),
    ]
    segmentation = mrml.add_segmentation(scene, both, "Segmentation", segments, nodes["T2WI"])
    liver = segmentation.GetSegmentation().GetSegment("lesion_7")
    terms = "~".join("^".join((code.scheme, code.value, code.meaning)) for code in codes)
    liver.SetTag(liver.GetTerminologyEntryTagName(), f"a list~{terms}~^^~another~^^~^^")
    back = study_from_scene(scene, "S1", "test")
    assert same_image(back.lesions, study.lesions)
    assert back.warnings == ("Segments of the mask that are no lesions were left out: 'all'.",)


def test_a_label_map_of_an_image_is_refused_and_parts_of_a_lesion_stay_together():
    study = made_study()
    scene, _, segmentation = foreign_scene(study)
    mrml.remove_nodes(scene, [segmentation])
    one = mrml.add_volume(scene, sitk.Cast(study.lesions > 0, sitk.sitkUInt16), "one-label", labels=True)
    back = study_from_scene(scene, "S1", "test")
    assert back.lesion_ids == (1,)
    assert any(
        "2 parts that lie apart: they are answered for as one lesion" in said for said in back.warnings
    )
    mrml.remove_nodes(scene, [one])
    grey = sitk.Cast(study.images["T2WI"].image / 8, sitk.sitkUInt16)
    mrml.add_volume(scene, grey, "grey-label", labels=True)
    with pytest.raises(StudyError, match="label' of the scene is no lesion mask"):
        study_from_scene(scene, "S1", "test")


def test_scenes_that_are_no_study_are_refused():
    study = made_study()
    scene, nodes, segmentation = foreign_scene(study)
    far = mrml.add_transform(scene, sitk.TranslationTransform(3, (900.0, 0.0, 0.0)), "far")
    segmentation.SetAndObserveTransformNodeID(far.GetID())
    with pytest.raises(StudyError, match="is empty"):
        study_from_scene(scene, "S1", "test")
    mrml.remove_nodes(scene, [segmentation])
    mrml.add_segmentation(scene, study.lesions, "nothing", [], nodes["T2WI"])
    with pytest.raises(StudyError, match="no segment"):
        study_from_scene(scene, "S1", "test")
    mrml.add_volume(scene, study.images["LAP"].image, "arterial")
    with pytest.raises(StudyError, match="'C\\+A' and 'arterial' are both LAP"):
        study_from_scene(scene, "S1", "test")
    with pytest.raises(StudyError, match="no volume named after a sequence"):
        study_from_scene(mrml.new_scene(), "S1", "test")


@pytest.mark.parametrize("segments", [0, 1])
def test_an_empty_segmentation_counts_only_where_lesions_are_answered(segments):
    scene, volumes, segmentation = foreign_scene(made_study())
    empty = mrml.add_node(scene, "vtkMRMLSegmentationNode", "empty")
    for _ in range(segments):
        empty.GetSegmentation().AddEmptySegment("", "lesion 1")
    chosen = ChosenNodes(volumes, empty, "T2WI")
    assert nodes_for("study", chosen).segmentation is None
    assert nodes_for("lesion", chosen) is chosen
    filled_in = replace(chosen, segmentation=segmentation)
    assert nodes_for("study", filled_in) is filled_in


def test_one_of_several_segmentations_is_asked_for_only_where_it_is_needed():
    scene, _, segmentation = foreign_scene(made_study())
    assert only_segmentation(scene, is_needed=False) is segmentation
    mrml.add_node(scene, "vtkMRMLSegmentationNode", "second")
    assert only_segmentation(scene, is_needed=False) is None
    with pytest.raises(StudyError, match="2 segmentations"):
        only_segmentation(scene)


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "not numbers"), (None, "same value everywhere")])
def test_volumes_without_an_image_are_refused(value, reason):
    frame = grid((4, 4, 4), (1.0, 1.0, 1.0), np.eye(3), (0, 0, 0))
    voxels = np.full((4, 4, 4), 5.0)
    voxels[0, 0, 0] = 5.0 if value is None else value
    node = mrml.add_volume(mrml.new_scene(), filled(frame, voxels), "LAP")
    with pytest.raises(StudyError, match=reason):
        study_from_nodes("S1", "test", {"LAP": node}, None, "LAP")


# --- files


def test_files_that_are_no_scene_are_refused(tmp_path):
    for name in ("text.mrb", "text.mrml"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(StudyError, match=name):
            read_scene(tmp_path / name)
    with pytest.raises(StudyError, match="does not exist"):
        read_scene(tmp_path / "none.mrb")


def test_truncated_and_incomplete_bundles_are_refused(tmp_path):
    study, path = made_study(), tmp_path / "scene.mrb"
    write_scene(study, made_result(study), path)
    (tmp_path / "short.mrb").write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(StudyError, match=r"short\.mrb"):
        read_scene(tmp_path / "short.mrb")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.mrb", "w") as less:
        for entry in whole.infolist():
            if "LAP" not in entry.filename:
                less.writestr(entry, whole.read(entry))
    with pytest.raises(StudyError, match=r"less\.mrb"):
        read_scene(tmp_path / "less.mrb")


def test_a_scene_that_was_saved_as_loose_files_is_read(tmp_path):
    study = made_study()
    write_scene(study, made_result(study), tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        bundle.extractall(tmp_path)
    same_study(study, read_scene(tmp_path / "scene" / "scene.mrml"))


def test_the_scene_that_slicer_shows_is_used(monkeypatch):
    import slicer

    shown_by_slicer = mrml.new_scene()
    monkeypatch.setattr(slicer, "mrmlScene", shown_by_slicer, raising=False)
    assert mrml.application_scene() is shown_by_slicer


def test_the_same_study_gives_the_same_file(tmp_path):
    """Apart from HDF5's times and the numbers of items, which MRML counts up through a process."""
    study = made_study(transform=rigid((0.1, 0.0, 0.2), (1.0, 2.0, 3.0)))
    contents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        write_scene(study, made_result(study), folder / "scene.mrb")
        with zipfile.ZipFile(folder / "scene.mrb") as bundle:
            bundle.extractall(folder)
            contents.append({name: _content(folder / name) for name in bundle.namelist()})
        numbered = contents[-1]["scene/scene.mrml"]
        contents[-1]["scene/scene.mrml"] = re.sub(rb'(Item id|parent)="\d+"', b"", numbered)
    assert contents[0] == contents[1]


def test_volumes_are_compressed_once_and_the_scene_says_so(tmp_path):
    write_scene(made_study(), made_result(made_study()), tmp_path / "scene.mrb")
    with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
        ways = {Path(each.filename).suffix: each.compress_type for each in bundle.infolist()}
        scene = bundle.read(next(name for name in bundle.namelist() if name.endswith(".mrml")))
    assert ways[".nrrd"] == zipfile.ZIP_STORED
    assert ways[".mrml"] == zipfile.ZIP_DEFLATED
    storages = re.findall(rb"<VolumeArchetypeStorage[^>]*", scene)
    assert len(storages) >= 3 and all(b'useCompression="1"' in each for each in storages)


@pytest.mark.parametrize("kind", [sitk.sitkInt16, sitk.sitkFloat32, sitk.sitkVectorFloat64])
def test_a_volume_that_slicer_wrote_raw_is_compressed_and_reads_as_it_was(tmp_path, kind):
    raw = tmp_path / "raw" / "Data"
    raw.mkdir(parents=True)
    voxels = np.arange(64 * 64 * 8 * 3).reshape(8, 64, 64, 3) % 11
    is_vector = kind == sitk.sitkVectorFloat64
    image = sitk.Cast(sitk.GetImageFromArray(voxels if is_vector else voxels[..., 0], is_vector), kind)
    image.SetOrigin((-3.25, 8.0, 1e-3))
    sitk.WriteImage(image, str(raw / "raw.nrrd"))
    mrml.pack_scene(raw.parent, tmp_path / "raw.mrb")
    with zipfile.ZipFile(tmp_path / "raw.mrb") as bundle:
        (packed,) = (each for each in bundle.infolist() if each.filename.endswith("raw.nrrd"))
        bundle.extractall(tmp_path / "unpacked")
    assert packed.compress_type == zipfile.ZIP_STORED
    assert packed.file_size < (raw / "raw.nrrd").stat().st_size / 10
    again = sitk.ReadImage(str(next((tmp_path / "unpacked").rglob("raw.nrrd"))))
    assert again.GetPixelID() == image.GetPixelID() and again.GetOrigin() == image.GetOrigin()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))


def _content(file):
    if file.suffix == ".h5":
        transform = sitk.ReadTransform(str(file))
        return transform.GetName(), transform.GetFixedParameters(), transform.GetParameters()
    return file.read_bytes() if file.is_file() else None


def test_nothing_is_printed(tmp_path, capfd):
    study = made_study(transform=bspline())
    write_scene(study, made_result(study), tmp_path / "scene.mrb")
    read_scene(tmp_path / "scene.mrb")
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mrb"]


def test_a_scene_that_cannot_be_written_is_an_output_error(tmp_path):
    study = made_study()
    (tmp_path / "file").touch()
    with pytest.raises(LiverLesionError, match="could not be written"):
        write_scene(study, made_result(study), tmp_path / "file" / "scene.mrb")


def test_the_bridge_needs_slicer_only_when_used():
    code = (
        "import sys; import LiverLesionAI.mrml, LiverLesionAI.scenes.show, LiverLesionAI.scenes.read;"
        "assert not {'slicer', 'vtk', 'vtkmodules', 'torch', 'monai'} & set(sys.modules);"
        "sys.modules['slicer'] = None\n"
        "try: LiverLesionAI.mrml.new_scene()\n"
        "except LiverLesionAI.errors.LiverLesionError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'liverlesionai[scene]'" in done.stdout
