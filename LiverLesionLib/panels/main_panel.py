"""The panel of the module Liver Lesion AI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from LiverLesionLib.controls.shortcuts import add_shortcuts
from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.panels.state_line import show_state, state_of
from LiverLesionLib.parameters import PanelParameters
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.align_step import AlignStep
from LiverLesionLib.steps.classify_step import ClassifyStep
from LiverLesionLib.steps.decide_step import DecideStep
from LiverLesionLib.steps.explain_step import ExplainStep
from LiverLesionLib.steps.lesions_step import LesionsStep
from LiverLesionLib.steps.result_text import result_from_text
from LiverLesionLib.steps.save_step import SaveStep
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.study_step import StudyStep

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult


class MainPanel(BasePanel):
    """From a loaded study to an explained, decided and saved classification."""

    parameters_class = PanelParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the seven steps; they share which result is shown and which lesion of it is selected."""
        self.selection = Selection()
        self._opened: StudyResult | None = None
        self.selection.on_result(self._remember)
        self.study_step = StudyStep(
            self, lambda: self.classify.get_ready(), lambda: self.classify.sequences_read
        )
        self.align = AlignStep(self)
        self.lesions = LesionsStep(self, self.selection)
        self.classify = ClassifyStep(self, self.selection, self._classified)
        self.explain = ExplainStep(self, self.selection)
        self.decide = DecideStep(self, self.selection)
        self.save_step = SaveStep(self, self.selection)
        self._shortcuts = add_shortcuts(
            self.widget.parent,
            {
                "Ctrl+Return": self.ui.classifyButton.click,
                "Alt+Up": lambda: self.selection.step(-1),
                "Alt+Down": lambda: self.selection.step(1),
                "Ctrl+Shift+M": self.explain.toggle_map,
            },
        )
        return (
            self.study_step, self.align, self.lesions, self.classify,
            self.explain, self.decide, self.save_step,
        )  # fmt: skip

    @property
    def result(self) -> StudyResult | None:
        """The result that is shown; None where nothing was classified."""
        return self.selection.result

    def parameters_connected(self) -> None:
        """Show the result that the scene remembers; where it cannot be read, step 4 says why."""
        result, failure = result_from_text(self.parameters.result)
        self._opened = result
        self.selection.show(result)
        if failure:
            self.classify.fail(failure)

    def state_changed(self) -> None:
        """Show at the top, where it never scrolls away, what matters most now."""
        if not self.steps or self.parameters is None:
            return
        state = state_of(
            self.steps,
            (self.study_step, self.lesions),
            self.running,
            self.result,
            self.classify.out_of_date,
            self.save_step.is_saved or (None if self.result is self._opened else False),
        )
        show_state(self.ui.stateLabel, state)

    def _remember(self) -> None:
        """Keep the result in the scene."""
        result = self.selection.result
        if result is not None:
            self.parameters.result = json.dumps(result.to_dict(), ensure_ascii=False)

    def _classified(self) -> None:
        """Explain a new result at once, where the reader wants that and the model can."""
        if self.parameters.explain and self.explain.methods:
            self.explain.begin()
