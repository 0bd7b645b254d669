"""Step 6: save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
from slicer.i18n import tr as _

from LiverLesionLib.step import DONE, TODO, Step


class SaveStep(Step):
    """One folder with everything: scene, tables, report, volumes, maps."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.saveStep, panel.ui.saveStatus)
        self.ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.saveButton.connect("clicked(bool)", self.save)
        self.ui.folderEdit.connect("currentPathChanged(QString)", self._folder_chosen)

    def refresh(self) -> None:
        """Saving needs a result and a folder."""
        folder = self.ui.folderEdit.currentPath
        self.ui.saveButton.enabled = self.panel.result is not None and bool(folder) and not self.panel.is_busy
        if self.panel.result is None:
            self.say(TODO, _("Nothing to save yet; classify first."))
        elif not folder:
            self.say(TODO, _("Choose a folder."))

    def save(self) -> None:
        """Write the output folder, as ``liverlesionai classify`` does."""
        with self.action():
            folder = Path(self.ui.folderEdit.currentPath)
            files = self.panel.save(folder)
            self.ui.folderEdit.addCurrentPathToHistory()
            self.say(
                DONE, _("{count} files were written to {folder}.").format(count=len(files), folder=folder)
            )

    def _folder_chosen(self, path: str) -> None:
        self.refresh()
