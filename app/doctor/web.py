"""Asks over HTTP: as anybody on the internet would, or a door of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from app.doctor.streams import Streamed
from app.tunnel.answers import Answer, Unreached

TIMEOUT = 10.0  # what claude.ai waits for
MAX_BODY = 64 * 1024
AGENT = "brain-doctor"


class Web:
    """Every answer as it is: no redirect is followed, and nothing is raised."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        patience: float = TIMEOUT,
    ) -> Answer | Unreached:
        sent = {"User-Agent": AGENT, **(headers or {})}
        began = time.perf_counter()
        try:
            async with self._client.stream(
                method, url, headers=sent, content=content, timeout=patience
            ) as response:
                seconds = time.perf_counter() - began
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) >= MAX_BODY:
                        break
                return _answer(response, bytes(body[:MAX_BODY]), seconds)
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            return unreached(problem)

    async def listen(self, url: str, headers: Mapping[str, str], seconds: float) -> Streamed | Unreached:
        """Reads the stream at `url` for so long, or until it ends."""
        sent = {"User-Agent": AGENT, "Accept": "text/event-stream", **headers}
        began = last = time.perf_counter()
        first: float | None = None
        gap, status, is_stream, broke_off = 0.0, 0, False, True
        try:
            async with (
                asyncio.timeout(seconds + TIMEOUT),
                self._client.stream(
                    "GET", url, headers=sent, timeout=httpx2.Timeout(TIMEOUT, read=seconds + TIMEOUT)
                ) as response,
            ):
                status = response.status_code
                is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
                if not is_stream:
                    return Streamed(status, False, None, 0.0, 0.0, False)
                async for _ in response.aiter_bytes():
                    moment = time.perf_counter()
                    first = moment - began if first is None else first
                    gap, last = max(gap, moment - last), moment
                    if moment - began >= seconds:
                        broke_off = False
                        break
        except (httpx2.HTTPError, TimeoutError) as problem:
            if not status:
                return unreached(problem)
        gap = max(gap, time.perf_counter() - last)
        return Streamed(status, is_stream, first, gap, time.perf_counter() - began, broke_off)


@contextlib.asynccontextmanager
async def from_outside() -> AsyncIterator[Web]:
    """As a client anywhere: by way of HTTPS_PROXY, believing SSL_CERT_FILE."""
    async with httpx2.AsyncClient(follow_redirects=False) as client:
        yield Web(client)


@contextlib.asynccontextmanager
async def on_this_machine(socket: Path | None = None) -> AsyncIterator[Web]:
    """No proxy on the way. `socket`: that unix socket, whatever host a URL names."""
    transport = httpx2.AsyncHTTPTransport(uds=str(socket) if socket else None)
    async with httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False) as client:
        yield Web(client)


def _answer(response: httpx2.Response, body: bytes, seconds: float) -> Answer:
    headers = {name.lower(): response.headers[name] for name in response.headers}
    return Answer(response.status_code, headers, body, seconds, _certificate(response))


def _certificate(response: httpx2.Response) -> Mapping[str, Any] | None:
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    return tls.getpeercert() if tls is not None else None


def unreached(problem: Exception) -> Unreached:
    """The library's error by what failed."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unreached("certificate", cause.verify_message)
        if type(cause).__name__ == "gaierror":
            return Unreached("name", str(cause.args[-1]))
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, httpx2.ProxyError):
        return Unreached("proxy", str(problem))
    if isinstance(problem, httpx2.TimeoutException | TimeoutError):
        return Unreached("time", type(problem).__name__)
    if isinstance(problem, httpx2.ConnectError):
        return Unreached("connection", str(problem))
    return Unreached("answer", str(problem) or type(problem).__name__)
