"""The database of the Brain: one SQLite file in WAL mode, opened by any number of processes.

Every transaction that writes begins as a writer (BEGIN IMMEDIATE), so it waits its turn once, at its start,
and is never refused half-way. What `write` has returned from is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import AppError

BUSY_MS = 10_000
CACHE_KIB = 16 * 1024
MMAP_BYTES = 256 * 1024 * 1024
READERS = 4

BeforeCommit = Callable[[AsyncConnection], Awaitable[None]]


class StoreUnusable(AppError):
    """The database cannot be used as it is; the sentence says what to do."""

    code = "store_unusable"
    status = 503


class Database:
    """Connections to one database file. `before_commit` joins every write transaction at its end:
    what it writes and what the caller wrote are kept together or not at all."""

    def __init__(self, path: Path, *, before_commit: BeforeCommit | None = None) -> None:
        self.path = path
        self.before_commit = before_commit
        self._engine = _async_engine(path)
        self._turn = asyncio.Lock()  # writers of this process queue here instead of polling in SQLite
        self._thread = ThreadPoolExecutor(1, "at-once")
        self._connection: sqlite3.Connection | None = None  # of that thread

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        with _plain_errors():
            async with self._turn, self._engine.connect() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                if self.before_commit:
                    await self.before_commit(connection)
                await connection.commit()

    async def write_at_once(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """A transaction of `work` alone, which `before_commit` does not join: in one hop to another thread,
        where `write` needs one for each statement."""
        with _plain_errors():
            async with self._turn:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._at_once, work)

    def _at_once(self, work: Callable[[sqlite3.Connection], None]) -> None:
        connection = self._connection = self._connection or _connect(self.path)
        connection.execute("BEGIN IMMEDIATE")
        try:
            work(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Each statement sees what is committed when it starts."""
        with _plain_errors():
            async with self._engine.connect() as connection:
                yield connection

    async def rows(self, sql: str, values: dict[str, Any]) -> list[Any]:
        """All rows of one SQLite query, in one hop to the connection's thread instead of four."""
        async with self.read() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            rows: list[Any] = await driver.execute_fetchall(sql, values)
            return rows

    async def close(self) -> None:
        await self._engine.dispose()
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def sqlite_path(url: str | Path) -> Path:
    """The file of a `sqlite:///…` URL or of a path. Raises StoreUnusable for any other database."""
    if isinstance(url, Path):
        return url
    if "://" not in url:
        return Path(url)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnusable("DATABASE_URL is not a URL. Write sqlite:///absolute/path/brain.db.") from None
    if parsed.get_backend_name() != "sqlite":
        raise StoreUnusable("This version keeps notes in SQLite only. Set DATABASE_URL to sqlite:///….")
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise StoreUnusable("DATABASE_URL names no file. Write sqlite:///absolute/path/brain.db.")
    return Path(parsed.database)


def prepare_file(path: Path) -> None:
    """Makes the file and its folder for the owner alone. SQLite gives -wal and -shm the mode of the file."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            # Only a new file: to close one that SQLite has open would drop SQLite's locks on it (fcntl).
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{path} cannot be opened ({error.strerror}). Correct DATABASE_URL or the permissions."
        ) from None


def sync_engine(path: Path) -> Engine:
    """For commands that are done before anything else runs. Begin writes with `writing`."""
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": BUSY_MS / 1000},
    )
    event.listen(engine, "connect", _set_pragmas)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    with _plain_errors(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()


def _async_engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        connect_args={"isolation_level": None, "timeout": BUSY_MS / 1000, "factory": Undoing},
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=30,
        pool_use_lifo=True,  # the connection with the warmest cache
        pool_reset_on_return=None,  # `write` rolls back itself; a read has nothing to, and saves a hop
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


class Undoing(sqlite3.Connection):
    """Its close undoes what was begun. SQLite's own leaves that, and with it the database's lock, to whoever
    lets go of the last cursor; a statement that was torn off (its caller was cancelled) may hold one."""

    def close(self) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed already
            if self.in_transaction:
                self.rollback()
        super().close()


def _connect(path: Path) -> sqlite3.Connection:
    """Of one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    _set_pragmas(connection, None)
    return connection


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged note survives a power cut
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
        f"cache_size=-{CACHE_KIB}",
        f"mmap_size={MMAP_BYTES}",
        "temp_store=MEMORY",
        "wal_autocheckpoint=4000",  # 16 MB: a commit seldom has to wait for one
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def unusable() -> Iterator[None]:
    """For those who go on without the database: whatever error of it is a StoreUnusable."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        sentence = "The database failed; nothing was changed."
        raise StoreUnusable(sentence, detail=str(cause), retry_after=5) from error


@contextmanager
def _plain_errors() -> Iterator[None]:
    """The driver's errors that a person can do something about, in plain words."""
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnusable("The Brain is busy. Try again in a few seconds.", retry_after=5) from error
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        name = getattr(cause, "sqlite_errorname", "") or ""
        for code, sentence in _SENTENCES.items():
            if name.startswith(code):
                raise StoreUnusable(sentence, detail=f"{name}: {cause}", retry_after=5) from error
        raise


_SENTENCES = {
    "SQLITE_BUSY": "Another program holds the database. Try again in a few seconds.",
    "SQLITE_LOCKED": "Another program holds the database. Try again in a few seconds.",
    "SQLITE_IOERR": "The disk does not do what it should; nothing was changed. See the system's log.",
    "SQLITE_FULL": "The disk is full; nothing was changed. Make room and try again.",
    "SQLITE_READONLY": "The database is read-only; nothing was changed. Correct its permissions.",
    "SQLITE_NOTADB": "The file is not a SQLite database. Check DATABASE_URL or restore a backup.",
    "SQLITE_CORRUPT": "The database is damaged. Restore a backup with `brain restore FILE`.",
    "SQLITE_CANTOPEN": "The database file cannot be opened. Check DATABASE_URL and its permissions.",
}
