"""Step 6: what readers make of the answers; they may differ, and settle it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from LiverLesionLib import bars
from LiverLesionLib.step import DONE, TODO, Step


class DecideStep(Step):
    """Accept, override, settle and take back for the selected lesion; a table of all decisions."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, panel.ui.decideStep, panel.ui.decideStatus)
        self._offered = ""
        self.ui.acceptButton.connect("clicked(bool)", self.accept)
        self.ui.overrideButton.connect("clicked(bool)", self.override)
        self.ui.settleButton.connect("clicked(bool)", self.settle)
        self.ui.takeBackButton.connect("clicked(bool)", self.take_back)
        self.ui.decisionsTable.connect("itemSelectionChanged()", self._row_chosen)
        titles = [_("Lesion"), _("Model"), _("Reader 1"), _("Reader 2"), _("Settled")]
        bars.prepare(self.ui.decisionsTable, titles, 0)

    def refresh(self) -> None:
        """Show what has been decided, offer what can be."""
        result, lesion = self.panel.result, self.panel.classify.selected()
        self._show_table(result, lesion)
        self._offer_classes(lesion)
        self._enable(lesion)
        if result is None:
            self.ui.decideLabel.text = ""
            self.say(TODO, _("Nothing to decide yet; classify first."))
            return
        self.ui.decideLabel.text = _model_says(lesion)
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

    def settle(self) -> None:
        """Two readers agree on a class after all."""
        from LiverLesionAI import decisions

        reason = self.ui.reasonEdit.text
        self._decide(lambda lesion: decisions.reach_consensus(lesion, self._diagnosis(), reason=reason))

    def take_back(self) -> None:
        """Undo what was decided last about the selected lesion."""
        from LiverLesionAI import decisions

        self._decide(decisions.take_back)

    def _decide(self, change: Callable[[Any], Any]) -> None:
        with self.action():
            self.panel.replace_lesion(change(self.panel.classify.selected()))
            self.ui.reasonEdit.text = ""

    def _diagnosis(self) -> str:
        return self.ui.diagnosisCombo.currentText

    def _show_table(self, result: Any, selected: Any) -> None:
        lesions = [] if result is None else [each for each in result.lesions if each.answer is not None]
        blocked = self.ui.decisionsTable.blockSignals(True)
        bars.fill(self.ui.decisionsTable, [_row(lesion) for lesion in lesions])
        if selected in lesions:
            self.ui.decisionsTable.selectRow(lesions.index(selected))
        self.ui.decisionsTable.blockSignals(blocked)

    def _row_chosen(self) -> None:
        row = self.ui.decisionsTable.currentRow()
        if row >= 0:
            self.panel.classify.select(self.ui.decisionsTable.item(row, 0).text())

    def _offer_classes(self, lesion: Any) -> None:
        """Offer the classes of the lesion's taxonomy, the model's first; a choice stays while it can."""
        combo, answer = self.ui.diagnosisCombo, lesion.answer if lesion is not None else None
        offered = f"{lesion.id} {answer.taxonomy} {answer.predicted}" if answer is not None else ""
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

    def _enable(self, lesion: Any) -> None:
        from LiverLesionAI.decisions import MOST_READERS

        reading = lesion.reading if lesion is not None else None
        is_open = lesion is not None and lesion.answer is not None
        is_open = is_open and (reading is None or len(reading.decisions) < MOST_READERS)
        self.ui.acceptButton.enabled = self.ui.overrideButton.enabled = is_open
        self.ui.settleButton.enabled = reading is not None and reading.readers_differ
        self.ui.takeBackButton.enabled = reading is not None
        can_choose = is_open or self.ui.settleButton.enabled
        self.ui.diagnosisCombo.enabled = self.ui.reasonEdit.enabled = can_choose

    def _tell(self, result: Any) -> None:
        lesions = [each for each in result.lesions if each.answer is not None]
        unsettled = [each for each in lesions if each.reading is not None and each.reading.final is None]
        if unsettled:
            text = _("The readers differ on {names}. Choose the class they agree on, say why, press Settle.")
            self.say(TODO, text.format(names=", ".join(each.name for each in unsettled)))
            return
        decided = sum(each.reading is not None for each in lesions)
        text = _("{decided} of {count} lesions are decided; the model's answers stay beside the decisions.")
        self.say(
            DONE if lesions and decided == len(lesions) else TODO,
            text.format(decided=decided, count=len(lesions)),
        )


def _model_says(lesion: Any) -> str:
    if lesion is None or lesion.answer is None:
        return ""
    ordered = sorted(lesion.tasks.values(), key=lambda task: task is not lesion.answer)
    answers = ", ".join(
        _("{name} ({percent:.0f} %)").format(
            name=task.predicted, percent=100 * task.probabilities[task.predicted]
        )
        for task in ordered
    )
    return _("{lesion}: the model says {answers}.").format(lesion=lesion.name, answers=answers)


def _row(lesion: Any) -> tuple[bars.Cell, ...]:
    reading, kind = lesion.reading, lesion.answer
    colour = bars.class_colours(kind.taxonomy)[kind.predicted]
    said: list[bars.Cell] = []
    if reading is not None:
        said = [_chip(decision) for decision in reading.decisions]
    said += [""] * (2 - len(said))
    settled: bars.Cell = ""
    if reading is not None and reading.consensus is not None:
        settled = _chip(reading.consensus)
    elif reading is not None and reading.readers_differ:
        settled = _("open")
    return (lesion.name, bars.Chip(kind.predicted, colour), *said, settled)


def _chip(decision: Any) -> bars.Chip:
    """The class a reader named; who, when and why under the mouse."""
    lines = [decision.reader, decision.time, decision.reason]
    colour = bars.class_colours(decision.taxonomy)[decision.diagnosis]
    return bars.Chip(decision.diagnosis, colour, "\n".join(filter(None, lines)))
