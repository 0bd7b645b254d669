"""The panel of the module Liver Lesion Patches: crop lesions, export them with their classes for training."""

from __future__ import annotations

from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.parameters import PatchesParameters
from LiverLesionLib.steps.crop_step import CropStep
from LiverLesionLib.steps.export_step import ExportStep
from LiverLesionLib.steps.step import PanelStep
from LiverLesionLib.steps.study_step import StudyStep


class PatchesPanel(BasePanel):
    """A study with segmented lesions in; patches in the scene, or a data set on disk, out."""

    parameters_class = PatchesParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the steps."""
        self.ui.segmentationSelector.connect(
            "currentNodeChanged(vtkMRMLNode*)", lambda node: self.refresh_soon()
        )
        self.crop, self.export = CropStep(self), ExportStep(self)
        return StudyStep(self), self.crop, self.export

    def cancel(self) -> None:
        """Cancel what is going on; the steps themselves do the work here."""
        for step in (self.crop, self.export):
            step.forget()
