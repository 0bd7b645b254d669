"""Integrated Grad-CAM at the first convolution, by an engine that takes gradients without torch.

The same sums as :class:`~LiverLesionAI.explanation.gradcam.GradCam` takes with torch. Max-pooling is done
here; the engine's graphs begin behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import local
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LiverLesionAI.explanation.gradcam import slopes_on_way
from LiverLesionAI.explanation.method import Asked
from LiverLesionAI.explanation.pooling import Pooled, pooled
from LiverLesionAI.side_by_side import Each, threads_for

if TYPE_CHECKING:
    from LiverLesionAI.inference.slopes import Graphs, MemberSlopes
    from LiverLesionAI.networks.resnet3d_arrays import Branch, Member

Cells = NDArray[np.float32]


@dataclass(frozen=True)
class _Way:
    """A branch's way from liver without a lesion to the lesion.

    Attributes
    ----------
    change
        How the lesion changes the cells, ``[C, D, H, W]``.
    points
        Cells at the points of the way, pooled.
    reached
        The features that they lead to, ``[point, F]``.
    rectified
        What came out of the rectifiers on the way there.
    """

    change: NDArray[np.float32]
    points: Pooled
    reached: NDArray[np.float32]
    rectified: Sequence[NDArray[np.float32]]


class _Scratch(local):
    """An array of each thread, written anew for every branch: fresh memory takes longer than the sums."""

    _array: NDArray[np.float32] = np.empty(0, np.float32)

    def of(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self._array.shape != shape:
            self._array = np.empty(shape, np.float32)
        return self._array


_SCRATCH = _Scratch()


def maps_by_engine(
    slopes: MemberSlopes, asked: Sequence[Asked], steps: int
) -> Iterator[tuple[int, Member, NDArray[np.float64]]]:
    """Make the maps of lesions, member by member.

    Parameters
    ----------
    slopes
        Of the engine.
    asked
        The lesions; `prepared` is what would be in each patch without the lesion, ``[S]``.
    steps
        Points on the way.

    Yields
    ------
    position : int
        Of the lesion.
    member : Member
        The member.
    maps : numpy.ndarray
        ``[S, d, h, w]`` on the cells of the first convolution, signed, in units of log-odds; zero for absent
        sequences.
    """
    graphs = slopes.graphs
    with ExitStack() as stack:
        if not slopes.keep:
            stack.callback(graphs.let_go)
        each = stack.enter_context(threads_for(graphs.threads))
        for part in slopes.parts if asked else ():
            members = slopes.members(part)
            for position, one in enumerate(asked):
                cells = _cells(members, one, graphs, each)
                for number, member in enumerate(members):
                    own = {i: (found[number], start[number]) for i, (found, start) in cells.items()}
                    seen = one.features[part[number]]
                    yield position, member, _map(member, one, seen, own, steps, graphs, each)
            del members, member


def _cells(
    members: Sequence[Member], asked: Asked, graphs: Graphs, each: Each
) -> dict[int, tuple[Cells, Cells]]:
    """Cells of each sequence at hand, of the lesion and of liver without it, ``[members, C, D, H, W]``."""
    lesion = asked.lesion
    used = np.flatnonzero(lesion.present).tolist()

    def both(i: int) -> tuple[Cells, Cells]:
        stems = [member.branches[lesion.sequences[i]].stem for member in members]
        return graphs.cells(lesion.patches[i], float(asked.prepared[i]), stems)

    return dict(zip(used, each(both, used), strict=True))


def _map(
    member: Member,
    asked: Asked,
    seen: NDArray[np.float32],
    cells: Mapping[int, tuple[Cells, Cells]],
    steps: int,
    graphs: Graphs,
    each: Each,
) -> NDArray[np.float64]:
    """One member's maps, ``[S, D, H, W]``, of its cells; `seen` is ``[S, F]``.

    More than six parameters: three say how, the others what.
    """
    used = list(cells)
    branches = {i: member.branches[asked.lesion.sequences[i]] for i in used}
    ways = dict(zip(used, each(lambda i: _way(*cells[i], steps, branches[i], graphs), used), strict=True))
    head = member.heads.tasks[asked.task]
    slopes = slopes_on_way(head, asked.index, seen, {i: way.reached for i, way in ways.items()})

    def map_of(i: int) -> NDArray[np.float64]:
        way = ways[i]
        cell_slopes = graphs.slopes(way.rectified, branches[i], slopes[:, i].astype(np.float32))
        return way.points.laid_back(cell_slopes, way.change) / steps

    found = each(map_of, used)
    maps = np.zeros((len(asked.lesion.present), *found[0].shape))
    maps[used] = found
    return maps


def _way(found: Cells, start: Cells, steps: int, branch: Branch, graphs: Graphs) -> _Way:
    change = found - start
    shares = ((np.arange(steps, dtype=np.float32) + 0.5) / steps).reshape(-1, 1, 1, 1, 1)
    cells = _SCRATCH.of((steps, *change.shape))
    np.multiply(shares, change, out=cells)
    points = pooled(np.add(cells, start, out=cells))
    return _Way(change, points, *graphs.features(points.values, branch))
