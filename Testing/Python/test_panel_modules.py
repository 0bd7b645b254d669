"""The further modules, driven as a reader would: registration of sequences, patches and data sets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ball_image
from panel_desktop import ROOT, quiet_desktop

from LiverLesionAI.study import Study

MODULES = ("LiverSequenceRegistration", "LiverLesionPatches")
SHIFT = (6.0, -3.0, 0.0)


@pytest.fixture(scope="module")
def made_desktop() -> Iterator[Any]:
    """One desktop with the further modules, so that the worker stays warm from test to test."""
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        for name in MODULES:
            made.load(ROOT / "scripted_modules" / f"{name}.py")
        yield made


VESSELS = (((44.0, 80.0, 38.0), 8.0), ((80.0, 60.0, 66.0), 7.0), ((72.0, 88.0, 34.0), 9.0))
"""Centres, LPS mm, and radii, mm."""


@pytest.fixture
def study(ball_study: Callable[..., Study]) -> Study:
    """A lesion between vessels, whose arterial phase lies beside its place."""
    made = ball_study()
    images = {name: _among_vessels(image.image) for name, image in made.images.items()}
    images["LAP"].SetOrigin(np.add(images["LAP"].GetOrigin(), SHIFT).tolist())
    return replace(made, images={n: replace(made.images[n], image=image) for n, image in images.items()})


def _among_vessels(image: sitk.Image) -> sitk.Image:
    """An image with smaller balls added at the same places: one ball alone hardly tells where it lies."""
    for centre, radius in VESSELS:
        image = image + ball_image(
            image.GetSize(), image.GetSpacing(), centre, radius, origin=image.GetOrigin()
        )
    return image


@pytest.fixture
def shown(made_desktop: Any, study: Study) -> Iterator[Any]:
    """The study's nodes in an otherwise empty scene."""
    import slicer

    from LiverLesionAI.scenes.show import show_study

    made_desktop.close_scene()
    yield show_study(slicer.mrmlScene, study)
    assert made_desktop.taken_slot_errors() == []


def _enter(made: Any, name: str) -> Any:
    import slicer

    made.enter(name)
    widget = getattr(slicer.modules, f"{name}Widget")
    widget.ui.assignButton.click()
    return widget


def _finish(made: Any, widget: Any) -> None:
    assert made.wait(lambda: not widget.panel.is_busy, 120), "the work did not end"
    made.settle(300)


def _shift_of(volume: Any) -> np.ndarray:
    """Where a transform takes the centre of the displaced ball, LPS mm, less where it was."""
    world = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld([-66.0, -67.0, 50.0], world)
    return np.subtract([-world[0], -world[1], world[2]], (66.0, 67.0, 50.0))


def test_sequences_are_registered_in_the_background(made_desktop: Any, shown: Any) -> None:
    import slicer

    widget = _enter(made_desktop, "LiverSequenceRegistration")
    ui = widget.ui
    assert ui.selectorLAP.currentNode() is shown.volumes["LAP"]
    assert ui.segmentationSelector.currentNode() is shown.segmentation
    assert "neighbourhoods of the lesions" in ui.scopeStatus.text
    ui.transformCombo.setCurrentIndex(0)
    ui.resampleCheck.checked = True
    ui.registerButton.click()
    assert ui.registerButton.text == "Cancel" and ui.alignTable.cellWidget(0, 1) is not None
    _finish(made_desktop, widget)
    assert "✓" in ui.alignStep.text, ui.alignStatus.text
    assert shown.volumes["LAP"].GetParentTransformNode().GetName() == "LAP to T2WI"
    assert np.abs(_shift_of(shown.volumes["LAP"]) + SHIFT).max() < 1.5
    made = slicer.util.getNode("LAP registered")
    assert made.GetImageData().GetDimensions() == shown.volumes["T2WI"].GetImageData().GetDimensions()
    ui.registerButton.click()
    _finish(made_desktop, widget)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 5
    ui.assignButton.click()
    assert ui.selectorLAP.currentNode() is shown.volumes["LAP"]


def test_a_registration_is_cancelled(made_desktop: Any, shown: Any) -> None:
    widget = _enter(made_desktop, "LiverSequenceRegistration")
    widget.ui.aroundLesionsCheck.checked = False
    made_desktop.settle(300)
    assert "whole volumes" in widget.ui.scopeStatus.text
    widget.ui.registerButton.click()
    made_desktop.settle(50)
    widget.ui.registerButton.click()
    _finish(made_desktop, widget)
    assert "Cancelled" in widget.ui.alignStatus.text
    assert shown.volumes["LAP"].GetParentTransformNode() is None


def test_registration_waits_in_the_console(made_desktop: Any, shown: Any) -> None:
    import slicer

    logic = slicer.modules.LiverSequenceRegistrationWidget.logic
    heard = set()
    found = logic.register(
        segmentation=shown.segmentation, transform="rigid", progress=lambda step, fraction: heard.add(step)
    )
    assert set(found) == {"DWI", "LAP"} and heard == {"register DWI", "register LAP"}
    assert shown.volumes["LAP"].GetParentTransformNode() is found["LAP"]
    assert np.abs(_shift_of(shown.volumes["LAP"]) + SHIFT).max() < 1.5


