"""HTTP through one connection of a cloudflared, as an httpx2 transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx2

from app.simulator.tunnel.connection import Connection
from app.simulator.tunnel.headers import request_head, response_head
from app.simulator.tunnel.stream import Headers, Stream, StreamFailed


class TunnelTransport(httpx2.AsyncBaseTransport):
    """Raises what an httpx2 transport raises. Who stops reading, or is cancelled, resets the stream."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers: Headers = [(name.lower(), value) for name, value in request.headers.raw]
        target = request.extensions.get("target", request.url.raw_path)
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        silence = request.extensions.get("timeout", {}).get("read")
        try:
            stream = self._connection.request(
                request_head(request.method, target, headers), has_body=has_body
            )
        except StreamFailed as problem:
            raise httpx2.ConnectError(str(problem)) from None
        exchange = Exchange(self._connection, stream, silence)
        if has_body:
            exchange.send(cast(httpx2.AsyncByteStream, request.stream))
        try:
            status, answer = response_head(await exchange.head())
        except StreamFailed as problem:
            await exchange.aclose()
            raise httpx2.ReadError(str(problem)) from None
        except BaseException:
            await exchange.aclose()
            raise
        return httpx2.Response(status, headers=answer, stream=exchange)


class Exchange(httpx2.AsyncByteStream):
    """A request on its way out beside the body of its answer on its way in."""

    def __init__(self, connection: Connection, stream: Stream, silence: float | None) -> None:
        self._connection = connection
        self._stream = stream
        self._silence = silence
        self._sending: asyncio.Task[None] | None = None

    def send(self, body: httpx2.AsyncByteStream) -> None:
        self._sending = asyncio.create_task(self._send(body))

    async def head(self) -> Headers:
        """The answer's head. The patience for it begins when the request is out."""
        arriving = asyncio.create_task(self._stream.head())
        try:
            if self._sending is not None:
                await asyncio.wait({arriving, self._sending}, return_when=asyncio.FIRST_COMPLETED)
                if self._sending.done():
                    self._sending.result()  # raises what kept the client from sending it all
            return await asyncio.wait_for(asyncio.shield(arriving), self._silence)
        except TimeoutError:
            raise httpx2.ReadTimeout("nothing from the origin") from None
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await asyncio.wait_for(self._stream.chunk(), self._silence):
                yield data
        except TimeoutError:
            raise httpx2.ReadTimeout("nothing from the origin") from None
        except StreamFailed as problem:
            raise httpx2.ReadError(str(problem)) from None

    async def aclose(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        self._connection.cancel(self._stream)

    async def _send(self, body: httpx2.AsyncByteStream) -> None:
        async for data in body:
            await self._connection.send(self._stream, data)
        await self._connection.send(self._stream, b"", end=True)
