"""One reader, from case to case: which is next, how long it takes, what was said."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import errors_of_disk
from LiverLesionAI.reader_study.folder import ListedItem, StudyPlan, read_list, read_reader_study
from LiverLesionAI.reader_study.journal import Answer

MOST_CONFIDENT = 100


def now() -> str:
    """The time of the day, ISO 8601 with the offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True)
class Progress:
    """How far a reader is: items answered and in all, in the session that is on and in the study."""

    session: int
    of_session: int
    in_session: int
    done: int
    total: int


class ReadingSession:
    """A reader at work on a list; a kill costs the case on the screen and nothing else.

    Parameters
    ----------
    folder
        The reader study.
    reader
        Who reads.
    clock
        Seconds that never run back.
    today
        The time of the day as a text.

    Raises
    ------
    ConfigError
        If the study or its list cannot be used, or somebody reads as this reader already.
    """

    def __init__(
        self,
        folder: Path,
        reader: str,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], str] = now,
    ) -> None:
        self.plan: StudyPlan = read_reader_study(folder)
        self.items = read_list(self.plan, reader)
        self.reader, self._clock, self._today = reader, clock, today
        self._journal = self.plan.journal(reader)
        self._lock = FileLock(self._journal.file.with_suffix(".lock"), timeout=0)
        self._take_lock()
        self._answered = self._known_answers()
        self._spent, self._since = 0.0, 0.0
        self._is_open = self._runs = False

    @property
    def current(self) -> ListedItem | None:
        """The next item without an answer; None when all are answered."""
        return next((each for each in self.items if each.item.number not in self._answered), None)

    @property
    def starts_session(self) -> bool:
        """Whether the next item is the first of a session after the first one."""
        item = self.current
        if item is None or item.item.session == 1:
            return False
        return not any(
            each.item.session == item.item.session and each.item.number in self._answered
            for each in self.items
        )

    @property
    def progress(self) -> Progress:
        """How far the reader is."""
        item = self.current or self.items[-1]
        session = [each for each in self.items if each.item.session == item.item.session]
        done = sum(each.item.number in self._answered for each in session)
        return Progress(item.item.session, len(session), done, len(self._answered), len(self.items))

    @property
    def seconds(self) -> float:
        """Time of the case on the screen so far, pauses left out."""
        return self._spent + (self._clock() - self._since if self._runs else 0.0)

    @property
    def is_open(self) -> bool:
        """Whether a case is on the screen."""
        return self._is_open

    @property
    def is_paused(self) -> bool:
        """Whether the clock stands while a case is on the screen."""
        return self._is_open and not self._runs

    def open(self) -> ListedItem:
        """The case is on the screen: the clock runs.

        Raises
        ------
        ConfigError
            If all are answered.
        OutputError
            If the journal cannot be written.
        """
        item = self.current
        if item is None:
            raise ConfigError(f"{self.reader} has answered every case.")
        if not self._is_open:
            self._journal.opened(item.item.number, self._today())
            self._spent, self._since = 0.0, self._clock()
            self._is_open = self._runs = True
        return item

    def pause(self) -> None:
        """Stop the clock."""
        if self._runs:
            self._spent, self._runs = self.seconds, False

    def resume(self) -> None:
        """Let the clock go on."""
        if self.is_paused:
            self._since, self._runs = self._clock(), True

    def answer(self, diagnosis: str, confidence: float | None) -> Answer:
        """Keep the answer to the case on the screen; it is on the disk when this returns.

        Parameters
        ----------
        diagnosis
            One of the study's classes.
        confidence
            0 to 100; None where it is not asked for.

        Raises
        ------
        ConfigError
            If no case is on the screen, the clock stands, or the answer is none.
        OutputError
            If the journal cannot be written; the case stays on the screen then.
        """
        item = self.current
        if item is None or not self._is_open:
            raise ConfigError("No case is on the screen; open the next one first.")
        if not self._runs:
            raise ConfigError("The clock stands; go on with the case before answering it.")
        return self._keep(item, diagnosis, confidence, round(self.seconds, 2))

    def take(self, number: int, diagnosis: str, confidence: float | None, seconds: float | None) -> Answer:
        """Keep an answer that was given elsewhere, on paper or in a table.

        Raises
        ------
        ConfigError
            If the list has no such item, it is answered already, or the answer is none.
        OutputError
            If the journal cannot be written.
        """
        item = next((each for each in self.items if each.item.number == number), None)
        if item is None:
            raise ConfigError(f"The list of {self.reader} has no item {number}.")
        if number in self._answered:
            raise ConfigError(f"{self.reader} has answered item {number} already; answers are never changed.")
        return self._keep(item, diagnosis, confidence, seconds)

    def close(self) -> None:
        """Let somebody else read as this reader."""
        self._lock.release()

    def _keep(
        self, item: ListedItem, diagnosis: str, confidence: float | None, seconds: float | None
    ) -> Answer:
        if diagnosis not in self.plan.classes:
            known = ", ".join(self.plan.classes)
            raise ConfigError(f"{diagnosis!r} is no answer of this study; its classes are {known}.")
        if confidence is not None and not 0 <= confidence <= MOST_CONFIDENT:
            raise ConfigError(f"A confidence of {confidence:g} is none between 0 and {MOST_CONFIDENT}.")
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise ConfigError(f"{seconds:g} seconds are no time.")
        number = item.item.number
        openings = self._journal.openings(number)
        answer = Answer(number, diagnosis, confidence, seconds, openings, self._today())
        self._journal.answered(answer)
        self._answered[number] = answer
        self._is_open = self._runs = False
        return answer

    def _take_lock(self) -> None:
        with errors_of_disk(self._journal.file):
            self._journal.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                raise ConfigError(
                    f"Somebody reads as {self.reader} already; close that window first."
                ) from None

    def _known_answers(self) -> dict[int, Answer]:
        """Answers of the journal; it is let go where they cannot be used."""
        numbers = {each.item.number for each in self.items}
        try:
            answers = self._journal.answers()
            strange = sorted(set(answers) - numbers)
            if strange or not numbers:
                raise ConfigError(
                    f"{self._journal.file} answers item {strange[:1]}, which is not in the list."
                )
        except ConfigError:
            self.close()
            raise
        return answers
