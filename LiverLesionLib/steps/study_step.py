"""Step 1: which volume is which sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverLesionAI.sequences import modality_of
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.dicom_files import first_file
from LiverLesionLib.parameters import SEQUENCES
from LiverLesionLib.steps.step import Host, PanelStep


def _nothing() -> None:
    """Do nothing more."""


def _no_model() -> tuple[str, ...]:
    """Sequences that are read where no model is chosen."""
    return ()


class StudyStep(PanelStep):
    """Sequence selectors, the button that fills them, the reference.

    There are selectors for MRI or for CT, as the model reads them, and for what was chosen besides.

    Parameters
    ----------
    host
        The panel.
    assigned
        Called when volumes have been found for sequences.
    read
        Tells the sequences that the chosen model reads.
    """

    def __init__(
        self,
        host: Host,
        assigned: Callable[[], None] = _nothing,
        read: Callable[[], Sequence[str]] = _no_model,
    ) -> None:
        super().__init__(host, host.ui.studyStep, host.ui.studyStatus)
        self._assigned, self._read = assigned, read
        self.ui.assignButton.connect("clicked(bool)", self.assign)
        self.ui.referenceCombo.connect("currentIndexChanged(int)", self._reference_chosen)
        for name in SEQUENCES:
            self._selector(name).connect("currentNodeChanged(vtkMRMLNode*)", self._volume_chosen)
        self._reasons: dict[str, str] = {}

    def assign(self) -> None:
        """Fill the selectors from DICOM headers and names."""
        from LiverLesionAI.scenes.logic import sequence_candidates, studies
        from LiverLesionAI.scenes.naming import name_volumes

        with self.action():
            scene = slicer.mrmlScene
            nodes = studies(scene, _).get(self.ui.studyCombo.currentText) or sequence_candidates(scene)
            found = name_volumes(nodes, first_file)
            self._reasons = {name: naming.reason for name, naming in found.items()}
            for name in SEQUENCES:
                self._selector(name).setCurrentNode(found[name].node if name in found else None)
            self._adopt_lesions()
            self._choose_reference()
            self.host.refresh()
            if not self.chosen().volumes:
                self.say(TODO, _("No volume of the scene could be recognised; choose the volumes by hand."))
                return
            self._assigned()

    def refresh(self) -> None:
        """Grey what is missing, say why the others were chosen."""
        volumes = self.chosen().volumes
        offered = self._offered(volumes)
        for name in SEQUENCES:
            label, selector = getattr(self.ui, f"label{name}"), self._selector(name)
            for widget in (label, selector):
                show(widget, name in offered)
            label.styleSheet = "" if name in volumes else "color: gray;"
            selector.toolTip = self._reasons.get(name, label.toolTip) if name in volumes else label.toolTip
        self._show_studies()
        self._show_references(volumes)
        if not volumes:
            self.say(TODO, _("Load a study, then press Assign sequences."))
            return
        if repeated := self.chosen().repeated:
            names = _(" and ").join(repeated)
            self.say(TODO, _("One volume is chosen for {names}; choose each its own.").format(names=names))
            return
        missing = [name for name in offered if name not in volumes]
        text = _("{count} sequences, reference {reference}.").format(
            count=len(volumes), reference=self.parameters.reference
        )
        if missing:
            text += " " + _("Not in this study: {names}.").format(names=", ".join(missing))
        self.say(DONE, text)

    def _offered(self, volumes: Mapping[str, Any]) -> list[str]:
        """Sequences with a selector on show: those of the model's modality, and what was chosen besides.

        Without a model the volumes tell the modality.
        """
        modality = modality_of(self._read() or volumes)
        return [name for name in SEQUENCES if modality_of([name]) == modality or name in volumes]

    def _adopt_lesions(self) -> None:
        """Take the scene's segmentation of lesions where none is chosen and only one can be meant."""
        from LiverLesionAI.errors import StudyError
        from LiverLesionAI.scenes.logic import only_segmentation

        if self.parameters.segmentation is None:
            with suppress(StudyError):
                self.parameters.segmentation = only_segmentation(slicer.mrmlScene)

    def _choose_reference(self) -> None:
        """The reference is that of what has just been assigned, not of what was there before."""
        from LiverLesionAI.scenes.logic import default_reference

        volumes = self.chosen().volumes
        if volumes:
            self.parameters.reference = default_reference(volumes, self.parameters.segmentation)

    def _show_studies(self) -> None:
        """Offer every study of the scene; a choice is kept while it is there."""
        from LiverLesionAI.scenes.logic import studies

        combo, names = self.ui.studyCombo, list(studies(slicer.mrmlScene, _))
        current = combo.currentText
        combo.clear()
        combo.addItems([_("everything that is loaded"), *names])
        if current in names:
            combo.setCurrentIndex(1 + names.index(current))

    def _show_references(self, volumes: Mapping[str, Any]) -> None:
        from LiverLesionAI.scenes.logic import default_reference

        combo = self.ui.referenceCombo
        names = list(volumes)
        if names and self.parameters.reference not in names:
            self.parameters.reference = default_reference(volumes, self.parameters.segmentation)
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(names)
        if self.parameters.reference in names:
            combo.setCurrentIndex(names.index(self.parameters.reference))
        combo.enabled = bool(names)
        combo.blockSignals(blocked)

    def _reference_chosen(self, index: int) -> None:
        if index >= 0:
            self.host.forget_errors()
            self.parameters.reference = self.ui.referenceCombo.currentText
            self.host.refresh()

    def _volume_chosen(self, node: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self.host.forget_errors()
            self.host.refresh_soon()

    def _selector(self, name: str) -> Any:
        return getattr(self.ui, f"selector{name}")
