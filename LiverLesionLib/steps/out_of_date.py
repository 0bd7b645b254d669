"""Whether the result on show still fits the scene, and what has changed if not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.steps.step import Host

if TYPE_CHECKING:
    from LiverLesionAI.scenes.changes import Change


def note_basis(host: Host) -> str:
    """Note what a classification that begins now rests on, as the parameters keep it.

    Raises
    ------
    StudyError
        If the study cannot be read.
    """
    from LiverLesionAI.scenes.changes import basis_of

    return basis_of(slicer.mrmlScene, host.chosen(), host.lesion_rows).to_json()


def changes_after_classifying(host: Host) -> tuple[Change, ...]:
    """Return what has changed since; nothing where the scene does not tell what it was.

    Raises
    ------
    StudyError
        If the study cannot be read.
    """
    from LiverLesionAI.scenes.changes import Basis, changes_since

    if not host.parameters.basis:
        return ()
    before = Basis.from_json(host.parameters.basis)
    return changes_since(slicer.mrmlScene, before, host.chosen(), host.lesion_rows)


def in_words(changes: Sequence[Change]) -> str:
    """Say what has changed, in one sentence."""
    words: dict[str, tuple[str, ...]] = {
        "reference": (_("the reference was changed from {names}"),),
        "added": (_("{names} was added"), _("{names} were added")),
        "removed": (_("{names} was removed"), _("{names} were removed")),
        "replaced": (_("{names} became another volume"), _("{names} became other volumes")),
        "moved": (_("{names} was moved"), _("{names} were moved")),
        "corrected": (_("{names} was corrected"), _("{names} were corrected")),
        "corrected-on": (_("segments on {names} were corrected"),),
    }
    grouped: dict[str, list[str]] = {}
    for change in changes:
        grouped.setdefault(change.kind, []).append(change.name)
    said = [
        words[kind][0 if len(names) == 1 else -1].format(names=", ".join(names))
        for kind, names in grouped.items()
    ]
    return _("{changes} after classifying; classify again.").format(changes="; ".join(said))
