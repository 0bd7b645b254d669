"""What a reader does, a line each, on the disk before the next case is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.files import errors_of_disk
from LiverLesionAI.limits import check_text_size

OPENED, ANSWERED = "opened", "answered"


@dataclass(frozen=True)
class Answer:
    """What a reader said of an item.

    Attributes
    ----------
    number
        The item.
    diagnosis
        A class.
    confidence
        How sure of it, 0 to 100; None where not given.
    seconds
        From showing the case to the answer, pauses left out; None where it was not taken.
    openings
        How often the case was shown: more than once after an interruption, and then `seconds` are those
        of the last time.
    at
        When, in ISO 8601 with the offset from UTC.
    """

    number: int
    diagnosis: str
    confidence: float | None
    seconds: float | None
    openings: int
    at: str


class Journal:
    """A reader's journal; lines are only ever added.

    A line that a kill left unfinished is cut off when the next one is written; nothing before it is touched.

    Parameters
    ----------
    file
        Where it is kept; made when the first line is written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def opened(self, number: int, at: str) -> None:
        """Note that a case was shown.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self._append({"event": OPENED, "number": number, "at": at})

    def answered(self, answer: Answer) -> None:
        """Keep an answer; it is on the disk when this returns.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self._append({"event": ANSWERED, **asdict(answer)})

    def answers(self) -> dict[int, Answer]:
        """Item to its answer, the first where there are two.

        Raises
        ------
        ConfigError
            If a line before the last cannot be read.
        """
        found: dict[int, Answer] = {}
        for line, entry in self._entries():
            if entry.get("event") == ANSWERED:
                answer = self._answer(line, entry)
                found.setdefault(answer.number, answer)
        return found

    def openings(self, number: int) -> int:
        """How often a case was shown.

        Raises
        ------
        ConfigError
            If a line before the last cannot be read.
        """
        return sum(
            entry.get("event") == OPENED and entry.get("number") == number for _, entry in self._entries()
        )

    def _answer(self, line: int, entry: dict[str, Any]) -> Answer:
        try:
            given = {name: entry[name] for name in Answer.__dataclass_fields__}
            return Answer(**{**given, "number": int(given["number"]), "diagnosis": str(given["diagnosis"])})
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"{self.file}, line {line}: the answer is not whole; correct the line."
            ) from None

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if not self.file.is_file():
            return
        check_text_size(self.file)
        *whole, _unfinished = self.file.read_bytes().split(b"\n")
        for number, line in enumerate(whole, start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise ConfigError(f"{self.file}, line {number}: it cannot be read; correct the line.")
            yield number, entry

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with errors_of_disk(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab+") as stream:
                stream.truncate(_end_of_last_line(stream))
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())


def _end_of_last_line(stream: Any) -> int:
    stream.seek(0)
    return int(stream.read().rfind(b"\n")) + 1
