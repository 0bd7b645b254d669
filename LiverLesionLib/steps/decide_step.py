"""Step 6: what readers make of the answers; where they differ, they come to a consensus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.controls.visibility import show
from LiverLesionLib.selection import Selection
from LiverLesionLib.steps.step import Host, PanelStep

if TYPE_CHECKING:
    from LiverLesionAI.reading import Decision
    from LiverLesionAI.results import LesionResult, StudyResult


_SECOND_READER = (3, 4)
"""Columns that are empty as long as one reader decides."""


class DecideStep(PanelStep):
    """Accept, override, agree and take back for the selected lesion; a table of all decisions.

    Parameters
    ----------
    host
        The panel.
    selection
        The result and the lesion that are decided about.
    """

    def __init__(self, host: Host, selection: Selection) -> None:
        super().__init__(host, host.ui.decideStep, host.ui.decideStatus)
        self._selection = selection
        self._offered = ""
        self.ui.acceptButton.connect("clicked(bool)", self.accept)
        self.ui.overrideButton.connect("clicked(bool)", self.override)
        self.ui.consensusButton.connect("clicked(bool)", self.agree)
        self.ui.takeBackButton.connect("clicked(bool)", self.take_back)
        self.ui.decisionsTable.connect("itemSelectionChanged()", self._row_chosen)
        titles = [_("Lesion"), _("Model"), _("Reader 1"), _("Reader 2"), _("Consensus")]
        bars.prepare(self.ui.decisionsTable, titles, 1)
        self._model_column = bars.ReadableColumn(self.ui.decisionsTable, 1)
        selection.on_result(self.refresh)
        selection.on_lesion(self.refresh)

    def refresh(self) -> None:
        """Show what has been decided, offer what can be."""
        result, lesion = self._selection.result, self._selection.lesion
        self._show_table(result, lesion)
        self._offer_classes(lesion)
        self._enable(lesion)
        if result is None:
            show(self.ui.decideLabel, False)
            self.say(TODO, _("Nothing to decide yet; classify first."))
            return
        self.ui.decideLabel.text = _model_says(lesion)
        show(self.ui.decideLabel, True)
        self._tell(result)

    def accept(self) -> None:
        """The reader agrees with the model."""
        from LiverLesionAI import decisions

        reader, reason = self.ui.readerEdit.text, self.ui.reasonEdit.text
        self._decide(lambda lesion: decisions.accept(lesion, reader, reason=reason))

    def override(self) -> None:
        """The reader names another class."""
        from LiverLesionAI import decisions

        reader, reason = self.ui.readerEdit.text, self.ui.reasonEdit.text
        self._decide(lambda lesion: decisions.override(lesion, self._diagnosis(), reader, reason=reason))

    def agree(self) -> None:
        """Two readers who differed come to a consensus."""
        from LiverLesionAI import decisions

        reason = self.ui.reasonEdit.text
        self._decide(lambda lesion: decisions.reach_consensus(lesion, self._diagnosis(), reason=reason))

    def take_back(self) -> None:
        """Undo what was decided last about the selected lesion."""
        from LiverLesionAI import decisions

        self._decide(decisions.take_back)

    def _decide(self, change: Callable[[LesionResult], LesionResult]) -> None:
        from LiverLesionAI.decisions import with_lesion
        from LiverLesionAI.scenes.show import show_decisions

        with self.action():
            result, lesion = self._selection.result, self._selection.lesion
            if result is None or lesion is None:
                return
            decided = with_lesion(result, change(lesion))
            show_decisions(slicer.mrmlScene, decided, self.chosen())
            self._selection.change(decided)
            self.ui.reasonEdit.text = ""
            self.host.refresh()

    def _diagnosis(self) -> str:
        return self.ui.diagnosisCombo.currentText

    def _show_table(self, result: StudyResult | None, selected: LesionResult | None) -> None:
        lesions = [] if result is None else _classified(result)
        blocked = self.ui.decisionsTable.blockSignals(True)
        bars.fill(self.ui.decisionsTable, [_row(lesion) for lesion in lesions])
        several = any(each.reading is not None and len(each.reading.decisions) > 1 for each in lesions)
        for column in _SECOND_READER:
            self.ui.decisionsTable.setColumnHidden(column, not several)
        answers = [each.answer.predicted for each in lesions if each.answer is not None]
        self._model_column.hold(max(answers, key=len, default=""))
        if selected in lesions:
            self.ui.decisionsTable.selectRow(lesions.index(selected))
        self.ui.decisionsTable.blockSignals(blocked)

    def _row_chosen(self) -> None:
        result, row = self._selection.result, self.ui.decisionsTable.currentRow()
        if result is not None and row >= 0:
            self._selection.select(_classified(result)[row].id)

    def _offer_classes(self, lesion: LesionResult | None) -> None:
        """Offer the classes of the lesion's taxonomy, the model's first; a choice stays while it can."""
        combo, answer = self.ui.diagnosisCombo, lesion.answer if lesion is not None else None
        offered = f"{lesion.id} {answer.taxonomy} {answer.predicted}" if lesion and answer else ""
        if offered == self._offered:
            return
        self._offered = offered
        combo.clear()
        if answer is None:
            return
        colours = bars.class_colours(answer.taxonomy)
        combo.addItems(list(colours))
        for index, colour in enumerate(colours.values()):
            combo.setItemIcon(index, bars.icon(colour))
        combo.setCurrentIndex(list(colours).index(answer.predicted))

    def _enable(self, lesion: LesionResult | None) -> None:
        from LiverLesionAI.decisions import MOST_READERS

        reading = lesion.reading if lesion is not None else None
        is_open = lesion is not None and lesion.answer is not None
        is_open = is_open and (reading is None or len(reading.decisions) < MOST_READERS)
        self.ui.acceptButton.enabled = self.ui.overrideButton.enabled = is_open
        self.ui.consensusButton.enabled = reading is not None and reading.readers_differ
        self.ui.takeBackButton.enabled = reading is not None
        can_choose = is_open or self.ui.consensusButton.enabled
        self.ui.diagnosisCombo.enabled = self.ui.reasonEdit.enabled = can_choose

    def _tell(self, result: StudyResult) -> None:
        if result.unit != "lesion":
            self.say(TODO, _("The model answers for the study as a whole; decisions are made per lesion."))
            return
        lesions = _classified(result)
        differing = [each for each in lesions if each.reading is not None and each.reading.final is None]
        if differing:
            text = _(
                "The readers differ on {names}. Choose the class they agree on, say why, press Consensus."
            )
            self.say(TODO, text.format(names=", ".join(each.name for each in differing)))
            return
        decided = sum(each.reading is not None for each in lesions)
        text = _("{decided} of {count} lesions are decided; the model's answers stay beside the decisions.")
        self.say(
            DONE if lesions and decided == len(lesions) else TODO,
            text.format(decided=decided, count=len(lesions)),
        )


def _classified(result: StudyResult) -> list[LesionResult]:
    """The lesions that there is something to decide about."""
    return [lesion for lesion in result.lesions if lesion.answer is not None]


def _model_says(lesion: LesionResult | None) -> str:
    if lesion is None or lesion.answer is None:
        return ""
    ordered = sorted(lesion.tasks.values(), key=lambda task: task is not lesion.answer)
    answers = ", ".join(
        _("{name} ({percent:.0f} %)").format(name=task.predicted, percent=100 * task.probability)
        for task in ordered
    )
    return _("{lesion}: the model says {answers}.").format(lesion=lesion.name, answers=answers)


def _row(lesion: LesionResult) -> tuple[bars.Cell, ...]:
    reading, answer = lesion.reading, lesion.answer
    if answer is None:
        return (lesion.name,)
    said: list[bars.Cell] = []
    if reading is not None:
        said = [_chip(decision) for decision in reading.decisions]
    said += [""] * (2 - len(said))
    consensus: bars.Cell = ""
    if reading is not None and reading.consensus is not None:
        consensus = _chip(reading.consensus)
    elif reading is not None and reading.readers_differ:
        consensus = _("open")
    return (lesion.name, bars.Chip(answer.predicted, answer.predicted_class.colour), *said, consensus)


def _chip(decision: Decision) -> bars.Chip:
    """The class a reader named; who, when and why under the mouse."""
    lines = [decision.reader, decision.time, decision.reason]
    colour = bars.class_colours(decision.taxonomy)[decision.diagnosis]
    return bars.Chip(decision.diagnosis, colour, "\n".join(filter(None, lines)))
