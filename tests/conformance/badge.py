"""Somebody with a login, as an ASGI app: what a client sends to the public address arrives signed in."""

from __future__ import annotations

from collections.abc import Mapping

from app.doors.http import App, Receive, Scope, Send


class Badge:
    """Hands every request to `app` with the headers of `credential` added.

    `here` (host:port) is the address that clients know; `app` hears its public name instead, in `Host` and in
    `Origin`. Any other name in them stays as it is: whom a request means is for `app` to judge.
    """

    def __init__(self, app: App, *, here: str, public: str, credential: Mapping[str, str]) -> None:
        self._app = app
        self._added = [(name.encode(), value.encode()) for name, value in credential.items()]
        self._renamed = {
            (b"host", here.encode()): public.partition("://")[2].encode(),
            (b"origin", f"http://{here}".encode()): public.encode(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, self._renamed.get((name, value), value)) for name, value in scope["headers"]]
        await self._app({**scope, "headers": headers + self._added}, receive, send)
