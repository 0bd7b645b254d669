"""Which volume of the scene is which sequence, and why: the rules of ``identify`` on nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from LiverLesionAI.mrml import attributes
from LiverLesionAI.sequences import SEQUENCES, sequence_named
from LiverLesionLib.dicom_files import file_of, instance_uids

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

    node: Any
    sequence: str
    confidence: float
    reason: str


def name_volumes(nodes: Iterable[Any]) -> dict[str, Naming]:
    """Recognise volumes: by our own mark, else by DICOM headers, else by name.

    Parameters
    ----------
    nodes
        Volume nodes.

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
    found += _described(unnamed)
    best: dict[str, Naming] = {}
    for naming in sorted(found, key=lambda each: -each.confidence):
        best.setdefault(naming.sequence, naming)
    return best


def _marked(node: Any) -> Naming | None:
    sequence = node.GetAttribute(attributes.SEQUENCE)
    if sequence not in SEQUENCES:
        return None
    return Naming(node, sequence, 1.0, f"{node.GetName()!r} was stored as {sequence}")


def _named(node: Any) -> Naming | None:
    sequence = sequence_named(node.GetName())
    if sequence is None:
        return None
    return Naming(node, sequence, 0.99, f"the volume is called {node.GetName()!r}")


def _described(nodes: list[Any]) -> list[Naming]:
    from LiverLesionAI.readers.dicom.identify import identify_stacks
    from LiverLesionAI.readers.dicom.split import Stack

    if not nodes:
        return []
    stacks = [Stack((_frame(node, index),)) for index, node in enumerate(nodes)]
    found = []
    for node, answer in zip(nodes, identify_stacks(stacks), strict=True):
        if answer.sequence in SEQUENCES:
            reason = "; ".join(answer.reasons)
            found.append(Naming(node, str(answer.sequence), min(answer.confidence, 0.98), reason))
    return found


def _frame(node: Any, index: int) -> Any:
    """What DICOM says of a volume: its first slice's header where Slicer has the file, else its name."""
    from LiverLesionAI.readers.dicom.headers import Frame

    frame = _first_header(node)
    if frame is not None:
        return replace(frame, series_uid=f"{frame.series_uid}.{index}")
    rows, columns, _ = node.GetImageData().GetDimensions() if node.GetImageData() else (1, 1, 1)
    return Frame(
        file=Path(node.GetName()),
        number=1,
        patient="",
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


def _first_header(node: Any) -> Any:
    uids = instance_uids(node)
    file = file_of(uids[0]) if uids else None
    if file is None:
        return None
    from LiverLesionAI.readers.dicom.headers import frames_of
    from LiverLesionAI.readers.dicom.scan import read_header

    dataset = read_header(file)
    return frames_of(dataset, file)[0] if dataset is not None else None
