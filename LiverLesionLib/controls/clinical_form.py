"""What is known of the patient beside the images: a row for each clinical field, kept in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import DONE, WRONG, style_of
from LiverLesionLib.controls.owner import Owner
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.dicom_files import first_file

if TYPE_CHECKING:
    from LiverLesionAI.inputs.clinical import Field
    from LiverLesionAI.study import ClinicalValue

_VALUE = 1


class ClinicalForm:
    """The table of clinical fields and the button that takes age and sex from DICOM.

    Parameters
    ----------
    step
        The step that it belongs to.
    """

    def __init__(self, step: Owner) -> None:
        self._step, self._ui = step, step.ui
        self._shown: dict[str, ClinicalValue] | None = None
        self._choosers: list[Any] = []
        bars.prepare(self._ui.clinicalTable, [_("Field"), _("Value"), _("Unit")], 0, _VALUE)
        self._ui.clinicalTable.setEditTriggers(qt.QAbstractItemView.AllEditTriggers)
        self._ui.clinicalTable.connect("cellChanged(int,int)", self._typed)
        self._ui.clinicalFromDicomButton.connect("clicked(bool)", self.take_from_dicom)
        show(self._ui.clinicalStatus, False)

    def refresh(self, is_read: bool) -> None:
        """Show the form for models that read clinical data, with what the scene has."""
        show(self._ui.clinicalBox, is_read)
        if not is_read or self._step.parameters is None:
            return
        volumes = self._step.chosen().volumes
        has_dicom = any(first_file(volume) is not None for volume in volumes.values())
        self._ui.clinicalFromDicomButton.enabled = has_dicom
        self._ui.clinicalBox.enabled = bool(volumes)
        known = self._known()
        if known != self._shown:
            self._fill(known)

    def take_from_dicom(self) -> None:
        """Fill in age and sex as the DICOM files of the study tell them."""
        from LiverLesionAI.readers.dicom.patient import age_and_sex

        with self._step.action():
            files = (first_file(volume) for volume in self._step.chosen().volumes.values())
            file = next((each for each in files if each is not None), None)
            found = {} if file is None else age_and_sex(file)
            if not found:
                self._tell(WRONG, _("The DICOM files tell neither age nor sex."))
                return
            self._keep({**self._known(), **found})

    def _known(self) -> dict[str, ClinicalValue]:
        from LiverLesionAI.scenes.clinical import clinical_of

        return clinical_of(self._step.chosen().volumes.values())

    def _fill(self, known: dict[str, ClinicalValue]) -> None:
        from LiverLesionAI.inputs.clinical import FIELDS, Choice

        table = self._ui.clinicalTable
        blocked = table.blockSignals(True)
        bars.fill(table, [(each.title, str(known.get(each.name, "")), each.unit) for each in FIELDS])
        self._choosers = []
        for row, each in enumerate(FIELDS):
            for column in (0, 2):
                item = table.item(row, column)
                item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
                item.setToolTip(each.title)
            if isinstance(each, Choice):
                table.setCellWidget(row, _VALUE, self._chooser(each, known.get(each.name)))
            elif each.source:
                table.item(row, _VALUE).setToolTip(each.source)
        table.blockSignals(blocked)
        self._shown = dict(known)
        self._check(known)

    def _chooser(self, each: Any, value: ClinicalValue) -> Any:
        chooser = qt.QComboBox()
        chooser.addItems([_("unknown"), *each.codes])
        code = None if value in (None, "") else each.code(value, None)
        chooser.setCurrentIndex(1 + each.codes.index(code) if code in each.codes else 0)
        chooser.connect("currentIndexChanged(int)", lambda index, chosen=each: self._chosen(chosen, index))
        self._choosers.append(chooser)
        return chooser

    def _chosen(self, each: Field, index: int) -> None:
        self._set(each.name, each.codes[index - 1] if index > 0 else None)

    def _typed(self, row: int, column: int) -> None:
        from LiverLesionAI.inputs.clinical import FIELDS

        if column == _VALUE:
            self._set(FIELDS[row].name, self._ui.clinicalTable.item(row, column).text().strip())

    def _set(self, name: str, value: ClinicalValue) -> None:
        with self._step.action():
            self._keep({**self._known(), name: value})

    def _keep(self, known: dict[str, ClinicalValue]) -> None:
        """Keep clinical data in the scene, where they can be used; else say what is wrong with them."""
        from LiverLesionAI.scenes.clinical import keep_clinical

        nodes = self._step.chosen()
        others = [volume for volume in nodes.volumes.values() if volume is not nodes.anchor]
        filled = {name: value for name, value in known.items() if value not in (None, "")}
        if self._check(filled):
            keep_clinical(filled, nodes.anchor, others)
            self._step.refresh_panel_soon()

    def _check(self, known: Mapping[str, ClinicalValue]) -> bool:
        """Whether clinical data can be used; says how many fields are known, or what is wrong."""
        from LiverLesionAI.errors import StudyError
        from LiverLesionAI.inputs.clinical import FIELDS, coded_patient

        try:
            count = len(coded_patient(known).known)
        except StudyError as error:
            self._tell(WRONG, str(error))
            return False
        text = _("{count} of {all} fields are known.").format(count=count, all=len(FIELDS))
        self._tell(DONE, text)
        return True

    def _tell(self, mark: str, text: str) -> None:
        self._ui.clinicalStatus.text = text
        self._ui.clinicalStatus.styleSheet = style_of(mark, self._ui.clinicalStatus)
        show(self._ui.clinicalStatus, True)
