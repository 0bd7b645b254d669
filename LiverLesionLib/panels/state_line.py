"""The state at the top of the panel: what runs, went wrong, is out of date or in doubt, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import WRONG
from LiverLesionLib.steps.answers import answered
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.work_step import WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult

Tone = Literal["running", "wrong", "out of date", "doubtful", "done", "next"]

_COLOURS: dict[Tone, str] = {
    "running": "33, 150, 243",
    "wrong": "229, 57, 53",
    "out of date": "251, 140, 0",
    "doubtful": "251, 140, 0",
    "done": "67, 160, 71",
    "next": "158, 158, 158",
}


@dataclass(frozen=True)
class State:
    """What matters most now, in a sentence."""

    tone: Tone
    text: str


def state_of(
    steps: Sequence[PanelStep],
    needed: Sequence[PanelStep],
    running: object | None,
    result: StudyResult | None,
    out_of_date: str,
    is_saved: bool | None,
) -> State:
    """Return what a reader has to know, the most urgent first.

    Parameters
    ----------
    steps
        Of the panel.
    needed
        Those that have to be done before a study can be classified, in order.
    running
        The step that work is going on for.
    result, out_of_date
        The result on show, and what has changed since; empty where nothing has.
    is_saved
        Whether the result as it is has been saved; None where it came with the scene.
    """
    if isinstance(running, PanelStep):
        percent = f" {100 * running.fraction:.0f}\N{NO-BREAK SPACE}%" if isinstance(running, WorkStep) else ""
        return State("running", f"{_first_line(running.text)}{percent}")
    for step in steps:
        if step.mark == WRONG:
            return State("wrong", f"{step.title.strip()}: {_first_line(step.text)}")
    if result is None:
        waiting = [step for step in needed if not step.mark]
        return State("next", _first_line(waiting[0].text) if waiting else _("Ready to classify."))
    if out_of_date:
        return State("out of date", _("Out of date: {changes}").format(changes=out_of_date))
    words = _("Classified: {count}; decided: {decided}; {saved}.").format(
        count=len(result.lesions) if result.unit == "lesion" else _("the study"),
        decided=sum(lesion.reading is not None for lesion in result.lesions),
        saved=_("as the scene has it") if is_saved is None else _("saved") if is_saved else _("not saved"),
    )
    doubtful = [each.name for each in answered(result) if each.is_unlike]
    if doubtful:
        doubt = _("Do not rely on the answer for {names}: unlike what the model was trained on.")
        return State("doubtful", f"{doubt.format(names=', '.join(doubtful))} {words}")
    return State("done", words)


def show_state(label: Any, state: State) -> None:
    """Show a state; its tone is the colour behind it."""
    label.text = state.text
    label.visible = bool(state.text)
    label.styleSheet = f"background: rgba({_COLOURS[state.tone]}, 60); padding: 3px 6px;"


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]
