"""Step 2 of a batch: run, watch, pause, stop."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib.batches import Batches
from LiverLesionLib.controls.marks import DONE, TODO, WRONG
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.steps.step import Host, PanelStep

_OUTPUTS = ("all", "volumes", "table")


class BatchStep(PanelStep):
    """How the cohort is worked through, the buttons, the bar.

    Parameters
    ----------
    host
        The panel.
    batches
        What is worked through.
    """

    def __init__(self, host: Host, batches: Batches) -> None:
        super().__init__(host, host.ui.batchStep, host.ui.batchStatus)
        self._batches = batches
        ui = self.ui
        ui.outputsCombo.addItems([_("Everything"), _("Volumes"), _("Tables only")])
        ui.runButton.connect("clicked(bool)", self.run_or_stop)
        ui.pauseButton.connect("clicked(bool)", self.pause)
        batches.on_change(lambda changed: self.refresh())
        batches.on_failure(lambda error: self.fail(str(error)))

    def run_or_stop(self) -> None:
        """Begin or go on, or stop at once."""
        with self.action():
            if self._batches.run is not None:
                self._batches.stop()
            else:
                ensure_packages("batch" if int(self.ui.workersSpin.value) > 1 else "classify")
                self._batches.start(self._options())
        self.refresh_panel()

    def pause(self) -> None:
        """Hand out no further study, or go on."""
        with self.action():
            self._batches.pause()

    def refresh(self) -> None:
        """Say how far the run is."""
        ui, run = self.ui, self._batches.run
        ui.runButton.text = _("Run") if run is None else _("Stop")
        ui.runButton.enabled = bool(self._batches.rows)
        ui.pauseButton.enabled = run is not None
        ui.pauseButton.text = _("Go on") if run is not None and run.paused else _("Pause")
        for widget in (ui.workersSpin, ui.outputsCombo, ui.registerCheck, ui.explainCheck, ui.retryCheck):
            widget.enabled = run is None
        rows = self._batches.rows.values()
        states = [row.state for row in rows]
        ui.batchBar.setRange(0, max(1, len(states)))
        ui.batchBar.setValue(len(states) - states.count("waiting"))
        if not states:
            self.say(TODO, _("List the cohort first."))
            return
        text = _("{done} done, {failed} failed, {waiting} to do.")
        said = text.format(
            done=states.count("done"), failed=states.count("failed"), waiting=states.count("waiting")
        )
        mark = TODO if "waiting" in states else WRONG if "failed" in states else DONE
        self.say(mark, f"{said} {self._left()}".strip())

    def _left(self) -> str:
        run = self._batches.run
        if run is None or run.progress.seconds_left is None:
            return ""
        if run.paused:
            return _("Paused; studies that were begun are finished.")
        return _("{minutes} min left.").format(minutes=max(1, round(run.progress.seconds_left / 60)))

    def _options(self) -> Any:
        from LiverLesionAI.batch import BatchOptions
        from LiverLesionAI.options import Options

        ui, model = self.ui, self._batches.model
        assert model is not None
        return BatchOptions(
            models=(model.name,),
            study=Options(register=bool(ui.registerCheck.checked), explain=bool(ui.explainCheck.checked)),
            outputs=_OUTPUTS[ui.outputsCombo.currentIndex],  # type: ignore[arg-type]
            workers=int(ui.workersSpin.value),
            retry_failed=bool(ui.retryCheck.checked),
        )