def test_lesions_are_cropped(made_desktop: Any, shown: Any, study: Study) -> None:
    import slicer

    widget = _enter(made_desktop, "LiverLesionPatches")
    for _round in range(2):
        widget.ui.cropButton.click()
        assert widget.ui.cropButton.text == "Cancel"
        _finish(made_desktop, widget)
        assert widget.ui.cropStatus.text == f"{1 + 2 * len(study.sequences)} volumes were made."
        annotation = slicer.util.getNode("lesion 1 LAP annotation")
        assert annotation.GetImageData().GetDimensions() == (64, 64, 64)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 3 + 7
    label = slicer.util.getNode("lesion 1 label")
    inside = slicer.util.arrayFromVolume(label) == 1
    assert inside.sum() * np.prod(label.GetSpacing()) / 1000 == pytest.approx(4.1, abs=0.3)
    mine = slicer.util.arrayFromVolume(slicer.util.getNode("lesion 1 T2WI annotation"))
    assert mine[inside].mean() > 0.75 and mine[~inside].mean() < 0.05
    widget.ui.assignButton.click()
    assert widget.ui.selectorLAP.currentNode() is shown.volumes["LAP"]


def test_cropping_is_cancelled(made_desktop: Any, shown: Any) -> None:
    import slicer

    widget = _enter(made_desktop, "LiverLesionPatches")
    widget.ui.cropButton.click()
    widget.ui.cropButton.click()
    assert widget.ui.cropButton.text == "Crop lesions" and "Cancelled" in widget.ui.cropStatus.text
    made_desktop.settle(200)
    assert slicer.mrmlScene.GetFirstNodeByName("lesion 1 label") is None
    widget.ui.cropButton.click()
    made_desktop.close_scene()
    made_desktop.settle(300)
    assert slicer.mrmlScene.GetFirstNodeByName("lesion 1 label") is None
    assert not widget.panel.is_busy


def test_a_study_is_exported_with_its_classes(made_desktop: Any, shown: Any, tmp_path: Path) -> None:
    from LiverLesionAI.training.cases import open_study, training_cases
    from LiverLesionAI.training.config import TrainingConfig

    widget = _enter(made_desktop, "LiverLesionPatches")
    ui = widget.ui
    made_desktop.settle(300)
    assert not ui.exportButton.enabled and "class of each lesion" in ui.exportStatus.text
    chooser = ui.diagnosisTable.cellWidget(0, 2)
    chooser.setCurrentIndex(chooser.findText("FNH"))
    ui.datasetEdit.currentPath = str(tmp_path / "data")
    ui.patientEdit.text = "P1"
    made_desktop.settle(300)
    for name in ("ball", "ball-2"):
        assert ui.exportButton.enabled, ui.exportStatus.text
        ui.exportButton.click()
        _finish(made_desktop, widget)
        assert f"Study {name} was added" in ui.exportStatus.text
    with (tmp_path / "data" / "cohort.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["study_id"], row["patient_id"], row["truth"]) for row in rows] == [
        ("ball", "P1", "FNH"),
        ("ball-2", "P1", "FNH"),
    ]
    config = TrainingConfig(name="own", cohort=tmp_path / "data" / "cohort.csv")
    lesions = training_cases(config)
    assert open_study(lesions[1], config).sequences == ("T2WI", "DWI", "LAP")
    ui.studyNameEdit.text = "ball"
    ui.exportButton.click()
    _finish(made_desktop, widget)
    assert "holds a study ball already" in ui.exportStatus.text


def test_an_export_is_cancelled(made_desktop: Any, shown: Any, tmp_path: Path) -> None:
    widget = _enter(made_desktop, "LiverLesionPatches")
    widget.ui.diagnosisTable.cellWidget(0, 2).setCurrentIndex(1)
    widget.ui.datasetEdit.currentPath = str(tmp_path / "data")
    made_desktop.settle(300)
    widget.ui.exportProgress.connect(
        "valueChanged(int)", lambda value: value and widget.ui.exportButton.click()
    )
    widget.ui.exportButton.click()
    assert made_desktop.wait(lambda: not widget.panel.is_busy, 20)
    assert "Cancelled" in widget.ui.exportStatus.text
    assert [file.name for file in (tmp_path / "data").iterdir()] == []


def test_what_was_chosen_comes_back_with_the_scene(made_desktop: Any, shown: Any, tmp_path: Path) -> None:
    import slicer

    from LiverLesionAI import mrml

    widget = _enter(made_desktop, "LiverLesionPatches")
    widget.ui.diagnosisTable.cellWidget(0, 2).setCurrentIndex(2)
    widget.ui.patientEdit.text = "P7"
    mrml.save_scene(slicer.mrmlScene, tmp_path / "scene.mrb")
    made_desktop.close_scene()
    assert widget.ui.patientEdit.text == ""
    made_desktop.open_scene(tmp_path / "scene.mrb")
    made_desktop.settle(300)
    assert widget.ui.diagnosisTable.cellWidget(0, 2).currentIndex == 2
    assert widget.ui.patientEdit.text == "P7"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_tests_itself(made_desktop: Any, name: str) -> None:
    import sys

    getattr(sys.modules[name], f"{name}Test")().runTest()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_reloaded(kept_library: None, made_desktop: Any, shown: Any, name: str) -> None:
    import slicer

    old = _enter(made_desktop, name)
    old.onReload()
    fresh = getattr(slicer.modules, f"{name}Widget")
    assert fresh is not old and not old.Observations
    made_desktop.enter(name)
    assert fresh.ui.selectorLAP.currentNode() is shown.volumes["LAP"]
