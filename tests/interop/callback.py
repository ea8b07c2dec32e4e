"""The loopback address at which a program waits for the answer of a login."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.simulator.server import LoopbackServer, address, listen


class Callback:
    def __init__(self, url: str) -> None:
        self.url = url
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls) -> AsyncIterator[Callback]:
        bound = listen("127.0.0.1", 0)
        callback = cls(f"http://{address(bound)}/callback")
        server = await LoopbackServer.start(callback, bound)
        try:
            yield callback
        finally:
            await server.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._answers.put_nowait(dict(request.query_params))
        await PlainTextResponse("You can close this window.")(scope, receive, send)

    async def next(self) -> dict[str, str]:
        async with asyncio.timeout(20):
            return await self._answers.get()
