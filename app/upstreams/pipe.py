"""JSON-RPC over the two pipes of a process: one line a message, many requests at once.

A Dispatcher of the SDK without its streams and models in between: they cost as much as a call itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

import anyio
import mcp_types as mt
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext

from app.upstreams.errors import FLOODS, NOT_ASKED, NoAnswer, too_large
from app.upstreams.inflow import Inflow
from app.upstreams.messages import encoded, is_number
from app.upstreams.oversize import read_away

log = logging.getLogger("brain.upstreams")

FULL = 256 * 1024  # bytes that wait to be read by the process before we wait too
UNREAD = 1024 * 1024  # bytes of what nobody waits for, on top of that
DEAF = "it does not read what it is sent"
BATCH = 100  # messages in one line, as protocol 2025-03-26 has it; more, or none, is no MCP
BY_US = "the connection was ended"
ID_LENGTH = 256  # characters of the id of a request of its own


class Pipe(Dispatcher[TransportContext]):
    """`most`: bytes of one message, and the reader's limit. `gone` says how the process ended, once its
    output has. `why`: how this ended, once it has."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        most: int,
        clock: Callable[[], float],
        gone: Callable[[], Awaitable[str]],
    ) -> None:
        self._name, self._reader, self._writer, self._clock, self._gone = name, reader, writer, clock, gone
        self._most = most
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reports: dict[int, ProgressFnT] = {}
        self._told: set[asyncio.Task[None]] = set()
        self._inflow = Inflow(clock())
        self._garbage = 0
        self._unread = 0
        self.why = ""

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        if self.why:
            raise _closed()
        options, number = opts or {}, next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if (report := options.get("on_progress")) is not None:
            self._reports[number] = report
            params = {**(params or {}), "_meta": {**(params or {}).get("_meta", {}), "progressToken": number}}
        message = {"jsonrpc": "2.0", "id": number, "method": method}
        try:
            async with asyncio.timeout(options.get("timeout")):
                await self._send(message if params is None else {**message, "params": params})
                self._waiting[number] = answer
                return await answer
        except TimeoutError:
            self._cancel(number, options)
            raise NoAnswer(code=mt.REQUEST_TIMEOUT, message=f"{method} timed out") from None
        except asyncio.CancelledError:
            self._cancel(number, options)
            raise
        finally:
            self._waiting.pop(number, None)
            self._reports.pop(number, None)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        message = {"jsonrpc": "2.0", "method": method}
        await self._send(message if params is None else {**message, "params": params})

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Until its output ends, or says what it must not."""
        told = on_notify_intercept or (lambda method, params: True)
        task_status.started()
        try:
            while not self.why:
                why = await self._next(told)
                self.why = self.why or why
        except _Ended:
            pass
        finally:
            self.why = self.why or BY_US
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(_closed())

    async def _next(self, told: OnNotifyIntercept) -> str:
        """One line; why there will be no more, or nothing."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return await self._gone()
        except asyncio.LimitOverrunError as larger:
            return await self._read_away(larger.consumed)
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, list):
            unasked = 0 if self._take(said, told) else 1
        elif 0 < len(said) <= BATCH:
            unasked = sum(not self._take(message, told) for message in said)
        else:  # not looked at one by one: there may be millions
            self._take(None, told)
            unasked = BATCH
        if unasked:
            if self._inflow.overflows(self._clock(), unasked):
                return FLOODS
            await asyncio.sleep(0)  # whoever talks all the time must not keep the loop
        return ""

    async def _read_away(self, known: int) -> str:
        """Of a line that is too large; one that does not end is the end of the connection."""
        try:
            number = await read_away(self._reader, known, self._most)
        except asyncio.IncompleteReadError:
            return await self._gone()
        except asyncio.LimitOverrunError:
            return "it sent a message without an end"
        answer = None if number is None else self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(too_large())
        return FLOODS if self._inflow.overflows(self._clock()) else ""

    def _take(self, message: Any, told: OnNotifyIntercept) -> bool:
        """Whether it was asked for."""
        if not isinstance(message, dict):
            if not self._garbage:
                log.warning("upstream %s writes to standard output what is not MCP", self._name)
            self._garbage += 1
            return False
        method, number = message.get("method"), message.get("id")
        if method is None:
            return self._resolve(number, message)
        if isinstance(number, str | int):
            if _answerable(number):
                self._refuse(number, method)
        elif isinstance(method, str):
            params = message.get("params")
            params = params if isinstance(params, dict) else {}
            if method == "notifications/progress":
                self._progress(params)
            told(method, params)
        return False

    def _resolve(self, number: Any, message: dict[str, Any]) -> bool:
        answer = self._waiting.get(number) if isinstance(number, int) else None
        if answer is None or answer.done():
            return False
        result, error = message.get("result"), message.get("error")
        if isinstance(result, dict):
            answer.set_result(result)
        elif isinstance(error, dict) and isinstance(error.get("code"), int):
            text = str(error.get("message", ""))
            answer.set_exception(MCPError(code=error["code"], message=text, data=error.get("data")))
        else:
            answer.set_exception(NoAnswer(code=mt.PARSE_ERROR, message="neither result nor error"))
        return True

    def _progress(self, params: Mapping[str, Any]) -> None:
        token, done, total = params.get("progressToken"), params.get("progress"), params.get("total")
        report = self._reports.get(token) if isinstance(token, int) else None
        if report is None or not is_number(done):
            return
        words = params.get("message")
        total = total if is_number(total) else None
        work = report(done, total, words if isinstance(words, str) else None)
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._told.add(task)
        task.add_done_callback(self._heard)

    def _heard(self, task: asyncio.Task[None]) -> None:
        self._told.discard(task)
        if not task.cancelled():
            task.exception()  # a client that is gone

    def _refuse(self, number: str | int, method: str) -> None:
        """It asks us: whether we live, or something that there is nobody to answer."""
        error = {"code": mt.METHOD_NOT_FOUND, "message": NOT_ASKED}
        answer: dict[str, Any] = {"result": {}} if method == "ping" else {"error": error}
        self._mention({"jsonrpc": "2.0", "id": number, **answer})

    def _cancel(self, number: int, options: CallOptions) -> None:
        if number in self._waiting and options.get("cancel_on_abandon", True):  # or it was never sent
            params = {"requestId": number, "reason": "nobody waits for it any more"}
            self._mention({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self._writer.transport.get_write_buffer_size() > FULL:
            await self._room()
        self._write(encoded(message) + b"\n")

    async def _room(self) -> None:
        """However many calls there are, and however large: one of them lies beyond FULL, the others wait."""
        try:
            while self._writer.transport.get_write_buffer_size() > FULL:
                await self._writer.drain()
        except ConnectionError:
            raise _closed() from None
        if self.why:
            raise _closed()

    def _mention(self, message: Mapping[str, Any]) -> None:
        """What nobody waits for. One that makes us say it and does not read it must not fill our memory."""
        data = encoded(message) + b"\n"
        if self._writer.transport.get_write_buffer_size() <= FULL:
            self._unread = 0
        self._unread += len(data)
        if self._unread <= UNREAD:
            self._write(data)
        elif not self.why:
            self.why = DEAF
            self._reader.set_exception(_Ended())  # whoever reads it may have nothing to read

    def _write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)


class _Ended(Exception):
    """We ended it, while its output was waited for."""


def _answerable(number: str | int) -> bool:
    """Whether an id of the other side may be said back. What cannot be printed may have no bytes at all."""
    if isinstance(number, int):
        return number.bit_length() < 64
    return len(number) <= ID_LENGTH and number.isprintable()


def _closed() -> NoAnswer:
    return NoAnswer(code=mt.CONNECTION_CLOSED, message="the connection is closed")
