"""Explanations in a Slicer scene: maps over the images, colour scale, legend, weights as table and chart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_explanations import made_explanation
from made_studies import made_result, made_study, misplacement, rigid, same_study

from LiverLesionAI import mrml
from LiverLesionAI.analysis import with_explanations
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.palette import CUT
from LiverLesionAI.explanation.settings import Settings
from LiverLesionAI.mrml import attributes
from LiverLesionAI.results import StudyResult
from LiverLesionAI.scenes.explanations import mapped_task, saliency_from_files, saliency_of
from LiverLesionAI.scenes.file import read_scene
from LiverLesionAI.scenes.read import study_from_scene
from LiverLesionAI.scenes.saliency import (
    MapKey,
    add_saliency,
    lesion_maps,
    maps_of,
    removing,
    retire_saliency,
    show_maps_of,
)
from LiverLesionAI.scenes.show import arrange_views, show_study, write_scene
from LiverLesionAI.writers.saliency import SaliencyFile, write_saliency

pytest.importorskip("slicer", reason="slicer-core is not installed")


def shown(linear: bool = False):
    study = made_study(transform=rigid((0.1, 0, 0), (1, 2, 3)))
    explanations = [made_explanation(study, 1, linear=linear), made_explanation(study, 2, target="cyst")]
    scene = mrml.new_scene()
    nodes = show_study(scene, study, made_result(study), explanations=explanations)
    arrange_views(scene, study, nodes)
    return scene, study, explanations, nodes


def table_of(node) -> list[list[str]]:
    return [
        [node.GetCellText(row, column) for column in range(node.GetNumberOfColumns())]
        for row in range(node.GetNumberOfRows())
    ]


def test_each_sequence_at_hand_has_its_map_and_its_weighted_map_in_place() -> None:
    _scene, _study, explanations, nodes = shown()
    assert list(nodes.saliency) == [1, 2]
    first = nodes.saliency[1]
    assert list(first.maps) == list(first.weighted) == ["T2WI", "T1WI", "LAP"]
    for name, node in first.maps.items():
        image = mrml.image_from_volume(node)
        assert image.GetPixelID() == sitk.sitkFloat32
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), explanations[0].feature_map(name))
        assert misplacement(image, explanations[0].image(name)) < 1e-9
    weighted = sitk.GetArrayFromImage(mrml.image_from_volume(first.weighted["T2WI"]))
    np.testing.assert_array_equal(weighted, explanations[0].weighted_map("T2WI"))
    assert first.maps["LAP"].GetName() == "lesion 1 LAP saliency"


def test_all_maps_have_one_colour_scale_and_a_threshold() -> None:
    _scene, _, _, nodes = shown()
    every = [
        node
        for each in nodes.saliency.values()
        for node in (*each.maps.values(), *each.weighted.values())
    ]  # fmt: skip
    displays = [node.GetDisplayNode() for node in every]
    assert len({display.GetColorNodeID() for display in displays}) == 1
    for display in displays:
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
        assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(CUT)
    scale = displays[0].GetColorNode()
    colour = [0.0] * 4
    scale.GetColor(scale.GetNumberOfColors() - 1, colour)
    np.testing.assert_allclose(colour[:3], np.array([189, 0, 38]) / 255, atol=1e-6)


def test_the_strongest_map_lies_over_its_sequence_at_the_lesion() -> None:
    scene, _, explanations, nodes = shown()
    first = nodes.saliency[1]
    assert first.strongest is first.weighted["LAP"]
    centre = explanations[0].slice_centre_lps_mm(explanations[0].largest_slice)
    for view in ("Red", "Yellow", "Green"):
        composite = scene.GetSingletonNode(view, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == nodes.volumes["LAP"].GetID()
        assert composite.GetForegroundVolumeID() == first.strongest.GetID()
        assert 0.3 <= composite.GetForegroundOpacity() <= 0.7
        plane = scene.GetSingletonNode(view, "vtkMRMLSliceNode").GetSliceToRAS()
        middle = [plane.GetElement(row, 3) for row in range(3)]
        np.testing.assert_allclose(middle, (-centre[0], -centre[1], centre[2]), atol=1e-6)


def test_weights_are_a_table_and_a_chart() -> None:
    _scene, _, explanations, nodes = shown(linear=True)
    first = nodes.saliency[1]
    rows = table_of(first.weights)
    assert [row[0] for row in rows] == ["T2WI", "T1WI", "LAP"]
    titles = [first.weights.GetColumnName(i) for i in range(first.weights.GetNumberOfColumns())]
    assert titles == ["sequence", "malignancy: malignant", "type: HCC", "share, type: HCC"]
    assert [float(row[2]) for row in rows] == pytest.approx(explanations[0].weights["type"].shapley.tolist())
    assert [float(row[3]) for row in rows] == pytest.approx([0.5, -0.4, 2.0])
    assert [series.GetYColumnName() for series in first.series] == titles[1:3]
    for series in first.series:
        assert series.GetPlotType() == series.PlotTypeBar and series.GetTableNode() is first.weights
        assert first.chart.HasPlotSeriesNodeID(series.GetID())
    interactions = table_of(first.interactions["type"])
    assert [float(cell) for cell in interactions[0][1:]] == pytest.approx([0, 0, 1], abs=1e-9)


def test_the_strongest_map_of_each_lesion_has_a_legend() -> None:
    scene, _, _, nodes = shown()
    legends = mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode")
    assert [legend.GetTitleText() for legend in legends] == ["saliency, HCC", "saliency, cyst"]
    for legend, each in zip(legends, nodes.saliency.values(), strict=True):
        assert legend is each.legend and legend.GetDisplayableNode() is each.strongest
        assert legend.GetPrimaryDisplayNode() is each.strongest.GetDisplayNode()


def test_explanations_lie_in_folders_of_their_lesions() -> None:
    scene, _, _, nodes = shown()
    hierarchy = scene.GetSubjectHierarchyNode()
    for lesion_id, each in nodes.saliency.items():
        for node in each.nodes:
            item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            assert hierarchy.GetItemName(item) == f"lesion {lesion_id}: why"
            assert hierarchy.GetItemParent(item) == nodes.folder
            assert node.GetAttribute(attributes.LESION) == str(lesion_id)


def test_showing_again_replaces_maps_tables_charts_and_legends() -> None:
    scene, study, explanations, _ = shown()
    count, items = scene.GetNumberOfNodes(), scene.GetSubjectHierarchyNode().GetNumberOfItems()
    nodes = show_study(scene, study, made_result(study), explanations=explanations)
    arrange_views(scene, study, nodes)
    assert scene.GetNumberOfNodes() == count
    assert scene.GetSubjectHierarchyNode().GetNumberOfItems() == items
    show_study(scene, study, made_result(study))
    names = [node.GetName() for node in mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")]
    assert not [name for name in names if "saliency" in name]
    assert mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode") == []


def test_maps_are_no_sequences_when_the_scene_is_read() -> None:
    scene, study, _, _ = shown()
    again = study_from_scene(scene, "x", "scene")
    same_study(study, again)
    assert again.warnings == ()


def test_a_saved_scene_brings_everything_back(tmp_path: Path) -> None:
    study = made_study()
    explanation = made_explanation(study)
    path = write_scene(study, made_result(study), tmp_path / "scene.mrb", [explanation])
    scene = mrml.load_scene(path)
    volumes = {node.GetName(): node for node in mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode")}
    node = volumes["lesion 1 LAP saliency"]
    assert misplacement(mrml.image_from_volume(node), explanation.image("LAP")) < 1e-4
    found = sitk.GetArrayFromImage(mrml.image_from_volume(node))
    assert found.max() == pytest.approx(explanation.feature_map("LAP").max())
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(CUT)
    assert display.GetColorNode().GetName() == "S1 saliency"
    assert mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode") == [], "not every reader knows its class"
    (chart,) = mrml.nodes_of(scene, "vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetForegroundVolumeID() == volumes["lesion 1 LAP saliency weighted"].GetID()
    same_study(study, read_scene(path))


def with_sequence(explanation: LesionExplanation, old: str, new: str) -> LesionExplanation:
    """The same explanation, one of its sequences by another name."""

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    lesion = replace(explanation.lesion, sequences=renamed(explanation.lesion.sequences))
    weights = {
        task: replace(each, sequences=renamed(each.sequences)) for task, each in explanation.weights.items()
    }
    return replace(explanation, lesion=lesion, weights=weights)


def contents(scene) -> list[object]:
    """Names, tables, colours and legends of all that explains."""
    nodes = [node for node in mrml.nodes_of(scene, "vtkMRMLNode") if node.GetAttribute(attributes.LESION)]
    tables = [table_of(node) for node in nodes if node.IsA("vtkMRMLTableNode")]
    series = mrml.nodes_of(scene, "vtkMRMLPlotSeriesNode")
    legends = mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode")
    return [
        sorted((node.GetName(), node.GetAttribute(attributes.MAP)) for node in nodes),
        tables,
        [(node.GetName(), node.GetColor()) for node in series],
        [node.GetTitleText() for node in legends],
        [node.GetYAxisTitle() for node in mrml.nodes_of(scene, "vtkMRMLPlotChartNode")],
    ]


def test_a_sequence_with_an_underscore_keeps_its_name_on_the_way_from_the_worker(tmp_path: Path) -> None:
    """What another process wrote shows as what is at hand, node by node; CT_ART is not "CT", weighted."""
    study = made_study()
    explanation = with_sequence(made_explanation(study, linear=True), "LAP", "CT_ART")
    scene, result = mrml.new_scene(), with_explanations(made_result(study), [explanation], Settings())
    shown = show_study(scene, study, result, explanations=[explanation])
    at_hand = contents(scene)

    records = [each.to_dict() for each in write_saliency([explanation], tmp_path)]
    file = str(tmp_path / "1_CT_ART.nii.gz")
    assert {"lesion": 1, "sequence": "CT_ART", "weighted": False, "file": file} in records
    files = [SaliencyFile.from_dict(each) for each in json.loads(json.dumps(records))]
    places = {1: explanation.slice_centre_lps_mm(explanation.largest_slice)}
    read = StudyResult.from_dict(json.loads(result.to_json()))
    lesions = saliency_from_files(read, files, places)
    made = add_saliency(scene, study.id, lesions, shown.volumes[study.reference])
    assert contents(scene) == at_hand

    maps = maps_of(scene, study.id)
    assert {(key.sequence, key.weighted) for key in maps} == {
        (name, weighted) for name in ("T2WI", "T1WI", "CT_ART") for weighted in (False, True)
    }
    assert maps[MapKey(1, "CT_ART", True)] is made[1].weighted["CT_ART"]
    assert list(lesion_maps(scene, study.id, 1, weighted=False)) == ["T2WI", "T1WI", "CT_ART"]
    voxels = sitk.GetArrayFromImage(mrml.image_from_volume(maps[MapKey(1, "CT_ART", False)]))
    np.testing.assert_allclose(voxels, explanation.feature_map("CT_ART"), atol=1e-6)


@pytest.mark.parametrize(
    "settings, task", [({}, "type"), ({"target": "HCC"}, "type"), ({"task": "malignancy"}, "malignancy")]
)
def test_the_bars_of_the_task_of_the_maps_have_the_colour_of_its_class(
    settings: dict[str, str], task: str
) -> None:
    study = made_study()
    result = with_explanations(made_result(study), [made_explanation(study)], Settings(**settings))
    assert mapped_task(result, result.lesions[0]) == task


def test_views_follow_the_lesion_that_is_chosen() -> None:
    scene, study, _, nodes = shown()
    views = [scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode") for name in ("Red", "Yellow", "Green")]
    first, second = nodes.saliency[1], nodes.saliency[2]
    other = nodes.volumes["T2WI"]
    for view, node in zip(views, (first.maps["LAP"], first.weighted["T1WI"], other), strict=True):
        view.SetForegroundVolumeID(node.GetID())
    show_maps_of(scene, study.id, 2)
    wanted = [second.maps["LAP"], second.weighted["T1WI"], other]
    assert [view.GetForegroundVolumeID() for view in views] == [node.GetID() for node in wanted]
    mrml.remove_nodes(scene, [first.maps["LAP"]])
    show_maps_of(scene, study.id, 1)
    assert views[0].GetForegroundVolumeID() is None
    assert views[1].GetForegroundVolumeID() == first.weighted["T1WI"].GetID()


def test_maps_and_charts_are_filled_anew_and_what_is_left_goes() -> None:
    """The nodes stay, so that views and charts go on to show them; those of a lesion that is no more go."""
    scene, study, _, nodes = shown()
    reference = nodes.volumes["T2WI"]
    view = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    first = nodes.saliency[1]
    before = {node.GetID() for node in first.nodes}
    other = saliency_of(made_explanation(study, 1, target="cyst"), "lesion 1")
    made = add_saliency(scene, study.id, [other], reference)[1]
    assert {node.GetID() for node in made.nodes} == before
    assert view.GetForegroundVolumeID() == first.strongest.GetID()
    voxels = sitk.GetArrayFromImage(mrml.image_from_volume(made.maps["LAP"]))
    wanted = next(each for each in other.maps if each.sequence == "LAP" and not each.weighted)
    np.testing.assert_array_equal(voxels, sitk.GetArrayFromImage(wanted.load()))
    assert "type: cyst" in [series.GetName() for series in made.series]
    assert {key.lesion for key in maps_of(scene, study.id)} == {1}
    assert [legend.GetTitleText() for legend in mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode")] == [
        "saliency, cyst"
    ]


def test_retired_explanations_leave_views_at_once_and_the_scene_piece_by_piece() -> None:
    scene, study, _, nodes = shown()
    count = len([each for lesion in nodes.saliency.values() for each in lesion.nodes])
    retired = retire_saliency(scene, study.id)
    view = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert len(retired) == count and maps_of(scene, study.id) == {}
    assert view.GetForegroundVolumeID() is None
    pieces = removing(scene, retired)
    next(pieces)
    assert scene.IsNodePresent(retired[1]) and not scene.IsNodePresent(retired[0])
    scene.RemoveNode(retired[1])
    assert sum(1 for _piece in pieces) == count - 1
    assert not any(scene.IsNodePresent(node) for node in retired)
