"""Step 3 of a batch: the studies in a table, sorted and filtered; one of them in the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverLesionLib.batches import Batches
from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import TODO
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.steps.step import Host, PanelStep

if TYPE_CHECKING:
    from LiverLesionAI.batch.rows import StudyRow

STUDY, CLASSES, PROBABILITY, STATE, LACKING, NOTE = range(6)


class BatchResultsStep(PanelStep):
    """A row per study: what it lacks, how it stands, what was answered; a double-click shows it.

    Parameters
    ----------
    host
        The panel.
    batches
        What is worked through.
    """

    def __init__(self, host: Host, batches: Batches) -> None:
        super().__init__(host, host.ui.batchResultsStep, host.ui.batchResultsStatus)
        self._batches = batches
        self._first_items: dict[str, Any] = {}
        ui, table = self.ui, self.ui.batchTable
        columns = [_("Study"), _("Class"), _("p"), _("State"), _("Lacks"), _("Note")]
        height = table.height
        bars.prepare(table, columns, NOTE)
        table.setMinimumHeight(max(200, height))
        table.setMaximumHeight(_NO_LIMIT)
        show(table, True)
        table.connect("cellDoubleClicked(int,int)", self.show_study)
        ui.batchFilterEdit.connect("textChanged(QString)", lambda text: self._filter())
        ui.batchClassCombo.connect("currentIndexChanged(int)", lambda index: self._filter())
        ui.batchMostSpin.connect("valueChanged(double)", lambda value: self._filter())
        ui.batchDoubtCheck.connect("toggled(bool)", lambda checked: self._filter())
        batches.on_change(self._changed)

    def show_study(self, row: int, column: int = 0) -> None:
        """Put a study and its result into the scene, in the place of what was there of it."""
        from LiverLesionAI.batch.rows import result_of
        from LiverLesionAI.pipeline import read_study
        from LiverLesionAI.scenes.show import arrange_views, show_study

        with self.action():
            study = self._batches.rows[self.ui.batchTable.item(row, STUDY).text()].study
            model = self._batches.model
            assert model is not None
            self.say(TODO, _("Loading…"))
            slicer.app.processEvents()
            result = result_of(self._batches.out, study, model.name)
            if result is None:
                raise RuntimeError(_("This study has no result yet."))
            read = _named(read_study(study.path, study.mask), study)
            nodes = show_study(slicer.mrmlScene, read, result)
            arrange_views(slicer.mrmlScene, read, nodes)
        self.refresh()

    def refresh(self) -> None:
        """Say how many rows are shown."""
        table = self.ui.batchTable
        if not self._batches.rows:
            self.say(TODO, _("List the cohort first."))
            return
        shown = sum(not table.isRowHidden(row) for row in range(table.rowCount))
        text = _("{shown} of {count} studies. A double-click shows a study with its result.")
        said = text.format(shown=shown, count=len(self._batches.rows))
        model = self._batches.model
        is_phantom = model is not None and model.intended_use == "phantom"
        self.say(TODO, f"{said} {_('Phantom-trained: not for clinical use.')}" if is_phantom else said)

    def _changed(self, changed: tuple[str, ...] | None) -> None:
        if changed is None and set(self._first_items) != set(self._batches.rows):
            self._fill()
        else:
            self._update(tuple(self._batches.rows) if changed is None else changed)
        self._fill_classes()
        self._hide_empty()
        self._filter()

    def _hide_empty(self) -> None:
        """Leave out columns that say nothing of any study."""
        rows = self._batches.rows.values()
        is_said = {
            CLASSES: any(row.classes for row in rows),
            PROBABILITY: any(row.probability is not None for row in rows),
            LACKING: any(row.lacking != () for row in rows),
        }
        for column, is_shown in is_said.items():
            self.ui.batchTable.setColumnHidden(column, not is_shown)

    def _fill(self) -> None:
        table = self.ui.batchTable
        table.setSortingEnabled(False)
        table.setRowCount(0)
        table.setRowCount(len(self._batches.rows))
        self._first_items = {}
        for number, row in enumerate(self._batches.rows.values()):
            for column in range(table.columnCount):
                table.setItem(number, column, qt.QTableWidgetItem())
            self._first_items[row.study.id] = table.item(number, STUDY)
            self._put(number, row)
        table.setSortingEnabled(True)

    def _update(self, changed: tuple[str, ...]) -> None:
        """Show rows anew wherever sorting has put them."""
        table = self.ui.batchTable
        table.setSortingEnabled(False)
        for name in changed:
            self._put(self._first_items[name].row(), self._batches.rows[name])
        table.setSortingEnabled(True)

    def _put(self, number: int, row: StudyRow) -> None:
        table = self.ui.batchTable
        states = {"waiting": _("to do"), "done": _("done"), "failed": _("failed")}
        lacks = _("seen when read") if row.lacking is None else ", ".join(row.lacking)
        probability = "" if row.probability is None else f"{row.probability:.2f}"
        for column, text in (
            (STUDY, row.study.id),
            (STATE, states[row.state]),
            (LACKING, lacks),
            (CLASSES, ", ".join(row.classes)),
            (PROBABILITY, probability),
            (NOTE, row.note or (_("look twice") if row.doubtful else "")),
        ):
            table.item(number, column).setText(text)
            table.item(number, column).setToolTip(text)

    def _fill_classes(self) -> None:
        combo = self.ui.batchClassCombo
        names = [_("All classes")]
        names += sorted({name for row in self._batches.rows.values() for name in row.classes})
        if names == [combo.itemText(index) for index in range(combo.count)]:
            return
        chosen = combo.currentText
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems(names)
        combo.setCurrentIndex(max(0, combo.findText(chosen)))
        combo.blockSignals(blocked)

    def _filter(self) -> None:
        ui, table = self.ui, self.ui.batchTable
        text = ui.batchFilterEdit.text.strip().casefold()
        name = ui.batchClassCombo.currentText if ui.batchClassCombo.currentIndex > 0 else ""
        most = float(ui.batchMostSpin.value)
        for number in range(table.rowCount):
            row = self._batches.rows[table.item(number, STUDY).text()]
            fits = text in row.study.id.casefold() and (not name or name in row.classes)
            fits = fits and (most >= 1.0 or (row.probability is not None and row.probability <= most))
            fits = fits and (not ui.batchDoubtCheck.checked or row.doubtful)
            table.setRowHidden(number, not fits)
        self.refresh()


_NO_LIMIT = 16777215


def _named(read: Any, study: Any) -> Any:
    from dataclasses import replace

    return replace(read, id=study.id)
