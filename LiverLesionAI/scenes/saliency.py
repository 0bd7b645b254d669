"""Explanations of lesions as MRML nodes: saliency maps over the sequences, weights as tables and charts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from LiverLesionAI import mrml
from LiverLesionAI.explanation import palette
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.results import LesionResult
from LiverLesionAI.scenes.explanations import LesionSaliency, Point, SaliencyMap
from LiverLesionAI.scenes.nodes import study_nodes
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
        """Weighted map of the sequence that counted most."""
        return self.weighted[self.shown.strongest]

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
    """Show the explanations of a study's lesions, in a folder per lesion, in the place of those shown before.

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
    steps = showing_saliency(scene, study_id, lesions, reference, translate)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def showing_saliency(
    scene: Node,
    study_id: str,
    lesions: Sequence[LesionSaliency],
    reference: Node,
    translate: Translate = in_english,
) -> Generator[None, None, dict[int, SaliencyNodes]]:
    """Do :func:`add_saliency` in small steps, between which a window can live.

    Nodes that are there already are filled anew, so that views and charts go on to show them; what is not
    needed any more is removed.
    """
    before = _shown_before(scene, study_id)
    made: dict[int, SaliencyNodes] = {}
    if lesions:
        scale = _colour_scale(scene, study_id)
        folder = mrml.folder_item(scene, study_id, beside=reference)
    for lesion in lesions:
        nodes = yield from _show_lesion(_Place(scene, lesion, scale, reference, translate, before))
        for node in nodes.nodes:
            node.SetAttribute(attributes.STUDY, study_id)
            node.SetAttribute(attributes.LESION, str(lesion.lesion))
        yield
        mrml.file_under(scene, mrml.subfolder_item(scene, folder, f"{lesion.name}: why"), nodes.nodes)
        made[lesion.lesion] = nodes
        yield
    used = {node.GetID() for nodes in made.values() for node in nodes.nodes}
    yield from removing(scene, [node for node in _explaining(scene, study_id) if node.GetID() not in used])
    return made


def retire_saliency(scene: Node, study_id: str) -> list[Node]:
    """Let a study's maps, weights and charts be its no more; :func:`removing` takes what is returned away."""
    nodes = _explaining(scene, study_id)
    mrml.take_out_of_views(scene, nodes)
    for node in nodes:
        for name in (attributes.STUDY, attributes.LESION, attributes.MAP):
            node.RemoveAttribute(name)
    return nodes


def removing(scene: Node, nodes: Iterable[Node]) -> Generator[None, None, None]:
    """Remove nodes one by one, those that are there still."""
    for node in nodes:
        if scene.IsNodePresent(node):
            mrml.remove_nodes(scene, [node])
        yield


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
    maps = maps_of(scene, study_id)
    for view, key in maps_in_views(scene, study_id):
        other = maps.get(key._replace(lesion=lesion_id))
        view.SetForegroundVolumeID(None if other is None else other.GetID())


def show_legend(scene: Node, study_id: str, lesion_id: int, over: Node, target: str) -> None:
    """Let the legend of a lesion's maps show with the one of them that is shown now.

    It is made anew: views look at a legend that comes, not at one whose map a program has put before them.

    Parameters
    ----------
    scene, study_id, lesion_id
        Whose maps they are.
    over
        The map.
    target
        The class that the maps speak for.
    """
    legends = mrml.nodes_of(scene, "vtkMRMLColorLegendDisplayNode")
    marks = {attributes.STUDY: study_id, attributes.LESION: str(lesion_id)}
    old = [each for each in legends if all(each.GetAttribute(name) == mark for name, mark in marks.items())]
    mrml.remove_nodes(scene, old)
    made = mrml.add_colour_legend(over, f"saliency, {target}")
    for name, mark in marks.items():
        made.SetAttribute(name, mark)


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


@dataclass(frozen=True)
class _Place:
    """A lesion's explanation and where it is put; nodes of earlier explanations by class, lesion and name."""

    scene: Node
    lesion: LesionSaliency
    scale: Node
    reference: Node
    translate: Translate
    before: Mapping[tuple[str, str, str], Node]

    def earlier(self, class_name: str, name: str) -> Node | None:
        """Return the node that shows the same of an earlier explanation; None where there is none."""
        node = self.before.get((class_name, str(self.lesion.lesion), name))
        return node if node is not None and self.scene.IsNodePresent(node) else None


