"""The panel of the module Liver Sequence Registration."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib.align_step import AlignStep
from LiverLesionLib.front import Front
from LiverLesionLib.parameters import RegistrationParameters, chosen_volumes
from LiverLesionLib.registering import add_registered_volumes
from LiverLesionLib.step import DONE, TODO, Step
from LiverLesionLib.study_step import StudyStep


class ScopeStep(Step):
    """Where the registration looks, and what comes out beside transforms."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.scopeStep, panel.ui.scopeStatus)
        self.ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._changed)
        self.ui.aroundLesionsCheck.connect("toggled(bool)", self._changed)

    def refresh(self) -> None:
        """Say where the registration will look."""
        if self.panel.registration_scope == "lesion":
            self.say(DONE, _("Only the neighbourhoods of the lesions are looked at."))
        elif self.parameters.around_lesions:
            self.say(TODO, _("No lesion is outlined: the whole volumes are looked at."))
        else:
            self.say(DONE, _("The whole volumes are looked at."))

    def _changed(self, value: Any = None) -> None:
        self.panel.refresh_soon()


class RegistrationPanel(Front):
    """Volumes by role in, transform nodes out."""

    parameters_class = RegistrationParameters

    def make_steps(self) -> tuple[Step, ...]:
        """Make the steps."""
        self.scope, self.align = ScopeStep(self), AlignStep(self)
        return StudyStep(self), self.scope, self.align

    @property
    def registration_scope(self) -> str:
        """Where the reader wants the registration to look, and it can."""
        return super().registration_scope if self.parameters.around_lesions else "volume"

    def registered(self) -> None:
        """Transforms that were found have come into the scene; make registered volumes if they are wanted."""
        if self.parameters.resample:
            add_registered_volumes(chosen_volumes(self.parameters), self.parameters.reference)
        self.align.registered()
