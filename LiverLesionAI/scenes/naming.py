"""Which volume of the scene is which sequence, and why: the rules of ``identify`` on nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.identity import UNKNOWN
from LiverLesionAI.mrml import Node, attributes
from LiverLesionAI.sequences import SEQUENCES, sequence_named

if TYPE_CHECKING:
    from LiverLesionAI.readers.dicom.headers import Frame

FirstFile = Callable[[Node], Path | None]
"""Finds the DICOM file of a volume's first slice; None where the volume is not from DICOM."""

_LIKE_MR = "1.2.840.10008.5.1.4.1.1.4"


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
    """Recognise volumes: by our own mark, else by name, else by DICOM headers.

    Parameters
    ----------
    nodes
        Volume nodes.
    first_file
        Asks the front's DICOM database.

    Returns
    -------
    dict
        Sequence to the volume that is most surely that sequence; sequences without one are left out.
    """
    found: list[Naming] = []
    unnamed = []
    for node in nodes:
        naming = _marked(node) or _named(node)
        if naming is None:
            unnamed.append(node)
        else:
            found.append(naming)
    found += _described(unnamed, first_file)
    best: dict[str, Naming] = {}
    for naming in sorted(found, key=lambda each: -each.confidence):
        best.setdefault(naming.sequence, naming)
    return best


def _marked(node: Node) -> Naming | None:
    sequence = node.GetAttribute(attributes.SEQUENCE)
    if sequence not in SEQUENCES:
        return None
    return Naming(node, sequence, 1.0, f"{node.GetName()!r} was stored as {sequence}")


def _named(node: Node) -> Naming | None:
    sequence = sequence_named(node.GetName())
    if sequence is None:
        return None
    return Naming(node, sequence, 0.99, f"the volume is called {node.GetName()!r}")


def _described(nodes: Sequence[Node], first_file: FirstFile) -> list[Naming]:
    from LiverLesionAI.readers.dicom.clock import on_one_clock
    from LiverLesionAI.readers.dicom.identify import identify_stacks
    from LiverLesionAI.readers.dicom.split import Stack, kind_of

    if not nodes:
        return []
    frames = on_one_clock([_frame(node, index, first_file(node)) for index, node in enumerate(nodes)])
    stacks = [Stack((frame,), kind=kind_of(frame)) for frame in frames]
    found = []
    for node, answer in zip(nodes, identify_stacks(stacks), strict=True):
        if answer.sequence in SEQUENCES:
            reason = "; ".join(answer.reasons)
            found.append(Naming(node, str(answer.sequence), min(answer.confidence, 0.98), reason))
    return found


def _frame(node: Node, index: int, file: Path | None) -> Frame:
    """What DICOM says of a volume: its first slice's header where there is the file, else its name."""
    from LiverLesionAI.readers.dicom.headers import Frame

    frame = _header(file) if file is not None else None
    if frame is not None:
        return replace(frame, series_uid=f"{frame.series_uid}.{index}")
    rows, columns, _ = node.GetImageData().GetDimensions() if node.GetImageData() else (1, 1, 1)
    return Frame(
        file=Path(node.GetName()),
        number=1,
        identity=UNKNOWN,
        study_uid="scene",
        series_uid=node.GetID(),
        sop_uid=node.GetID(),
        sop_class=_LIKE_MR,
        modality="MR",
        description=node.GetName(),
        series_number=index,
        rows=rows,
        columns=columns,
    )


def _header(file: Path) -> Frame | None:
    from LiverLesionAI.readers.dicom.headers import frames_of
    from LiverLesionAI.readers.dicom.scan import read_header

    dataset = read_header(file)
    return frames_of(dataset, file)[0] if dataset is not None else None
