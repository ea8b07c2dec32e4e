"""Brings a database file to the schema of this version.

A new file gets the newest tables at once; an older one is migrated by Alembic, which is imported only then
(11 MB and 0.1 s). Two processes that start together take turns.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from app.store.engine import StoreUnusable, prepare_file, sync_engine, writing
from app.store.fulltext import CREATE_INDEX
from app.store.tables import KNOWN_SCHEMAS, SCHEMA, metadata

MIGRATIONS = Path(__file__).parent / "migrations"


def ensure_schema(path: Path) -> None:
    """Raises StoreUnusable if the database is newer than this version or not a Brain's."""
    prepare_file(path)
    with _alone(path.parent):
        if found_schema(path) == SCHEMA:
            return
        engine = sync_engine(path)
        try:
            with writing(engine) as connection:
                found = _version(connection)  # again, now that no other process writes
                if found is None:
                    create_schema(connection)
                elif found != SCHEMA:
                    _migrate(connection)
        finally:
            engine.dispose()


def found_schema(path: Path) -> str | None:
    """The schema of the file, None if it is empty. Raises StoreUnusable as `ensure_schema` does.

    Plain sqlite3, because this is all that most starts need.
    """
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    try:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "alembic_version" not in tables:
            _refuse_foreign(tables)
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return _known(row[0] if row else "")
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(
            f"{path} is not a usable SQLite database. Check DATABASE_URL or restore a backup.",
            detail=str(error),
        ) from None
    finally:
        connection.close()


def only_ours(path: Path) -> None:
    """Raises StoreUnusable for a file with a trigger, a view or a virtual table that this project does not
    make: it would run when the file is used. Looked at before anything else is done with such a file."""
    with closing(sqlite3.connect(":memory:")) as ours:
        engine = create_engine("sqlite://", creator=lambda: ours, poolclass=StaticPool)
        with engine.begin() as connection:
            create_schema(connection)
        known = dict(ours.execute(_OBJECTS).fetchall())
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as theirs:
        for name, what in theirs.execute(_OBJECTS):
            if known.get(name) != what:
                raise StoreUnusable(
                    f"The file has something of its own in it, {str(name)[:60]!r}, that no `brain backup` "
                    "writes. Use another file."
                )


# By name: what kind it is; and what it does, unless it is a plain table or an index, whose rows alone count.
_OBJECTS = """SELECT name, CASE
                WHEN type IN ('view', 'trigger') OR sql LIKE 'CREATE VIRTUAL%' THEN type || ' ' || sql
                ELSE type END
              FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"""


def create_schema(connection: Connection) -> None:
    metadata.create_all(connection)
    for statement in CREATE_INDEX:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA,))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time. SQLite's own locks do not cover the step of a new file into WAL mode."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _version(connection: Connection) -> str | None:
    tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if "alembic_version" not in tables:
        _refuse_foreign(tables)
        return None
    return _known(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def _refuse_foreign(tables: set[str]) -> None:
    if tables - {"sqlite_sequence"}:
        raise StoreUnusable("This is the database of another program. Set DATABASE_URL to a file of its own.")


def _known(version: str) -> str:
    if version not in KNOWN_SCHEMAS:
        raise StoreUnusable(
            f"The database has schema {version[:40]!r}; this version knows them up to {SCHEMA!r}. "
            "A newer version has written it: update Brain MCP, or restore an older backup."
        )
    return version


def _migrate(connection: Connection) -> None:
    from alembic import command  # not at the top: see the module's docstring
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
