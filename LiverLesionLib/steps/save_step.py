"""Step 7: save."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ctk
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls.layouts import known_layout
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.dicom_files import instances_of
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.job import Job, read_study
from LiverLesionLib.steps.out_of_date import changes_after_classifying
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.work_step import Words, WorkStep

if TYPE_CHECKING:
    from LiverLesionAI.results import StudyResult


class SaveStep(WorkStep):
    """One folder with everything: scene, tables, report, figures, volumes, maps, DICOM.

    Parameters
    ----------
    host
        The panel.
    selection
        The result that is saved.
    """

    def __init__(self, host: Host, selection: Selection) -> None:
        ui = host.ui
        words = Words(_("Saving…"), _("Cancelled; nothing was written."))
        super().__init__(host, ui.saveStep, ui.saveStatus, ui.saveButton, ui.saveProgress, words)
        self._selection = selection
        self._saved: StudyResult | None = None
        self._parent: Path | None = None
        selection.on_result(self._result_shown)
        ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.folderEdit.connect("currentPathChanged(QString)", self._folder_chosen)

    @property
    def is_saved(self) -> bool:
        """Whether the result as it is now has been saved."""
        return self._selection.result is not None and self._selection.result is self._saved

    @property
    def folder(self) -> Path:
        """The folder that the reader chose."""
        return Path(self.ui.folderEdit.currentPath)

    def prepare(self) -> Generator[None, None, Job]:
        """Write study and scene for the worker, which writes the output folder."""
        from LiverLesionAI import mrml
        from LiverLesionAI.errors import StudyError
        from LiverLesionAI.results import with_warnings
        from LiverLesionAI.scenes.changes import alignment_warning
        from LiverLesionAI.worker.exchange import send_study

        result, nodes, out = self._selection.result, self.chosen(), self.folder
        if result is None:
            raise StudyError(_("Nothing to save yet; classify first."))
        study = read_study(nodes, result.unit)
        moved = alignment_warning(changes_after_classifying(self.host))
        saved = with_warnings(result, *moved)
        yield
        sent = send_study(study, self.host.folder("saved"))
        yield
        scene = self.host.folder("scene")
        yield from mrml.adding_storage(slicer.mrmlScene)
        with known_layout():
            mrml.save_scene_folder(slicer.mrmlScene, scene)
        arguments = {
            "study": str(sent),
            "results": saved.to_dict(),
            "out": str(out),
            "scene": str(scene),
            "instances": instances_of(nodes.volumes),
        }

        def finish(answer: Mapping[str, Any]) -> Generator[None, None, None]:
            yield
            self._saved = result
            notes = [warning for warning in answer["warnings"] if warning not in result.warnings]
            self._tell(out, answer["files"], notes)

        return Job("save", arguments, finish)

    def forget(self) -> None:
        """The folder is that of the study that goes; the next one is offered one of its own beside it."""
        if self.ui.folderEdit.currentPath:
            self._parent = self.folder.parent
        self.ui.folderEdit.currentPath = ""

    def _result_shown(self) -> None:
        from LiverLesionAI.files import free_path

        result = self._selection.result
        if result is not None and self._parent is not None and not self.ui.folderEdit.currentPath:
            self.ui.folderEdit.currentPath = str(free_path(self._parent / result.study.id))
        self.refresh()

    def refresh(self) -> None:
        """Saving needs a result and a folder."""
        result, chosen = self._selection.result, bool(self.ui.folderEdit.currentPath)
        self.ui.saveButton.enabled = self.is_running or (result is not None and chosen and not self.is_busy)
        if self.is_running:
            return
        if result is None:
            self.say(TODO, _("Nothing to save yet; classify first."))
        elif not chosen:
            self.say(TODO, _("Choose a folder."))
        elif result is not self._saved:
            self.say(TODO, _("The result as it is now has not been saved."))

    def _tell(self, folder: Path, files: Sequence[str], notes: Sequence[str]) -> None:
        """Say what was written, and what could not be."""
        self.ui.folderEdit.addCurrentPathToHistory()
        text = _("{count} files were written to {folder}.").format(count=len(files), folder=folder)
        lines = [text, *(_("Note: {text}.").format(text=note.rstrip(".")) for note in notes)]
        self.say(DONE, "\n".join(lines))

    def _folder_chosen(self, path: str) -> None:
        self.forget_error()
        self.refresh()
