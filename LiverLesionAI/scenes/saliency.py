"""Saliency maps and sequence weights of a study as MRML nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from LiverLesionAI import mrml
from LiverLesionAI.explanation import palette
from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.explanation.weights import SequenceWeights
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.study import Study
from LiverLesionAI.taxonomy import TAXONOMIES

_COLOURS = 256
_OTHER_TASK_COLOUR = (0.55, 0.55, 0.55)
_AXIS = "weight (log-odds)"


@dataclass(frozen=True)
class SaliencyNodes:
    """What one lesion's explanation became.

    Attributes
    ----------
    explanation
        The explanation.
    maps, weighted
        Sequence to the volume of its feature map, and of the same times its weight.
    weights, interactions
        Table of the weights, a column a task; task to the table of its interactions.
    chart
        The weights as bars.
    legend
        Of the strongest sequence's map.
    series
        The chart's rows of bars.
    """

    explanation: LesionExplanation
    maps: Mapping[str, Node]
    weighted: Mapping[str, Node]
    weights: Node
    interactions: Mapping[str, Node]
    chart: Node
    legend: Node
    series: tuple[Node, ...] = ()

    @property
    def strongest(self) -> Node:
        """Map of the sequence that counted most."""
        return self.maps[self.explanation.strongest]

    @property
    def nodes(self) -> list[Node]:
        """All that have a place in the subject hierarchy."""
        volumes = [*self.maps.values(), *self.weighted.values()]
        return [*volumes, self.weights, *self.interactions.values(), self.chart, *self.series]


def add_saliency(
    scene: Node, study: Study, explanations: Iterable[LesionExplanation], reference: Node
) -> dict[int, SaliencyNodes]:
    """Add the explanations of a study's lesions to a scene.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study
        The study.
    explanations
        Of its lesions.
    reference
        Volume node of the reference sequence: the maps lie under the same transform.

    Returns
    -------
    dict
        Lesion to its nodes; all nodes are marked as the study's.
    """
    explanations = tuple(explanations)
    if not explanations:
        return {}
    colours = palette.colours([value / (_COLOURS - 1) for value in range(_COLOURS)])
    scale = mrml.add_colour_scale(scene, f"{study.id} saliency", colours.tolist())
    scale.SetAttribute(attributes.STUDY, study.id)
    return {each.lesion.lesion_id: _add_lesion(scene, study, each, scale, reference) for each in explanations}


def _add_lesion(
    scene: Node, study: Study, explanation: LesionExplanation, scale: Node, reference: Node
) -> SaliencyNodes:
    lesion_id = explanation.lesion.lesion_id
    lesion = study.lesion_name(lesion_id)
    maps, weighted = (
        {name: _add_map(scene, explanation, name, lesion, scale, reference, is_weighted)
         for name in explanation.sequences}
        for is_weighted in (False, True)
    )  # fmt: skip
    weights, chart, series = _add_weights(scene, explanation, lesion)
    interactions = {
        task: mrml.add_table(scene, f"{lesion} interactions {task}", *_interaction_table(each))
        for task, each in explanation.weights.items()
    }
    legend = mrml.add_colour_legend(maps[explanation.strongest], f"saliency, {explanation.target}")
    nodes = SaliencyNodes(explanation, maps, weighted, weights, interactions, chart, legend, tuple(series))
    for node in nodes.nodes:
        node.SetAttribute(attributes.STUDY, study.id)
        node.SetAttribute(attributes.LESION, str(lesion_id))
    return nodes


def _add_map(
    scene: Node,
    explanation: LesionExplanation,
    name: str,
    lesion: str,
    scale: Node,
    reference: Node,
    weighted: bool,
) -> Node:
    suffix = " weighted" if weighted else ""
    image = explanation.image(name, weighted=weighted)
    node = mrml.add_volume(scene, image, f"{lesion} {name} saliency{suffix}")
    node.SetAttribute(attributes.ROLE, attributes.SALIENCY)
    node.SetAttribute(attributes.MAP, f"{name}{suffix}")
    place = explanation.slice_centre_lps_mm(explanation.largest_slice)
    node.SetAttribute(attributes.PLACE, " ".join(map(repr, place)))
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    mrml.show_as_overlay(node, scale, palette.THRESHOLD)
    return node


def _add_weights(
    scene: Node, explanation: LesionExplanation, lesion: str
) -> tuple[Node, Node, Sequence[Node]]:
    every = explanation.weights.values()
    columns = [f"{each.task}: {each.target}" for each in every]
    shares = [each for each in every if each.shares is not None]
    titles = ["sequence", *columns, *(f"share, {each.task}: {each.target}" for each in shares)]
    numbers = [each.shapley.tolist() for each in every]
    numbers += [each.shares.total.tolist() for each in shares if each.shares is not None]
    rows = list(zip(explanation.sequences, *numbers, strict=True))
    table = mrml.add_table(scene, f"{lesion} sequence weights", titles, rows)
    colours = {
        column: _class_colour(each.target) if each.task == explanation.task else _OTHER_TASK_COLOUR
        for column, each in zip(columns, every, strict=True)
    }
    chart, series = mrml.add_bar_chart(scene, f"{lesion} sequence weights", table, titles[0], colours, _AXIS)
    return table, chart, series


def _interaction_table(weights: SequenceWeights) -> tuple[list[str], list[list[str | float]]]:
    rows: list[list[str | float]] = [
        [name, *values] for name, values in zip(weights.sequences, weights.interactions.tolist(), strict=True)
    ]
    return ["sequence", *weights.sequences], rows


def _class_colour(name: str) -> tuple[float, float, float]:
    """Colour of a class, which is the same in every taxonomy."""
    known = {each.name: each.colour for taxonomy in TAXONOMIES.values() for each in taxonomy.classes}
    red, green, blue = (channel / 255 for channel in known[name])
    return red, green, blue
