"""A cloudflared of the tests' own: enough of the protocol to stand at the other end of the edge."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import capnp
import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from app.simulator.tunnel.acceptor import SERVER_NAME
from app.simulator.tunnel.control import UPGRADE
from app.simulator.tunnel.headers import META, PACKED, packed
from app.simulator.tunnel.registration import SCHEMA
from tests.audit.waiting import until

Pairs = list[tuple[bytes, bytes]]


@dataclass
class Asked:
    """A request as it came through the tunnel. `cancelled` is set when the edge resets it."""

    number: int
    headers: dict[bytes, bytes]
    all_headers: Pairs
    body: bytes = b""
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class Refused(Exception):
    """The edge does not take this connection."""


class Connector:
    """`requests` are those for an origin, `configurations` what was pushed. The test answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests: asyncio.Queue[Asked] = asyncio.Queue()
        self.configurations: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._asked: dict[int, Asked] = {}
        self._control: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._to_rpc: asyncio.StreamWriter | None = None
        self.edge: Any = None
        self._early = b""

    async def register(self, tunnel_id: str, token: str, index: int = 0) -> Any:
        """Raises Refused with the edge's words. `token` is what a cloudflared would be started with."""
        parts = json.loads(base64.b64decode(token))
        auth = {"accountTag": parts["a"], "tunnelSecret": base64.b64decode(parts["s"])}
        client = {"clientId": uuid.uuid4().bytes, "features": ["x"], "version": "test", "arch": "none"}
        answer = await self.edge.registerConnection(
            auth, uuid.UUID(tunnel_id).bytes, index, {"client": client}
        )
        result = answer.result.result
        if result.which() == "error":
            raise Refused(result.error.cause)
        return result.connectionDetails

    def answer(self, asked: Asked, status: int, headers: Pairs, body: bytes, *, more: bool = False) -> None:
        head = [(b":status", str(status).encode()), (META, b'{"src":"origin"}'), (PACKED, packed(headers))]
        self._h2.send_headers(asked.number, head)
        self.send(asked, body, more=more)

    def fail(self, asked: Asked) -> None:
        """As cloudflared where its origin does not answer."""
        head = [(b":status", b"502"), (META, b'{"src":"cloudflared"}')]
        self._h2.send_headers(asked.number, head, end_stream=True)
        self._flush()

    def send(self, asked: Asked, body: bytes, *, more: bool = False) -> None:
        self._h2.send_data(asked.number, body, end_stream=not more)
        self._flush()

    async def room(self, asked: Asked, size: int) -> None:
        """Wait until the edge takes that much of an answer."""
        await until(lambda: self._h2.local_flow_control_window(asked.number) >= size)

    async def run(self) -> None:
        self._h2.initiate_connection()
        self._flush()
        with contextlib.suppress(OSError, ProtocolError):
            while data := await self._reader.read(65536):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
        self.gone.set()
        for asked in self._asked.values():
            asked.cancelled.set()

    async def open_control(self, to_rpc: asyncio.StreamWriter, from_rpc: asyncio.StreamReader) -> None:
        number = await self._control
        self._h2.send_headers(number, [(b":status", b"200")])
        self._to_rpc = to_rpc
        to_rpc.write(self._early)
        while data := await from_rpc.read(65536):
            self._h2.send_data(number, data)
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=number, headers=headers):
                pairs = [(bytes(name), bytes(value)) for name, value in headers]
                asked = Asked(number, dict(pairs), pairs)
                self._asked[number] = asked
                if asked.headers.get(UPGRADE) == b"control-stream":
                    self._control.set_result(number)
                elif UPGRADE not in asked.headers:
                    self.requests.put_nowait(asked)
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                self._h2.acknowledge_received_data(size, number)
                if self._control.done() and number == self._control.result():
                    if self._to_rpc is None:
                        self._early += data
                    else:
                        self._to_rpc.write(data)
                else:
                    self._asked[number].body += data
            case h2.events.StreamEnded(stream_id=number):
                asked = self._asked[number]
                asked.whole.set()
                if asked.headers.get(UPGRADE) == b"update-configuration":
                    self._configured(asked)
            case h2.events.StreamReset(stream_id=number):
                self._asked[number].cancelled.set()
            case _:
                pass

    def _configured(self, asked: Asked) -> None:
        pushed = json.loads(asked.body)
        self.configurations.append(pushed)
        self._h2.send_headers(asked.number, [(b":status", b"200")])
        answer = {"lastAppliedVersion": pushed["version"], "err": None}
        self._h2.send_data(asked.number, json.dumps(answer).encode(), end_stream=True)

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


@asynccontextmanager
async def connecting(address: str, root: str) -> AsyncIterator[Connector]:
    """A TLS connection to the edge with its control stream open, not registered yet."""
    host, port = address.split(":")
    context = ssl.create_default_context(cadata=root)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=SERVER_NAME)
    connector = Connector(reader, writer)
    near, far = socket.socketpair()
    from_rpc, to_rpc = await asyncio.open_connection(sock=near)
    stream = await capnp.AsyncIoStream.create_connection(sock=far)
    client = capnp.TwoPartyClient(stream)
    connector.edge = client.bootstrap().cast_as(SCHEMA.RegistrationServer)
    tasks = [
        asyncio.create_task(connector.run()),
        asyncio.create_task(connector.open_control(to_rpc, from_rpc)),
    ]
    try:
        yield connector
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client.close()
        stream.close()
        for each in (to_rpc, writer):
            each.close()
            with contextlib.suppress(OSError):
                await each.wait_closed()
