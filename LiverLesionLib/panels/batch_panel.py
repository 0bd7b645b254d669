"""The panel of the module Liver Lesion Batch: a cohort in, tables and results of its studies out."""

from __future__ import annotations

from LiverLesionLib.batches import Batches
from LiverLesionLib.panels.base_panel import BasePanel
from LiverLesionLib.parameters import BatchParameters
from LiverLesionLib.steps.batch_results_step import BatchResultsStep
from LiverLesionLib.steps.batch_step import BatchStep
from LiverLesionLib.steps.cohort_step import CohortStep
from LiverLesionLib.steps.step import PanelStep


class BatchPanel(BasePanel):
    """A cohort, a run, its results."""

    parameters_class = BatchParameters

    def make_steps(self) -> tuple[PanelStep, ...]:
        """Make the steps."""
        self.batches = Batches()
        return (
            CohortStep(self, self.batches),
            BatchStep(self, self.batches),
            BatchResultsStep(self, self.batches),
        )

    def close(self) -> None:
        """The module goes away: the run ends, what was finished stands."""
        self.batches.stop()
        super().close()