def _explaining(scene: Node, study_id: str) -> list[Node]:
    """Maps, tables and charts of a study's explanations."""
    return [node for node in study_nodes(scene, study_id) if node.GetAttribute(attributes.LESION)]


def _shown_before(scene: Node, study_id: str) -> dict[tuple[str, str, str], Node]:
    """Class, lesion and name of what explains, a map's name being its mark, to the node."""
    return {
        (
            node.GetClassName(),
            node.GetAttribute(attributes.LESION),
            node.GetAttribute(attributes.MAP) or node.GetName(),
        ): node
        for node in _explaining(scene, study_id)
    }


def _show_lesion(place: _Place) -> Generator[None, None, SaliencyNodes]:
    lesion = place.lesion
    maps: dict[bool, dict[str, Node]] = {False: {}, True: {}}
    for each in lesion.maps:
        maps[each.weighted][each.sequence] = _show_map(place, each)
        yield
    weights, chart, series = _show_weights(place)
    yield
    interactions = {
        task: _show_table(place, f"{lesion.name} interactions {task}", *_interaction_table(lesion, task))
        for task in lesion.interactions
    }
    yield
    legend = _show_legend(place, [*maps[False].values(), *maps[True].values()], maps[True][lesion.strongest])
    return SaliencyNodes(lesion, maps[False], maps[True], weights, interactions, chart, tuple(series), legend)


def _show_map(place: _Place, shown: SaliencyMap) -> Node:
    lesion, image = place.lesion, shown.load()
    mark = f"{shown.sequence}{_WEIGHTED if shown.weighted else ''}"
    name = f"{lesion.name} {shown.sequence} saliency{_WEIGHTED if shown.weighted else ''}"
    node = place.earlier("vtkMRMLScalarVolumeNode", mark)
    if node is None:
        node = mrml.add_overlay(place.scene, image, name, place.scale, palette.CUT)
    else:
        node.SetName(name)
        mrml.put_image(node, image)
    node.SetAttribute(attributes.ROLE, attributes.SALIENCY)
    node.SetAttribute(attributes.MAP, mark)
    node.SetAttribute(attributes.PLACE, " ".join(map(repr, lesion.place_lps_mm)))
    node.SetAndObserveTransformNodeID(place.reference.GetTransformNodeID())
    return node


def _show_legend(place: _Place, maps: Sequence[Node], over: Node) -> Node:
    """The legend of a lesion's maps, over one of them."""
    ids = {node.GetID() for node in maps}
    legends = mrml.nodes_of(place.scene, "vtkMRMLColorLegendDisplayNode")
    owners = [legend.GetDisplayableNode() for legend in legends]
    old = [
        legend
        for legend, owner in zip(legends, owners, strict=True)
        if owner is not None and owner.GetID() in ids
    ]
    mrml.remove_nodes(place.scene, old)
    return mrml.add_colour_legend(over, f"saliency, {place.lesion.target}")


def _show_table(
    place: _Place, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]
) -> Node:
    node = place.earlier("vtkMRMLTableNode", name)
    if node is None:
        return mrml.add_table(place.scene, name, columns, rows)
    mrml.put_table(node, columns, rows)
    return node


def _show_weights(place: _Place) -> tuple[Node, Node, Sequence[Node]]:
    """Table of all weights; chart of the Shapley values, the maps' task in the colour of its class."""
    lesion = place.lesion
    columns = {task: f"{task}: {lesion.explained[task]}" for task in lesion.weights}
    shared = [task for task, weights in lesion.weights.items() if _has_shares(weights)]
    titles = ["sequence", *columns.values(), *(f"share, {columns[task]}" for task in shared)]
    numbers = [*((task, "shapley") for task in columns), *((task, "share") for task in shared)]
    rows: list[list[str | float]] = [
        [name, *(float(lesion.weights[task][name][kind]) for task, kind in numbers)]
        for name in lesion.weights[lesion.task]
    ]
    title = place.translate("{name} sequence weights").format(name=lesion.name)
    table = _show_table(place, title, titles, rows)
    colours = {
        column: _class_colour(lesion.explained[task]) if task == lesion.task else _OTHER_TASK_COLOUR
        for task, column in columns.items()
    }
    axis = place.translate("weight (log-odds)")
    chart = place.earlier("vtkMRMLPlotChartNode", title)
    if chart is not None and chart.GetNumberOfPlotSeriesNodes() == len(colours):
        return table, chart, mrml.put_bars(chart, table, titles[0], colours, axis)
    chart, series = mrml.add_bar_chart(place.scene, title, table, titles[0], colours, axis)
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
