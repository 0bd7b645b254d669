"""Studies and results as Slicer scenes: what they show, how they replace, and how they come back."""

from __future__ import annotations

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
    CENTRES,
    directions,
    filled,
    grid,
    made_result,
    made_study,
    misplacement,
    rigid,
    rigid_transforms,
)

from LiverLesionAI import mrml
from LiverLesionAI.errors import LiverLesionError, StudyError
from LiverLesionAI.mrml import attributes
from LiverLesionAI.readers.scene import read_scene, study_from_nodes, study_from_scene
from LiverLesionAI.study import SequenceImage, Study
from LiverLesionAI.taxonomy import TAXONOMIES, taxonomy_named
from LiverLesionAI.writers.scene import NOTICE, arrange_views, show_study, write_scene

pytest.importorskip("slicer", reason="slicer-core is not installed")

RESOURCES = Path(__file__).parents[2] / "Resources"
few = settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))


def ras(point):
    return [-point[0], -point[1], point[2]]


def same_place(first: sitk.Image, second: sitk.Image, tolerance: float = 0.0) -> bool:
    """Whether two images have the same grid: origin and spacing in mm, directions as unit vectors."""
    return first.GetSize() == second.GetSize() and all(
        np.allclose(getattr(first, part)(), getattr(second, part)(), rtol=0, atol=tolerance)
        for part in ("GetOrigin", "GetSpacing", "GetDirection")
    )


