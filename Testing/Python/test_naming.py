"""Which volume of a scene is which sequence: one rule of choice for volumes and for DICOM files."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from LiverLesionAI import mrml
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.scenes.logic import sequence_candidates, studies
from LiverLesionAI.scenes.naming import name_volumes

pytest.importorskip("slicer", reason="slicer-core is not installed")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


def add(
    scene: Node, name: str, direction: tuple[float, ...] = AXIAL, slices: int = 20, origin_mm: float = 0.0
) -> Node:
    """A volume of 200 mm × 200 mm × 10 mm a slice that is called something."""
    image = sitk.GetImageFromArray(np.zeros((slices, 20, 20), np.int16))
    image.SetSpacing((10.0, 10.0, 10.0))
    image.SetDirection(direction)
    image.SetOrigin((origin_mm, 200.0 if direction == CORONAL else 0.0, 0.0))
    return mrml.add_volume(scene, image, name)


def chosen(scene: Node) -> dict[str, str]:
    return {name: naming.node.GetName() for name, naming in name_volumes(sequence_candidates(scene)).items()}


@pytest.mark.parametrize("first", [True, False])
def test_plane_and_b_value_choose_among_plain_volumes(first: bool) -> None:
    """Whichever was loaded first: coronal HASTE and b = 50 lose against axial TSE and b = 800."""
    scene = mrml.new_scene()
    volumes = [("t2_haste_cor", CORONAL), ("t2_tse_tra", AXIAL), ("dwi_b50", AXIAL), ("dwi_b800", AXIAL)]
    for name, direction in volumes if first else volumes[::-1]:
        add(scene, name, direction)
    assert chosen(scene) == {"T2WI": "t2_tse_tra", "DWI": "dwi_b800"}


def test_the_plane_is_the_volumes_not_that_of_its_name() -> None:
    scene = mrml.new_scene()
    add(scene, "t2 haste", CORONAL)
    add(scene, "t2 again", AXIAL)
    assert chosen(scene) == {"T2WI": "t2 again"}


def test_a_short_repetition_loses_against_full_coverage() -> None:
    scene = mrml.new_scene()
    add(scene, "t2 test", slices=6)
    add(scene, "t2 tra")
    assert chosen(scene) == {"T2WI": "t2 tra"}


def test_a_sequence_by_its_own_name_stands_beside_b50_and_other_planes() -> None:
    scene = mrml.new_scene()
    for name in ("dwi b50", "DWI", "LAP"):
        add(scene, name)
    add(scene, "lap cor", CORONAL)
    assert chosen(scene) == {"DWI": "DWI", "LAP": "LAP"}
    reasons = {name: each.reason for name, each in name_volumes(sequence_candidates(scene)).items()}
    assert reasons["DWI"] == "the volume is called 'DWI'; chosen among 2"


def test_what_was_stored_as_a_sequence_comes_before_all_else() -> None:
    scene = mrml.new_scene()
    add(scene, "t2_tse_tra")
    add(scene, "kept", CORONAL).SetAttribute(attributes.SEQUENCE, "T2WI")
    assert chosen(scene) == {"T2WI": "kept"}
    assert name_volumes([]) == {}


def test_volumes_in_no_folder_are_a_study_beside_others() -> None:
    scene = mrml.new_scene()
    loose = add(scene, "t2_tse_tra")
    assert studies(scene) == {}, "with nothing else there is nothing to choose"
    hierarchy = scene.GetSubjectHierarchyNode()
    for _number in range(2):
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "MRI liver")
        mrml.file_under(scene, folder, [add(scene, "T2WI")])
    found = studies(scene)
    assert list(found) == ["MRI liver", "MRI liver (2)", "volumes in no folder"]
    assert found["volumes in no folder"] == [loose]
    assert found["MRI liver"] != found["MRI liver (2)"]
