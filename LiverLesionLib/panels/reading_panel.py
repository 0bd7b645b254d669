"""The panel of the module Liver Reader Study: one case after another, answers kept as they are given."""

from __future__ import annotations

from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.parameters import ReadingParameters
from LiverLesionLib.reading import Reading
from LiverLesionLib.steps.case_step import CaseStep
from LiverLesionLib.steps.reader_step import ReaderStep
from LiverLesionLib.steps.step import PanelStep


class ReadingPanel(BasePanel):
    """A reader study in, a journal of answers out."""

    parameters_class = ReadingParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the steps."""
        self.reading = Reading()
        return ReaderStep(self, self.reading), CaseStep(self, self.reading)

    def cancel(self) -> None:
        """Nothing goes on in the background here."""
