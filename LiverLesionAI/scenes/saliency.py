"""Explanations of lesions as MRML nodes: saliency maps over the sequences, weights as tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from LiverLesionAI import mrml
from LiverLesionAI.explanation import palette
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.results import LesionResult
from LiverLesionAI.scenes.explanations import LesionSaliency, Point, SaliencyMap
from LiverLesionAI.scenes.nodes import ChosenNodes, study_nodes
from LiverLesionAI.scenes.words import Translate, in_english
from LiverLesionAI.taxonomy import TAXONOMIES

_COLOURS = 256
_OTHER_TASK_COLOUR = (0.55, 0.55, 0.55)
_WEIGHTED = " weighted"


@dataclass(frozen=True)
class SaliencyNodes:
    """What one lesion's explanation became.

    Attributes
    ----------
    shown
        The explanation.
    maps, weighted
        Sequence to the volume of its feature map, and of the same times its weight.
    weights, interactions
        Table of the weights, a column per task; task to the table of its interactions.
    chart, series
        The weights as bars; the chart's rows of bars.
    legend
        Of the strongest sequence's map.
    """

    shown: LesionSaliency
    maps: Mapping[str, Node]
    weighted: Mapping[str, Node]
    weights: Node
    interactions: Mapping[str, Node]
    chart: Node
    series: tuple[Node, ...]
    legend: Node

    @property
    def strongest(self) -> Node:
        """Map of the sequence that counted most."""
        return self.maps[self.shown.strongest]

    @property
    def nodes(self) -> list[Node]:
        """All that have a place in the subject hierarchy."""
        volumes = [*self.maps.values(), *self.weighted.values()]
        return [*volumes, self.weights, *self.interactions.values(), self.chart, *self.series]


def add_saliency(
    scene: Node,
    study_id: str,
    lesions: Sequence[LesionSaliency],
    reference: Node,
    translate: Translate = in_english,
) -> dict[int, SaliencyNodes]:
    """Add the explanations of a study's lesions to a scene, in a folder per lesion.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    study_id
        The study.
    lesions
        What is shown.
    reference
        Volume node of the reference sequence: the maps lie under the same transform, the folders beside it.
    translate
        For the names of tables and charts.

    Returns
    -------
    dict
        Lesion to its nodes; all nodes are marked as the study's.
    """
    if not lesions:
        return {}
    scale = _colour_scale(scene, study_id)
    folder = mrml.folder_item(scene, study_id, beside=reference)
    made = {}
    for lesion in lesions:
        nodes = _add_lesion(scene, lesion, scale, reference, translate)
        for node in nodes.nodes:
            node.SetAttribute(attributes.STUDY, study_id)
            node.SetAttribute(attributes.LESION, str(lesion.lesion))
        mrml.file_under(scene, mrml.subfolder_item(scene, folder, f"{lesion.name}: why"), nodes.nodes)
        made[lesion.lesion] = nodes
    return made


def show_saliency(
    scene: Node,
    study_id: str,
    lesions: Sequence[LesionSaliency],
    nodes: ChosenNodes,
    translate: Translate = in_english,
) -> dict[int, SaliencyNodes]:
    """Show explanations in the place of those shown before; views that showed a map show the new one.

    Parameters
    ----------
    scene, study_id, lesions, translate
        See :func:`add_saliency`, which also says what is returned.
    nodes
        The study.
    """
    shown = maps_in_views(scene, study_id)
    clear_saliency(scene, study_id)
    made = add_saliency(scene, study_id, lesions, nodes.anchor, translate)
    _show_maps_again(scene, study_id, shown)
    return made


def clear_saliency(scene: Node, study_id: str) -> None:
    """Remove maps, weights and charts of a study."""
    nodes = study_nodes(scene, study_id)
    mrml.remove_nodes(scene, [node for node in nodes if node.GetAttribute(attributes.LESION)])


class MapKey(NamedTuple):
    """Which map a volume is."""

    lesion: int
    sequence: str
    weighted: bool


def maps_of(scene: Node, study_id: str) -> dict[MapKey, Node]:
    """Return each map of a study and its volume node."""
    maps = {}
    for node in mrml.nodes_of(scene, "vtkMRMLScalarVolumeNode"):
        lesion, name = node.GetAttribute(attributes.LESION), node.GetAttribute(attributes.MAP)
        if node.GetAttribute(attributes.STUDY) == study_id and lesion and name:
            key = MapKey(int(lesion), name.removesuffix(_WEIGHTED), name.endswith(_WEIGHTED))
            maps[key] = node
    return maps


def lesion_maps(scene: Node, study_id: str, lesion_id: int, *, weighted: bool) -> dict[str, Node]:
    """Return sequence to the volume of one lesion's map."""
    return {
        key.sequence: node
        for key, node in maps_of(scene, study_id).items()
        if (key.lesion, key.weighted) == (lesion_id, weighted)
    }


def maps_in_views(scene: Node, study_id: str) -> list[tuple[Node, MapKey]]:
    """Views whose foreground is a map of a study, as composite nodes, each with that map."""
    which = {node.GetID(): key for key, node in maps_of(scene, study_id).items()}
    views = mrml.nodes_of(scene, "vtkMRMLSliceCompositeNode")
    return [(view, which[shown]) for view in views if (shown := view.GetForegroundVolumeID()) in which]


