"""The line between us and an upstream: what crosses it in each direction, whatever the transport."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import count
from typing import Any

import anyio
import mcp_types as mt
from mcp.shared.direct_dispatcher import DirectDispatcher
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext

from app.upstreams.errors import FLOODS, STARTED_ANEW, TOO_LARGE, NoAnswer, too_large, unmarked
from app.upstreams.inflow import Inflow
from app.upstreams.redaction import Redactor

WORDS_MAX = 2000  # characters of an upstream's error
# How the SDK begins what it says of a stream and of a body that broke.
_STREAM = ("SSE stream failed: ", "SSE stream ended ")
_BODY = ("Failed to parse JSON response: ", "Failed to parse SSE message: ")

_headers: ContextVar[Mapping[str, str] | None] = ContextVar("headers", default=None)


@contextlib.contextmanager
def with_headers(headers: Mapping[str, str]) -> Iterator[None]:
    """Requests made in this block carry these; transports without headers have no use for them."""
    mark = _headers.set(headers)
    try:
        yield
    finally:
        _headers.reset(mark)


class Guarded(Dispatcher[TransportContext]):
    """A Dispatcher of the SDK with our rules around it. `ended` resolves with why it is over.

    `bare`: no transport has counted the bytes of a result, or told progress apart: in process.
    """

    def __init__(
        self,
        inner: Dispatcher[Any],
        redactor: Redactor,
        *,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        bare: int | None = None,
    ) -> None:
        self._inner, self._redactor, self._most = inner, redactor, bare
        self._of_the_sdk = isinstance(inner, JSONRPCDispatcher | DirectDispatcher)
        self._reports: dict[str, ProgressFnT] = {}
        self._clock, self._changed = clock, changed
        self._inflow, self._numbers = Inflow(clock()), count()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        options: CallOptions = {**(opts or {})}
        if headers := _headers.get():
            options["headers"] = {**options.get("headers", {}), **headers}
        if (progress := options.get("on_progress")) is not None:
            options["on_progress"] = progress = self._clean_progress(progress)
        token = str(next(self._numbers))
        if self._most is not None and progress is not None:
            self._reports[token] = progress
            params = {**(params or {}), "_meta": {**(params or {}).get("_meta", {}), "progressToken": token}}
        try:
            raw = await self._inner.send_raw_request(method, params, options)
        except MCPError as problem:
            raise self._told(problem, method, options) from None
        finally:
            self._reports.pop(token, None)
        if self._most is not None and weight(raw, self._most) < 0:
            raise too_large()
        clean: dict[str, Any] = self._redactor.clean(raw)
        return clean

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        await self._inner.notify(method, params, opts)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        async def asked(context: Any, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
            self._count()
            return await on_request(context, method, params)

        def told(method: str, params: Mapping[str, Any] | None) -> bool:
            """True: nobody else hears of it."""
            self._count()
            if method.endswith("/list_changed"):
                self._changed()
            return on_notify_intercept is None or on_notify_intercept(method, params) or _unheard(method)

        async def heard(context: Any, method: str, params: Mapping[str, Any] | None) -> None:
            report = self._reports.get(str((params or {}).get("progressToken")))
            if method == "notifications/progress" and report is not None and params is not None:
                await report(params["progress"], params.get("total"), params.get("message"))
            else:
                await on_notify(context, method, params)

        try:
            await self._inner.run(asked, heard, told, task_status=task_status)
        finally:
            self.end("it closed the connection")

    def _count(self) -> None:
        if self._inflow.overflows(self._clock()):
            self.end(FLOODS)

    def _clean_progress(self, told: ProgressFnT) -> ProgressFnT:
        async def report(progress: float, total: float | None, message: str | None) -> None:
            await told(progress, total, None if message is None else self._redactor.text(message)[:WORDS_MAX])

        return report

    def _told(self, problem: MCPError, method: str, options: CallOptions) -> MCPError:
        """Our own words as they are, the upstream's without its credentials."""
        ours = _ours(problem.error, method, options) if self._of_the_sdk else problem
        if not isinstance(ours, NoAnswer):
            return self._clean_error(problem.error)
        if ours.error.code == STARTED_ANEW:
            self.end(ours.error.message)
        return ours

    def _clean_error(self, error: mt.ErrorData) -> MCPError:
        message = self._redactor.text(error.message)[:WORDS_MAX]
        return MCPError(code=error.code, message=message, data=self._redactor.clean(error.data))


def _ours(error: mt.ErrorData, method: str, options: CallOptions) -> NoAnswer | None:
    """What our bounds around the SDK's HTTP say, or a dispatcher of the SDK: that one is known by its words,
    because an upstream may use the same code, and none of them are passed on."""
    if (own := unmarked(error)) is not None:
        return too_large() if own.error.message == TOO_LARGE else own
    match error.code:
        case mt.CONNECTION_CLOSED:
            says_so = error.message == "Connection closed" or error.message.startswith(_STREAM)
        case mt.REQUEST_TIMEOUT:
            waited = f"Timed out after {options.get('timeout')}s waiting for {method!r}"
            says_so = error.message in (waited, f"Request {method!r} timed out")
        case mt.PARSE_ERROR:
            says_so = error.message.startswith(_BODY)
        case _:
            says_so = False
    if says_so and error.message.endswith(TOO_LARGE):  # it says where it met that
        return too_large()
    return NoAnswer(code=error.code, message="no answer") if says_so else None


def _unheard(method: str) -> bool:
    """Log lines and changes of resources: nobody asked for them."""
    return method in ("notifications/message", "notifications/resources/updated")


def weight(value: Any, left: int) -> int:
    """What is left of `left` bytes, about; below zero as soon as it is too much."""
    if isinstance(value, str):
        return left - len(value)
    if isinstance(value, Mapping):
        for key, one in value.items():
            if (left := weight(one, left - len(str(key)) - 4)) < 0:
                return left
        return left
    if isinstance(value, list | tuple):
        for one in value:
            if (left := weight(one, left - 1)) < 0:
                return left
        return left
    return left - 4
