"""What `/ready` of a cloudflared says, without one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.simulator.server import LoopbackServer, address, listen


@dataclass
class Cloudflared:
    """What `/ready` of a cloudflared says. ASGI."""

    connector: str
    connections: int = 4

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = {"status": 200, "readyConnections": self.connections, "connectorId": self.connector}
        await JSONResponse(said, 200 if self.connections else 503)(scope, receive, send)


@contextlib.asynccontextmanager
async def on_loopback(app: ASGIApp) -> AsyncIterator[str]:
    bound = listen("127.0.0.1", 0)
    server = await LoopbackServer.start(app, bound)
    try:
        yield address(bound)
    finally:
        await server.stop()
