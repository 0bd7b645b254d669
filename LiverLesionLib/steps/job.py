"""What a step gives the worker to do, and what is common to preparing it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer

if TYPE_CHECKING:
    from LiverLesionAI.results import Unit
    from LiverLesionAI.scenes.nodes import ChosenNodes
    from LiverLesionAI.study import Study


def _nothing() -> None:
    """Do nothing more."""


@dataclass(frozen=True)
class Job:
    """Work that is ready for the worker.

    Attributes
    ----------
    command, arguments
        See :mod:`LiverLesionAI.worker.commands`.
    finish
        Puts the answer into the scene, in pieces between which the window can live.
    then
        Called when that is done and the step is at rest.
    """

    command: str
    arguments: Mapping[str, Any]
    finish: Callable[[Mapping[str, Any]], Generator[None, None, None]]
    then: Callable[[], None] = _nothing


def read_study(nodes: ChosenNodes, unit: Unit) -> Study:
    """Read a study with its lesions from the scene.

    Parameters
    ----------
    nodes
        The study.
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

    if unit == "lesion" and nodes.segmentation is None:
        raise StudyError("No segmentation is chosen; segment a lesion in step 3.")
    return study_of(slicer.mrmlScene, nodes_for(unit, nodes))


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
