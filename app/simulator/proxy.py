"""The way into the stand-in internet: an HTTP proxy that knows the names of this world and no others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from app.simulator.server import address, listen

READ_BYTES = 65536
HTTPS = 443

Lookup = Callable[[str], tuple[str, int] | None]
"""Where a name leads (address and port), or None: no such host. Raises `NotInThisWorld`."""


class NotInThisWorld(Exception):
    """A name that this proxy leads nowhere: there is a real internet, and it is not reached from here."""


class ConnectProxy:
    """`CONNECT name:443` alone (RFC 9110 §9.3.6)."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._serving.pop)

    async def stop(self) -> None:
        for task, writer in list(self._serving.items()):
            task.cancel()
            writer.close()  # one that never began would not
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                refusal, place = self._destination(head.split(b"\r\n", 1)[0].decode("latin-1"))
                if place is None:
                    writer.write(refusal)
                    await writer.drain()
                else:
                    await self._tunnel(reader, writer, place)
        finally:
            await _closed(writer)

    def _destination(self, line: str) -> tuple[bytes, tuple[str, int] | None]:
        method, _, rest = line.partition(" ")
        if method != "CONNECT":
            return _answer("405 Method Not Allowed", "this proxy carries CONNECT alone"), None
        try:
            target = urlsplit(f"//{rest.split(' ')[0]}")
            if target.port != HTTPS:
                raise NotInThisWorld
            place = self._lookup((target.hostname or "").lower())
        except (ValueError, NotInThisWorld):
            return _answer("403 Forbidden", "not in this world"), None
        return (b"", place) if place else (_answer("502 Bad Gateway", "no such host"), None)

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: tuple[str, int]
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection(*place)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tasks = [
            asyncio.create_task(_pour(reader, far_writer)),
            asyncio.create_task(_pour(far_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.close()  # first: the waiting below may be cut short
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _closed(far_writer)


@asynccontextmanager
async def proxying(lookup: Lookup, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on loopback until the block ends; its address as `host:port`."""
    bound = listen("127.0.0.1", port)
    where = address(bound)
    proxy = ConnectProxy(lookup)
    server = await asyncio.start_server(proxy.accept, sock=bound)
    try:
        yield where
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _answer(status: str, words: str) -> bytes:
    body = f"{words}\n".encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
