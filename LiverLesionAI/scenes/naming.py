"""Which volume of the scene is which sequence, and why: the rules of ``identify`` and its choice on nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI import mrml
from LiverLesionAI.identity import UNKNOWN
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.sequences import SEQUENCES, sequence_named

if TYPE_CHECKING:
    from LiverLesionAI.readers.dicom.headers import Frame
    from LiverLesionAI.readers.dicom.identify import Identified

FirstFile = Callable[[Node], Path | None]
"""Finds the DICOM file of a volume's first slice; None where the volume is not from DICOM."""

_STORAGE = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
_AIR_BELOW_HU = -500.0
"""A volume with values as low as this is CT: nothing else in a liver study measures air so."""
_NAMED, _DESCRIBED = 0.99, 0.98
"""How sure a sequence's own name is, and how sure anything else can be."""


@dataclass(frozen=True)
class Naming:
    """A volume that was recognised.

    Attributes
    ----------
    node
        The volume node.
    sequence
        The sequence that it is.
    confidence
        0 to 1.
    reason
        In words, for the reader.
    """

    node: Node
    sequence: str
    confidence: float
    reason: str


def no_file(node: Node) -> None:
    """Find no DICOM file, for a front without a DICOM database."""


def name_volumes(nodes: Iterable[Node], first_file: FirstFile = no_file) -> dict[str, Naming]:
    """Recognise volumes by name or DICOM header and choose one for each sequence, as for DICOM files.

    The rules of choice are those of :mod:`LiverLesionAI.readers.dicom.choose`; planes, extents and places are
    the volumes' own. What we marked ourselves comes before all else.

    Parameters
    ----------
    nodes
        Volume nodes.
    first_file
        Asks the front's DICOM database.

    Returns
    -------
    dict
        Sequence to the volume that shows it best; sequences without one are left out.
    """
    from LiverLesionAI.readers.dicom.choose import choose

    nodes = list(nodes)
    if not nodes:
        return {}
    identified = _identified(nodes, first_file)
    owners = {id(item.stack): node for item, node in zip(identified, nodes, strict=True)}
    marked = [item for item, node in zip(identified, nodes, strict=True) if _mark_of(node) is not None]
    best = {}
    for choice in (*choose(identified), *choose(marked)):
        item, others = choice.best, len(choice.others)
        reason = "; ".join(item.reasons) + (f"; chosen among {others + 1}" if others else "")
        best[choice.sequence] = Naming(owners[id(item.stack)], choice.sequence, item.confidence, reason)
    return {name: best[name] for name in SEQUENCES if name in best}


def _identified(nodes: Sequence[Node], first_file: FirstFile) -> list[Identified]:
    """What each volume is; a phase without a name of its own is told by its neighbours' times."""
    from LiverLesionAI.readers.dicom.clock import on_one_clock
    from LiverLesionAI.readers.dicom.identify import identify_stacks
    from LiverLesionAI.readers.dicom.split import Stack, kind_of

    headers = on_one_clock([_frame(node, index, first_file(node)) for index, node in enumerate(nodes)])
    slices = [_slices(node, header) for node, header in zip(nodes, headers, strict=True)]
    stacks = [Stack(frames, kind=kind_of(frames[0])) for frames in slices]
    answers = identify_stacks(stacks)
    return [_as_called(node, answer) for node, answer in zip(nodes, answers, strict=True)]


def _as_called(node: Node, answer: Identified) -> Identified:
    """An answer, or what our mark or the volume's name says instead."""
    name, mark = node.GetName(), _mark_of(node)
    if mark is not None:
        return replace(answer, sequence=mark, confidence=1.0, reasons=(f"{name!r} was stored as {mark}",))
    called = sequence_named(name)
    if called is not None:
        return replace(
            answer, sequence=called, confidence=_NAMED, reasons=(f"the volume is called {name!r}",)
        )
    return replace(answer, confidence=min(answer.confidence, _DESCRIBED))


def _mark_of(node: Node) -> str | None:
    """The sequence that a volume was stored as."""
    sequence = node.GetAttribute(attributes.SEQUENCE)
    return sequence if sequence in SEQUENCES else None


def _slices(node: Node, header: Frame) -> tuple[Frame, ...]:
    """The slices of a volume, placed as it is, each saying what its header says."""
    grid = mrml.slice_grid(node)
    if grid is None:
        return (header,)
    frames = [
        replace(
            header, row=grid.row, column=grid.column, spacing=grid.spacing, rows=grid.rows,
            columns=grid.columns, position=position,
        )
        for position in grid.positions
    ]  # fmt: skip
    return tuple(sorted(frames, key=lambda frame: frame.along or 0.0))


def _frame(node: Node, index: int, file: Path | None) -> Frame:
    """What DICOM says of a volume: its first slice's header where there is the file, else its name."""
    from LiverLesionAI.readers.dicom.headers import Frame

    frame = _header(file) if file is not None else None
    if frame is not None:
        return replace(frame, series_uid=f"{frame.series_uid}.{index}")
    lowest = mrml.lowest_value(node)
    modality = "CT" if lowest is not None and lowest < _AIR_BELOW_HU else "MR"
    return Frame(
        file=Path(node.GetName()),
        number=1,
        identity=UNKNOWN,
        study_uid="scene",
        series_uid=node.GetID(),
        sop_uid=node.GetID(),
        sop_class=_STORAGE[modality],
        modality=modality,
        description=node.GetName(),
        series_number=index,
        rows=1,
        columns=1,
    )


def _header(file: Path) -> Frame | None:
    from LiverLesionAI.readers.dicom.headers import frames_of
    from LiverLesionAI.readers.dicom.scan import read_header

    dataset = read_header(file)
    return frames_of(dataset, file)[0] if dataset is not None else None
