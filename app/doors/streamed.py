"""Answers as JSON, or as a stream where something may have to be said before the end.

JSON is faster, but has no room for progress, and nobody notices a client that hangs up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from app.doors.bodies import again, read_body
from app.doors.http import App, Message, Receive, Scope, Send
from app.progress import telling

PING_SECONDS = 15.0  # Cloudflare gives up on an origin that is silent for 120
GRACE = 0.05  # seconds before anybody looks whether the client is still there: most calls are over by then
_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
_EVENTS = b"text/event-stream"
_TOKEN = b'"progressToken"'  # of a request whose client wants to be told
_CALL = b'"tools/call"'


class Streamed:
    """ASGI. `streams`: calls of these tools are streamed, where the client can read a stream. `named`
    answers those of them that say in a header what they are.

    The newest protocol names the tool in a header. In the older ones the body is looked at: a stream of the
    SDK's own tells of progress where that is asked for, and hanging up means nothing.
    """

    def __init__(
        self,
        plain: App,
        streaming: App,
        streams: Callable[[str], bool],
        *,
        named: App | None = None,
        ping: float = PING_SECONDS,
    ) -> None:
        self._plain, self._streaming, self._streams, self._ping = plain, streaming, streams, ping
        self._named = named or plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepts, name = b"", b""
        for key, value in scope["headers"]:
            if key == b"accept":
                accepts += value
            elif key == b"mcp-name":
                name = value
        if scope["method"] != "POST" or _EVENTS not in accepts:
            await self._plain(scope, receive, send)
        elif name:
            if self._streams(name.decode("latin-1")):
                await Exchange(scope, receive, send, self._ping).run(self._named)
            else:
                await self._plain(scope, receive, send)
        else:
            await self._older(scope, receive, send)

    async def _older(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        replay = again(body, receive)
        if not any(_CALL in part["body"] for part in body) or not self._streams(_called(body)):
            await self._plain(scope, replay, send)
        elif any(_TOKEN in part["body"] for part in body):
            await self._streaming(scope, replay, _late(send))
        else:
            await Exchange(scope, replay, send, self._ping, hanging_up_ends=False).run(self._plain)


class Exchange:
    """One request: answered in JSON, if nothing has to be said before the answer, and that it goes on is said
    every `ping` seconds.

    Else by a stream with the same answer at its end. In the newest protocol a client that hangs up ends the
    call.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, ping: float, *, hanging_up_ends: bool = True
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._ping, self._hanging_up_ends = ping, hanging_up_ends
        self._streaming, self._answering, self._hung_up = False, False, False
        self._watcher: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    async def run(self, app: App) -> None:
        task = cast(asyncio.Task[Any], asyncio.current_task())
        mark = telling.set(self._tell)
        try:
            await app(self._scope, partial(self._request, task), self._answer)
        except asyncio.CancelledError:
            if not self._hung_up or task.uncancel():
                raise  # it is not the client that ended it
        finally:
            telling.reset(mark)
            if self._later is not None:
                self._later.cancel()
            if self._watcher is not None:
                self._watcher.cancel()

    async def _request(self, task: asyncio.Task[Any]) -> Message:
        message = await self._receive()
        if self._later is None and not message.get("more_body", False):
            self._later = asyncio.get_running_loop().call_later(GRACE, self._begin_to_watch, task)
        return message

    def _begin_to_watch(self, task: asyncio.Task[Any]) -> None:
        self._watcher = asyncio.create_task(self._watch(task))

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        """Ends the call when its client has hung up; till then says now and then that it goes on."""
        gone = asyncio.ensure_future(self._receive())
        try:
            while not (await asyncio.wait({gone}, timeout=self._ping))[0]:
                await self._say(b": ping\r\n\r\n")
            if not self._answering and self._hanging_up_ends and gone.result()["type"] == "http.disconnect":
                self._hung_up = True
                task.cancel()
        finally:
            gone.cancel()

    async def _tell(self, notification: Mapping[str, Any]) -> None:
        await self._say(_event(json.dumps(notification, separators=(",", ":")).encode()))

    async def _say(self, data: bytes) -> None:
        if self._answering:
            return
        if not self._streaming:
            self._streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _answer(self, message: Message) -> None:
        self._answering = True
        if not self._streaming:
            await self._send(message)
        elif message["type"] == "http.response.body":
            await self._send({"type": "http.response.body", "body": _event(message.get("body", b""))})


def _event(data: bytes) -> bytes:
    """HTML §9.2; a JSON text as we write it is one line."""
    return b"event: message\r\ndata: " + data + b"\r\n\r\n"


def _called(body: list[Message]) -> str:
    """The name of the tool, or nothing that is one."""
    try:
        return str(json.loads(b"".join(part["body"] for part in body))["params"]["name"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _late(send: Send) -> Send:
    """The head of an answer waits for its first word: until then a refusal may take its place."""
    head: list[Message] = []

    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            head.append(message)
            return
        if head and (message.get("body") or not message.get("more_body", False)):
            await send(head.pop())
        if not head:
            await send(message)

    return forward
