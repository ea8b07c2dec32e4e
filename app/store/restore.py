"""Puts the notes of a backup in the place of the present ones.

The doors keep what they know: who is shut off, who gave which client consent, what was revoked and what is on
record stay as they are today, or an old backup would open what was closed since. A usable database takes the
notes in one transaction, also while servers have it open. A damaged one is replaced as a whole, with the
server stopped, by the backup and whatever of the doors' tables can still be read.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.errors import AppError
from app.store.backup import BackupRefused, Copy, back_up, check, copy_whole
from app.store.engine import BUSY_MS, StoreUnusable
from app.store.fulltext import EMPTY_INDEX, INDEX_LIVE
from app.store.schema import ensure_schema, found_schema, only_ours
from app.store.tables import audit, audit_head, denies, metadata

# What the doors know, in groups that go together. All other tables hold notes.
DOORS = {
    "the audit log": (audit.name, audit_head.name),
    "the kill switch": (denies.name,),
    "the OAuth grants": tuple(name for name in metadata.tables if name.startswith("oauth_")),
}
NOTES = tuple(name for name in metadata.tables if not any(name in group for group in DOORS.values()))


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: where the database of before is, if there was one. `from_backup`: what of the doors' knowledge
    had to be taken from the backup too, in words; all of it where there was no database."""

    copy: Copy
    kept: Path | None
    from_backup: tuple[str, ...]


def restore(source: Path, database: Path, *, now: float) -> Restored:
    """If it raises, nothing has changed: BackupRefused or StoreUnusable with what to do."""
    if not source.is_file():
        raise BackupRefused(f"There is no file {source}.")
    if database.exists() and source.samefile(database):
        raise BackupRefused("This is the database itself. Name a backup.")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = database.with_name(f".{database.name}.{os.getpid()}.restored")
    try:
        copy = _prepare(source, new)
        kept = _name_for_before(database, now)
        if kept is None:
            _put_in_place(new, database)
            return Restored(copy, None, tuple(DOORS))
        if _is_usable(database):
            ensure_schema(database)
            _replace_notes(database, new, kept)
            return Restored(copy, kept, ())
        lost = tuple(what for what, tables in DOORS.items() if not _carry(database, new, tables))
        _set_aside(database, kept)
        _put_in_place(new, database)
        return Restored(copy, kept, lost)
    finally:
        new.unlink(missing_ok=True)


def _prepare(source: Path, new: Path) -> Copy:
    """The rows of the backup in tables of our own making: nothing else of a file that anybody may have
    written is taken over, and nothing in it runs."""
    raw = new.with_name(f"{new.name}.raw")
    try:
        os.close(os.open(raw, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy_whole(source, raw)
        only_ours(raw)
        if found_schema(raw) is None:
            raise BackupRefused(f"{source} holds no notes. Name a file of `brain backup`.")
        ensure_schema(raw)
        check(raw)
        ensure_schema(new)
        with _both(new, raw) as connection:
            for table in metadata.tables:
                _replace(connection, table)
            connection.execute(INDEX_LIVE)
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # one file is the whole of it
        return check(new)
    except sqlite3.Error:
        raise BackupRefused(
            f"{source} is not a usable SQLite database. Name a file of `brain backup`."
        ) from None
    finally:
        raw.unlink(missing_ok=True)


def _name_for_before(database: Path, now: float) -> Path | None:
    if not database.exists():
        return None
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = database.with_name(f"{database.name}.before-{stamp}")
    if kept.exists():
        raise BackupRefused(f"{kept} exists. Move it away first.")
    return kept


def _is_usable(database: Path) -> bool:
    """Whether this version can work with it and every page of it is whole."""
    try:
        if found_schema(database) is None:
            return False
        check(database)
    except AppError:
        return False
    return True


def _replace_notes(database: Path, new: Path, kept: Path) -> None:
    """All of the notes' tables and their index, in one transaction: whoever reads sees before or after.

    `kept` is taken inside it, when nobody else can write: no note falls between the two."""
    try:
        with _both(database, new) as connection:
            back_up(database, kept)
            for table in NOTES:
                _replace(connection, table)
            connection.execute(EMPTY_INDEX)
            connection.execute(INDEX_LIVE)
    except AppError:
        kept.unlink(missing_ok=True)
        raise


def _carry(database: Path, new: Path, tables: Sequence[str]) -> bool:
    """Whether `tables` of the damaged database went over into `new`, all or none."""
    try:
        with _both(new, database) as connection:
            for table in tables:
                _replace(connection, table)
    except StoreUnusable:
        return False
    return True


@contextmanager
def _both(into: Path, other: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that writes `into`, with the other file as the schema `other`. Raises StoreUnusable."""
    try:
        with closing(sqlite3.connect(into, isolation_level=None, timeout=BUSY_MS / 1000, uri=True)) as both:
            both.execute("PRAGMA synchronous=FULL")
            both.execute("PRAGMA trusted_schema=OFF")
            both.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
            # Foreign keys stay off: both sides have been checked, and the order of the tables is free.
            both.execute("BEGIN IMMEDIATE")
            yield both
            both.execute("COMMIT")
    except sqlite3.Error as problem:
        raise StoreUnusable(
            f"Nothing was changed, because the database could not be written ({problem}). Try again.",
            detail=str(problem),
        ) from problem


def _replace(connection: sqlite3.Connection, table: str) -> None:
    """S608: the names are those of our own tables."""
    names = ", ".join(f'"{column.name}"' for column in metadata.tables[table].columns)
    connection.execute(f"DELETE FROM main.{table}")  # noqa: S608
    connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM other.{table}")  # noqa: S608


def _set_aside(database: Path, kept: Path) -> None:
    """Moves the present database away, with all that its WAL holds."""
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as connection:
            # Leaving WAL mode takes the database for itself: refused while any process has it open.
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        raise BackupRefused(
            "The database cannot be used as it is, and a server has it open. Stop the server, then restore."
        ) from None
    except sqlite3.DatabaseError:
        pass  # damaged: that is why it is replaced; it is kept as it is
    for suffix in ("-wal", "-shm"):
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    database.rename(kept)


def _put_in_place(new: Path, database: Path) -> None:
    new.replace(database)
    handle = os.open(database.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
