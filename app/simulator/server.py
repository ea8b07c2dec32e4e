"""The simulator as real servers on loopback, in the caller's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from app.simulator.access import PREFIX, access_app
from app.simulator.application import Application, is_loopback
from app.simulator.edge import Edge
from app.simulator.fixed import FixedApplication
from app.simulator.team import Team

DRAIN_SECONDS = 1.0


@dataclass
class Simulator:
    """A team and the one application it protects."""

    team: Team
    application: Application


@dataclass
class Running:
    """Where a simulator answers. `edge_url`: the public URL; `certs_url`: for CF_ACCESS_CERTS_URL."""

    simulator: Simulator
    edge: Edge
    edge_url: str
    access_url: str
    _access_app: ASGIApp
    _access_server: LoopbackServer | None

    @property
    def certs_url(self) -> str:
        return f"{self.access_url}{PREFIX}certs"

    async def refuse_access(self) -> None:
        """The team's address refuses connections, as if its host were gone."""
        if self._access_server is not None:
            await self._access_server.stop()
            self._access_server = None

    async def restore_access(self) -> None:
        """The team's address answers again, on the same port."""
        if self._access_server is None:
            where = urlsplit(self.access_url)
            bound = listen(where.hostname or "", where.port or 0)
            self._access_server = await LoopbackServer.start(self._access_app, bound)


@asynccontextmanager
async def running(
    simulator: Simulator, *, bind: str = "127.0.0.1", edge_port: int = 0, access_port: int = 0
) -> AsyncIterator[Running]:
    """Serve `simulator` until the block ends. Port 0 takes a free one; nothing but loopback is bound.

    Fills in the application's `access_url`, and its `host` where it is empty.
    """
    edge_socket = listen(bind, edge_port)
    access_socket = listen(bind, access_port)
    application = simulator.application
    edge_address, application.access_url = address(edge_socket), f"http://{address(access_socket)}"
    application.host = application.host or edge_address
    team_app = access_app(simulator.team, FixedApplication(simulator.team, application))
    edge = Edge(simulator.team, application)
    edge_server = await LoopbackServer.start(edge, edge_socket)
    access_server = await LoopbackServer.start(team_app, access_socket)
    run = Running(simulator, edge, f"http://{edge_address}", application.access_url, team_app, access_server)
    try:
        yield run
    finally:
        simulator.team.certs.release()
        simulator.team.identities.release()
        await edge.close()
        await edge_server.stop()
        await run.refuse_access()


def listen(bind: str, port: int) -> socket.socket:
    """A socket bound to loopback. Tokens from here open what trusts this team: no other machine gets any."""
    if not is_loopback(bind) or bind == "localhost":
        raise ValueError(f"The simulator binds loopback addresses only, not {bind!r}. Use 127.0.0.1.")
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((bind, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class LoopbackServer(uvicorn.Server):
    """A uvicorn server that is started and stopped like any object: no signals taken, no polling."""

    sockets: list[socket.socket]

    @classmethod
    async def start(
        cls, app: ASGIApp, bound: socket.socket, *, tls: ssl.SSLContext | None = None
    ) -> LoopbackServer:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        config.load()
        config.ssl = tls
        server = cls(config)
        server.lifespan = config.lifespan_class(config)
        server.sockets = [bound]
        await server.startup(sockets=server.sockets)
        return server

    async def stop(self) -> None:
        """Stop listening, let answers that are nearly done finish, and leave no connection behind."""
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _done, slow = await asyncio.wait(list(self.server_state.tasks), timeout=DRAIN_SECONDS)
            for task in slow:
                task.cancel()
        for bound in self.sockets:
            bound.close()
        await asyncio.sleep(0)  # closed transports report it in the next turn of the loop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
