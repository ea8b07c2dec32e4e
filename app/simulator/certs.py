"""How certs and get-identity answer: well, or in one of the ways that a client of them must survive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

KeySet = Callable[[], Mapping[str, Any]]


class Endpoint:
    """Counts its requests and answers in the mode that was set last. Every mode ends with `normal()`.

    To refuse connections altogether, stop its server: `Running.refuse_access()`.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._hold: asyncio.Event | None = None
        self._instead: Callable[[], Response] | None = None

    def normal(self) -> None:
        """Answer as Access does, and let go whoever waits."""
        self._instead = None
        self.release()

    def unavailable(self, status: int = 503) -> None:
        self._instead = lambda: Response(status_code=status)

    def redirect(self, url: str) -> None:
        self._instead = lambda: RedirectResponse(url, 302)

    def answers(self, body: bytes, *, content_type: str = "application/json", status: int = 200) -> None:
        """Any body: a captive portal's page, half a document, an empty key set."""
        self._instead = lambda: Response(body, status, media_type=content_type)

    def hold(self) -> None:
        """Slow: accept requests and leave them unanswered until `release()` or `normal()`."""
        self._hold = asyncio.Event()

    def release(self) -> None:
        if self._hold is not None:
            self._hold.set()
            self._hold = None

    async def respond(self, usual: Callable[[], Response]) -> Response:
        """What `usual` makes, unless a mode is set."""
        self.requests += 1
        if self._hold is not None:
            await self._hold.wait()
        return (self._instead or usual)()


class CertsEndpoint(Endpoint):
    """The team's key set."""

    def __init__(self, key_set: KeySet) -> None:
        super().__init__()
        self._key_set = key_set

    def oversized(self, size: int = 8 * 1024 * 1024) -> None:
        """A well-formed key set with the right keys, padded to at least `size` bytes."""
        self._instead = lambda: _json({**self._key_set(), "padding": "x" * size})

    async def publish(self) -> Response:
        return await self.respond(lambda: _json(self._key_set()))


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), media_type="application/json")
