"""Cloudflare's edge, as far as an origin can tell: one public hostname in front of one origin.

What it adds and removes, when it buffers, and when it gives up are those of the edge and of cloudflared.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import AsyncIterator

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.simulator.access import PREFIX, access_app, set_token_cookie
from app.simulator.admission import Admitted, admit
from app.simulator.application import Application
from app.simulator.headers import buffered, request_headers, response_headers
from app.simulator.managed_oauth import metadata
from app.simulator.team import Team

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 30.0
POOL = httpx2.Limits(max_connections=None, max_keepalive_connections=50)


class ClientGone(Exception):
    """The client left in the middle of its request body."""


class Edge:
    """An ASGI application. `close()` ends every request in flight, for a shutdown that waits for nobody."""

    def __init__(self, team: Team, application: Application) -> None:
        self.team = team
        self.application = application
        self.access: ASGIApp = access_app(team, application)
        self.connector = str(uuid.uuid4())
        self.in_flight = 0
        self._closing = asyncio.Event()
        self._transports: dict[str | None, httpx2.AsyncHTTPTransport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = self._own_answer(request)
        if answer is not None:
            await answer(scope, receive, send)
            return
        admitted = self._admit(request)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self._until_anyone_leaves(request, admitted, receive, send)
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        self._closing.set()
        for transport in self._transports.values():
            await transport.aclose()

    def _own_answer(self, request: Request) -> ASGIApp | None:
        """What never reaches an origin: wrong hostnames, Cloudflare's paths, Managed OAuth's documents."""
        application, path = self.application, request.url.path
        if not application.answers_to(request.headers.get("host", "")):
            return PlainTextResponse("error code: 1001", 403)
        if path.startswith(PREFIX):
            return self.access
        if path.startswith("/cdn-cgi/"):
            return PlainTextResponse("", 404)
        document = metadata(path, application.url, self.team.issuer) if application.managed_oauth else None
        return JSONResponse(document) if document else None

    def _admit(self, request: Request) -> Admitted | Response | None:
        if self.application.bypasses(request.url.path):
            return None
        return admit(request, self.team, self.application)

    async def _until_anyone_leaves(
        self, request: Request, admitted: Admitted | None, receive: Receive, send: Send
    ) -> None:
        """Run the exchange until it ends, the client leaves, or the edge closes; leave nothing running."""
        body = Body(receive)
        tasks = [
            asyncio.create_task(self._exchange(request, admitted, body, send)),
            asyncio.create_task(body.client_left()),
            asyncio.create_task(self._closing.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        exchange = tasks[0]
        if exchange.done() and not exchange.cancelled() and (error := exchange.exception()) is not None:
            raise error

    async def _exchange(self, request: Request, admitted: Admitted | None, body: Body, send: Send) -> None:
        ray = f"{secrets.token_hex(8)}-SIM"
        reply = Reply(send, ray, admitted.cookie if admitted else None)
        try:
            response = await self._transport().handle_async_request(
                self._request(request, admitted, body, ray)
            )
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

    def _request(self, request: Request, admitted: Admitted | None, body: Body, ray: str) -> httpx2.Request:
        scope, application = request.scope, self.application
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        is_unix = application.origin.startswith("unix:")
        return httpx2.Request(
            request.method,
            "http://unix" if is_unix else f"http://{application.origin}",
            headers=request_headers(
                scope["headers"],
                application,
                admitted,
                ray=ray,
                client=scope["client"][0] if scope["client"] else "127.0.0.1",
                country=self.team.country,
                connector=self.connector,
            ),
            stream=body if body.expected(scope["headers"]) else None,
            # `target`: the path exactly as the client wrote it; a URL object would tidy it.
            extensions={
                "target": target,
                "timeout": {
                    "connect": CONNECT_SECONDS,
                    "read": application.idle_seconds,
                    "write": WRITE_SECONDS,
                    "pool": None,
                },
            },
        )

    def _transport(self) -> httpx2.AsyncHTTPTransport:
        origin = self.application.origin
        uds = origin.removeprefix("unix:") if origin.startswith("unix:") else None
        if uds not in self._transports:
            self._transports[uds] = httpx2.AsyncHTTPTransport(uds=uds, trust_env=False, limits=POOL)
        return self._transports[uds]


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
