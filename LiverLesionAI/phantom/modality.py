"""What the phantom can be scanned with: MRI of the classes of W7 and Z7, CT of the categories of Y5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.sequences import CT_PHASES, W_SEQUENCES
from LiverLesionAI.taxonomy import TAXONOMIES

from .categories import CT_PATTERNS
from .patterns import PATTERNS
from .protocol import MR_SEQUENCES
from .regions import Pattern, Setting


@dataclass(frozen=True)
class Modality:
    """Scanners of one kind.

    Attributes
    ----------
    sequences : all that there are.
    usual : those of a study where none are asked for.
    reference : the one that lesions are segmented on.
    patterns : class to what it looks like.
    classes : those that are drawn from where none is asked for.
    """

    sequences: tuple[str, ...]
    usual: tuple[str, ...]
    reference: str
    patterns: Mapping[str, Callable[[Setting, bool], Pattern]]
    classes: tuple[str, ...]


MR = Modality(MR_SEQUENCES, W_SEQUENCES, "T2WI", PATTERNS, TAXONOMIES["W7"].names)
CT = Modality(CT_PHASES, CT_PHASES, "CT_ART", CT_PATTERNS, TAXONOMIES["Y5"].names)
MODALITIES: Mapping[str, Modality] = {"mr": MR, "ct": CT}


def modality_of(sequences: Sequence[str], reference: str | None = None) -> Modality:
    """Find the modality of sequences, one of which is the reference: the modality's own or one that is named.

    Raises
    ------
    ConfigError
        If a sequence is not known or not of the same modality as the first one, or the reference is missing.
    """
    modality = _scanned_with(sequences)
    if unknown := [name for name in sequences if name not in modality.sequences]:
        known = ", ".join(modality.sequences)
        raise ConfigError(f"The phantom has no sequence {unknown[0]!r}; it has {known}.")
    reference = reference or modality.reference
    if reference not in sequences:
        raise ConfigError(f"The phantom needs {reference}, the sequence that its lesions are segmented on.")
    return modality


def with_reference(sequences: Sequence[str]) -> tuple[str, ...]:
    """Sequences to ask the phantom for: the one that it outlines its lesions on, and those wanted."""
    return tuple(dict.fromkeys((_scanned_with(sequences).reference, *sequences)))


def _scanned_with(sequences: Sequence[str]) -> Modality:
    """The modality of the first sequence."""
    return CT if sequences and sequences[0] in CT.sequences else MR
