"""Plain calls of the newest protocol on standard input: answered past the SDK's loop, which gets the rest.

What that loop does for a request is done here as well: cancelling, telling of progress, the word at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as mt
from mcp.server.runner import modern_error_data
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY as VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic_core import from_json, to_json

from app.doors.lines import Incoming, Outgoing
from app.doors.shortcut import METHOD, Answer, is_plain
from app.progress import telling

LAST_WORDS = 1.0  # seconds that a client has at the end to read that its calls will not be answered
_NAMED = METHOD.encode()


@dataclass(eq=False, slots=True)
class Call:
    """`over`: nothing more is said of it but its answer, if that is being written."""

    message: dict[str, Any]
    task: asyncio.Task[None] = field(init=False)
    over: bool = False

    @property
    def key(self) -> mt.RequestId:
        return coerce_request_id(self.message["id"])

    def failed(self, error: mt.ErrorData) -> dict[str, Any]:
        said = error.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"jsonrpc": "2.0", "id": self.message["id"], "error": said}

    def cancel(self) -> None:
        self.over = True
        self.task.cancel()


class Calls:
    """Takes from `incoming` what `answer` can answer, in a task for each; the others are given back."""

    def __init__(self, incoming: Incoming, outgoing: Outgoing, answer: Answer) -> None:
        self._incoming, self._outgoing, self._answer = incoming, outgoing, answer
        self._modern: bool | None = None  # the first request decides, as in the SDK
        self._calls: set[Call] = set()
        self._latest: dict[mt.RequestId, Call] = {}

    def takes(self, line: bytes) -> bool:
        if not self._modern or _NAMED not in line:
            return False
        try:
            message = from_json(line)
        except ValueError:
            return False
        if not is_plain(message) or message["params"]["_meta"].get(VERSION) not in MODERN_PROTOCOL_VERSIONS:
            return False
        call = Call(message)
        self._calls.add(call)
        self._latest[call.key] = call
        call.task = asyncio.create_task(self._run(call))
        call.task.add_done_callback(lambda _: self._forget(call))
        return True

    def sees(self, message: mt.JSONRPCMessage) -> None:
        if isinstance(message, mt.JSONRPCRequest):
            if self._modern is None:
                self._modern = _opens_modern(message)
        elif isinstance(message, mt.JSONRPCNotification) and message.method == "notifications/cancelled":
            number = cancelled_request_id_from_params(message.params)
            call = None if number is None else self._latest.get(coerce_request_id(number))
            if call is not None and not call.over:
                call.cancel()

    async def end(self) -> None:
        """Ends those under way, and says so."""
        calls = list(self._calls)
        unanswered = [call for call in calls if not call.over]
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait([call.task for call in calls])
        closed = mt.ErrorData(code=mt.CONNECTION_CLOSED, message="Connection closed")
        with anyio.move_on_after(LAST_WORDS):
            for call in unanswered:
                await self._say(call.failed(closed))

    def _forget(self, call: Call) -> None:
        self._calls.discard(call)
        if self._latest.get(call.key) is call:  # and no other of the same number
            del self._latest[call.key]

    async def _run(self, call: Call) -> None:
        try:
            answer = await self._answered(call)
        except Exception as problem:
            answer = call.failed(modern_error_data(problem))
        if call.over:
            return  # cancelled, whatever came of it
        call.over = True
        if answer is None:
            request = mt.JSONRPCRequest.model_validate(call.message)
            self._incoming.give_back(SessionMessage(request), copy_context())
            return
        try:
            await self._say(answer)
        except Exception as problem:  # it cannot be written
            await self._say(call.failed(modern_error_data(problem)))

    async def _answered(self, call: Call) -> dict[str, Any] | None:
        async def tell(notification: Mapping[str, Any]) -> None:
            if not call.over:
                await self._say(notification)

        mark = telling.set(tell)
        try:
            return await self._answer(call.message)
        finally:
            telling.reset(mark)  # the SDK's loop has its own way to tell

    async def _say(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):  # nobody reads any more: the end follows
            await self._outgoing.write(to_json(message, inf_nan_mode="null"))


def _opens_modern(request: mt.JSONRPCRequest) -> bool:
    match request.params:
        case {"_meta": {mt.PROTOCOL_VERSION_META_KEY: _}}:
            return request.method != "initialize"
    return False
