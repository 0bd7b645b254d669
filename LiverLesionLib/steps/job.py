"""What a step gives the worker to do, and what is common to preparing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

if TYPE_CHECKING:
    from LiverLesionAI.results import Unit
    from LiverLesionAI.scenes.nodes import ChosenNodes
    from LiverLesionAI.study import Study


@dataclass(frozen=True)
class Job:
    """Work that is ready for the worker.

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


def written_study(nodes: ChosenNodes, folder: Path, unit: Unit) -> Study:
    """Write a study with its lesions into an empty folder, for the worker.

    Parameters
    ----------
    nodes
        The study.
    folder
        Empty.
    unit
        What gets an answer; lesions must be segmented where it is the lesion, else an empty segmentation is
        passed over.

    Raises
    ------
    StudyError
        If nothing is segmented, or the nodes cannot be used.
    """
    from LiverLesionAI.errors import StudyError
    from LiverLesionAI.scenes.logic import nodes_for
    from LiverLesionAI.scenes.read import study_of
    from LiverLesionAI.worker.exchange import send_study

    if unit == "lesion" and nodes.segmentation is None:
        raise StudyError("No segmentation is chosen; segment a lesion in step 3.")
    study = study_of(slicer.mrmlScene, nodes_for(unit, nodes))
    send_study(study, folder)
    return study


def check_present(nodes: Iterable[Any]) -> None:
    """Check that the scene has lost no node while the worker was at it.

    Raises
    ------
    StudyError
        If it has.
    """
    from LiverLesionAI.errors import StudyError

    if not all(slicer.mrmlScene.IsNodePresent(node) for node in nodes):
        raise StudyError(
            "The study was changed while the work went on, so its answer was not used; start again."
        )
