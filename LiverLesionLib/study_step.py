"""Step 1: which volume is which sequence."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.parameters import SEQUENCES, chosen_volumes
from LiverLesionLib.step import DONE, TODO, Step


class StudyStep(Step):
    """Sequence selectors, the button that fills them, the reference."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.studyStep, panel.ui.studyStatus)
        self.ui.assignButton.connect("clicked(bool)", self.assign)
        self.ui.referenceCombo.connect("currentIndexChanged(int)", self._reference_chosen)
        for name in SEQUENCES:
            self._selector(name).connect("currentNodeChanged(vtkMRMLNode*)", self._volume_chosen)
        self._reasons: dict[str, str] = {}

    def assign(self) -> None:
        """Fill the selectors from DICOM headers and names."""
        with self.action():
            studies = self.panel.logic.studies()
            found = self.panel.logic.assign_sequences(studies.get(self.ui.studyCombo.currentText))
            self._reasons = {name: naming.reason for name, naming in found.items()}
            for name in SEQUENCES:
                self._selector(name).setCurrentNode(found[name].node if name in found else None)
            self.panel.adopt_lesions()
            self.panel.refresh()
            if not chosen_volumes(self.parameters):
                self.say(TODO, _("No volume of the scene could be recognised; choose the volumes by hand."))

    def refresh(self) -> None:
        """Grey what is missing, say why the others were chosen."""
        volumes = chosen_volumes(self.parameters)
        for name in SEQUENCES:
            label, selector = getattr(self.ui, f"label{name}"), self._selector(name)
            label.styleSheet = "" if name in volumes else "color: gray;"
            selector.toolTip = self._reasons.get(name, label.toolTip) if name in volumes else label.toolTip
        self._show_studies()
        self._show_references(volumes)
        if not volumes:
            self.say(TODO, _("Load a study, then press Assign sequences."))
            return
        missing = [name for name in SEQUENCES if name not in volumes]
        text = _("{count} sequences, reference {reference}.").format(
            count=len(volumes), reference=self.parameters.reference
        )
        if missing:
            text += " " + _("Not in this study: {names}.").format(names=", ".join(missing))
        self.say(DONE, text)

    def _show_studies(self) -> None:
        """Offer every study of the subject hierarchy; a choice is kept while it is there."""
        combo, names = self.ui.studyCombo, list(self.panel.logic.studies())
        current = combo.currentText
        combo.clear()
        combo.addItems([_("everything that is loaded"), *names])
        if current in names:
            combo.setCurrentIndex(1 + names.index(current))

    def _show_references(self, volumes: dict[str, Any]) -> None:
        combo = self.ui.referenceCombo
        names = list(volumes)
        if names and self.parameters.reference not in names:
            self.parameters.reference = self.panel.logic.default_reference(
                volumes, self.parameters.segmentation
            )
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(names)
        if self.parameters.reference in names:
            combo.setCurrentIndex(names.index(self.parameters.reference))
        combo.enabled = bool(names)
        combo.blockSignals(blocked)

    def _reference_chosen(self, index: int) -> None:
        if index >= 0:
            self.parameters.reference = self.ui.referenceCombo.currentText
            self.panel.refresh()

    def _volume_chosen(self, node: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self.panel.refresh_soon()

    def _selector(self, name: str) -> Any:
        return getattr(self.ui, f"selector{name}")
