"""The kill switch in the database, and the eye that a server keeps on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from app.errors import AppError
from app.policy.denies import NONE, Denies, denies
from app.store.engine import Database, unusable
from app.store.tables import denies as table

log = logging.getLogger("brain")

LOOK_EVERY = 0.4  # seconds; what is shut off is shut off within one second


@dataclass(frozen=True, slots=True)
class Entry:
    target: str
    at: float
    by: str


class SqlDenies:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, target: str, *, at: float, by: str) -> None:
        """Shutting off twice is the same as once; the first time stays."""
        async with self._database.write() as connection:
            row = insert(table).values(target=target, at=at, by=by)
            await connection.execute(row.on_conflict_do_nothing())

    async def delete(self, target: str) -> bool:
        """Whether it was shut off."""
        async with self._database.write() as connection:
            gone = await connection.execute(delete(table).where(table.c.target == target))
            return gone.rowcount > 0

    async def list(self) -> tuple[Entry, ...]:
        with unusable():
            async with self._database.read() as connection:
                rows = await connection.execute(select(table).order_by(table.c.at, table.c.target))
        return tuple(Entry(row.target, row.at, row.by) for row in rows)


class KillSwitch:
    """`current()` is what is shut off, at most LOOK_EVERY old. Needs `running()`."""

    def __init__(self, store: SqlDenies) -> None:
        self._store = store
        self._denies = NONE
        self._readable = True
        self._listeners: list[Callable[[Denies], None]] = []

    def on_change(self, listener: Callable[[Denies], None]) -> None:
        self._listeners.append(listener)

    def current(self) -> Denies:
        return self._denies

    async def look(self) -> None:
        """Reads it now. A database that does not answer leaves everything as it was."""
        try:
            entries = await self._store.list()
        except AppError as problem:
            if self._readable:
                log.error(
                    "THE KILL SWITCH CANNOT BE READ, it stays as it was: %s %s",
                    problem.public,
                    problem.detail,
                )
            self._readable = False
            return
        if not self._readable:
            log.error("the kill switch can be read again")
        self._readable = True
        seen = denies(entry.target for entry in entries)
        if seen != self._denies:
            self._denies = seen
            for listener in self._listeners:
                listener(seen)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What was shut off before the start is shut off from the first request on."""
        await self.look()
        looking = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()
