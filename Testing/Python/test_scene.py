"""What a study and its result look like as a Slicer scene, and how they replace each other there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_studies import (
    CENTRES,
    made_result,
    made_study,
    rigid,
)

from LiverLesionAI import mrml
from LiverLesionAI.mrml import attributes
from LiverLesionAI.results import PHANTOM_NOTICE
from LiverLesionAI.scenes.read import study_from_scene
from LiverLesionAI.scenes.show import arrange_views, show_study
from LiverLesionAI.taxonomy import TAXONOMIES, taxonomy_named

pytest.importorskip("slicer", reason="slicer-core is not installed")

RESOURCES = Path(__file__).parents[2] / "Resources"


def ras(point):
    return [-point[0], -point[1], point[2]]


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
    assert PHANTOM_NOTICE in text.lower()
    assert nodes.text.GetName() == "S1 summary (not for clinical use)"


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
