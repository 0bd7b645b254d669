"""Step 1 of a reader study: which study, and who reads."""

from __future__ import annotations

from pathlib import Path

import ctk
from slicer.i18n import tr as _

from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.reading import Reading
from LiverLesionLib.steps.step import Host, PanelStep


class ReaderStep(PanelStep):
    """The study's folder, its readers, and the button that starts and stops.

    Parameters
    ----------
    host
        The panel.
    reading
        What is read.
    """

    def __init__(self, host: Host, reading: Reading) -> None:
        super().__init__(host, host.ui.readerStep, host.ui.readerStatus)
        self._reading = reading
        self._offered: tuple[str, ...] = ()
        ui = self.ui
        ui.studyFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.studyFolderEdit.connect("currentPathChanged(QString)", self._folder_chosen)
        ui.startButton.connect("clicked(bool)", self.start_or_stop)
        reading.on_change(self.refresh)

    def start_or_stop(self) -> None:
        """Start reading as the chosen reader, or end it."""
        with self.action():
            if self._reading.session is not None:
                self._reading.stop()
                return
            ensure_packages("read")
            self._reading.start(Path(self.ui.studyFolderEdit.currentPath), self.ui.readerCombo.currentText)

    def refresh(self) -> None:
        """Say how far the reader is; a study is needed first."""
        session = self._reading.session
        reads = session is not None
        ui = self.ui
        ui.studyFolderEdit.enabled = ui.readerCombo.enabled = not reads
        ui.startButton.text = _("Stop reading") if reads else _("Start reading")
        ui.startButton.enabled = reads or bool(self._offered)
        if session is None:
            ready = _("Choose who you are, then start; answers given before are kept.")
            self.say(TODO, ready if self._offered else _("Choose the folder of the reader study."))
            return
        progress = session.progress
        text = _("Session {session}: {done} of {count} cases. In all {all_done} of {total}.")
        self.say(
            DONE if progress.done == progress.total else TODO,
            text.format(
                session=progress.session,
                done=progress.in_session,
                count=progress.of_session,
                all_done=progress.done,
                total=progress.total,
            ),
        )

    def forget(self) -> None:
        """The scene closes, or the module goes away: the session ends, its answers are on the disk."""
        self._reading.stop()

    def _folder_chosen(self, path: str) -> None:
        from LiverLesionAI.reader_study.folder import read_reader_study

        self._offered = ()
        self.ui.readerCombo.clear()
        if path:
            with self.action():
                self._offered = read_reader_study(Path(path)).readers
                self.ui.readerCombo.addItems(list(self._offered))
        self.refresh()
