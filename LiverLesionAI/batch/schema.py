"""Tables of the ledger, and how a ledger of an earlier version becomes one of today's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from LiverLesionAI.errors import BatchError, OutputError

APPLICATION = 0x4C4C4149
VERSION = 2

_FEEDBACK = """
CREATE TABLE feedback (
  number INTEGER PRIMARY KEY, study TEXT NOT NULL, lesion INTEGER NOT NULL, diagnosis TEXT NOT NULL,
  source TEXT NOT NULL, date TEXT NOT NULL, entered TEXT NOT NULL);
CREATE INDEX feedback_by_study ON feedback (study)
"""
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE studies (
  id TEXT PRIMARY KEY, position INTEGER, path TEXT NOT NULL, mask TEXT NOT NULL, patient TEXT NOT NULL,
  clinical TEXT NOT NULL, rows TEXT NOT NULL, folder TEXT NOT NULL);
CREATE INDEX studies_by_position ON studies (position);
CREATE TABLE attempts (
  number INTEGER PRIMARY KEY, study TEXT NOT NULL, models TEXT NOT NULL, started TEXT NOT NULL, finished TEXT,
  outcome TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL);
CREATE INDEX attempts_by_outcome ON attempts (outcome);
CREATE TABLE answers (
  study TEXT NOT NULL, model TEXT NOT NULL, status TEXT NOT NULL, key TEXT NOT NULL, glance TEXT NOT NULL,
  input_sha256 TEXT NOT NULL, outputs TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
  seconds TEXT NOT NULL, tasks TEXT NOT NULL, sha256 TEXT NOT NULL, result BLOB, PRIMARY KEY (study, model));
"""
_MIGRATIONS = {1: _FEEDBACK}
"""Version to the statements that lead from it to the next."""


def wanted(database: sqlite3.Connection, file: Path) -> list[str]:
    """Statements that make a new or earlier file a ledger of today; none for one that is.

    Raises
    ------
    OutputError
        If it is no ledger.
    BatchError
        If it was written by a later version of the program.
    """
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    is_new = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new and application != APPLICATION:
        raise OutputError(f"{file} is no ledger of a batch; name another folder for the run.")
    if version > VERSION:
        raise BatchError(f"{file} was written by a later version of LiverLesionAI; go on with that version.")
    if version == VERSION:
        return []
    texts = [_TABLES, _FEEDBACK] if is_new else [_MIGRATIONS[each] for each in range(version, VERSION)]
    statements = [each for text in texts for each in text.split(";") if each.strip()]
    return [*statements, f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {VERSION}"]
