"""The panel of the module Liver Sequence Registration."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.parameters import RegistrationParameters
from LiverLesionLib.steps.align_step import AlignStep
from LiverLesionLib.steps.scope_step import ScopeStep, chosen_scope
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.study_step import StudyStep


class RegistrationPanel(BasePanel):
    """Volumes by role in, transform nodes out."""

    parameters_class = RegistrationParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the steps."""
        self.scope = ScopeStep(self)
        self.align = AlignStep(self, chosen_scope, self._registered)
        return StudyStep(self), self.scope, self.align

    def _registered(self) -> None:
        """Make registered volumes, where they are wanted."""
        from LiverLesionAI.scenes.registering import add_registered_volumes

        if self.parameters.resample:
            add_registered_volumes(slicer.mrmlScene, self.chosen(), _)
