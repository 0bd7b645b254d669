"""The slices behind a patient's answer: what each says, what it adds, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.owner import Owner

if TYPE_CHECKING:
    from LiverLesionAI.answers import GroupResult, TaskResult
    from LiverLesionAI.results import StudyResult

_SAYS = 1


class SliceTable:
    """A row for each slice of a lesion, or of all lesions; the chosen one is shown in the views.

    Parameters
    ----------
    step
        The step that it belongs to.
    """

    def __init__(self, step: Owner) -> None:
        self._step, self._table = step, step.ui.slicesTable
        self._groups: list[GroupResult] = []
        bars.prepare(self._table, [_("Slice"), _("Says"), ""], _SAYS, longest={2: "for haemangioma"})
        self._class_column = bars.ReadableColumn(self._table, _SAYS)
        self._table.connect("itemSelectionChanged()", self._chosen)

    def show(self, result: StudyResult | None, lesion: int | None) -> None:
        """Show the slices of a lesion, or of the study where it is None; nothing where no slice was asked."""
        answer = None if result is None else result.answer
        groups = () if answer is None else answer.groups
        self._groups = [each for each in groups if each.lesion is not None and lesion in (None, each.lesion)]
        rows = [] if answer is None else [_row(each, answer) for each in self._groups]
        if answer is not None:
            adds = self._table.horizontalHeaderItem(2)
            adds.setText(_("for {name}").format(name=answer.predicted))
            adds.setToolTip(answer.note_on_groups)
        bars.fill(self._table, rows)
        self._class_column.hold(max((row[_SAYS].text for row in rows), key=len, default=""))

    def _chosen(self) -> None:
        from LiverLesionAI import mrml

        row = self._table.currentRow()
        centre = self._groups[row].centre_lps_mm if 0 <= row < len(self._groups) else None
        if centre is not None:
            mrml.jump_to(slicer.mrmlScene, centre, self._step.chosen().anchor)


def _row(group: GroupResult, answer: TaskResult) -> tuple[bars.Tipped, bars.Chip, bars.Bar]:
    """Number, the class that the slice says by itself, and what it adds to the class of the answer."""
    adds = group.probabilities[answer.predicted]
    return (
        bars.Tipped(f"{group.lesion}.{group.slice}", group.name),
        bars.Chip(group.predicted, answer.class_named(group.predicted).colour),
        bars.Bar(adds, answer.predicted_class.colour),
    )
