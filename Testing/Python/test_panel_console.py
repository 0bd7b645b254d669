"""The blocking forms for the Python console: classify, explain and save on nodes, without a window."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_desktop import ROOT, our_nodes, quiet_desktop
from tiny_bundles import tiny_bundle

from LiverLesionAI.study import Study


@pytest.fixture(scope="module")
def made_desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A desktop in which no panel is ever shown."""
    models = tmp_path_factory.mktemp("models")
    tiny_bundle(models / "tiny")
    with pytest.MonkeyPatch.context() as patch, quiet_desktop() as made:
        patch.setenv("LIVERLESIONAI_BUNDLES", str(models))
        made.load(ROOT / "LiverLesionAI.py")
        yield made


@pytest.fixture
def shown(made_desktop: Any, ball_study: Callable[..., Study]) -> Any:
    """The nodes of a study of one ball in an otherwise empty scene."""
    import slicer

    from LiverLesionAI.scenes.show import show_study

    made_desktop.close_scene()
    return show_study(slicer.mrmlScene, ball_study())


@pytest.fixture
def logic(made_desktop: Any) -> Any:
    import sys

    return sys.modules["LiverLesionAI"].LiverLesionAILogic()


def test_nothing_is_explained_or_saved_before_classifying(logic: Any, shown: Any, tmp_path: Path) -> None:
    from LiverLesionAI.errors import StudyError

    with pytest.raises(StudyError, match="classify"):
        logic.explain()
    with pytest.raises(StudyError, match="classify"):
        logic.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_classify_explain_save(logic: Any, shown: Any, tmp_path: Path) -> None:
    """One road, all in this process; no worker is started."""
    import slicer

    from LiverLesionAI.scenes.saliency import chart_of, lesion_maps
    from LiverLesionAI.taxonomy import taxonomy_named

    result, nodes = logic.classify("tiny")
    assert nodes.table.GetNumberOfRows() == 1 and nodes.segmentation is shown.segmentation
    explained = logic.explain()
    (lesion,) = explained.lesions
    assert lesion.tasks == result.lesions[0].tasks and lesion.sequence_weights
    maps = lesion_maps(slicer.mrmlScene, explained.study.id, 1, weighted=False)
    assert set(maps) == {"T2WI", "DWI", "LAP"}
    assert chart_of(slicer.mrmlScene, explained.study.id, 1) is not None

    names = our_nodes()
    kind = lesion.answer
    other = next(name for name in taxonomy_named(kind.taxonomy).names if name != kind.predicted)
    again = logic.explain(target=other, method="grad-cam")
    assert again.lesions[0].explained["type"] == other and len(our_nodes()) == len(names)
    assert logic.explain().lesions == explained.lesions and our_nodes() == names

    files, notes = logic.save(tmp_path / "out")
    assert notes == () and all(file.is_file() for file in files)
    written = {file.relative_to(tmp_path / "out").as_posix() for file in files}
    wanted = {"results.json", "results.csv", "report.html", "scene.mrb", "saliency/1_LAP_weighted.nii.gz"}
    assert wanted <= written
    saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert saved["lesions"][0]["sequence_weights"].keys() == lesion.sequence_weights.keys()
    assert slicer.modules.LiverLesionAIWidget.panel.session.client.pid is None


def test_the_saved_scene_is_the_open_one(logic: Any, shown: Any, tmp_path: Path) -> None:
    import slicer

    from LiverLesionAI import mrml

    logic.classify("tiny")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "a reader's own note")
    logic.save(tmp_path / "out")
    scene = mrml.load_scene(tmp_path / "out" / "scene.mrb")
    assert scene.GetFirstNodeByName("a reader's own note") is not None


def test_decisions_are_saved_and_a_moved_sequence_is_told(logic: Any, shown: Any, tmp_path: Path) -> None:
    import slicer

    from LiverLesionAI import decisions
    from LiverLesionAI.mrml import ManualOffset
    from LiverLesionAI.scenes.alignment import set_manual_offset

    result, _ = logic.classify("tiny")
    decided = decisions.with_lesion(result, decisions.accept(result.lesions[0], "Ada"))
    set_manual_offset(
        slicer.mrmlScene, shown.volumes["LAP"], "LAP", ManualOffset(right_mm=3.0), (60.0, 70.0, 50.0)
    )
    _, notes = logic.save(tmp_path / "out", decided)
    assert len(notes) == 1 and notes[0].startswith("LAP moved after the study was classified")
    saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert saved["lesions"][0]["reading"]["decisions"][0]["reader"] == "Ada"


def test_a_result_of_another_logic_is_explained_where_it_still_holds(
    logic: Any, made_desktop: Any, shown: Any
) -> None:
    """What is not kept is classified again from the scene, with the same answers."""
    result, _ = logic.classify("tiny")
    explained = type(logic)().explain(result)
    assert explained.lesions[0].tasks == result.lesions[0].tasks and explained.lesions[0].sequence_weights


def test_instances_known_to_the_database_give_dicom(
    logic: Any, made_desktop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom
    import slicer
    from dicom_phantoms import phantom, study_from_dicom

    from LiverLesionAI.phantom.dicom import write_dicom_study
    from LiverLesionAI.scenes.show import show_study

    made_desktop.close_scene()
    write_dicom_study(phantom(), tmp_path / "in", vendor="siemens", layout="separate", distractors=False)
    study = study_from_dicom(tmp_path / "in", "siemens", "separate")
    nodes, known = show_study(slicer.mrmlScene, study), {}
    for name in ("T2WI", "LAP"):
        files = study.images[name].dicom.files
        uids = {
            str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): str(file) for file in files
        }
        nodes.volumes[name].SetAttribute("DICOM.instanceUIDs", " ".join(uids))
        known |= uids
    monkeypatch.setattr(slicer, "dicomDatabase", _Database(known), raising=False)
    logic.classify("tiny")
    files, notes = logic.save(tmp_path / "out")
    assert notes == ()
    assert {"seg.dcm", "sr.dcm"} <= {file.name for file in files}


class _Database:
    """Slicer's DICOM database as far as it is asked."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def fileForInstance(self, uid: str) -> str:  # noqa: N802
        """Return the file of an instance, empty where it is not known."""
        return self._files.get(uid, "")
