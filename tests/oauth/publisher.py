"""A host on the internet, played by a socket on loopback: every connection is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.oauth.cimd import DocumentClients
from app.oauth.documents import Hosts
from app.oauth.guarded import Fetcher
from app.oauth.models import Client
from tests.house import Clock


@dataclass
class Publisher:
    """`answer`: all bytes of the next answers. `hold`: set, and it never ends its answer."""

    port: int = 0
    answer: bytes = b""
    hold: asyncio.Event | None = None
    requests: list[bytes] = field(default_factory=list)

    def says(
        self, body: bytes | str, status: str = "200 OK", *headers: str, kind: str = "application/json"
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
        self.answer = "\r\n".join([*head, "", ""]).encode() + data

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.hold is not None:
                await self.hold.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@dataclass
class Reader:
    """Document clients in hand. `addresses`: what the name server says, one list for each question."""

    publisher: Publisher
    clock: Clock
    kept: list[Client]
    clients: DocumentClients
    asked: list[str]
    addresses: list[Collection[str]]

    @property
    def url(self) -> str:
        return f"http://client.example:{self.publisher.port}/c.json"


@asynccontextmanager
async def reading(
    *,
    allowed: Callable[[str], bool] = lambda address: address == "127.0.0.1",
    hosts: Hosts | None = None,
    copies: dict[str, bytes] | None = None,
    schemes: Collection[str] = ("http",),
) -> AsyncIterator[Reader]:
    publisher, clock = Publisher(), Clock()
    server = await asyncio.start_server(publisher.serve, "127.0.0.1", 0)
    publisher.port = server.sockets[0].getsockname()[1]
    kept: list[Client] = []
    asked: list[str] = []
    addresses: list[Collection[str]] = [["127.0.0.1"]]

    async def resolve(host: str, port: int) -> Collection[str]:
        asked.append(host)
        return addresses[min(len(asked), len(addresses)) - 1]

    async def put(client: Client) -> None:
        kept.append(client)

    fetcher = Fetcher(hosts=hosts, resolve=resolve, allowed=allowed, schemes=schemes)
    clients = DocumentClients(fetcher, put, now=clock, copies={} if copies is None else copies)
    try:
        yield Reader(publisher, clock, kept, clients, asked, addresses)
    finally:
        await clients.close()
        if publisher.hold is not None:
            publisher.hold.set()
        server.close()


def a_document(url: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "client_id": url,
        "client_name": "A program",
        "redirect_uris": ["https://client.example/cb"],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}
