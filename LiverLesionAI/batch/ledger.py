"""The ledger of a batch: one SQLite file that says of every study what was done; nothing else decides that.

One process at a time writes it, the one that holds the run's lock. While a run lasts the file is in WAL mode:
a commit is one flush to the disk instead of three, and others may read meanwhile, for example a panel that
watches. At rest it is one plain file again, fit to be copied. Where a file system has no shared memory, as
some network ones, SQLite stays with its rollback journal by itself; both survive a loss of power.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from LiverLesionAI.batch import schema
from LiverLesionAI.batch.records import Answer, Failure, Finished, cells_of, outputs_of, study_of
from LiverLesionAI.batch.settings import LEDGER_FILE
from LiverLesionAI.batch.studies import CohortStudy
from LiverLesionAI.batch.task import ModelAnswer, StudyAnswer, result_sha256, unpack
from LiverLesionAI.errors import OutputError
from LiverLesionAI.results import StudyResult
from LiverLesionAI.taxonomy import TAXONOMIES
from LiverLesionAI.writers.tables import task_classes

_BUSY_S = 30.0


class Ledger:
    """The ledger of a run.

    Parameters
    ----------
    folder
        Of the run.
    read_only
        For watching a run that another process works on; the ledger must exist then.

    Raises
    ------
    OutputError
        If the file cannot be opened or written, or is no ledger.
    BatchError
        If it was written by a later version of the program.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self.file = folder / LEDGER_FILE
        self._read_only = read_only
        self._open = 0
        with self._sentences():
            address = f"{self.file.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            self._db = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave one plain file behind; what was committed is on the disk already."""
        if not self._read_only:
            # Where somebody still reads, or the disk is full, the next run finds all of it just the same.
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    def _prepare(self) -> None:
        statements = schema.wanted(self._db, self.file)
        if self._read_only:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            for statement in statements:
                self._db.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that the block does, on the disk, or none of it."""
        with self._sentences():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"{self.file} cannot be written or read: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"{self.file} is damaged ({error}); move it away, and the run begins anew."
            ) from error

    def fact(self, name: str, default: Any = None) -> Any:
        """What was noted of the run under a name."""
        found = self._one("SELECT value FROM facts WHERE name = ?", name)
        return default if found is None else json.loads(found[0])

    def note(self, name: str, value: Any) -> None:
        """Note something of the run."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def enrol(self, studies: Iterable[CohortStudy], positions: Iterable[int] | None = None) -> None:
        """Take a cohort down; studies that are no longer in it keep what was done, but are not counted."""
        self._db.execute("UPDATE studies SET position = NULL")
        studies = tuple(studies)
        for position, study in zip(positions or range(len(studies)), studies, strict=True):
            self._db.execute(
                "INSERT INTO studies VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "position = excluded.position, path = excluded.path, mask = excluded.mask, patient = "
                "excluded.patient, clinical = excluded.clinical, rows = excluded.rows, "
                "folder = excluded.folder",
                cells_of(study, position),
            )

    def answer(self, study: str, model: str) -> Answer | None:
        """What was done of a study with a model; None where nothing was."""
        found = self._one(
            "SELECT study, model, status, key, glance, input_sha256, outputs, kind, reason FROM answers "
            "WHERE study = ? AND model = ?",
            study,
            model,
        )
        return None if found is None else Answer(*found)

    def begin(self, study: str, models: Iterable[str]) -> int:
        """Note that a study is handed out; returns the number of the attempt."""
        done = self._db.execute(
            "INSERT INTO attempts (study, models, started, outcome, reason) VALUES (?, ?, ?, 'open', '')",
            (study, json.dumps(list(models)), _now()),
        )
        assert done.lastrowid is not None
        return done.lastrowid

    def end(self, attempt: int, outcome: str, reason: str = "", seconds: float = 0.0) -> None:
        """Note how an attempt ended."""
        self._db.execute(
            "UPDATE attempts SET finished = ?, outcome = ?, reason = ?, seconds = ? WHERE number = ?",
            (_now(), outcome, reason, seconds, attempt),
        )

    def lose_open_attempts(self) -> int:
        """Note that attempts of a run that was killed came to nothing; returns how many there were."""
        with self.transaction():
            lost = self._db.execute(
                "UPDATE attempts SET outcome = 'lost', finished = ? WHERE outcome = 'open'", (_now(),)
            )
        return lost.rowcount

    def record(self, answer: StudyAnswer, keys: Mapping[str, str], glance: str, outputs: str) -> None:
        """Take down what came of a study.

        Parameters
        ----------
        answer
            Of the worker.
        keys
            Model to the hash of what its answer rests on.
        glance
            What the study's files looked like when it was handed out.
        outputs
            What was written of it.
        """
        for each in answer.answers:
            if each.status == "same":
                self._db.execute(
                    "UPDATE answers SET glance = ? WHERE study = ? AND model = ?",
                    (glance, answer.study_id, each.label),
                )
                continue
            self._record_model(answer, each, (keys[each.label], glance), outputs)

    def _record_model(
        self, answer: StudyAnswer, each: ModelAnswer, rests_on: tuple[str, str], outputs: str
    ) -> None:
        tasks, digest, blob = "{}", "", None
        if each.result is not None:
            tasks = json.dumps(task_classes(each.result))
            digest = result_sha256(each.result.to_dict())
            blob = each.blob
        self._db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                answer.study_id, each.label, each.status, *rests_on, answer.input_sha256, outputs, each.kind,
                each.reason, json.dumps(each.seconds), tasks, digest, blob,
            ),
        )  # fmt: skip

    def studies(self) -> Iterator[CohortStudy]:
        """The cohort's studies in its order."""
        for row in self._rows("SELECT * FROM studies WHERE position IS NOT NULL ORDER BY position"):
            yield study_of(row)

    def study(self, name: str) -> CohortStudy | None:
        """A study of the cohort by its id."""
        found = self._one("SELECT * FROM studies WHERE id = ? AND position IS NOT NULL", name)
        return None if found is None else study_of(found)

    def truth(self, study: CohortStudy, model: str = "") -> dict[int, str]:
        """Lesion to what it is known to be, the study as a whole under 0; what came later counts.

        With a model, feedback alone that is of the classes that it is trained with.
        """
        classes = self.classes(model) if model else None
        known = dict(study.truth)
        for lesion, diagnosis in self._rows(
            "SELECT lesion, diagnosis FROM feedback WHERE study = ? ORDER BY number", study.id
        ):
            if classes is not None and diagnosis not in classes:
                continue
            if lesion == 0:
                known = {0: diagnosis}
            else:
                known.pop(0, None)
                known[lesion] = diagnosis
        return known

    def classes(self, model: str) -> tuple[str, ...]:
        """Diagnoses that a model's cohorts may have."""
        taxonomy = self.fact("truths", {}).get(model)
        return TAXONOMIES[taxonomy].names if taxonomy in TAXONOMIES else ()

    def settle(self, study: str, lesion: int, diagnosis: str, source: str, date: str) -> None:
        """Note the final diagnosis of a lesion, or of a study (lesion 0); earlier ones are kept."""
        self._settle((study, lesion, diagnosis, source, date, _now()))

    def _settle(self, row: tuple[Any, ...]) -> None:
        self._db.execute(
            "INSERT INTO feedback (study, lesion, diagnosis, source, date, entered) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )

    def settled(self) -> Iterator[tuple[Any, ...]]:
        """Study, lesion, diagnosis, source, date and time of entry of all feedback, as it came."""
        yield from self._rows(
            "SELECT study, lesion, diagnosis, source, date, entered FROM feedback ORDER BY number"
        )

    def models(self) -> tuple[str, ...]:
        """Names of the models of the last run."""
        return tuple(self.fact("models", ()))

    def tasks(self, model: str) -> dict[str, tuple[str, ...]]:
        """Tasks that a model answered and their classes, in the order of the cohort's studies."""
        tasks: dict[str, tuple[str, ...]] = {}
        for (text,) in self._rows(
            "SELECT tasks FROM answers JOIN studies ON studies.id = study WHERE model = ? AND "
            "status = 'done' AND position IS NOT NULL ORDER BY position",
            model,
        ):
            for name, classes in json.loads(text).items():
                tasks.setdefault(name, tuple(classes))
        return tasks

    def finished(self, model: str) -> Iterator[Finished]:
        """Studies that are done with a model, in the cohort's order, one at a time."""
        for row in self._rows(
            "SELECT result, outputs, studies.* FROM answers JOIN studies ON studies.id = study "
            "WHERE model = ? AND status = 'done' AND position IS NOT NULL ORDER BY position",
            model,
        ):
            blob, outputs, *cells = row
            study = study_of(tuple(cells))
            folder = "" if outputs == "table" else f"{outputs_of(study)}/{model}"
            yield Finished(study, StudyResult.from_dict(unpack(blob)), folder)

    def result(self, study: str, model: str) -> StudyResult | None:
        """What a model answered about a study; None where it did not."""
        found = self._one("SELECT result FROM answers WHERE study = ? AND model = ?", study, model)
        return StudyResult.from_dict(unpack(found[0])) if found and found[0] else None

    def forget_studies(self) -> None:
        """Forget studies and answers, for a joined ledger is made anew; feedback stays."""
        for table in ("studies", "answers", "attempts", "facts"):
            self._db.execute(f"DELETE FROM {table}")

    def take_in(self, shard: Ledger, place: str) -> None:
        """Take in the studies of a shard whose folder is at `place`, relative to this run.

        Raises
        ------
        sqlite3.IntegrityError
            If one of them is here already.
        """
        for table in ("studies", "answers"):
            for row in shard._rows(f"SELECT * FROM {table}"):
                self._db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self._db.execute(
            "UPDATE studies SET folder = ? || '/studies/' || folder WHERE folder NOT LIKE '%/%'", (place,)
        )
        known = set(self.settled())
        for row in shard.settled():
            if row not in known:
                self._settle(row)

    def result_hashes(self, model: str) -> dict[str, str]:
        """Study to the SHA-256 of its result."""
        return dict(
            self._rows(
                "SELECT study, sha256 FROM answers JOIN studies ON studies.id = study WHERE model = ? AND "
                "status = 'done' AND position IS NOT NULL",
                model,
            )
        )

    def failures(self, model: str | None = None) -> Iterator[Failure]:
        """Studies that failed, in the cohort's order; with one of the models, or with any."""
        labels = self.models() if model is None else (model,)
        for row in self._rows(
            "SELECT model, kind, reason, studies.* FROM answers JOIN studies ON studies.id = study "
            "WHERE status = 'failed' AND position IS NOT NULL ORDER BY position, model"
        ):
            label, kind, reason, *cells = row
            if label in labels:
                yield Failure(study_of(tuple(cells)), label, kind, reason)

    def seconds(self, model: str) -> Iterator[dict[str, float]]:
        """How long each step took of each finished study."""
        for (text,) in self._rows(
            "SELECT seconds FROM answers JOIN studies ON studies.id = study WHERE model = ? AND "
            "status = 'done' AND position IS NOT NULL ORDER BY position",
            model,
        ):
            yield json.loads(text)

    def attempts(self) -> Iterator[tuple[str, str, float | None]]:
        """Study, outcome and seconds of each attempt, in the order of their beginnings."""
        yield from self._rows("SELECT study, outcome, seconds FROM attempts ORDER BY number")

    def counts(self) -> dict[str, int]:
        """How many of the cohort's studies are done, have failed, are being worked on, and are left."""
        labels = json.dumps(list(self.models()))
        rows = dict(
            self._rows(
                "SELECT state, count(*) FROM (SELECT CASE "
                "WHEN sum(status = 'failed') > 0 THEN 'failed' "
                "WHEN sum(status = 'done') = json_array_length(?1) THEN 'done' ELSE 'left' END AS state "
                "FROM studies LEFT JOIN answers ON studies.id = answers.study AND answers.model IN "
                "(SELECT value FROM json_each(?1)) WHERE position IS NOT NULL GROUP BY studies.id) "
                "GROUP BY state",
                labels,
            )
        )
        running = self._one("SELECT count(*) FROM attempts WHERE outcome = 'open'")
        return {**{name: rows.get(name, 0) for name in ("done", "failed", "left")}, "running": running[0]}

    def _one(self, question: str, *given: Any) -> Any:
        with self._sentences():
            return self._db.execute(question, given).fetchone()

    def _rows(self, question: str, *given: Any) -> Iterator[Any]:
        with self._sentences():
            yield from self._db.execute(question, given)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
