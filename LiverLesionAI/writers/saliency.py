"""Saliency maps as NIfTI files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverLesionAI.writers.volumes import COMPRESSED, write_image

if TYPE_CHECKING:
    from LiverLesionAI.explanation.lesion import LesionExplanation


@dataclass(frozen=True)
class SaliencyFile:
    """A saliency map that was written.

    Attributes
    ----------
    lesion
        Label of the lesion that it explains.
    sequence
        The sequence that it lies over.
    weighted
        Whether it is scaled by the sequence's weight.
    file
        Where it is.
    """

    lesion: int
    sequence: str
    weighted: bool
    file: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON takes it."""
        return {
            "lesion": self.lesion,
            "sequence": self.sequence,
            "weighted": self.weighted,
            "file": str(self.file),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> SaliencyFile:
        """Read what :meth:`to_dict` gave."""
        return cls(record["lesion"], record["sequence"], record["weighted"], Path(record["file"]))


def write_saliency(
    explanations: Iterable[LesionExplanation], folder: Path, suffix: str = COMPRESSED
) -> tuple[SaliencyFile, ...]:
    """Write ``<lesion>_<SEQ>.nii.gz`` and ``<lesion>_<SEQ>_weighted.nii.gz`` for each sequence at hand.

    The first is the feature map, the second the same times the sequence's weight on one scale for all
    sequences; float32 in [0, 1] on the patch's own grid, placed in the reference frame. Readers of the folder
    go by the records: names of sequences hold underscores themselves.

    Parameters
    ----------
    explanations
        Of the study's lesions.
    folder
        Made if it does not exist.
    suffix
        How the maps are kept.

    Returns
    -------
    tuple of SaliencyFile
        A record per file.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        _write_map(explanation, name, weighted, folder, suffix)
        for explanation in explanations
        for name in explanation.sequences
        for weighted in (False, True)
    )


def _write_map(
    explanation: LesionExplanation, sequence: str, weighted: bool, folder: Path, suffix: str
) -> SaliencyFile:
    lesion_id = explanation.lesion.lesion_id
    file = folder / f"{lesion_id}_{sequence}{'_weighted' if weighted else ''}{suffix}"
    write_image(explanation.image(sequence, weighted=weighted), file)
    return SaliencyFile(lesion_id, sequence, weighted, file)
