"""Sample data: phantoms offered and made without a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from panel_desktop import ROOT, quiet_desktop

SEQUENCES = ["T2WI", "DWI", "ADC", "T1WI", "LAP", "PVP", "DP"]


@pytest.fixture
def made_desktop() -> Iterator[Any]:
    with quiet_desktop() as made:
        made.load(ROOT / "LiverLesionAI.py")
        yield made


def _sources() -> dict[str, Any]:
    import slicer

    return {source.sampleName: source for source in slicer.modules.sampleDataSources["Liver Lesion AI"]}


def test_samples_are_offered_when_slicer_has_started(made_desktop: Any) -> None:
    import slicer

    assert slicer.modules.sampleDataSources == {}
    slicer.app.start_up_completed()
    first, second, third = _sources()
    assert (first, second) == ("Liver phantom, lesions segmented", "Liver phantom, nothing segmented")
    assert third == "Liver phantom with hepatobiliary phase"
    for source in _sources().values():
        assert source.thumbnailFileName == (ROOT / "Resources/Icons/LiverLesionPhantom.png").as_posix()


def test_the_phantom_is_made_beside_the_window(made_desktop: Any) -> None:
    """Two presses make one phantom; the panel can take it as it is."""
    import slicer

    slicer.app.start_up_completed()
    press = _sources()["Liver phantom, nothing segmented"]
    press.customDownloader(press)
    press.customDownloader(press)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert made_desktop.wait(lambda: len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 7, 120)
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    made_desktop.enter("LiverLesionAI")
    widget = slicer.modules.LiverLesionAIWidget
    widget.ui.assignButton.click()
    assert [name for name in SEQUENCES if getattr(widget.ui, f"selector{name}").currentNode()] == SEQUENCES
    view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert view.GetBackgroundVolumeID() == widget.ui.selectorLAP.currentNodeID
    made_desktop.settle(300)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 7


def test_what_goes_wrong_is_told(made_desktop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import slicer

    sample_data = sys.modules["LiverLesionLib.sample_data"]
    monkeypatch.setattr(sample_data, "SEED", -1)
    slicer.app.start_up_completed()
    press = _sources()["Liver phantom, lesions segmented"]
    press.customDownloader(press)
    assert made_desktop.wait(lambda: bool(made_desktop.messages), 60)
    assert "could not be made" in made_desktop.messages[0]
    made_desktop.taken_slot_errors()


def test_the_console_waits_for_the_phantom(made_desktop: Any) -> None:
    import slicer

    from LiverLesionLib.sample_data import load_phantom

    volumes = load_phantom()
    assert [volume.GetName() for volume in volumes] == SEQUENCES
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 3


def test_the_phantom_for_the_detection_has_its_series(made_desktop: Any) -> None:
    from LiverLesionLib.sample_data import SEED, sample

    wanted = sample(hepatobiliary=True)
    assert "HBP" in wanted.options["sequences"] and wanted.seed != SEED
    assert not 900_000 <= wanted.seed < 910_000


def test_a_phantom_that_is_there_stays_with_what_was_made_of_it(made_desktop: Any) -> None:
    import slicer

    from LiverLesionLib.sample_data import load_phantom

    volumes = load_phantom(segmented=False)
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    assert load_phantom() == volumes
    slicer.app.start_up_completed()
    press = _sources()["Liver phantom, lesions segmented"]
    press.customDownloader(press)
    made_desktop.settle(300)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == volumes
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [drawn]
