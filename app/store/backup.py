"""Copies of the database, taken and put back whole.

A backup is SQLite's own online copy: consistent, also while others write. A restore takes the place of the
database in one rename, and only while no server has it open.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.errors import AppError
from app.store.engine import StoreUnusable
from app.store.schema import ensure_schema, found_schema

PAGES_PER_STEP = 4096  # 16 MB between two looks at the writers


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
        _copy(database, target)
        return check(target)
    except (sqlite3.Error, AppError) as error:
        target.unlink(missing_ok=True)
        if isinstance(error, AppError):
            raise
        raise StoreUnusable(
            f"The backup failed ({error}); no file is left. Make room and try again."
        ) from error


def restore(source: Path, database: Path, *, now: float) -> tuple[Copy, Path | None]:
    """What was restored, and where the database of before is kept. If it raises, nothing has changed.

    Whoever is shut off now stays shut off, as does whoever was on the day of the backup.
    """
    if not source.is_file():
        raise BackupRefused(f"There is no file {source}.")
    if database.exists() and source.samefile(database):
        raise BackupRefused("This is the database itself. Name a backup.")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = database.with_name(f".{database.name}.{os.getpid()}.restored")
    try:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _copy(source, new)
        if found_schema(new) is None:
            raise BackupRefused(f"{source} holds no notes. Name a file of `brain backup`.")
        ensure_schema(new)
        _keep_denies(database, new)
        copy = check(new)
        kept = _set_aside(database, now)
        new.replace(database)
        _sync_folder(database.parent)
        return copy, kept
    except sqlite3.Error:
        raise BackupRefused(
            f"{source} is not a usable SQLite database. Name a file of `brain backup`."
        ) from None
    finally:
        new.unlink(missing_ok=True)


def check(file: Path) -> Copy:
    """Reads the whole copy once. Raises BackupRefused if it is damaged or not a Brain's."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            broken_key = connection.execute("PRAGMA foreign_key_check").fetchone()
            notes = connection.execute("SELECT count(*) FROM notes WHERE deleted_at IS NULL").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupRefused(f"{file} is not a Brain database.", detail=str(error)) from None
    if verdict != "ok" or broken_key:
        raise BackupRefused(f"{file} is damaged. Use another backup.", detail=str(verdict))
    return Copy(notes, file.stat().st_size)


def _copy(source: Path, target: Path) -> None:
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


def _keep_denies(database: Path, new: Path) -> None:
    """A restore must not open a door that the kill switch closed after the backup was taken."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reading:
            denies = reading.execute("SELECT target, at, by FROM denies").fetchall()
    except sqlite3.DatabaseError:
        return  # damaged, or older than the kill switch
    with closing(sqlite3.connect(new)) as writing, writing:
        writing.executemany("INSERT OR IGNORE INTO denies (target, at, by) VALUES (?, ?, ?)", denies)


def _set_aside(database: Path, now: float) -> Path | None:
    """Moves the present database to a name of its own, with all that its WAL holds."""
    if not database.exists():
        return None
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = database.with_name(f"{database.name}.before-{stamp}")
    if kept.exists():
        raise BackupRefused(f"{kept} exists. Move it away first.")
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as connection:
            # Leaving WAL mode takes the database for itself: refused while any process has it open.
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        raise BackupRefused("The database is in use. Stop the server, then restore.") from None
    except sqlite3.DatabaseError:
        pass  # damaged: that is why it is replaced; it is kept as it is
    for suffix in ("-wal", "-shm"):
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    database.rename(kept)
    return kept


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
