"""The panel of the module Liver HCC Detection."""

from __future__ import annotations

from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.parameters import DetectionParameters
from LiverLesionLib.steps.candidates_step import CandidatesStep
from LiverLesionLib.steps.detect_step import DetectStep
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.study_step import StudyStep


class DetectionPanel(BasePanel):
    """Volumes by role in; candidates, their map, and their segments with classes, out."""

    parameters_class = DetectionParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the steps."""
        self.detect = DetectStep(self)
        self.candidates = CandidatesStep(self)
        return StudyStep(self), self.detect, self.candidates
