"""The cohort that is worked through: shared by the steps of the batch panel; a timer polls the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt

if TYPE_CHECKING:
    from LiverLesionAI.batch import BatchOptions, BatchRun
    from LiverLesionAI.batch.rows import StudyRow
    from LiverLesionAI.batch.task import StudyAnswer
    from LiverLesionAI.bundles.suite import Model

INTERVAL_MS = 200


class Batches:
    """A cohort, what is known of its studies, and the run that is on.

    Attributes
    ----------
    cohort, out, model
        What was looked at last.
    rows
        Study to its row, in the cohort's order.
    run
        The run that is on; None while there is none.
    """

    def __init__(self) -> None:
        self.cohort = self.out = Path()
        self.model: Model | None = None
        self.rows: dict[str, StudyRow] = {}
        self.run: BatchRun | None = None
        self._listeners: list[Callable[[tuple[str, ...] | None], None]] = []
        self._failed: Callable[[Exception], None] = lambda error: None
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self.poll)

    def on_change(self, listener: Callable[[tuple[str, ...] | None], None]) -> None:
        """Call a function with the studies whose rows changed; None: all of them, or the run itself."""
        self._listeners.append(listener)

    def on_failure(self, listener: Callable[[Exception], None]) -> None:
        """Call a function with the error that ended a run."""
        self._failed = listener

    def look(self, cohort: Path, out: Path, model: Model) -> None:
        """List a cohort's studies and what was done of them.

        Raises
        ------
        LiverLesionError
            If the cohort cannot be used.
        """
        from LiverLesionAI.batch.rows import rows_before
        from LiverLesionAI.batch.settings import LINKS_FOLDER
        from LiverLesionAI.batch.studies import list_studies

        studies = list_studies(cohort, out / LINKS_FOLDER)
        needs_lesions = model.system.unit == "lesion"
        rows = rows_before(studies, out, model.name, model.sequences, needs_lesions)
        self.cohort, self.out, self.model = cohort, out, model
        self.rows = {row.study.id: row for row in rows}
        self._tell(None)

    def start(self, options: BatchOptions) -> None:
        """Begin the run, or go on with it.

        Raises
        ------
        LiverLesionError
            If it cannot begin.
        """
        from LiverLesionAI.batch import run_batch

        self.stop()
        self.run = run_batch(self.cohort, self.out, options)
        self._timer.start()
        self._tell(None)

    def pause(self) -> None:
        """Hand out no further study, or do so again."""
        if self.run is not None:
            self.run.paused = not self.run.paused
            self._tell(None)

    def stop(self) -> None:
        """End the run at once; what was finished stands."""
        self._timer.stop()
        if self.run is not None:
            self.run.close()
            self.run = None
            self._tell(None)

    def poll(self) -> None:
        """Take what has come; the timer calls this."""
        from LiverLesionAI.errors import LiverLesionError

        run = self.run
        if run is None:
            return
        try:
            answers = run.poll()
        except LiverLesionError as error:
            self.stop()
            self._failed(error)
            return
        if answers:
            self._tell(tuple(self._take(answer) for answer in answers))
        if run.is_over:
            self.stop()

    def _take(self, answer: StudyAnswer) -> str:
        from LiverLesionAI.batch.rows import row_after

        self.rows[answer.study_id] = row_after(self.rows[answer.study_id], answer)
        return answer.study_id

    def _tell(self, changed: tuple[str, ...] | None) -> None:
        for listener in self._listeners:
            listener(changed)
