"""An upstream over HTTP: our posts, or the SDK's transports on a client that keeps to the entry's bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import mcp_types as mt
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from app import __version__
from app.upstreams.answer import STREAM_TIMES
from app.upstreams.credentials import Credentials
from app.upstreams.entries import Transport, Url
from app.upstreams.errors import (
    BROKE_OFF,
    NOT_REACHED,
    STARTED_ANEW,
    TOO_LARGE,
    UNREACHABLE,
    WHOLE,
    WHY,
    NoAnswer,
    in_words,
    marked,
    refused,
)
from app.upstreams.http1 import CONNECT_SECONDS, KEPT_MOST, KEPT_SECONDS, Pool
from app.upstreams.not_mcp import not_mcp
from app.upstreams.posts import HEADERS, Posts
from app.upstreams.redaction import Redactor

ANEW = "it was started anew"
LEAVE_SECONDS = 1.0  # for the DELETE that ends a session
IDLE_SECONDS = 300.0  # without a word on a stream


class Cut(httpx2.StreamError, httpx2.SSEError):
    """A body that broke off, or that we stopped reading. The SDK tells the one of a body, the other of a
    stream, in its words."""


@contextlib.contextmanager
def posts(target: Url, given: Credentials, *, seconds: float, most: int) -> Iterator[Posts]:
    """For the newest protocol."""
    sent = {**HEADERS, **_headers(given)}
    with contextlib.closing(Pool(target.url, sent, most, credential=bool(given.headers))) as pool:
        yield Posts(pool, max(seconds, IDLE_SECONDS))


@contextlib.asynccontextmanager
async def web(
    target: Url, given: Credentials, *, seconds: float, most: int
) -> AsyncIterator[tuple[Any, Any]]:
    """The two streams that the SDK reads and writes, for the older protocols. `seconds` for a call,
    `most` bytes of an answer."""

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=Bounded(httpx2.AsyncHTTPTransport(limits=LIMITS), most, target.transport, given),
            headers=_headers(given),
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=max(seconds, IDLE_SECONDS)),
            follow_redirects=False,
            trust_env=False,  # no proxy, and no .netrc of ours
        )

    async with contextlib.AsyncExitStack() as stack:
        if target.transport == "sse":
            streams = await stack.enter_async_context(
                sse_client(target.url, sse_read_timeout=IDLE_SECONDS, httpx_client_factory=client)
            )
        else:
            http = await stack.enter_async_context(client())
            streams = await stack.enter_async_context(
                streamable_http_client(target.url, http_client=http, max_sse_event_size=most)
            )
        yield streams


LIMITS = httpx2.Limits(
    max_connections=None, max_keepalive_connections=KEPT_MOST, keepalive_expiry=KEPT_SECONDS
)


class Bounded(httpx2.AsyncBaseTransport):
    """One request that fails is one answer that says so: the SDK would let it end the whole connection."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, most: int, transport: Transport, given: Credentials
    ) -> None:
        self._inner, self._most, self._transport = inner, most, transport
        self._credential, self._redactor = bool(given.headers), Redactor(given.secrets)
        self._first = "GET" if transport == "sse" else "POST"
        self._met = False  # its first answer was that of an MCP server, as far as one can see

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            return await self._left(request)
        try:
            response = await self._inner.handle_async_request(request)
            return await self._looked_at(request, response)
        except Cut as cut:
            return _instead(NoAnswer(code=UNREACHABLE, message=str(cut)))
        except httpx2.TransportError as problem:
            return _instead(NoAnswer(code=UNREACHABLE, message=_in_words(problem)))

    async def _left(self, request: httpx2.Request) -> httpx2.Response:
        """The end of a session: nobody waits long for what is said to it, nor wants to know."""
        with contextlib.suppress(TimeoutError, httpx2.TransportError):
            async with asyncio.timeout(LEAVE_SECONDS):
                response = await self._inner.handle_async_request(request)
                await response.aclose()
        return httpx2.Response(204)

    async def _looked_at(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        error: object = None
        problem = refused(response.status_code, credential=self._credential)
        if problem is None and request.method == "POST" and response.status_code >= 400:
            response, error = await self._with_error(response)
        if problem is None and request.method == "POST" and "mcp-session-id" in request.headers:
            problem = _without_session(response.status_code, error)
        elif problem is None and request.method == self._first and not self._met and error is None:
            problem = not_mcp(request.url, response, self._transport)
        if problem is not None:
            await response.aclose()
            advice = self._redactor.text(problem.error.data or "")
            return _instead(problem, advice)
        self._met |= request.method == self._first
        streaming = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        if request.method == "POST":
            most = self._most * STREAM_TIMES if streaming else self._most
            response.stream = Counted(response.stream, most)  # type: ignore[arg-type]
        elif request.method == "GET":
            response.stream = Counted(response.stream, None)  # type: ignore[arg-type]
        return response

    async def _with_error(self, response: httpx2.Response) -> tuple[httpx2.Response, object]:
        """A refusal, read, and the code of the JSON-RPC error in it, if it holds one. Raises Cut."""
        kind = response.headers.get("content-type", "")
        if not kind.startswith("application/json"):
            return response, None
        response.stream = Counted(response.stream, self._most)  # type: ignore[arg-type]
        body = await response.aread()
        return httpx2.Response(response.status_code, headers={"content-type": kind}, content=body), _code_in(
            body
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class Counted(httpx2.AsyncByteStream):
    """A body of `most` bytes at most; None: a stream without an end. Raises Cut, and nothing else."""

    def __init__(self, inner: httpx2.AsyncByteStream, most: int | None) -> None:
        self._inner, self._most = inner, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen, chunks = 0, aiter(self._inner)
        while True:
            try:
                chunk = await anext(chunks, None)
            except httpx2.TransportError as problem:
                raise Cut(_in_words(problem)) from None
            if chunk is None:
                return
            seen += len(chunk)
            if self._most is not None and seen > self._most:
                raise Cut(TOO_LARGE)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _headers(given: Credentials) -> dict[str, str]:
    return {"User-Agent": f"brain-mcp/{__version__}", **given.headers}


def _without_session(status: int, error: object) -> NoAnswer | None:
    """MCP 2025-11-25, transports, session management: 404 to a session asks for a new one. Servers made
    after the TypeScript SDK's examples say 400 and -32000 instead."""
    if status == 404 or (status == 400 and error == mt.CONNECTION_CLOSED):
        return NoAnswer(code=STARTED_ANEW, message=ANEW)
    return None


def _instead(problem: NoAnswer, advice: str = "") -> httpx2.Response:
    """The SDK takes a JSON-RPC error from the body of a refusal."""
    error = marked(problem, advice).model_dump(mode="json", exclude_none=True)
    told = NoAnswer(code=problem.error.code, message=problem.error.message, data=advice)
    words = {WHY: in_words(told), WHOLE: in_words(told, whole=True)}
    return httpx2.Response(
        502,
        headers={"content-type": "application/json", **words},
        content=json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode(),
    )


def _code_in(body: bytes) -> object:
    """Of a JSON-RPC error."""
    try:
        return json.loads(body)["error"]["code"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None


def _in_words(problem: httpx2.TransportError) -> str:
    if isinstance(problem, httpx2.ConnectTimeout | httpx2.ConnectError):
        return NOT_REACHED
    if isinstance(problem, httpx2.TimeoutException):
        return "it did not answer in time"
    return BROKE_OFF