def show_maps_of(scene: Node, study_id: str, lesion_id: int) -> None:
    """Let views that show the map of another lesion show that of this one; nothing where it has none."""
    shown = maps_in_views(scene, study_id)
    _show_maps_again(scene, study_id, [(view, key._replace(lesion=lesion_id)) for view, key in shown])


def place_of(saliency: Node | None, lesion: LesionResult) -> Point:
    """Return where a lesion is to be looked at, LPS mm: its slice of largest area, else its centre.

    Parameters
    ----------
    saliency
        A map of the lesion, which remembers the place; or None.
    lesion
        The lesion's result.
    """
    kept = saliency.GetAttribute(attributes.PLACE) if saliency is not None else None
    if not kept:
        return lesion.centroid_lps_mm
    x, y, z = map(float, kept.split())
    return x, y, z


def chart_of(scene: Node, study_id: str, lesion_id: int) -> Node | None:
    """Return the chart of a lesion's weights; None where there is none."""
    for node in mrml.nodes_of(scene, "vtkMRMLPlotChartNode"):
        marks = node.GetAttribute(attributes.STUDY), node.GetAttribute(attributes.LESION)
        if marks == (study_id, str(lesion_id)):
            return node
    return None


def _show_maps_again(scene: Node, study_id: str, shown: Sequence[tuple[Node, MapKey]]) -> None:
    maps = maps_of(scene, study_id)
    for view, which in shown:
        view.SetForegroundVolumeID(maps[which].GetID() if which in maps else None)


def _colour_scale(scene: Node, study_id: str) -> Node:
    """The study's colours of saliency; made where it has none."""
    name = f"{study_id} saliency"
    found = next((node for node in study_nodes(scene, study_id) if node.GetName() == name), None)
    if found is not None:
        return found
    colours = palette.colours([value / (_COLOURS - 1) for value in range(_COLOURS)])
    scale = mrml.add_colour_scale(scene, name, colours.tolist())
    scale.SetAttribute(attributes.STUDY, study_id)
    return scale


def _add_lesion(
    scene: Node, lesion: LesionSaliency, scale: Node, reference: Node, translate: Translate
) -> SaliencyNodes:
    maps, weighted = (
        {each.sequence: _add_map(scene, lesion, each, scale, reference)
         for each in lesion.maps if each.weighted == is_weighted}
        for is_weighted in (False, True)
    )  # fmt: skip
    weights, chart, series = _add_weights(scene, lesion, translate)
    interactions = {
        task: mrml.add_table(scene, f"{lesion.name} interactions {task}", *_interaction_table(lesion, task))
        for task in lesion.interactions
    }
    legend = mrml.add_colour_legend(maps[lesion.strongest], f"saliency, {lesion.target}")
    return SaliencyNodes(lesion, maps, weighted, weights, interactions, chart, tuple(series), legend)


def _add_map(scene: Node, lesion: LesionSaliency, shown: SaliencyMap, scale: Node, reference: Node) -> Node:
    suffix = _WEIGHTED if shown.weighted else ""
    node = mrml.add_volume(scene, shown.image, f"{lesion.name} {shown.sequence} saliency{suffix}")
    node.SetAttribute(attributes.ROLE, attributes.SALIENCY)
    node.SetAttribute(attributes.MAP, f"{shown.sequence}{suffix}")
    node.SetAttribute(attributes.PLACE, " ".join(map(repr, lesion.place_lps_mm)))
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    mrml.show_as_overlay(node, scale, palette.CUT)
    return node


def _add_weights(
    scene: Node, lesion: LesionSaliency, translate: Translate
) -> tuple[Node, Node, Sequence[Node]]:
    """Table of all weights; chart of the Shapley values, the maps' task in the colour of its class."""
    columns = {task: f"{task}: {lesion.explained[task]}" for task in lesion.weights}
    shared = [task for task, weights in lesion.weights.items() if _has_shares(weights)]
    titles = ["sequence", *columns.values(), *(f"share, {columns[task]}" for task in shared)]
    numbers = [*((task, "shapley") for task in columns), *((task, "share") for task in shared)]
    rows = [
        [name, *(float(lesion.weights[task][name][kind]) for task, kind in numbers)]
        for name in lesion.weights[lesion.task]
    ]
    title = translate("{name} sequence weights").format(name=lesion.name)
    table = mrml.add_table(scene, title, titles, rows)
    colours = {
        column: _class_colour(lesion.explained[task]) if task == lesion.task else _OTHER_TASK_COLOUR
        for task, column in columns.items()
    }
    axis = translate("weight (log-odds)")
    chart, series = mrml.add_bar_chart(scene, title, table, titles[0], colours, axis)
    return table, chart, series


def _has_shares(weights: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(each["share"] is not None for each in weights.values())


def _interaction_table(lesion: LesionSaliency, task: str) -> tuple[list[str], list[list[str | float]]]:
    """Interaction of each pair of sequences, symmetric, zero on the diagonal."""
    names = list(lesion.weights[task])
    values = {frozenset((first, second)): value for first, second, value in lesion.interactions[task]}
    rows: list[list[str | float]] = [
        [name, *(values.get(frozenset((name, other)), 0.0) for other in names)] for name in names
    ]
    return ["sequence", *names], rows


def _class_colour(name: str) -> tuple[float, float, float]:
    """Colour of a class, which is the same in every taxonomy."""
    known = {each.name: each.colour for taxonomy in TAXONOMIES.values() for each in taxonomy.classes}
    red, green, blue = (channel / 255 for channel in known[name])
    return red, green, blue
