"""Work in a context of its own: nothing of the request that it is done for can be read there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class Apart:
    """`len()`: how much of it is under way."""

    def __init__(self) -> None:
        self._work: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._work)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Cancelled with this, once: it may have to say so to others."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._work.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # heard by whoever asked, unless they hung up
