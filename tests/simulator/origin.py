"""A small origin that says what it received, and answers in every way the edge treats differently."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Receive, Scope, Send

Pairs = list[tuple[bytes, bytes]]


class Origin:
    """`script` feeds the scripted answers: each item is sent as one chunk, None ends the body (or cuts it,
    with `breaks`)."""

    def __init__(self) -> None:
        self.script: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.started = asyncio.Event()
        self.left = asyncio.Event()
        self.requests = 0
        self.breaks = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        path = scope["path"]
        if path == "/events":
            await self._scripted(receive, send, [(b"content-type", b"text/event-stream")])
        elif path == "/sized-events":
            sse = [(b"content-type", b"text/event-stream"), (b"content-length", b"6")]
            await self._scripted(receive, send, sse)
        elif path == "/chunked":
            await self._scripted(receive, send, [(b"content-type", b"text/plain")])
        elif path == "/sized":
            await self._scripted(receive, send, [(b"content-type", b"text/plain"), (b"content-length", b"6")])
        elif path == "/silent":
            self.started.set()
            await self._until_left(receive)
        else:
            await self._echo(scope, receive, send)

    async def _scripted(self, receive: Receive, send: Send, headers: Pairs) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        watch = asyncio.create_task(self._until_left(receive))
        self.started.set()
        try:
            while (chunk := await self.script.get()) is not None:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not self.left.is_set() and not self.breaks:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        self.script.put_nowait(None)

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        seen = {
            "method": scope["method"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "body_size": len(body),
        }
        headers = [
            (b"content-type", b"application/json"),
            (b"set-cookie", b"one=1"),
            (b"set-cookie", b"two=2"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


class Seen:
    """What the origin saw of one request."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.method: str = answer["method"]
        self.raw_path: str = answer["raw_path"]
        self.query: str = answer["query"]
        self.body_size: int = answer["body_size"]
        self._headers: list[tuple[str, str]] = [(name, value) for name, value in answer["headers"]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._headers if key == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value
