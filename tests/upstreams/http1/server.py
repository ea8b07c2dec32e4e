"""A server that reads requests and says, byte for byte, what a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]
Said = bytes | Script

SECONDS = 10.0
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = JSON + b"Content-Length: 2\r\n\r\n{}"
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    connection: int
    head: bytes
    body: bytes


@dataclass
class Server:
    """`heard`: every request; `asked` and `ended` tell of each request and of each end of a connection.
    `reads`: bodies, too."""

    said: list[Said]
    reads: bool = True
    port: int = 0
    heard: list[Request] = field(default_factory=list)
    asked: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp?x=1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections = self.connections + 1
        # RuntimeError: what uvloop says of writing to a connection that is closed.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, RuntimeError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length if self.reads else 0)
                self.heard.append(Request(number, head, body))
                said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
                self.asked.put_nowait(number)
                if isinstance(said, bytes):
                    writer.write(said)
                else:
                    await said(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.ended.put_nowait(number)


@contextlib.asynccontextmanager
async def serving(
    *said: Said, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", reads: bool = True
) -> AsyncIterator[Server]:
    """Each request is answered with the next of `said`; those after the last with the last."""
    server = Server(list(said), reads)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def soon(work: Awaitable[T]) -> T:
    return await asyncio.wait_for(work, SECONDS)


async def hangs(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def then_closes(said: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return script
