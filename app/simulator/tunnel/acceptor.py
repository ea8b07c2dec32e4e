"""Where cloudflared connects to: the tunnels that are up, and a way into each."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import capnp

from app.simulator.server import address, listen
from app.simulator.tenant import Tenant
from app.simulator.tunnel.connection import Connection
from app.simulator.tunnel.control import serve_control, upgrade
from app.simulator.tunnel.registration import Registration, RegistrationServer
from app.simulator.tunnel.stream import StreamFailed
from app.simulator.tunnel.transport import TunnelTransport

SERVER_NAME = "h2.cftunnel.com"  # the name cloudflared asks for; nothing else is in the certificate
LINGER_SECONDS = 0.2  # for a refusal to arrive before its connection closes
LOOK_SECONDS = 0.05  # how soon a new configuration is pushed, and a deleted tunnel cut off


class Connected:
    """A registered connection. `pushed` is what cloudflared answered to its configurations, newest last."""

    def __init__(self, connection: Connection, registration: Registration) -> None:
        self.registration = registration
        self.transport = TunnelTransport(connection)
        self.pushed: list[dict[str, Any]] = []
        self._connection = connection
        self._version = -1

    def cut(self) -> None:
        """The connection is gone at once, as after a power failure between the two."""
        self._connection.close()

    async def configure(self, version: int, config: Any) -> None:
        """Push a configuration that it does not have yet."""
        if version == self._version:
            return
        self._version = version
        head = upgrade(b"update-configuration")
        stream = self._connection.request(head, has_body=True)
        body = json.dumps({"version": version, "config": config}).encode()
        await self._connection.send(stream, body, end=True)
        await stream.head()
        answer = b""
        while data := await stream.chunk():
            answer += data
        self.pushed.append(json.loads(answer))


class Tunnels:
    """`address` is for `TUNNEL_EDGE`."""

    def __init__(self, tenant: Tenant, address: str) -> None:
        self.address = address
        self.watchers: list[Callable[[str], None]] = []
        """Called with a tunnel's id when a connection of it came or went."""
        self.refusals: list[Registration] = []
        self._tenant = tenant
        self._turn = itertools.count()
        self._connected: list[Connected] = []
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connections(self, tunnel_id: str) -> list[Connected]:
        return [each for each in self._connected if each.registration.tunnel_id == tunnel_id]

    def way_to(self, tunnel_id: str) -> TunnelTransport | None:
        """One connection of this tunnel, another one each time; None where no connector is there."""
        ready = [each for each in self.connections(tunnel_id) if not each.registration.draining]
        return ready[next(self._turn) % len(ready)].transport if ready else None

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(Connection(reader, writer)))
        self._serving[task] = writer
        task.add_done_callback(self._serving.pop)

    async def stop(self) -> None:
        for task, writer in list(self._serving.items()):
            task.cancel()
            writer.close()  # one that never began would not
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, connection: Connection) -> None:
        def registered() -> None:
            self._connected.append(connected)
            self._tell(connected)
            tasks.append(asyncio.create_task(self._keep_up(connected)))

        def refused() -> None:
            self.refusals.append(server.registration)
            asyncio.get_running_loop().call_later(LINGER_SECONDS, connection.close)

        server = RegistrationServer(self._tenant, registered, refused)
        connected = Connected(connection, server.registration)
        connection.start()
        tasks = [asyncio.create_task(serve_control(connection, server))]
        try:
            await connection.run()
        finally:
            self._connected = [each for each in self._connected if each is not connected]
            self._tell(connected)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, connected: Connected) -> None:
        for watcher in self.watchers:
            watcher(connected.registration.tunnel_id)

    async def _keep_up(self, connected: Connected) -> None:
        """Carry changes of the account to a connection, as long as there is one."""
        tunnel_id = connected.registration.tunnel_id
        with contextlib.suppress(StreamFailed):
            while self._tenant.secret_of(tunnel_id) is not None:
                if (configuration := self._tenant.configuration_of(tunnel_id)) is not None:
                    await connected.configure(*configuration)
                await asyncio.sleep(LOOK_SECONDS)
        connected.cut()


@asynccontextmanager
async def accepting(tenant: Tenant, tls: ssl.SSLContext, *, port: int = 0) -> AsyncIterator[Tunnels]:
    """Take connections on loopback until the block ends. One at a time per event loop: Cap'n Proto's rule."""
    bound = listen("127.0.0.1", port)
    tunnels = Tunnels(tenant, address(bound))
    async with capnp.kj_loop():
        server = await asyncio.start_server(tunnels.accept, sock=bound, ssl=tls)
        try:
            yield tunnels
        finally:
            server.close()
            await tunnels.stop()
            await server.wait_closed()
