"""Which sequences of a study move together: maps of one acquisition, and the phases of a dynamic series."""

from __future__ import annotations

import numpy as np

from LiverLesionAI.sequences import SEQUENCES
from LiverLesionAI.study import SequenceImage, Study

_DIFFUSION = ("DWI", "ADC")


def acquisitions(study: Study) -> tuple[tuple[str, ...], ...]:
    """The sequences to be registered, those that move together in one tuple.

    DWI and the ADC map computed from it do where they lie on the same grid.
    """
    moving = [
        name for name, image in study.images.items() if name != study.reference and image.transform is None
    ]
    diffusion = tuple(name for name in _DIFFUSION if name in moving)
    together = len(diffusion) == 2 and _same_grid(*(study.images[name] for name in diffusion))
    groups: list[tuple[str, ...]] = []
    for name in moving:
        if not together or name not in diffusion:
            groups.append((name,))
        elif name == diffusion[0] or diffusion not in groups:
            groups.append(diffusion)
    return tuple(groups)


def dynamic_series(study: Study) -> list[tuple[str, ...]]:
    """The phases of each dynamic series of a study: contrast phases that lie on one grid."""
    series: list[tuple[str, ...]] = []
    for name, image in study.images.items():
        if not SEQUENCES[name].dynamic or name == study.reference:
            continue
        for number, phases in enumerate(series):
            if _same_grid(study.images[phases[0]], image):
                series[number] = (*phases, name)
                break
        else:
            series.append((name,))
    return series


def already_registered(study: Study) -> list[str]:
    """The sequences that brought a transform along."""
    return [n for n, i in study.images.items() if n != study.reference and i.transform is not None]


def _same_grid(one: SequenceImage, other: SequenceImage) -> bool:
    a, b = one.image, other.image
    return a.GetSize() == b.GetSize() and np.allclose(
        [*a.GetOrigin(), *a.GetSpacing(), *a.GetDirection()],
        [*b.GetOrigin(), *b.GetSpacing(), *b.GetDirection()],
        atol=1e-3,
    )
