"""What the panel asks of the worker, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from LiverLesionLib.dicom_files import instance_files, instance_uids
from LiverLesionLib.layouts import known_layout
from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import (
    clear_explanations,
    maps_in_views,
    saliency_volumes,
    show_maps_again,
    show_result,
    study_of,
)
from LiverLesionLib.weights import add_weights

if TYPE_CHECKING:
    from LiverLesionLib.front import Front
    from LiverLesionLib.panel import Panel


@dataclass(frozen=True)
class Prepared:
    """A job ready for the worker.

    Attributes
    ----------
    command, arguments
        See :mod:`LiverLesionAI.worker.commands`.
    finish
        Puts the answer into the scene.
    """

    command: str
    arguments: Mapping[str, Any]
    finish: Callable[[Mapping[str, Any]], None]


def prepare_classify(panel: Panel) -> Prepared:
    """Write the study for the worker; its answer becomes table and colours, the explanation follows."""
    from LiverLesionAI.decisions import carry_over
    from LiverLesionAI.results import StudyResult, with_registration

    parameters = panel.parameters
    volumes, segmentation = chosen_volumes(parameters), parameters.segmentation
    study, folder = _written(panel, "classified")
    arguments = {
        "study": str(folder),
        "model": parameters.model,
        "device": parameters.device,
        "precision": parameters.precision,
    }

    def finish(answer: Mapping[str, Any]) -> None:
        _check_present(*volumes.values(), segmentation)
        result = with_registration(StudyResult.from_dict(answer["results"]), panel.registration())
        if panel.result is not None:
            result = carry_over(panel.result, result)
        show_result(study, result, volumes, segmentation)
        panel.set_result(result, classified=folder)
        panel.classify.refresh()
        panel.explain.refresh()
        if parameters.explain:
            panel.start(panel.explain, "explain")

    return Prepared("classify", arguments, finish)


def prepare_explain(panel: Panel) -> Prepared:
    """Ask for the explanation of the panel's result; it becomes maps, tables and charts."""
    from LiverLesionAI import mrml
    from LiverLesionAI.results import StudyResult, with_weights_of

    volumes = chosen_volumes(panel.parameters)
    folder = panel.classified or _written(panel, "classified")[1]
    arguments = {
        "study": str(folder),
        "results": panel.result.to_dict(),
        "out": str(panel.session.folder("saliency")),
        "target": panel.explain.target,
        "method": panel.explain.method,
    }

    def finish(answer: Mapping[str, Any]) -> None:
        _check_present(*volumes.values())
        result = with_weights_of(panel.result, StudyResult.from_dict(answer["results"]))
        item = mrml.folder_item(slicer.mrmlScene, result.study.id, beside=volumes[result.study.reference])
        shown = maps_in_views(result.study.id)
        clear_explanations(result.study.id)
        files = [Path(file) for file in answer["saliency"]]
        saliency_volumes(result, files, answer["places"], volumes, item)
        show_maps_again(result.study.id, shown)
        add_weights(result, item)
        panel.set_result(result, classified=panel.classified)
        panel.explain.lesion_selected(panel.classify.selected())

    return Prepared("explain", arguments, finish)


def prepare_save(panel: Panel) -> Prepared:
    """Write study and scene for the worker, which writes the output folder."""
    from LiverLesionAI import mrml

    folder, volumes = panel.save_step.folder, chosen_volumes(panel.parameters)
    scene = panel.session.folder("scene")
    _, written = _written(panel, "saved")
    with known_layout():
        mrml.save_scene_folder(slicer.mrmlScene, scene)
    arguments = {
        "study": str(written),
        "results": panel.result.to_dict(),
        "out": str(folder),
        "scene": str(scene),
        "instances": {
            name: [str(file) for file in instance_files(node)]
            for name, node in volumes.items()
            if instance_uids(node)
        },
    }
    known = set(panel.result.warnings)

    def finish(answer: Mapping[str, Any]) -> None:
        notes = [warning for warning in answer["warnings"] if warning not in known]
        panel.save_step.saved(folder, answer["files"], notes)

    return Prepared("save", arguments, finish)


def prepare_register(panel: Front) -> Prepared:
    """Write the study without its earlier alignment; the answer becomes transform nodes."""
    from LiverLesionAI.worker.exchange import write_study
    from LiverLesionLib.alignment import add_alignment
    from LiverLesionLib.registering import without_alignment

    parameters, scope = panel.parameters, panel.registration_scope
    volumes, reference = chosen_volumes(parameters), parameters.reference
    study = study_of(volumes, parameters.segmentation if scope == "lesion" else None, reference)
    study = without_alignment(study, volumes)
    arguments = {
        "study": str(write_study(study, panel.session.folder("study"))),
        "out": str(panel.session.folder("registration")),
        "transform": parameters.transform,
        "scope": scope,
    }

    def finish(answer: Mapping[str, Any]) -> None:
        import SimpleITK as sitk

        _check_present(*volumes.values())
        transforms = {name: sitk.ReadTransform(file) for name, file in answer["transforms"].items()}
        add_alignment(volumes, reference, transforms, answer["registration"])
        panel.registered()

    return Prepared("register", arguments, finish)


def _written(panel: Panel, name: str) -> tuple[Any, Path]:
    """The study that the panel shows, and the folder of the session that it was written to."""
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.worker.exchange import write_study

    parameters = panel.parameters
    if parameters.segmentation is None:
        raise StudyError("No segmentation is chosen; outline a lesion in step 3.")
    study = study_of(chosen_volumes(parameters), parameters.segmentation, parameters.reference)
    return study, write_study(study, panel.session.folder(name))


def _check_present(*nodes: Any) -> None:
    """Raise StudyError where the scene has lost a node while the worker was at it."""
    from LiverLesionAI.errors import StudyError

    if not all(slicer.mrmlScene.IsNodePresent(node) for node in nodes):
        raise StudyError(
            "The study was changed while the work went on, so its answer was not used; start again."
        )


JOBS: Mapping[str, Callable[[Any], Prepared]] = {
    "register": prepare_register,
    "classify": prepare_classify,
    "explain": prepare_explain,
    "save": prepare_save,
}
"""Name of a job to what prepares it."""
