"""Step 1 of a batch: which cohort, which model, where the outputs go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ctk
from slicer.i18n import tr as _

from LiverLesionLib.batches import Batches
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.dependencies import ensure_packages, missing_packages
from LiverLesionLib.steps.step import Host, PanelStep

if TYPE_CHECKING:
    from LiverLesionAI.bundles.suite import Model


class CohortStep(PanelStep):
    """Cohort, model, folder of the run, and the button that lists the studies.

    Parameters
    ----------
    host
        The panel.
    batches
        What is worked through.
    """

    def __init__(self, host: Host, batches: Batches) -> None:
        super().__init__(host, host.ui.cohortStep, host.ui.cohortStatus)
        self._batches = batches
        self._models: tuple[Model, ...] = ()
        self.ui.runFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.lookButton.connect("clicked(bool)", self.look)
        batches.on_change(lambda changed: self.refresh() if changed is None else None)

    def look(self) -> None:
        """List the studies and what each lacks."""
        with self.action():
            ensure_packages("classify")
            self._load_models()
            cohort, out = self.ui.cohortEdit.currentPath, self.ui.runFolderEdit.currentPath
            if not cohort or not out:
                raise RuntimeError(_("Choose the cohort and a folder for the run."))
            model = self._models[max(0, self.ui.modelCombo.currentIndex)]
            self._batches.look(Path(cohort), Path(out), model)
        self.refresh_panel()

    def enter(self) -> None:
        """The module is shown: say which models there are, where what tells it is installed."""
        if missing_packages("classify"):
            return
        with self.errors_told():
            self._load_models()

    def refresh(self) -> None:
        """Say what was found."""
        is_on = self._batches.run is not None
        ui = self.ui
        ui.cohortEdit.enabled = ui.runFolderEdit.enabled = ui.modelCombo.enabled = not is_on
        ui.lookButton.enabled = not is_on
        rows = self._batches.rows.values()
        if not rows:
            self.say(TODO, _("Choose a cohort.csv, or a folder of studies, scenes or DICOM files."))
            return
        short = sum(bool(row.lacking) for row in rows)
        unread = sum(row.lacking is None for row in rows)
        said = [_("{count} studies").format(count=len(rows))]
        if short:
            words = _("1 lacks something") if short == 1 else _("{count} lack something")
            said += [words.format(count=short)]
        said += [_("what {count} have is seen when they are read").format(count=unread)] if unread else []
        self.say(DONE, f"{'; '.join(said)}.")

    def _load_models(self) -> None:
        from LiverLesionAI.bundles.suite import models_at_hand
        from LiverLesionAI.options import DEFAULT_MODEL

        if self._models:
            return
        self._models = models_at_hand(DEFAULT_MODEL)
        self.ui.modelCombo.clear()
        self.ui.modelCombo.addItems([model.name for model in self._models])
