"""Which sequences get to the reference together: maps of one acquisition, phases of a dynamic series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.study import SequenceImage, Study

_DIFFUSION = ("DWI", "ADC")


@dataclass(frozen=True)
class Group:
    """Sequences that get to the reference together.

    Attributes
    ----------
    names
        The sequences.
    anchor
        For the phases of a dynamic series, which may have moved against each other: the phase that the others
        are aligned with first. None where the sequences lie in one frame already.
    """

    names: tuple[str, ...]
    anchor: str | None = None

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that have to be aligned with the anchor."""
        return tuple(name for name in self.names if name != self.anchor) if self.anchor else ()

    @property
    def frames(self) -> tuple[tuple[str, ...], ...]:
        """The sequences, those that lie in one frame from the start in one tuple."""
        return tuple((name,) for name in self.names) if self.anchor else (self.names,)


def groups_of(study: Study) -> tuple[Group, ...]:
    """The sequences to be registered, in groups.

    DWI and the ADC map computed from it lie in one frame where they share a grid, unless they are known to
    come from different frames of reference. The phases of the dynamic
    series show the same tissue by the same physics: they are aligned with each other far more precisely than
    with the reference, and together they say more about where the reference is than each alone. Where the
    reference is a phase itself, each of the others is registered to it directly.
    """
    moving = [
        name for name, image in study.images.items() if name != study.reference and image.transform is None
    ]
    diffusion = tuple(name for name in _DIFFUSION if name in moving)
    if len(diffusion) < 2 or not _lie_together(*(study.images[name] for name in diffusion)):
        diffusion = ()
    dynamic = tuple(name for name in SEQUENCES if SEQUENCES[name].dynamic and name in moving)
    if len(dynamic) < 2 or SEQUENCES[study.reference].dynamic:
        dynamic = ()
    groups: dict[str, Group] = {}
    for name in moving:
        if name in diffusion:
            groups[diffusion[0]] = Group(diffusion)
        elif name in dynamic:
            groups[dynamic[0]] = Group(dynamic, anchor=dynamic[len(dynamic) // 2])
        else:
            groups[name] = Group((name,))
    return tuple(groups.values())


def already_registered(study: Study) -> list[str]:
    """The sequences that brought a transform along."""
    return [n for n, i in study.images.items() if n != study.reference and i.transform is not None]


def _lie_together(one: SequenceImage, other: SequenceImage) -> bool:
    """Whether two sequences share a grid in one frame of reference."""
    if one.lies_in_another_frame_than(other):
        return False
    a, b = one.image, other.image
    return a.GetSize() == b.GetSize() and np.allclose(
        [*a.GetOrigin(), *a.GetSpacing(), *a.GetDirection()],
        [*b.GetOrigin(), *b.GetSpacing(), *b.GetDirection()],
        atol=1e-3,
    )