def same_image(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two images have the same voxels in the same places, be their index axes flipped or not.

    Slicer makes index axes right-handed when it reads a file.
    """
    resampled = sitk.Resample(second, first, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0)
    return same_voxels(first, resampled) and misplacement(first, second) <= 1e-9


def same_voxels(first: sitk.Image, second: sitk.Image) -> bool:
    return np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))


def bspline(seed: int = 0) -> sitk.Transform:
    frame = grid((12, 12, 12), (25.0, 25.0, 25.0), np.eye(3), (0.0, 0.0, 0.0))
    transform = sitk.BSplineTransformInitializer(frame, (4, 4, 4))
    displacements = np.random.default_rng(seed).normal(0, 4, len(transform.GetParameters()))
    transform.SetParameters(displacements.tolist())
    return transform


def displacement_field() -> sitk.Transform:
    frame = grid((24, 24, 24), (10.0, 10.0, 10.0), np.eye(3), (0.0, 0.0, 0.0))
    field = sitk.TransformToDisplacementField(
        bspline(), sitk.sitkVectorFloat64, frame.GetSize(), frame.GetOrigin(), frame.GetSpacing()
    )
    return sitk.DisplacementFieldTransform(field)


# --- studies


def same_study(first: Study, second: Study) -> None:
    assert (first.id, first.sequences, first.reference) == (second.id, second.sequences, second.reference)
    assert first.lesion_ids == second.lesion_ids
    assert dict(first.lesion_names) == dict(second.lesion_names)
    assert same_image(first.lesions, second.lesions)
    assert list(first.outlines) == list(second.outlines)
    for name, outline in first.outlines.items():
        assert same_image(outline, second.outlines[name])
    for name, image in first.images.items():
        other = second.images[name]
        assert same_image(image.image, other.image)
        assert image.image.GetPixelID() == other.image.GetPixelID()
        assert image.intensity_limits == other.intensity_limits
        assert (image.transform is None) == (other.transform is None)
        if image.transform is not None:
            for point in CENTRES:
                expected = image.transform.TransformPoint(point)
                assert np.allclose(other.transform.TransformPoint(point), expected, rtol=0, atol=1e-9)


@few
@given(directions(), st.tuples(*[st.floats(-15, 15)] * 3), st.none() | rigid_transforms)
def test_a_study_comes_back_from_a_scene_file(tmp_path_factory, direction, centre, transform):
    path = tmp_path_factory.mktemp("scene") / "scene.mrb"
    study = made_study(direction, centre, transform)
    write_scene(study, made_result(study), path)
    same_study(study, read_scene(path))


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
    assert same_image(study.lesions, sitk.ReadImage(data / "S1 lesion outlines.seg.nrrd"))
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


# --- what the scene shows


def shown(classes=("HCC", "cyst"), **options):
    scene, study = mrml.new_scene(), made_study(**options)
    result = made_result(study, classes)
    return scene, study, result, show_study(scene, study, result)


def test_segments_are_named_coloured_and_coded_by_class():
    _scene, _, _, nodes = shown(("HCC", None))
    segmentation = nodes.segmentation.GetSegmentation()
    first, second = segmentation.GetSegment("lesion_1"), segmentation.GetSegment("lesion_2")
    assert (first.GetName(), second.GetName()) == ("lesion 1: HCC", "lesion 2: not classified")
    assert np.allclose(np.multiply(first.GetColor(), 255), taxonomy_named("W7").classes[4].colour)
    assert first.GetLabelValue(), second.GetLabelValue() == (1, 2)
    assert "~SCT^109841003^Hepatocellular carcinoma~" in first.GetTerminology()
    assert "~SCT^52988006^Lesion~" in second.GetTerminology()
    assert mrml.reference_volume(nodes.segmentation).GetID() == nodes.volumes["T2WI"].GetID()
    display = nodes.segmentation.GetDisplayNode()
    assert display.GetVisibility2DOutline() and not display.GetVisibility2DFill()


def test_the_class_map_has_fixed_values_and_the_taxonomy_s_colours():
    _scene, study, _, nodes = shown(("metastasis", "cyst"))
    labels = sitk.GetArrayViewFromImage(study.lesions)
    classes = sitk.GetArrayFromImage(mrml.image_from_volume(nodes.classes))
    assert np.array_equal(classes, np.array([0, 7, 1])[labels])
    assert nodes.classes.GetDisplayNode().GetColorNodeID() == nodes.colours.GetID()
    assert [nodes.colours.GetColorName(value) for value in range(1, 8)] == list(taxonomy_named("W7").names)


def test_table_and_text_say_what_came_out():
    _scene, _, result, nodes = shown(("HCC", None))
    table = nodes.table
    row = {table.GetColumnName(i): table.GetCellText(0, i) for i in range(table.GetNumberOfColumns())}
    assert (row["name"], row["type"], row["malignancy"]) == ("lesion 1", "HCC", "malignant")
    assert float(row["p(HCC)"]) == pytest.approx(0.7)
    assert table.GetNumberOfRows() == 2
    text = nodes.text.GetText()
    assert f"lesion 1, {result.lesions[0].diameter_mm:.0f} mm: malignant (0.90), HCC (0.70)" in text
    assert "Warning, lesion 2: The lesion lies at the edge." in text
    assert NOTICE in text and NOTICE in nodes.text.GetName()


def test_everything_lies_in_one_folder_named_by_the_pseudonym():
    scene, study, _, nodes = shown(transform=rigid((0.1, 0, 0), (1, 2, 3)))
    hierarchy = scene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemName(nodes.folder) == study.id
    marked = [n for n in mrml.nodes_of(scene, "vtkMRMLNode") if n.GetAttribute(attributes.STUDY) == study.id]
    assert len(marked) == 3 + 1 + 5
    for node in marked:
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == nodes.folder


def test_showing_a_study_again_replaces_it():
    scene, study, result, nodes = shown(transform=rigid((0.1, 0, 0), (1, 2, 3)))
    arrange_views(scene, study, nodes)
    mine = mrml.add_text(scene, "my notes", "mine")
    mrml.file_under(scene, nodes.folder, [mine])
    count, items = scene.GetNumberOfNodes(), scene.GetSubjectHierarchyNode().GetNumberOfItems()
    again = show_study(scene, study, made_result(study, ("ICC", "FNH")))
    arrange_views(scene, study, again)
    assert (scene.GetNumberOfNodes(), scene.GetSubjectHierarchyNode().GetNumberOfItems()) == (count, items)
    assert again.folder == nodes.folder
    assert again.segmentation.GetSegmentation().GetNthSegment(0).GetName() == "lesion 1: ICC"
    assert mine.GetScene() is not None
    assert show_study(scene, replace(study, id="S2"), result).folder != nodes.folder
    assert scene.GetNumberOfNodes() > count


def test_volumes_that_are_in_the_scene_already_are_used_and_kept():
    scene, study, result, nodes = shown(transform=rigid((0.1, 0, 0), (1, 2, 3)))
    below = mrml.add_transform(scene, rigid((0, 0.2, 0), (9, 8, 7)), "table position")
    nodes.volumes["T2WI"].SetAndObserveTransformNodeID(below.GetID())
    parents = {name: node.GetTransformNodeID() for name, node in nodes.volumes.items()}
    count = scene.GetNumberOfNodes()
    again = show_study(scene, study, result, volumes=nodes.volumes)
    assert again.volumes is nodes.volumes and scene.GetNumberOfNodes() == count
    assert {name: node.GetTransformNodeID() for name, node in again.volumes.items()} == parents
    assert again.segmentation.GetTransformNodeID() == again.classes.GetTransformNodeID() == below.GetID()


def test_slice_views_show_the_arterial_phase_at_the_first_lesion():
    scene, study, _, nodes = shown()
    arrange_views(scene, study, nodes)
    for view, normal in (("Red", (0, 0, 1)), ("Yellow", (1, 0, 0)), ("Green", (0, 1, 0))):
        composite = scene.GetSingletonNode(view, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == nodes.volumes["LAP"].GetID()
        plane = scene.GetSingletonNode(view, "vtkMRMLSliceNode").GetSliceToRAS()
        column = {c: np.array([plane.GetElement(row, c) for row in range(3)]) for c in range(4)}
        assert np.allclose(np.abs(column[2]), normal)
        assert np.allclose(column[3], ras(CENTRES[0]), atol=1.0)
        if view != "Yellow":
            assert np.allclose(column[0], (-1, 0, 0)), "the patient's right is on the left of the screen"
    lower, upper = np.percentile(sitk.GetArrayViewFromImage(study.images["LAP"].image), (0.5, 99.5))
    display = nodes.volumes["LAP"].GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((lower, upper))


def test_a_study_without_lesions_or_result_shows_its_sequences():
    study = replace(made_study(), lesions=None)
    scene = mrml.new_scene()
    nodes = show_study(scene, study)
    arrange_views(scene, study, nodes)
    assert list(nodes.volumes) == ["T2WI", "T1WI", "LAP"] and nodes.segmentation is None
    assert study_from_scene(scene, "x", "test").lesions is None


@pytest.mark.parametrize("name", TAXONOMIES)
def test_colour_files_say_what_the_taxonomies_say(name):
    """Resources/Colors holds what ``add_colour_table`` makes, as Slicer itself saves it."""
    import slicer

    made = mrml.add_colour_table(mrml.new_scene(), taxonomy_named(name))
    read, storage = slicer.vtkMRMLColorTableNode(), slicer.vtkMRMLColorTableStorageNode()
    storage.SetFileName(str(RESOURCES / "Colors" / f"LiverLesions-{name}.csv"))
    assert storage.ReadData(read)
    assert read.GetNumberOfColors() == made.GetNumberOfColors() == len(TAXONOMIES[name]) + 1
    for value in range(made.GetNumberOfColors()):
        colours = [0.0] * 4, [0.0] * 4
        made.GetColor(value, colours[0])
        read.GetColor(value, colours[1])
        assert np.allclose(*colours, atol=0.5 / 255)
        assert read.GetColorName(value) == made.GetColorName(value)
        assert read.GetTerminologyAsString(value) == made.GetTerminologyAsString(value)


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
    assert same_voxels(back.lesions, study.lesions) and same_place(back.lesions, study.lesions)
    mrml.add_volume(scene, study.lesions, "second-label", labels=True)
    with pytest.raises(StudyError, match="any of 'lesions-label', 'second-label'"):
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
        "import sys; import LiverLesionAI.mrml, LiverLesionAI.writers.scene, LiverLesionAI.readers.scene;"
        "assert not {'slicer', 'vtk', 'vtkmodules', 'torch', 'monai'} & set(sys.modules);"
        "sys.modules['slicer'] = None\n"
        "try: LiverLesionAI.mrml.new_scene()\n"
        "except LiverLesionAI.errors.LiverLesionError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'liverlesionai[scene]'" in done.stdout
