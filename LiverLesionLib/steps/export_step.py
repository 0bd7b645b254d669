"""Export a study, with a class per lesion, for training."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import TODO
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.steps.step import Host
from LiverLesionLib.steps.stepwise import StepwiseStep


class ExportStep(StepwiseStep):
    """Add the study, with a class per lesion, to a folder that ``liverlesionai train`` reads.

    Parameters
    ----------
    host
        The panel.
    """

    def __init__(self, host: Host) -> None:
        ui = host.ui
        super().__init__(host, ui.exportStep, ui.exportStatus, ui.exportButton, ui.exportProgress)
        self._exported = ""
        self._choosers: list[Any] = []
        self.ui.datasetEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.datasetEdit.connect("currentPathChanged(QString)", self._folder_chosen)
        bars.prepare(self.ui.diagnosisTable, [_("Lesion"), _("mm"), _("Class")], 0, 2)

    def refresh(self) -> None:
        """Exporting needs a folder and the class of a lesion."""
        self._show_lesions()
        chosen = self._diagnoses()
        ready = bool(chosen) and bool(self.ui.datasetEdit.currentPath)
        self.ui.exportButton.enabled = self.is_running or (ready and not self.is_busy)
        if self.is_running:
            return
        if not self.lesion_rows:
            self.say(TODO, _("Choose the segmentation of the lesions."))
        elif not chosen:
            self.say(TODO, _("Choose the class of each lesion that is known."))
        elif not self.ui.datasetEdit.currentPath:
            self.say(TODO, _("Choose the data set's folder."))
        elif not self._exported:
            self.say(TODO, _("Lesions with a class: {count}.").format(count=len(chosen)))

    def work(self) -> Generator[float, None, None]:
        """Write the study's files one by one."""
        from LiverLesionAI.scenes.read import study_of
        from LiverLesionAI.writers.dataset import add_to_dataset, free_name

        ensure_packages("export")
        folder = Path(self.ui.datasetEdit.currentPath)
        study = study_of(slicer.mrmlScene, self.chosen())
        name = self.parameters.study_name.strip() or free_name(study.id, folder)
        study = replace(study, id=name)
        self._exported = ""
        files = 2 * len(study.images) + len(study.outlines) + 2
        work = cast(
            "Generator[Path, None, None]",
            add_to_dataset(study, self._diagnoses(), folder, self.parameters.patient.strip()),
        )
        try:
            for done, _file in enumerate(work, start=1):
                yield min(done / files, 1.0)
        finally:
            work.close()
        self._exported = name

    def result(self) -> str:
        """Say under which name the study was written."""
        return _("Study {name} was added to {folder}.").format(
            name=self._exported, folder=self.ui.datasetEdit.currentPath
        )

    def _diagnoses(self) -> dict[int, str]:
        """Lesion to class, of the lesions that have one."""
        chosen = self._remembered()
        names = self._names
        return {
            each.id: chosen[each.segment_id]
            for each in self.lesion_rows
            if chosen.get(each.segment_id) in names
        }

    def _remembered(self) -> dict[str, str]:
        """Segment ID to class."""
        known: dict[str, str] = json.loads(self.parameters.diagnoses or "{}")
        return known

    @property
    def _names(self) -> tuple[str, ...]:
        """Classes on offer, which are those of the study's modality."""
        from LiverLesionAI.sequences import modality_of
        from LiverLesionAI.taxonomy import diagnoses_on

        return diagnoses_on(modality_of(self.chosen().volumes))

    def _show_lesions(self) -> None:
        lesions, chosen, names = self.lesion_rows, self._remembered(), self._names
        rows = [(bars.Chip(each.name, each.colour), f"{each.diameter_mm:.0f}", "") for each in lesions]
        bars.fill(self.ui.diagnosisTable, rows)
        self._choosers = []
        for row, lesion in enumerate(lesions):
            chooser = qt.QComboBox()
            chooser.addItems([_("unknown"), *names])
            known = chosen.get(lesion.segment_id)
            chooser.setCurrentIndex(1 + names.index(known) if known in names else 0)
            chooser.connect(
                "currentIndexChanged(int)",
                lambda index, segment=lesion.segment_id: self._class_chosen(segment, index),
            )
            self.ui.diagnosisTable.setCellWidget(row, 2, chooser)
            self._choosers.append(chooser)

    def _class_chosen(self, segment_id: str, index: int) -> None:
        chosen = self._remembered()
        chosen.pop(segment_id, None)
        if index > 0:
            chosen[segment_id] = self._names[index - 1]
        self.parameters.diagnoses = json.dumps(chosen)
        self._exported = ""
        self.forget_error()
        self.host.refresh_soon()

    def _folder_chosen(self, path: str) -> None:
        self._exported = ""
        self.host.refresh_soon()
