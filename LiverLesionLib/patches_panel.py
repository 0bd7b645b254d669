"""The panel of the module Liver Lesion Patches: crop lesions, export them with their classes for training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.cropping import crop_lesions
from LiverLesionLib.dependencies import ensure_packages
from LiverLesionLib.front import Front
from LiverLesionLib.parameters import PatchParameters, chosen_volumes
from LiverLesionLib.step import TODO, Step
from LiverLesionLib.stepwise import StepwiseStep
from LiverLesionLib.study_step import StudyStep


class CropStep(StepwiseStep):
    """Crop every lesion out of every sequence into volumes of the scene."""

    def __init__(self, panel: Any) -> None:
        ui = panel.ui
        super().__init__(panel, ui.cropStep, ui.cropStatus, ui.cropButton, ui.cropProgress)
        self._nodes: list[Any] = []
        self._failures: list[str] = []

    def refresh(self) -> None:
        """Cropping needs lesions."""
        count = len(self.panel.lesions)
        self.ui.cropButton.enabled = self.is_running or (count > 0 and not self.panel.is_busy)
        if not self.is_running and not self._nodes:
            words = _("Lesions outlined: {count}.").format(count=count)
            self.say(TODO, words if count else _("Choose the segmentation that outlines the lesions."))

    def work(self) -> Iterator[float]:
        """Crop lesion by lesion."""
        study, parameters = self.panel.study(), self.parameters
        reference = chosen_volumes(parameters)[parameters.reference]
        self._nodes, self._failures = [], []
        for fraction, nodes, failure in crop_lesions(study, reference):
            self._nodes += nodes
            self._failures += [failure] if failure else []
            yield fraction

    def result(self) -> str:
        """Say how many volumes were made, and what was left out."""
        text = _("{count} volumes were made.").format(count=len(self._nodes))
        return " ".join([text, *self._failures])

    def forget(self) -> None:
        """The scene closes."""
        super().forget()
        self._nodes = []


class ExportStep(StepwiseStep):
    """Add the study, with a class for each lesion, to a folder that ``liverlesionai train`` reads."""

    def __init__(self, panel: Any) -> None:
        ui = panel.ui
        super().__init__(panel, ui.exportStep, ui.exportStatus, ui.exportButton, ui.exportProgress)
        self._exported = ""
        self._choosers: list[Any] = []
        self.ui.datasetEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.datasetEdit.connect("currentPathChanged(QString)", self._folder_chosen)
        bars.prepare(self.ui.diagnosisTable, [_("Lesion"), _("Diameter"), _("Class")], 2)

    def refresh(self) -> None:
        """Exporting needs a folder and the class of a lesion."""
        self._show_lesions()
        chosen = self._diagnoses()
        ready = bool(chosen) and bool(self.ui.datasetEdit.currentPath)
        self.ui.exportButton.enabled = self.is_running or (ready and not self.panel.is_busy)
        if self.is_running:
            return
        if not self.panel.lesions:
            self.say(TODO, _("Choose the segmentation that outlines the lesions."))
        elif not chosen:
            self.say(TODO, _("Choose the class of each lesion that is known."))
        elif not self.ui.datasetEdit.currentPath:
            self.say(TODO, _("Choose the data set's folder."))
        elif not self._exported:
            self.say(TODO, _("Lesions with a class: {count}.").format(count=len(chosen)))

    def work(self) -> Iterator[float]:
        """Write the study's files one by one."""
        from LiverLesionAI.writers.dataset import add_to_dataset, free_name

        ensure_packages()
        folder, study = Path(self.ui.datasetEdit.currentPath), self.panel.study()
        name = self.parameters.study_name.strip() or free_name(study.id, folder)
        study = replace(study, id=name)
        self._exported = ""
        files = 2 * len(study.images) + len(study.outlines) + 2
        work = add_to_dataset(study, self._diagnoses(), folder, self.parameters.patient.strip())
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
        return {each.id: chosen[each.segment_id] for each in self.panel.lesions if each.segment_id in chosen}

    def _remembered(self) -> dict[str, str]:
        """Segment ID to class."""
        return json.loads(self.parameters.diagnoses or "{}")

    def _show_lesions(self) -> None:
        from LiverLesionAI.taxonomy import TAXONOMIES

        lesions, chosen, names = self.panel.lesions, self._remembered(), TAXONOMIES["W7"].names
        rows = [(bars.Chip(each.name, each.colour), f"{each.diameter_mm:.0f} mm", "") for each in lesions]
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
        from LiverLesionAI.taxonomy import TAXONOMIES

        chosen = self._remembered()
        chosen.pop(segment_id, None)
        if index > 0:
            chosen[segment_id] = TAXONOMIES["W7"].names[index - 1]
        self.parameters.diagnoses = json.dumps(chosen)
        self._exported = ""
        self.forget_error()
        self.panel.refresh_soon()

    def _folder_chosen(self, path: str) -> None:
        self._exported = ""
        self.panel.refresh_soon()


class PatchesPanel(Front):
    """A study with outlined lesions in; patches in the scene, or a data set on disk, out."""

    parameters_class = PatchParameters

    def make_steps(self) -> tuple[Step, ...]:
        """Make the steps."""
        self.ui.segmentationSelector.connect(
            "currentNodeChanged(vtkMRMLNode*)", lambda node: self.refresh_soon()
        )
        self.crop, self.export = CropStep(self), ExportStep(self)
        return StudyStep(self), self.crop, self.export

    @property
    def lesions(self) -> list[Any]:
        """The lesions of the chosen segmentation, measured."""
        segmentation = self.parameters.segmentation
        return [] if segmentation is None else self.logic.lesions(segmentation)

    def cancel(self) -> None:
        """Cancel what is going on; the steps themselves do the work here."""
        for step in (self.crop, self.export):
            step.forget()
