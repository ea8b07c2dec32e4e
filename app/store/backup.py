"""Copies of the database: SQLite's own online copy, consistent also while others write."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.errors import AppError
from app.store.engine import StoreUnusable
from app.store.schema import found_schema

PAGES_PER_STEP = 4096  # 16 MB between two looks at the writers
DATED = re.compile(r"brain-\d{8}T\d{6}Z\.db")


class BackupRefused(AppError):
    code = "backup_refused"
    status = 400


@dataclass(frozen=True, slots=True)
class Copy:
    notes: int
    size: int


def back_up(database: Path, target: Path) -> Copy:
    """Raises BackupRefused if there is nothing to copy or something in the way."""
    if not database.is_file():
        raise BackupRefused(f"There is no database at {database} yet. Check DATABASE_URL.")
    found_schema(database)
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise BackupRefused(f"{target} exists. Name a new file; a backup never overwrites.") from None
    except OSError as error:
        raise BackupRefused(f"{target} cannot be written ({error.strerror}). Name another file.") from None
    try:
        copy_whole(database, target)
        return check(target)
    except (sqlite3.Error, AppError) as error:
        target.unlink(missing_ok=True)
        if isinstance(error, AppError):
            raise
        raise StoreUnusable(
            f"The backup failed ({error}); no file is left. Make room and try again."
        ) from error


def dated(folder: Path, now: float) -> Path:
    """The file of a backup that is taken now; by name, the newest comes last."""
    return folder / f"brain-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.db"


def keep_newest(folder: Path, count: int) -> int:
    """Removes all but the `count` newest of the files that `dated` names; how many are gone."""
    old = sorted(path for path in folder.iterdir() if DATED.fullmatch(path.name))[:-count]
    for path in old:
        path.unlink()
    return len(old)


# A note that this project has not written: it would fail wherever it is read.
_ODD = """SELECT 1 FROM notes WHERE typeof(key) <> 'integer' OR length(id) <> 36 OR typeof(title) <> 'text'
          OR typeof(space) <> 'text' OR typeof(version) <> 'integer' OR NOT json_valid(tags)
          OR typeof(created_at) NOT IN ('real', 'integer') OR typeof(updated_at) NOT IN ('real', 'integer')
          LIMIT 1"""


def check(file: Path) -> Copy:
    """Reads the whole copy once. Raises BackupRefused if it is damaged or not a Brain's."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            broken_key = connection.execute("PRAGMA foreign_key_check").fetchone()
            notes = connection.execute("SELECT count(*) FROM notes WHERE deleted_at IS NULL").fetchone()[0]
            odd = connection.execute(_ODD).fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"{file} is not a Brain database.", detail=str(error)) from None
    if verdict != "ok" or broken_key or odd:
        raise BackupRefused(f"{file} is damaged. Use another backup.", detail=str(verdict))
    return Copy(notes, file.stat().st_size)


def copy_whole(source: Path, target: Path) -> None:
    """Without a journal beside the copy: one file is the whole of it."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        # One read transaction around all steps: a writer between two of them does not start the copy anew.
        reading.isolation_level = None
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(writing, pages=PAGES_PER_STEP)
        reading.execute("COMMIT")
        writing.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb") as copied:
        os.fsync(copied.fileno())
