"""JSON-RPC over HTTP as the newest protocol has it: one POST a request, with its answer or a stream up to it.

A Dispatcher of the SDK on the bounded transport itself; the older protocols take the SDK's own transport.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import anyio
import httpx2
import mcp_types as mt
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext

from app.upstreams.errors import UNUSABLE

LINE_END = b"\n"


class Posts(Dispatcher[TransportContext]):
    """`headers`: of every request. Cancelling a request closes its connection: that is how it is told."""

    def __init__(
        self, url: str, transport: httpx2.AsyncBaseTransport, headers: Mapping[str, str], timeouts: Any
    ) -> None:
        self._url, self._transport = httpx2.URL(url), transport
        self._headers = {
            "Host": self._url.netloc.decode(),
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            **headers,
        }
        self._extensions = {"timeout": timeouts}
        self._numbers = count(1)
        self._told: OnNotifyIntercept = lambda method, params: True
        self._closed = False

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        options, number = opts or {}, next(self._numbers)
        if self._closed:
            raise MCPError(code=mt.CONNECTION_CLOSED, message="the connection is closed")
        report = options.get("on_progress")
        if report is not None:
            params = {**(params or {}), "_meta": {**(params or {}).get("_meta", {}), "progressToken": number}}
        body = _encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}).encode()
        headers = {**self._headers, **options.get("headers", {}), "Content-Length": str(len(body))}
        request = httpx2.Request(
            "POST", self._url, headers=headers, content=body, extensions=self._extensions
        )
        try:
            async with asyncio.timeout(options.get("timeout")):
                return await self._answer(request, number, report)
        except TimeoutError:
            raise MCPError(code=mt.REQUEST_TIMEOUT, message=f"{method} timed out") from None
        except httpx2.StreamError as cut:
            raise MCPError(code=UNUSABLE, message=str(cut)) from None

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """The newest protocol has no notifications of clients."""

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """There is no connection to watch: each request finds out for itself."""
        self._told = on_notify_intercept or self._told
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self._closed = True

    async def _answer(
        self, request: httpx2.Request, number: int, report: ProgressFnT | None
    ) -> dict[str, Any]:
        response = await self._transport.handle_async_request(request)
        try:
            kind = response.headers.get("content-type", "").lower()
            if kind.startswith("text/event-stream"):
                return await self._last_of(response, number, report)
            content = await response.aread()
        finally:
            await response.aclose()
        if response.status_code == 202 or not kind.startswith("application/json"):
            raise MCPError(code=_code_of(response.status_code), message=f"HTTP {response.status_code}")
        try:
            message = json.loads(content)
        except (ValueError, RecursionError):
            raise MCPError(code=mt.PARSE_ERROR, message="not JSON") from None
        return _result(message)

    async def _last_of(
        self, response: httpx2.Response, number: int, report: ProgressFnT | None
    ) -> dict[str, Any]:
        """What a stream ends with; what it says before is progress, or counted."""
        async for message in _events(response):
            if "method" not in message:
                return _result(message)
            said = message.get("params")
            params: dict[str, Any] = said if isinstance(said, dict) else {}
            self._told(str(message["method"]), params)
            if report is None or message["method"] != "notifications/progress":
                continue
            done, total, words = params.get("progress"), params.get("total"), params.get("message")
            if params.get("progressToken") == number and isinstance(done, int | float):
                await report(
                    done,
                    total if isinstance(total, int | float) else None,
                    words if isinstance(words, str) else None,
                )
        raise MCPError(code=UNUSABLE, message="its stream ended without an answer")


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream (HTML §9.2); anything else is an error."""
    data: list[bytes] = []
    rest = b""
    async for chunk in response.aiter_raw():
        *lines, rest = (rest + chunk).split(LINE_END)
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                try:
                    message = json.loads(b"\n".join(data))
                except (ValueError, RecursionError):
                    message = None
                if not isinstance(message, dict):
                    raise MCPError(code=mt.PARSE_ERROR, message="not JSON")
                data = []
                yield message


def _result(message: Any) -> dict[str, Any]:
    if isinstance(message, dict):
        result, error = message.get("result"), message.get("error")
        if isinstance(result, dict):
            return result
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            text = str(error.get("message", ""))
            raise MCPError(code=error["code"], message=text, data=error.get("data"))
    raise MCPError(code=mt.PARSE_ERROR, message="neither result nor error")


def _code_of(status: int) -> int:
    """A refusal without JSON-RPC in it. 4xx: a server of an older protocol, as it seems."""
    return mt.METHOD_NOT_FOUND if 400 <= status < 500 else mt.PARSE_ERROR


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str).encode
