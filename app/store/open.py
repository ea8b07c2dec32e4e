"""Opens the store: the one function that the roots call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.store.engine import BeforeCommit, Database, sqlite_path
from app.store.notes import SqlNotes
from app.store.schema import ensure_schema


@dataclass(frozen=True, slots=True)
class Store:
    """Everything that is kept in the one database."""

    database: Database
    notes: SqlNotes

    async def close(self) -> None:
        await self.database.close()


async def open_store(
    url_or_path: str | Path,
    *,
    now: Callable[[], float],
    new_id: Callable[[], str],
    before_commit: BeforeCommit | None = None,
) -> Store:
    """Makes or migrates the database when needed. Raises StoreUnusable with what to do.

    `before_commit` joins every write transaction, for what has to be kept together with a change.
    """
    path = sqlite_path(url_or_path)
    await asyncio.to_thread(ensure_schema, path)
    database = Database(path, before_commit=before_commit)
    return Store(database, SqlNotes(database, now=now, new_id=new_id))
