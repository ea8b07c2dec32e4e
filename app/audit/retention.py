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
    """Removes old records step by step, and says how many each time; none: that is all."""

    async def prune(self, at: int, *, older_than: int, keep_bytes: int) -> int: ...


@contextlib.asynccontextmanager
async def retention(
    records: Prunable, now: Callable[[], float], *, keep_days: int, keep_mb: int
) -> AsyncIterator[None]:
    """Prunes at the start and every hour while it is entered, beside everything else. 0 days: no limit of
    age."""
    leaving = asyncio.Event()

    async def prune() -> int:
        """How many are gone; they go step by step, and others write in between."""
        total, at = 0, now()
        older_than = milliseconds(at - keep_days * DAY) if keep_days else 0
        while not leaving.is_set():
            gone = await records.prune(milliseconds(at), older_than=older_than, keep_bytes=keep_mb * 2**20)
            total += gone
            if gone <= 1:  # each step adds a checkpoint, which is no reason for the next one
                break
        return total

    async def watch() -> None:
        while not leaving.is_set():
            try:
                gone = await prune()
            except AppError as problem:
                log.error("old audit records could not be removed: %s %s", problem.public, problem.detail)
            else:
                if gone:
                    log.warning("%d old audit records removed; a checkpoint in the chain tells of it", gone)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), LOOK_EVERY)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        leaving.set()
        await watching
