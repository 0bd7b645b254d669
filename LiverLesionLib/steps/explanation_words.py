"""What is said of an explanation: its class, its sequences' weights, its method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from LiverLesionLib.controls import bars

if TYPE_CHECKING:
    from LiverLesionAI.results import LesionResult, StudyResult


def explained(result: StudyResult, lesion: LesionResult, count: int) -> str:
    """Say what the maps of a lesion speak for."""
    text = _("{count} maps of {name}: what speaks for {diagnosis}.")
    lines = [text.format(count=count, name=lesion.name, diagnosis=target_of(result, lesion))]
    return "\n".join([*lines, *_clinical_worth(result)])


def target_of(result: StudyResult, lesion: LesionResult) -> str:
    """The class that the maps of a lesion speak for."""
    from LiverLesionAI.scenes.explanations import mapped_task

    task = mapped_task(result, lesion)
    return lesion.explained.get(task) or lesion.tasks[task].predicted


def _clinical_worth(result: StudyResult) -> list[str]:
    """Say what the clinical fields that are known added to the answers that rest on them."""
    from LiverLesionAI.answers import task_title
    from LiverLesionAI.inputs.clinical import FIELDS

    titles = {each.name: each.title for each in FIELDS}
    lines = []
    for task, fields in result.clinical_weights.items():
        ranked = sorted(fields.items(), key=lambda each: -abs(each[1]))
        worth = ", ".join(f"{titles[name]} {bars.signed(value)}" for name, value in ranked)
        line = _("Clinical data for {diagnosis} ({task}, log-odds): {worth}.")
        lines.append(
            line.format(diagnosis=result.explained.get(task, ""), task=task_title(task), worth=worth)
        )
    return lines


def weight_cells(
    lesion: LesionResult, tasks: Sequence[str], sequence: str, largest: float
) -> list[bars.Cell]:
    """A sequence's weight in each task; with it, under the mouse, what it adds beside each other sequence."""
    cells: list[bars.Cell] = []
    for task in tasks:
        weights = lesion.sequence_weights[task]
        if sequence not in weights:
            cells.append("")
            continue
        cells.append(
            bars.Weight(weights[sequence]["shapley"], largest, _interactions(lesion, task, sequence))
        )
    return cells


def _interactions(lesion: LesionResult, task: str, sequence: str) -> str:
    pairs = [each for each in lesion.sequence_interactions.get(task, ()) if sequence in each[:2]]
    lines = [
        f"{first if second == sequence else second} {bars.signed(value)}"
        for first, second, value in sorted(pairs, key=lambda each: -abs(each[2]))
    ]
    if not lines:
        return ""
    return "\n".join([_("With another sequence, more or less than both alone (log-odds):"), *lines])


def without_explanation(result: StudyResult) -> str:
    """Say why a result cannot be explained."""
    return _("Models of the system {name} are not explained here.").format(name=result.models[0].system)


def method_title(method: str) -> str:
    titles = {
        "integrated-grad-cam": _("at once"),
        "lesion-parts": _("part by part"),
        "integrated-gradients": _("voxel by voxel"),
        "input-gradient": _("by the slope at each pixel"),
        "grad-cam": _("by the last features"),
    }
    return titles.get(method, method)
