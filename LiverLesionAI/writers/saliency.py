"""Saliency maps as NIfTI files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from LiverLesionAI.explanation.lesion import LesionExplanation
from LiverLesionAI.writers.volumes import write_image


def write_saliency(explanations: Iterable[LesionExplanation], folder: Path) -> tuple[Path, ...]:
    """Write ``<lesion>_<SEQ>.nii.gz`` and ``<lesion>_<SEQ>_weighted.nii.gz`` for each sequence at hand.

    The first is the feature map, the second the same times the sequence's weight on one scale for all
    sequences; float32 in [0, 1] on the patch's own grid, placed in the reference frame.

    Parameters
    ----------
    explanations
        Of the study's lesions.
    folder
        Made if it does not exist.

    Returns
    -------
    tuple of pathlib.Path
        The files written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        write_image(
            explanation.image(name, weighted=weighted),
            folder / f"{explanation.lesion.lesion_id}_{name}{'_weighted' if weighted else ''}.nii.gz",
        )
        for explanation in explanations
        for name in explanation.sequences
        for weighted in (False, True)
    )
