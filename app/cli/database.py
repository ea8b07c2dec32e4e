"""The server's database, for commands that work beside the server, and the record of a command."""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.audit.chain import milliseconds
from app.audit.events import command_event
from app.audit.takeover import take_over
from app.settings import Settings
from app.store.audit import SqlAudit, sealing_key
from app.store.open import Store, open_store

T = TypeVar("T")


def with_store(settings: Settings, work: Callable[[Store, SqlAudit], Awaitable[T]]) -> T:
    """What `work` returns, on the database of the settings. Raises AppError when it cannot be used."""

    async def run() -> T:
        store = await open_store(settings.database_url, now=clock, new_id=_no_ids)
        try:
            audit = SqlAudit(store.database, sealing_key(settings.data_dir / "audit.key"))
            await take_over(settings.data_dir, audit)
            return await work(store, audit)
        finally:
            await store.close()

    return asyncio.run(run())


def put_on_record(settings: Settings, command: str, name: str, code: int) -> None:
    """A command of the operator is in the audit log like everything else. Raises AppError."""
    event = command_event(operator(), command, name, code)

    async def append(_: Store, audit: SqlAudit) -> None:
        await audit.append([(milliseconds(clock()), event)])

    with_store(settings, append)


def operator() -> str:
    """Who gives the command, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def clock() -> float:
    return time.time()  # noqa: TID251 - commands are roots


def _no_ids() -> str:
    raise RuntimeError("commands make no notes")
