"""The control stream of one connection: bytes of an HTTP/2 stream in, Cap'n Proto calls out, and back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import capnp

from app.simulator.tunnel.connection import READ_BYTES, Connection
from app.simulator.tunnel.registration import RegistrationServer
from app.simulator.tunnel.stream import Headers, Stream, StreamFailed

UPGRADE = b"cf-cloudflared-proxy-connection-upgrade"


def upgrade(kind: bytes) -> Headers:
    """The head of a request that cloudflared itself answers."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"edge"),
        (b":path", b"/"),
        (UPGRADE, kind),
    ]


async def serve_control(connection: Connection, server: RegistrationServer) -> None:
    """Answer calls until cloudflared ends the stream; the connection then ends with its last answer."""
    stream = connection.request(upgrade(b"control-stream"), has_body=True)
    async with _rpc(server) as (reader, writer):
        answers = asyncio.create_task(_answers(connection, stream, reader))
        try:
            await stream.head()
            while data := await stream.chunk():
                writer.write(data)
        except StreamFailed:
            pass
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            connection.cancel(stream)
            if server.registration.draining:
                connection.finish()


async def _answers(connection: Connection, stream: Stream, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(READ_BYTES):
        await connection.send(stream, data)


@contextlib.asynccontextmanager
async def _rpc(
    server: RegistrationServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The near end of a pair of sockets, at whose far end Cap'n Proto serves."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    try:
        stream = await capnp.AsyncIoStream.create_connection(sock=far)
        rpc = capnp.TwoPartyServer(stream, bootstrap=server)
        try:
            yield reader, writer
        finally:
            rpc.close()
            stream.close()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
