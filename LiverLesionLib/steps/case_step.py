"""Step 2 of a reader study: one case after another is shown, named, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from LiverLesionLib.controls import bars
from LiverLesionLib.controls.marks import DONE, TODO
from LiverLesionLib.reading import Reading
from LiverLesionLib.steps.step import Host, PanelStep

if TYPE_CHECKING:
    from LiverLesionAI.reader_study.folder import ListedItem
    from LiverLesionAI.study import Study

_UNKNOWN_COLOUR = (140, 140, 140)


class CaseStep(PanelStep):
    """The case on the screen, the model's answer where it belongs to it, the reader's answer, the clock.

    The images leave the screen while the clock stands.

    Parameters
    ----------
    host
        The panel.
    reading
        What is read.
    """

    def __init__(self, host: Host, reading: Reading) -> None:
        super().__init__(host, host.ui.caseStep, host.ui.caseStatus)
        self._reading = reading
        self._case: Study | None = None
        ui = self.ui
        ui.showButton.connect("clicked(bool)", self.show_or_pause)
        ui.answerButton.connect("clicked(bool)", self.answer)
        ui.classTable.connect("itemSelectionChanged()", self._enable)
        bars.prepare(ui.classTable, [_("Your answer")], 0)
        bars.prepare(ui.modelTable, [_("Model's answer"), _("Probability")], 1)
        reading.on_change(self._reading_changed)

    def show_or_pause(self) -> None:
        """Show the next case, let the clock stand, or go on."""
        with self.action():
            session = self._reading.session
            if session is None:
                return
            if not session.is_open:
                self._show_next()
            elif session.is_paused:
                self._put_on_screen()
                session.resume()
            else:
                session.pause()
                self._take_off_screen()
        self.refresh_panel()

    def answer(self) -> None:
        """Keep the answer and show the next case, unless a session ends here."""
        with self.action():
            session = self._reading.session
            if session is None:
                return
            session.answer(self._chosen(), float(self.ui.confidenceSlider.value))
            self._take_off_screen()
            self._case = None
            self.ui.classTable.clearSelection()
            if session.current is not None and not session.starts_session:
                self._show_next()
        self.refresh_panel()

    def refresh(self) -> None:
        """Show what is read, and what can be done."""
        session = self._reading.session
        item = None if session is None else session.current
        self._show_heading(item)
        self._enable()
        if session is None:
            self.say(TODO, _("Start reading first."))
        elif item is None:
            self.say(DONE, _("Every case has been answered. Thank you."))
        elif session.is_paused:
            self.say(TODO, _("The clock stands; the images come back when you go on."))
        elif session.is_open:
            self.say(TODO, _("Choose a class and say how sure you are."))
        elif session.starts_session:
            words = _("Session {number} begins; leave some weeks between the sessions.")
            self.say(TODO, words.format(number=item.item.session))
        else:
            self.say(TODO, _("The time of a case runs from when it is shown."))

    def _show_next(self) -> None:
        """Read the next case, show it, start the clock."""
        from LiverLesionAI.pipeline import read_study
        from LiverLesionAI.scenes.reading import blinded

        session = self._reading.session
        listed = None if session is None else session.current
        if session is None or listed is None:
            return
        self._show_heading(listed)
        self.say(TODO, _("Loading…"))
        slicer.app.processEvents()
        lesion = int(listed.lesion) if listed.lesion else None
        self._case = blinded(read_study(listed.path, listed.mask), listed.item.code, lesion)
        self._put_on_screen()
        self.ui.confidenceSlider.value = 50
        session.open()

    def _put_on_screen(self) -> None:
        from LiverLesionAI.scenes.reading import show_case

        if self._case is not None:
            show_case(slicer.mrmlScene, self._case)

    def _take_off_screen(self) -> None:
        from LiverLesionAI.scenes.reading import hide_case

        if self._case is not None and not slicer.mrmlScene.IsClosing():
            hide_case(slicer.mrmlScene, self._case.id)

    def _reading_changed(self) -> None:
        """Another session, or none: offer its classes, let go of the last case."""
        self._take_off_screen()
        self._case = None
        session = self._reading.session
        classes = () if session is None else session.plan.classes
        bars.fill(self.ui.classTable, [(bars.Chip(name, _colour(name)),) for name in classes])
        self.refresh()

    def _show_heading(self, listed: ListedItem | None) -> None:
        self._show_model(listed)
        if listed is None:
            self.ui.caseLabel.text = ""
            return
        with_model = bool(listed.answer)
        way = _("with the model's answer") if with_model else _("without the model's answer")
        self.ui.caseLabel.text = _("Case {code}, {way}").format(code=listed.item.code, way=way)

    def _show_model(self, listed: ListedItem | None) -> None:
        rows: list[Any] = []
        session = self._reading.session
        shown = session is not None and session.is_open and not session.is_paused
        if listed is not None and listed.answer and shown:
            ranked = sorted(listed.probabilities.items(), key=lambda each: -each[1])
            rows = [(bars.Chip(name, _colour(name)), bars.Bar(p, _colour(name))) for name, p in ranked]
            rows = rows or [(bars.Chip(listed.answer, _colour(listed.answer)), "")]
        bars.fill(self.ui.modelTable, rows)

    def _enable(self) -> None:
        session, ui = self._reading.session, self.ui
        is_open = session is not None and session.is_open
        runs = is_open and session is not None and not session.is_paused
        ui.classTable.enabled = ui.confidenceSlider.enabled = runs
        ui.answerButton.enabled = runs and bool(self._chosen())
        ui.showButton.enabled = session is not None and session.current is not None
        ui.showButton.text = _("Pause") if runs else _("Go on") if is_open else _("Show the case")

    def _chosen(self) -> str:
        items = self.ui.classTable.selectedItems()
        return str(items[0].text()) if items else ""

    def forget(self) -> None:
        """The scene closes, or the module goes away."""
        self._case = None


def _colour(name: str) -> tuple[int, int, int]:
    from LiverLesionAI.taxonomy import lesion_class

    known = lesion_class(name)
    return known.colour if known is not None else _UNKNOWN_COLOUR
