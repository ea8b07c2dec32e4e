"""Which paths exist behind a door. Exact raw paths only: nothing is decoded, nothing redirected."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from app.doors.http import App, NotFound, Receive, Scope, Send, WrongMethod, refuse


class Paths:
    """ASGI: hands a request to the app of its path; any other path is a 404."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self._apps = {path.encode(): app for path, app in apps.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._apps.get(scope["raw_path"])
        if app is None:
            known = ", ".join(path.decode() for path in self._apps)
            await refuse(send, NotFound(f"Nothing is here. Known: {known}"), head=scope["method"] == "HEAD")
            return
        await app(scope, receive, send)


def at(path: str, app: App) -> App:
    """`app`, told that the request is for `path`: /mcp and /mcp/ are one, without a redirect."""
    raw = path.encode()

    async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": path, "raw_path": raw}, receive, send)

    return renamed


Answer = tuple[int, str, bytes]


def page(answer: Callable[[], Awaitable[Answer]]) -> App:
    """An app that answers GET and HEAD with (status, content type, body)."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(send, WrongMethod("GET, HEAD"))
            return
        status, content_type, body = await answer()
        await _send(send, status, content_type, b"" if scope["method"] == "HEAD" else body)

    return serve


def as_json(status: int, value: object) -> Answer:
    return status, "application/json", json.dumps(value).encode()


async def _send(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
