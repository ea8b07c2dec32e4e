"""Work in a context of its own: nothing of the request that it is done for can be read there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Apart:
    """`len()`: how much of it is under way. `strange`: work of somebody else's code, which may not end when
    it is cancelled: it has a task of its own. Ours goes without, which saves two turns of the loop."""

    def __init__(self, *, strange: bool) -> None:
        self._strange = strange
        self._under_way = 0

    def __len__(self) -> int:
        return self._under_way

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Cancelled with this; strange work once, and not waited for."""
        self._under_way += 1
        if self._strange:
            return await self._by_itself(work)
        try:
            return await _within(Context(), work)
        finally:
            self._under_way -= 1

    async def _by_itself(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way -= 1
        if not task.cancelled():
            task.exception()  # heard by whoever asked, unless they hung up


@coroutine
def _within(context: Context, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """`await work`, each step of it in `context`."""
    try:
        waits_for = context.run(work.send, None)
        while True:
            try:
                sent = yield waits_for
            except BaseException as thrown:
                waits_for = context.run(work.throw, thrown)
            else:
                waits_for = context.run(work.send, sent)
    except StopIteration as end:
        result: T = end.value
        return result
