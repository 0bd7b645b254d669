"""Which result is shown and which lesion of it is selected: one value that the steps watch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LiverLesionAI.results import LesionResult, StudyResult

Listener = Callable[[], None]


class Selection:
    """The result on show and the lesion selected in it.

    Listeners are called in the order in which they came.
    """

    def __init__(self) -> None:
        self._result: StudyResult | None = None
        self._classified: Path | None = None
        self._lesion: int | None = None
        self._result_listeners: list[Listener] = []
        self._lesion_listeners: list[Listener] = []

    @property
    def result(self) -> StudyResult | None:
        """The result that is shown; None where nothing was classified."""
        return self._result

    @property
    def classified(self) -> Path | None:
        """Folder with the study as the worker classified it; None where that is gone."""
        return self._classified

    @property
    def lesion(self) -> LesionResult | None:
        """The lesion that is selected; None where there is no result."""
        lesions = () if self._result is None else self._result.lesions
        return next((each for each in lesions if each.id == self._lesion), None)

    def show(self, result: StudyResult | None, classified: Path | None = None) -> None:
        """Show a result; the lesion that was selected stays so where it is there, else the first is.

        Parameters
        ----------
        result
            In the place of the one shown before; may be None.
        classified
            Folder with the study as the worker classified it.
        """
        self._result, self._classified = result, classified
        ids = [] if result is None else [lesion.id for lesion in result.lesions]
        if self._lesion not in ids:
            self._lesion = ids[0] if ids else None
        for listener in self._result_listeners:
            listener()

    def change(self, result: StudyResult) -> None:
        """Show the same classification with something added: an explanation, a decision."""
        self.show(result, self._classified)

    def select(self, lesion_id: int) -> None:
        """Select a lesion of the result; to select it again is to look at it again."""
        self._lesion = lesion_id
        for listener in self._lesion_listeners:
            listener()

    def step(self, by: int) -> None:
        """Select the lesion so many places further on, or back, in the result; it ends at the last one."""
        ids = [] if self._result is None else [lesion.id for lesion in self._result.lesions]
        if self._lesion in ids:
            place = ids.index(self._lesion) + by
            self.select(ids[min(max(place, 0), len(ids) - 1)])

    def on_result(self, listener: Listener) -> None:
        """Call a function whenever another result is shown."""
        self._result_listeners.append(listener)

    def on_lesion(self, listener: Listener) -> None:
        """Call a function whenever a lesion is selected."""
        self._lesion_listeners.append(listener)
