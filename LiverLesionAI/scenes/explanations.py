"""What a scene shows of explanations, whether they are at hand or were written by another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from LiverLesionAI.results import LesionResult, StudyResult

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation
    from LiverLesionAI.writers.saliency import SaliencyFile

Point = tuple[float, float, float]
"""LPS mm."""


@dataclass(frozen=True)
class SaliencyMap:
    """Where the model looked in a sequence, perhaps scaled by its weight.

    Attributes
    ----------
    sequence, weighted
        The sequence; whether the map is scaled by its weight.
    load
        Makes or reads the image, in the reference frame.
    """

    sequence: str
    weighted: bool
    load: Callable[[], sitk.Image]


@dataclass(frozen=True)
class LesionSaliency:
    """What is shown of one lesion's explanation.

    Attributes
    ----------
    lesion, name
        Label and name of the lesion.
    task
        The task whose class the maps explain.
    explained
        Task to the class explained in it.
    weights
        Task to sequence to ``{"share": …, "shapley": …}``, as in ``results.json``.
    interactions
        Task to pairs of sequences with their interaction, as in ``results.json``.
    maps
        The maps.
    place_lps_mm
        Middle of the lesion's slice of largest area, reference frame.
    """

    lesion: int
    name: str
    task: str
    explained: Mapping[str, str]
    weights: Mapping[str, Mapping[str, Mapping[str, Any]]]
    interactions: Mapping[str, Sequence[tuple[str, str, float]]]
    maps: tuple[SaliencyMap, ...]
    place_lps_mm: Point

    @property
    def target(self) -> str:
        """The class that the maps explain."""
        return self.explained[self.task]

    @property
    def strongest(self) -> str:
        """The sequence that counted most for that class."""
        weights = self.weights[self.task]
        return max(weights, key=lambda name: float(weights[name]["shapley"]))


def saliency_of(explanation: LesionExplanation, name: str) -> LesionSaliency:
    """Return what is shown of an explanation at hand.

    Parameters
    ----------
    explanation
        Of one lesion.
    name
        The lesion's name.
    """
    weights = explanation.weights
    return LesionSaliency(
        lesion=explanation.lesion.lesion_id,
        name=name,
        task=explanation.task,
        explained={task: each.target for task, each in weights.items()},
        weights={task: each.to_dict() for task, each in weights.items()},
        interactions={task: each.pairs() for task, each in weights.items()},
        maps=tuple(
            SaliencyMap(sequence, weighted, partial(explanation.image, sequence, weighted=weighted))
            for sequence in explanation.sequences
            for weighted in (False, True)
        ),
        place_lps_mm=explanation.slice_centre_lps_mm(explanation.largest_slice),
    )


def saliency_from_files(
    result: StudyResult, files: Iterable[SaliencyFile], places: Mapping[int, Point]
) -> list[LesionSaliency]:
    """Return what is shown of explanations that another process made.

    Parameters
    ----------
    result
        The result with their weights.
    files
        Their maps; each is read when it is loaded.
    places
        Lesion to the middle of its slice of largest area, LPS mm, reference frame.
    """
    maps: dict[int, list[SaliencyMap]] = {}
    for each in files:
        load = partial(sitk.ReadImage, str(each.file))
        maps.setdefault(each.lesion, []).append(SaliencyMap(each.sequence, each.weighted, load))
    return [
        LesionSaliency(
            lesion=lesion.id,
            name=lesion.name,
            task=mapped_task(result, lesion),
            explained=lesion.explained,
            weights=lesion.sequence_weights,
            interactions=lesion.sequence_interactions,
            maps=tuple(maps[lesion.id]),
            place_lps_mm=places[lesion.id],
        )
        for lesion in result.lesions
        if lesion.id in maps
    ]


def mapped_task(result: StudyResult, lesion: LesionResult) -> str:
    """Return the task whose class the maps of an explained lesion explain.

    It is the one that was asked for, else that of the class asked for, else the primary
    one, else the first (:func:`LiverLesionAI.explanation.settings.explained_task`).
    """
    asked = explanation_settings(result)
    task, target = asked.get("task"), asked.get("target")
    if task in lesion.tasks:
        return str(task)
    ordered = sorted(lesion.tasks, key=lambda each: not lesion.tasks[each].primary)
    return next((each for each in ordered if target in (None, lesion.explained.get(each))), ordered[0])


def strongest_sequence(result: StudyResult, lesion: LesionResult) -> str:
    """Return the sequence that counted most for the class that the maps of an explained lesion explain."""
    weights = lesion.sequence_weights[mapped_task(result, lesion)]
    return max(weights, key=lambda name: float(weights[name]["shapley"]))


def explanation_settings(result: StudyResult) -> dict[str, Any]:
    """Return what a result was explained with, as its provenance has it; empty where it was not."""
    return dict(result.provenance.parameters.get("saliency", {}))
