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

from app.upstreams.errors import FLOODS, OVERSIZE, STARTED_ANEW, TOO_LARGE, UNREACHABLE, UNUSABLE, NoAnswer
from app.upstreams.inflow import Inflow
from app.upstreams.redaction import Redactor

WORDS_MAX = 2000  # characters of an upstream's error

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
        if self._most is not None and _weight(raw, self._most) < 0:
            raise NoAnswer(code=OVERSIZE, message=TOO_LARGE)
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
        error = problem.error
        ours = _is_of_our_side(error, method, options) if self._of_the_sdk else isinstance(problem, NoAnswer)
        if not ours:
            return self._clean_error(error)
        if error.message.endswith(TOO_LARGE):  # the SDK says where it met it
            return NoAnswer(code=OVERSIZE, message=TOO_LARGE)
        if error.code == STARTED_ANEW:
            self.end(error.message)
        return NoAnswer(code=error.code, message=error.message, data=error.data)

    def _clean_error(self, error: mt.ErrorData) -> MCPError:
        message = self._redactor.text(error.message)[:WORDS_MAX]
        return MCPError(code=error.code, message=message, data=self._redactor.clean(error.data))


def _is_of_our_side(error: mt.ErrorData, method: str, options: CallOptions) -> bool:
    """What a dispatcher of the SDK, or our bounds around its HTTP, say where no answer came. Known by its
    words: an upstream may use the same code."""
    match error.code:
        case mt.CONNECTION_CLOSED:
            return error.message == "Connection closed" or error.message.startswith("SSE stream ")
        case mt.REQUEST_TIMEOUT:
            waited = f"Timed out after {options.get('timeout')}s waiting for {method!r}"
            return error.message in (waited, f"Request {method!r} timed out")
        case mt.PARSE_ERROR:
            return error.message.startswith("Failed to parse ")
    return error.code in (UNREACHABLE, UNUSABLE, STARTED_ANEW)


def _unheard(method: str) -> bool:
    """Log lines and changes of resources: nobody asked for them."""
    return method in ("notifications/message", "notifications/resources/updated")


def _weight(value: Any, left: int) -> int:
    """What is left of `left` bytes, about; below zero as soon as it is too much."""
    if isinstance(value, str):
        return left - len(value)
    if isinstance(value, Mapping):
        for key, one in value.items():
            if (left := _weight(one, left - len(str(key)) - 4)) < 0:
                return left
        return left
    if isinstance(value, list | tuple):
        for one in value:
            if (left := _weight(one, left - 1)) < 0:
                return left
        return left
    return left - 4
