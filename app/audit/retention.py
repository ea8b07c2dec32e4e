"""How long audit records stay: by age and by size, never without a checkpoint in the chain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from app.audit.chain import milliseconds
from app.errors import AppError

log = logging.getLogger("brain")

LOOK_EVERY = 3600.0
DAY = 86_400.0


class Prunable(Protocol):
    async def prune(self, at: int, *, older_than: int, keep_bytes: int) -> int: ...


@contextlib.asynccontextmanager
async def retention(
    records: Prunable, now: Callable[[], float], *, keep_days: int, keep_mb: int
) -> AsyncIterator[None]:
    """Prunes at the start and every hour while it is entered. 0 days: no limit of age."""

    async def prune() -> None:
        at = now()
        older_than = milliseconds(at - keep_days * DAY) if keep_days else 0
        try:
            gone = await records.prune(milliseconds(at), older_than=older_than, keep_bytes=keep_mb * 2**20)
        except AppError as problem:
            log.error("old audit records could not be removed: %s", problem.public)
            return
        if gone:
            log.warning("%d old audit records removed; a checkpoint in the chain tells of it", gone)

    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await prune()

    await prune()
    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
