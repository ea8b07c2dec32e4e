"""One request on its way through the edge: what is added and removed, when it is held, when it is given up.

All of it as the edge and cloudflared do it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from app.simulator.access import set_token_cookie
from app.simulator.admission import Admitted
from app.simulator.application import Application
from app.simulator.headers import buffered, request_headers, response_headers

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 30.0


class ClientGone(Exception):
    """The client left in the middle of its request body."""


@dataclass(frozen=True)
class Way:
    """How an admitted request goes on. `connector` is the id of a simulated cloudflared; a real one adds
    its own."""

    application: Application
    admitted: Admitted | None
    transport: httpx2.AsyncBaseTransport
    url: str
    connector: str = ""


class Relay:
    """Carries requests to origins until it is closed."""

    def __init__(self, country: str) -> None:
        self.in_flight = 0
        self._country = country
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every request in flight."""
        self._closing.set()

    async def carry(self, request: Request, way: Way, receive: Receive, send: Send) -> None:
        """Run the exchange until it ends, the client leaves, or the edge closes; leave nothing running."""
        body = Body(receive)
        tasks = [
            asyncio.create_task(self._exchange(request, way, body, send)),
            asyncio.create_task(body.client_left()),
            asyncio.create_task(self._closing.wait()),
        ]
        self.in_flight += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.in_flight -= 1
        exchange = tasks[0]
        if exchange.done() and not exchange.cancelled() and (error := exchange.exception()) is not None:
            raise error

    async def _exchange(self, request: Request, way: Way, body: Body, send: Send) -> None:
        ray = f"{secrets.token_hex(8)}-SIM"
        reply = Reply(send, ray, way.admitted.cookie if way.admitted else None)
        try:
            response = await way.transport.handle_async_request(self._request(request, way, body, ray))
        except httpx2.ReadTimeout:
            await reply.error(524, "a timeout occurred")
        except ClientGone:
            return
        except httpx2.TransportError:
            await reply.error(502, "bad gateway")
        else:
            try:
                await reply.relay(response)
            finally:
                await response.aclose()

    def _request(self, request: Request, way: Way, body: Body, ray: str) -> httpx2.Request:
        scope = request.scope
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        return httpx2.Request(
            request.method,
            way.url,
            headers=request_headers(
                scope["headers"],
                way.application,
                way.admitted,
                ray=ray,
                client=scope["client"][0] if scope["client"] else "127.0.0.1",
                country=self._country,
                connector=way.connector,
            ),
            stream=body if body.expected(scope["headers"]) else None,
            # `target`: the path exactly as the client wrote it; a URL object would tidy it.
            extensions={
                "target": target,
                "timeout": {
                    "connect": CONNECT_SECONDS,
                    "read": way.application.idle_seconds,
                    "write": WRITE_SECONDS,
                    "pool": None,
                },
            },
        )


class Body(httpx2.AsyncByteStream):
    """The request body, streamed. The one reader of `receive`, so it also learns when the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._sent = asyncio.Event()
        self._gone = asyncio.Event()

    def expected(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the request has a body at all; if not, there is nothing to wait for."""
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        if not has_body:
            self._sent.set()
        return has_body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._next()
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._sent.set()

    async def client_left(self) -> None:
        """Returns when the client has closed its connection."""
        await self._sent.wait()
        while not self._gone.is_set():
            await self._next(or_raise=False)

    async def _next(self, *, or_raise: bool = True) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone.set()
            self._sent.set()
            if or_raise:
                raise ClientGone
        return message


class Reply:
    """The answer on its way to the client."""

    def __init__(self, send: Send, ray: str, cookie: str | None) -> None:
        self._send = send
        self._ray = ray
        self._cookie = cookie

    async def error(self, status: int, words: str) -> None:
        body = f"error code: {status} ({words})\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
        ]
        await self._start(status, headers)
        await self._chunk(body, more=False)

    async def relay(self, response: httpx2.Response) -> None:
        """Headers wait for the first byte of the body; a body of known length waits for its last."""
        headers = response_headers(response.headers.raw)
        chunks = response.aiter_raw()
        try:
            first = await _whole(chunks) if buffered(response.headers) else await anext(chunks, b"")
        except httpx2.ReadTimeout:
            return await self.error(524, "a timeout occurred")
        except httpx2.TransportError:
            return await self.error(502, "bad gateway")
        await self._start(response.status_code, headers)
        await self._chunk(first, more=True)
        try:
            async for chunk in chunks:
                await self._chunk(chunk, more=True)
        except httpx2.TransportError:
            return None  # Half an answer is out: without its end, the server cuts the connection.
        await self._chunk(b"", more=False)
        return None

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        added = Response()
        if self._cookie:
            set_token_cookie(added, self._cookie)
        cookies = [(name, value) for name, value in added.raw_headers if name == b"set-cookie"]
        edge = [(b"server", b"cloudflare"), (b"cf-ray", self._ray.encode())]
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *cookies, *edge]}
        )

    async def _chunk(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
