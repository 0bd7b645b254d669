"""What has changed in a scene since a study was classified: whether its result is out of date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from LiverLesionAI import mrml
from LiverLesionAI.mrml import Node
from LiverLesionAI.scenes.explanations import Point
from LiverLesionAI.scenes.logic import LesionRow, lesion_rows
from LiverLesionAI.scenes.nodes import ChosenNodes
from LiverLesionAI.scenes.outlines import outline_nodes

Kind = Literal["reference", "added", "removed", "replaced", "moved", "corrected", "corrected-on"]

_REACH_MM = 10.0
_SAME_PLACE_MM = 0.01
_MOVED = (
    "{names} moved after the study was classified; what stands beside the results is as it was when saved"
)


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was.

    Attributes
    ----------
    kind
        ``"reference"``: another sequence is the reference now. ``"added"``, ``"removed"``: a sequence or a
        lesion. ``"replaced"``: another volume is the sequence. ``"moved"``: a sequence lies elsewhere at the
        lesions, or on the reference volume where there are none. ``"corrected"``: a lesion's segment.
        ``"corrected-on"``: segments on a single sequence.
    name
        Of the sequence or the lesion; of the reference, the one that it was.
    """

    kind: Kind
    name: str


@dataclass(frozen=True)
class Basis:
    """What a classification rests on, as far as a scene can change it; small enough to be kept in the scene.

    Attributes
    ----------
    reference
        The reference sequence.
    images
        Sequence to fingerprint of its volume.
    points
        Around every lesion, LPS mm, reference frame; without lesions the centre and corners of the reference
        volume.
    places
        Sequence to where these points lie in its own frame, LPS mm.
    segments
        ``""`` for the lesions, or a sequence whose segments were corrected, to segment ID to the lesion's
        ``name``, ``shape`` and ``centroid_lps_mm``.
    """

    reference: str
    images: Mapping[str, str]
    points: Sequence[Point]
    places: Mapping[str, Sequence[Point]]
    segments: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def to_json(self) -> str:
        """Return the basis as text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Basis:
        """Read what :meth:`to_json` gave."""
        return cls(**json.loads(text))


def basis_of(scene: Node, nodes: ChosenNodes, lesions: Sequence[LesionRow]) -> Basis:
    """Note what a classification rests on.

    Parameters
    ----------
    scene
        ``vtkMRMLScene``.
    nodes
        The study.
    lesions
        Those of its segmentation, measured (:func:`LiverLesionAI.scenes.logic.lesion_rows`).

    Raises
    ------
    StudyError
        If a node cannot be read.
    """
    centres = [lesion.centroid_lps_mm for lesion in lesions]
    if nodes.segmentation is not None:
        centres = mrml.carried_points(nodes.segmentation, nodes.anchor, centres)
    points = [point for centre in centres for point in _around(centre)] or mrml.middle_and_corners(
        nodes.anchor
    )
    corrected = outline_nodes(scene, nodes.volumes).items()
    return Basis(
        reference=nodes.reference,
        images={name: mrml.volume_fingerprint(node) for name, node in nodes.volumes.items()},
        points=points,
        places=_places(nodes, points),
        segments={"": _marks(lesions), **{name: _marks(lesion_rows(node)) for name, node in corrected}},
    )


def changes_since(
    scene: Node, before: Basis, nodes: ChosenNodes, lesions: Sequence[LesionRow]
) -> tuple[Change, ...]:
    """Return what is not as it was when a basis was noted; empty where all of it is.

    Parameters
    ----------
    scene, nodes, lesions
        See :func:`basis_of`, which also says what is raised.
    before
        The basis.
    """
    if before.reference != nodes.reference or nodes.reference not in nodes.volumes:
        return (Change("reference", before.reference),)
    now = basis_of(scene, nodes, lesions)
    return (*_sequence_changes(before, now, _places(nodes, before.points)), *_segment_changes(before, now))


def alignment_warning(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return what a result's warnings say of a changed alignment: nothing, or one sentence."""
    names = [change.name for change in changes if change.kind == "moved"]
    return (_MOVED.format(names=", ".join(names)),) if names else ()


def _around(centre: Point) -> list[Point]:
    """A point and six around it: together they tell shifts, turns and bends."""
    steps = _REACH_MM * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    return [(float(x), float(y), float(z)) for x, y, z in centre + steps]


def _places(nodes: ChosenNodes, points: Sequence[Point]) -> dict[str, list[Point]]:
    return {name: mrml.carried_points(nodes.anchor, node, points) for name, node in nodes.volumes.items()}


def _marks(lesions: Sequence[LesionRow]) -> dict[str, dict[str, Any]]:
    return {
        each.segment_id: {"name": each.lesion, "shape": each.shape, "centroid_lps_mm": each.centroid_lps_mm}
        for each in lesions
    }


def _sequence_changes(before: Basis, now: Basis, places: Mapping[str, Sequence[Point]]) -> list[Change]:
    found = [Change("added", name) for name in now.images if name not in before.images]
    for name, fingerprint in before.images.items():
        if name not in now.images:
            found.append(Change("removed", name))
        elif now.images[name] != fingerprint:
            found.append(Change("replaced", name))
        elif not _same_places(before.places[name], places[name]):
            found.append(Change("moved", name))
    return found


def _segment_changes(before: Basis, now: Basis) -> list[Change]:
    earlier, later = before.segments[""], now.segments[""]
    found = [Change("added", mark["name"]) for key, mark in later.items() if key not in earlier]
    for key, mark in earlier.items():
        if key not in later:
            found.append(Change("removed", mark["name"]))
        elif not _same_segment(mark, later[key]):
            found.append(Change("corrected", mark["name"]))
    sequences = [name for name in {**before.segments, **now.segments} if name]
    return found + [
        Change("corrected-on", name)
        for name in sequences
        if not _same_segments(before.segments.get(name, {}), now.segments.get(name, {}))
    ]


def _same_segments(first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]) -> bool:
    return first.keys() == second.keys() and all(_same_segment(first[key], second[key]) for key in first)


def _same_segment(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return bool(first["shape"] == second["shape"]) and _same_places(
        first["centroid_lps_mm"], second["centroid_lps_mm"]
    )


def _same_places(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether points agree, as well as a saved scene keeps them."""
    return np.shape(first) == np.shape(second) and np.allclose(first, second, rtol=0, atol=_SAME_PLACE_MM)
