"""JSON-RPC over HTTP as the newest protocol has it: one POST a request, with its answer or a stream up to it.

A Dispatcher of the SDK on connections of our own; the older protocols take the SDK's own transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import anyio
import mcp_types as mt
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext

from app.upstreams.answer import Answer
from app.upstreams.errors import UNUSABLE, NoAnswer
from app.upstreams.http1 import Pool
from app.upstreams.messages import encoded, is_number

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LINE_END = b"\n"


class Posts(Dispatcher[TransportContext]):
    """`seconds`: for a request that says nothing of its own. Cancelling a request closes its connection:
    that is how it is told."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool, self._seconds = pool, seconds
        self._numbers = count(1)
        self._told: OnNotifyIntercept = lambda method, params: True
        self._closed = False

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        options, number = opts or {}, next(self._numbers)
        if self._closed:
            raise NoAnswer(code=mt.CONNECTION_CLOSED, message="the connection is closed")
        report = options.get("on_progress")
        if report is not None:
            params = {**(params or {}), "_meta": {**(params or {}).get("_meta", {}), "progressToken": number}}
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
        body = encoded(message)
        try:
            async with asyncio.timeout(options.get("timeout") or self._seconds):
                answer = await self._posted(body, options.get("headers", {}))
                if answer.streams:
                    with contextlib.closing(answer):
                        return await self._last_of(answer, number, report)
        except TimeoutError:
            raise NoAnswer(code=mt.REQUEST_TIMEOUT, message=f"{method} timed out") from None
        return _only_of(answer, number)

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

    async def _posted(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            return await self._pool.post(body, headers)
        except ValueError as problem:
            raise MCPError(code=mt.INVALID_PARAMS, message=str(problem)) from None

    async def _last_of(self, answer: Answer, number: int, report: ProgressFnT | None) -> dict[str, Any]:
        """What a stream ends with; what it says before is progress, or counted."""
        async for message in _events(answer):
            if "method" not in message:
                return _result(message, number)
            said = message.get("params")
            params: dict[str, Any] = said if isinstance(said, dict) else {}
            self._told(str(message["method"]), params)
            if report is None or message["method"] != "notifications/progress":
                continue
            done, total, words = params.get("progress"), params.get("total"), params.get("message")
            if params.get("progressToken") == number and is_number(done):
                await report(
                    done, total if is_number(total) else None, words if isinstance(words, str) else None
                )
        raise NoAnswer(code=UNUSABLE, message="its stream ended without an answer")


def _only_of(answer: Answer, number: int) -> dict[str, Any]:
    if answer.status == 202 or not answer.kind.startswith("application/json"):
        raise _without_json_rpc(answer.status)
    try:
        message = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise NoAnswer(code=mt.PARSE_ERROR, message="not JSON") from None
    return _result(message, number)


async def _events(answer: Answer) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream (HTML §9.2); anything else is an error."""
    data: list[bytes] = []
    rest = bytearray()
    async for part in answer.parts():
        rest += part
        if LINE_END not in part:
            continue
        *lines, end = bytes(rest).split(LINE_END)
        rest = bytearray(end)
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
                    raise NoAnswer(code=mt.PARSE_ERROR, message="not JSON")
                data = []
                yield message


def _result(message: Any, number: int) -> dict[str, Any]:
    """Of this very request: an answer to another one, however it came here, is none."""
    if isinstance(message, dict):
        result, error = message.get("result"), message.get("error")
        if isinstance(result, dict) and message.get("id") == number:
            return result
        if (
            isinstance(error, dict)
            and isinstance(error.get("code"), int)
            and message.get("id") in (number, None)
        ):
            text = str(error.get("message", ""))
            raise MCPError(code=error["code"], message=text, data=error.get("data"))
    raise NoAnswer(code=mt.PARSE_ERROR, message="neither result nor error")


def _without_json_rpc(status: int) -> MCPError:
    """4xx: a server of an older protocol, as it seems."""
    if 400 <= status < 500:
        return MCPError(code=mt.METHOD_NOT_FOUND, message=f"HTTP {status}")
    return NoAnswer(code=mt.PARSE_ERROR, message=f"HTTP {status}")
