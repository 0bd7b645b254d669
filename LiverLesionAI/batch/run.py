"""A cohort worked through: studies handed out, what comes of them taken down, tables made at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from LiverLesionAI.batch import task as kinds
from LiverLesionAI.batch.engines import Engine, engine_for
from LiverLesionAI.batch.folder import folder_of, locked
from LiverLesionAI.batch.inputs import glance
from LiverLesionAI.batch.ledger import Ledger
from LiverLesionAI.batch.plan import OpenedModels, Plan, keys_of, opened_models
from LiverLesionAI.batch.settings import LINKS_FOLDER, BatchOptions
from LiverLesionAI.batch.studies import CohortStudy, check_cohort, list_studies
from LiverLesionAI.batch.task import StudyAnswer, StudyTask
from LiverLesionAI.errors import BatchError, ConfigError, OutputError
from LiverLesionAI.progress import Progress, silent

TRIES = 3
"""How often a study is begun whose process breaks down; another program may have ended it."""
LOST_TRIES = 8
"""How often a study is begun whose worker goes away, which is hardly its own fault."""

_WAIT_S = 0.5


@dataclass(frozen=True)
class BatchProgress:
    """How far a run is.

    Attributes
    ----------
    total
        Studies of the cohort, or of the shard.
    passed
        Those that were done, or had failed, before.
    done, failed
        Those that were done, or failed, in this run.
    seconds_left
        Estimated from this run's pace; None before the first study.
    """

    total: int
    passed: int = 0
    done: int = 0
    failed: int = 0
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return (self.passed + self.done + self.failed) / max(1, self.total)


@dataclass
class _Handed:
    """A study that is with the engine."""

    task: StudyTask
    glance: str
    attempt: int = 0
    crashes: int = 0
    losses: int = 0


class BatchRun(Iterator[StudyAnswer]):
    """A run in progress: an iterator over what comes of its studies, in the order in which they end.

    It ends by itself when every study is done or has failed; :meth:`close`, or leaving its ``with`` block,
    ends it before. Between calls the workers go on with what they have. Made by :func:`run_batch`.
    """

    def __init__(
        self,
        cohort: str | Path,
        out: str | Path,
        options: BatchOptions,
        on_result: Callable[[StudyAnswer], None] | None = None,
        progress: Progress = silent,
        engine: Callable[[BatchOptions], Engine] = engine_for,
    ) -> None:
        self.cohort, self.out = Path(cohort), folder_of(Path(out).resolve(), options)
        self.options = options
        self.paused = False
        self.files: tuple[Path, ...] = ()
        self.counts: dict[str, int] = {}
        self.warnings: tuple[str, ...] = ()
        self._on_result = on_result
        self._handed: dict[str, _Handed] = {}
        self._again: deque[_Handed] = deque()
        self._ready: deque[StudyAnswer] = deque()
        self._is_over = self._todo_is_over = False
        check_cohort(cohort)
        models = opened_models(options)
        self.notice = models.notice
        with ExitStack() as stack:
            stack.enter_context(locked(self.out))
            self.ledger = stack.enter_context(Ledger(self.out))
            studies = list_studies(cohort, self.out / LINKS_FOLDER, progress=progress)
            self._studies, self._count = self._enrolled(studies, models)
            self.ledger.lose_open_attempts()
            self._plan = Plan(self.ledger, self.out, options, models.asked)
            self.progress = BatchProgress(self._count)
            first = self._next()
            self._again.extend([first] if first is not None else [])
            self._engine = engine(options) if first is not None else _NothingToDo()
            stack.callback(self._engine.close)
            self._stack = stack.pop_all()
        self._began = time.monotonic()

    def __enter__(self) -> BatchRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> StudyAnswer:
        while not self._ready:
            if self._is_over:
                raise StopIteration
            if self.paused and not self._handed:
                raise ConfigError("The run is paused, so that nothing comes; call resume() first.")
            self._ready.extend(self._step(_WAIT_S))
        return self._ready.popleft()

    def poll(self) -> list[StudyAnswer]:
        """What has come since the last call, which may be nothing; never waits, for an event loop's timer."""
        found = [*self._ready]
        self._ready.clear()
        return found + ([] if self._is_over else self._step(0.0))

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come; the tables are written then."""
        return self._is_over

    def pause(self) -> None:
        """Hand out no further study; those that are with workers are finished."""
        self.paused = True

    def resume(self) -> None:
        """Hand out studies again."""
        self.paused = False

    def cancel(self) -> None:
        """End studies that are worked on, and the run; tables are made of what was finished."""
        self._engine.close()
        with self.ledger.transaction():
            for handed in self._handed.values():
                self.ledger.end(handed.attempt, "cancelled")
        self._handed.clear()
        self._finish()

    def close(self) -> None:
        """Give everything back at once; what was finished stands, and tables are as they were."""
        self._is_over = True
        self._stack.close()

    def _step(self, timeout_s: float) -> list[StudyAnswer]:
        """Hand out, wait, take down; nothing stays open if any of it fails."""
        try:
            for task in self._hand_out():
                self._engine.submit(task)
            answers = self._engine.poll(timeout_s) if self._handed else []
            settled = self._take_down(answers) if answers else []
            if not (self._handed or self._again or self.paused) and self._todo_is_over:
                self._finish()
        except BaseException:
            self.close()
            raise
        for answer in settled:
            if self._on_result is not None:
                self._on_result(answer)
        return settled

    def _hand_out(self) -> list[StudyTask]:
        """Choose studies for the engine's free places and note that they are begun, in one commit."""
        free = 0 if self.paused else self._engine.capacity() - len(self._handed)
        chosen: list[_Handed] = []
        while len(chosen) < free:
            handed = self._again.popleft() if self._again else self._next()
            if handed is None:
                break
            chosen.append(handed)
        if chosen:
            with self.ledger.transaction():
                for handed in chosen:
                    labels = [each.label for each in handed.task.models]
                    handed.attempt = self.ledger.begin(handed.task.study_id, labels)
            self._handed.update({handed.task.study_id: handed for handed in chosen})
        return [handed.task for handed in chosen]

    def _next(self) -> _Handed | None:
        """The next study with something to be done; None where there is none."""
        for study in self._studies:
            seen = glance(study.path, study.mask, study.clinical)
            models = self._plan.wanted(study, seen)
            if models:
                return _Handed(self._plan.task(study, models), seen)
            self.progress = replace(self.progress, passed=self.progress.passed + 1)
        self._todo_is_over = True
        return None

    def _take_down(self, answers: Sequence[StudyAnswer]) -> list[StudyAnswer]:
        """Take down what came, in one commit; studies that are begun again are not among what is returned."""
        settled: list[StudyAnswer] = []
        stopped: BatchError | OutputError | None = None
        with self.ledger.transaction():
            for answer in answers:
                handed = self._handed.pop(answer.study_id)
                stop = self._stops(answer)
                outcome = "lost" if stop else answer.status
                self.ledger.end(handed.attempt, outcome, answer.reason, answer.seconds)
                if stop is not None:
                    stopped = stop
                elif self._is_to_be_begun_again(handed, answer):
                    self._again.append(handed)
                else:
                    self.ledger.record(answer, self._plan.keys, handed.glance, self.options.outputs)
                    settled.append(answer)
        if stopped is not None:
            raise stopped
        is_failed = sum(answer.status == "failed" for answer in settled)
        self._count_in(len(settled) - is_failed, is_failed)
        return settled

    def _stops(self, answer: StudyAnswer) -> BatchError | OutputError | None:
        """Why the run cannot go on: every further study would meet the same."""
        if kinds.DISK in answer.kinds:
            return OutputError(
                f"{self.out} cannot be written to ({answer.reason.rstrip('.')}); make room or mend it, and "
                "start the run again: finished studies are not done again."
            )
        if answer.status == "failed" and not self.cohort.exists():
            return BatchError(
                f"{self.cohort} is gone; bring it back and start the run again: finished studies are not "
                "done again."
            )
        return None

    def _is_to_be_begun_again(self, handed: _Handed, answer: StudyAnswer) -> bool:
        handed.crashes += kinds.CRASHED in answer.kinds
        handed.losses += kinds.LOST in answer.kinds
        return bool(answer.kinds & {kinds.CRASHED, kinds.LOST}) and (
            handed.crashes < TRIES and handed.losses < LOST_TRIES
        )

    def _count_in(self, done: int, failed: int) -> None:
        now = replace(self.progress, done=self.progress.done + done, failed=self.progress.failed + failed)
        worked = now.done + now.failed
        pace = (time.monotonic() - self._began) / worked if worked else None
        left = max(0, now.total - now.passed - worked)
        self.progress = replace(now, seconds_left=None if pace is None else pace * left)

    def _finish(self) -> None:
        """Write the tables and the page of what the ledger says, and give everything back."""
        from LiverLesionAI.batch.tables import write_outputs

        self._engine.close()
        self.files, self.warnings = write_outputs(self.ledger, self.out)
        self.counts = self.ledger.counts()
        self.close()

    def _enrolled(
        self, studies: Sequence[CohortStudy], models: OpenedModels
    ) -> tuple[Iterator[CohortStudy], int]:
        """Take cohort and settings down; returns the studies of the shard and their number."""
        first, step = self.options.shard or (1, 1)
        positions = range(first - 1, len(studies), step)
        own = [studies[position] for position in positions]
        with self.ledger.transaction():
            if self.ledger.fact("merged"):
                raise ConfigError(
                    f"{self.out} was merged from shards; go on with their folders and merge them again."
                )
            self.ledger.enrol(own, positions)
            self.ledger.note("cohort", str(self.cohort.resolve()))
            self.ledger.note("models", [each.label for each in models.asked])
            self.ledger.note("keys", keys_of(models.asked, self.options))
            self.ledger.note("truths", models.truths)
            self.ledger.note("shard", self.options.shard)
        return iter(own), len(own)


