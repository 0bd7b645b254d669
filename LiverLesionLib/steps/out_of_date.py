"""Whether the result on show still fits the scene, and what has changed if not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.parameters import SEQUENCES
from LiverLesionLib.steps.step import Host

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult
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


def outdated(name: str, result: StudyResult, changes: Sequence[Change]) -> str:
    """Say why an answer does not hold any more; empty where it does.

    Parameters
    ----------
    name
        Of the lesion that it is for, or of the study as a whole.
    result
        The result.
    changes
        What has changed since. That of one lesion leaves the answers for the others as they are.
    """
    lesions = {lesion.name for lesion in result.lesions}
    others = lesions - {name} if result.unit == "lesion" else set()
    touching = [each for each in changes if not _is_of_lesion(each, others, result)]
    return in_words(touching) if touching else ""


def _is_of_lesion(change: Change, lesions: set[str], result: StudyResult) -> bool:
    """Whether a change is that of one of some lesions, or adds one that the result does not have."""
    is_new = change.kind == "added" and change.name not in SEQUENCES
    return change.name in lesions or (is_new and result.unit == "lesion")


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
