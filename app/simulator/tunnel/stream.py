"""One HTTP/2 stream as the edge sees it: a head that comes once, then chunks until the end or a failure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Headers = list[tuple[bytes, bytes]]


class StreamFailed(Exception):
    """The stream was reset, or its connection is gone."""


class Stream:
    """`consumed(size)` is told what a reader has taken, so that cloudflared may send as much again."""

    def __init__(self, number: int, consumed: Callable[[int], None]) -> None:
        self.number = number
        self.over = False
        self._consumed = consumed
        self._head: Headers | None = None
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._failure: str | None = None
        self._news = asyncio.Event()

    async def head(self) -> Headers:
        while self._head is None:
            self._raise_failure()
            await self._something_new()
        return self._head

    async def chunk(self) -> bytes:
        """The next bytes, or none at the end."""
        while not self._chunks:
            self._raise_failure()
            if self.over:
                return b""
            await self._something_new()
        data, size = self._chunks.popleft()
        self._consumed(size)
        return data

    def began(self, headers: Headers) -> None:
        self._head = headers
        self._news.set()

    def grew(self, data: bytes, size: int) -> None:
        """`size` is what flow control counts: the data and its padding."""
        self._chunks.append((data, size))
        self._news.set()

    def ended(self) -> None:
        self.over = True
        self._news.set()

    def failed(self, why: str) -> None:
        if not self.over:
            self._failure, self.over = why, True
        self._news.set()

    def dropped(self) -> None:
        """Nobody reads on."""
        self.over = True
        while self._chunks:
            self._consumed(self._chunks.popleft()[1])

    async def _something_new(self) -> None:
        await self._news.wait()
        self._news.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise StreamFailed(self._failure)