class _NothingToDo:
    """The engine of a run whose studies are all settled, so that no worker is started."""

    def capacity(self) -> int:
        return 0

    def submit(self, task: StudyTask) -> None:
        raise NotImplementedError

    def poll(self, timeout_s: float) -> list[StudyAnswer]:
        return []

    def close(self) -> None:
        pass


def run_batch(
    cohort: str | Path,
    out: str | Path,
    options: BatchOptions | None = None,
    *,
    on_result: Callable[[StudyAnswer], None] | None = None,
    progress: Progress = silent,
) -> BatchRun:
    """Begin, or go on with, a batch: every study of a cohort through the whole road, exactly once.

    Parameters
    ----------
    cohort
        See :func:`LiverLesionAI.batch.studies.list_studies`.
    out
        Folder of the run: its ledger ``batch.sqlite``, ``studies/<study>/<model>/`` as ``classify`` writes
        it, and at the end ``results.csv``, ``results.parquet``, ``failures.csv`` and ``cohort.html``. Where
        it holds an earlier run, studies that are finished are not done again unless input, model or
        parameters changed.
    options
        Models, workers and so on.
    on_result
        Called with what came of each study, from :meth:`BatchRun.poll` or the iteration.
    progress
        Told how far the headers of DICOM files are read, before the first study.

    Returns
    -------
    BatchRun
        Nothing is done before it is iterated or polled.

    Raises
    ------
    LiverLesionError
        If cohort, models, folder or workers cannot be used, or another run has the folder.

    Examples
    --------
    >>> with run_batch("cohort.csv", "run", BatchOptions(workers=8)) as run:  # doctest: +SKIP
    ...     for done in run:
    ...         print(done.study_id, done.status, done.reason)
    """
    return BatchRun(cohort, out, options or BatchOptions(), on_result, progress)
