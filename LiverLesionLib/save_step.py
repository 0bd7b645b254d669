"""Step 7: save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
from slicer.i18n import tr as _

from LiverLesionLib.step import DONE, TODO
from LiverLesionLib.work_step import WorkStep


class SaveStep(WorkStep):
    """One folder with everything: scene, tables, report, figures, volumes, maps, DICOM."""

    def __init__(self, panel: Any) -> None:
        ui = panel.ui
        super().__init__(
            panel,
            ui.saveStep,
            ui.saveStatus,
            job="save",
            button=ui.saveButton,
            bar=ui.saveProgress,
            doing=_("Saving…"),
            cancelled=_("Cancelled; nothing was written."),
        )
        self._saved: Any = None
        ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.folderEdit.connect("currentPathChanged(QString)", self._folder_chosen)

    @property
    def folder(self) -> Path:
        """The folder that the reader chose."""
        return Path(self.ui.folderEdit.currentPath)

    def refresh(self) -> None:
        """Saving needs a result and a folder."""
        chosen, busy = bool(self.ui.folderEdit.currentPath), self.panel.is_busy
        self.ui.saveButton.enabled = self.is_running or (
            self.panel.result is not None and chosen and not busy
        )
        if self.is_running:
            return
        if self.panel.result is None:
            self.say(TODO, _("Nothing to save yet; classify first."))
        elif not chosen:
            self.say(TODO, _("Choose a folder."))
        elif self.panel.result is not self._saved:
            self.say(TODO, _("The result as it is now has not been saved."))

    def saved(self, folder: Path, files: list[str], notes: list[str]) -> None:
        """Say what was written, and what could not be."""
        self._saved = self.panel.result
        self.ui.folderEdit.addCurrentPathToHistory()
        text = _("{count} files were written to {folder}.").format(count=len(files), folder=folder)
        lines = [text, *(_("Note: {text}.").format(text=note.rstrip(".")) for note in notes)]
        self.say(DONE, "\n".join(lines))

    def _folder_chosen(self, path: str) -> None:
        self.refresh()
