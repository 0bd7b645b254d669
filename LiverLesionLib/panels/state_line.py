"""One line at the top of the panel: what runs, what went wrong, what is out of date, what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import WRONG
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.work_step import WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult
    from LiverLesionLib.steps.classify_step import ClassifyStep
    from LiverLesionLib.steps.lesions_step import LesionsStep
    from LiverLesionLib.steps.save_step import SaveStep
    from LiverLesionLib.steps.study_step import StudyStep

Tone = Literal["running", "wrong", "out of date", "done", "next"]

_COLOURS: dict[Tone, str] = {
    "running": "33, 150, 243",
    "wrong": "229, 57, 53",
    "out of date": "251, 140, 0",
    "done": "67, 160, 71",
    "next": "158, 158, 158",
}


@dataclass(frozen=True)
class State:
    """What matters most now, in a sentence."""

    tone: Tone
    text: str


class Told(Protocol):
    """The panel, as far as its state is told."""

    running: object | None
    steps: tuple[PanelStep, ...]
    study_step: StudyStep
    lesions: LesionsStep
    classify: ClassifyStep
    save_step: SaveStep

    @property
    def result(self) -> StudyResult | None:
        """The result that is shown."""


def state_of(panel: Told) -> State:
    """Return what a reader has to know, the most urgent first."""
    running = panel.running
    if isinstance(running, PanelStep):
        percent = f" {100 * running.fraction:.0f} %" if isinstance(running, WorkStep) else ""
        return State("running", f"{_first_line(running.text)}{percent}")
    for step in panel.steps:
        if step.mark == WRONG:
            return State("wrong", f"{step.title.strip()}: {_first_line(step.text)}")
    if panel.result is not None and panel.classify.out_of_date:
        return State("out of date", _("Out of date: {changes}").format(changes=panel.classify.out_of_date))
    if panel.result is None:
        waiting = [step for step in (panel.study_step, panel.lesions) if not step.mark]
        return State("next", _first_line(waiting[0].text) if waiting else _("Ready to classify."))
    decided = sum(lesion.reading is not None for lesion in panel.result.lesions)
    words = _("Classified: {count}; decided: {decided}; {saved}.").format(
        count=len(panel.result.lesions) if panel.result.unit == "lesion" else _("the study"),
        decided=decided,
        saved=_("saved") if panel.save_step.is_saved else _("not saved"),
    )
    return State("done", words)


def show_state(label: Any, state: State) -> None:
    """Show a state; its tone is the colour behind it."""
    label.text = state.text
    label.visible = bool(state.text)
    label.styleSheet = f"background: rgba({_COLOURS[state.tone]}, 60); padding: 3px 6px;"


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]
