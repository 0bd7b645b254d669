"""What the panel asks of the worker, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from LiverLesionLib.parameters import chosen_volumes
from LiverLesionLib.scene_study import saliency_volumes, show_result, study_of
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
    """Write the study for the worker; its answer becomes table, colours, maps."""
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.results import StudyResult
    from LiverLesionAI.worker.exchange import write_study

    parameters = panel.parameters
    volumes, segmentation = chosen_volumes(parameters), parameters.segmentation
    if segmentation is None:
        raise StudyError("No segmentation is chosen; outline a lesion in step 3.")
    study = study_of(volumes, segmentation, parameters.reference)
    arguments = {
        "study": str(write_study(study, panel.session.folder("study"))),
        "model": parameters.model,
        "device": parameters.device,
        "precision": parameters.precision,
    }
    if parameters.explain:
        arguments["out"] = str(panel.session.folder("saliency"))

    def finish(answer: Mapping[str, Any]) -> None:
        _check_present(*volumes.values(), segmentation)
        result = StudyResult.from_dict(answer["results"])
        nodes = show_result(study, result, volumes, segmentation)
        saliency_volumes(study, [Path(file) for file in answer["saliency"]], volumes, nodes.folder)
        add_weights(result, nodes.folder)
        panel.set_result(result)
        panel.classify.refresh()

    return Prepared("classify", arguments, finish)


def prepare_register(panel: Front) -> Prepared:
    """Write the study without its earlier alignment; the answer becomes transform nodes."""
    from dataclasses import replace

    from LiverLesionAI.worker.exchange import write_study
    from LiverLesionLib.alignment import add_alignment, aligned_sequences

    parameters, scope = panel.parameters, panel.registration_scope
    volumes, reference = chosen_volumes(parameters), parameters.reference
    study = study_of(volumes, parameters.segmentation if scope == "lesion" else None, reference)
    own = aligned_sequences(volumes)
    images = {n: replace(image, transform=None) if n in own else image for n, image in study.images.items()}
    study = replace(study, images=images)
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


def _check_present(*nodes: Any) -> None:
    """Raise StudyError where the scene has lost a node while the worker was at it."""
    from LiverLesionAI.errors import StudyError

    if not all(slicer.mrmlScene.IsNodePresent(node) for node in nodes):
        raise StudyError(
            "The study was changed while the work went on, so its answer was not used; start again."
        )


JOBS: Mapping[str, Callable[[Any], Prepared]] = {"classify": prepare_classify, "register": prepare_register}
"""Name of a job to what prepares it."""
