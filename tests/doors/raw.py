"""HTTP/1.1 by hand: what a client library would never send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PATIENCE = 2.0  # seconds: no answer within it is a hang


@dataclass(frozen=True)
class Reply:
    """The first answer on a connection; status 0 when it was closed without one."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")

    @property
    def error(self) -> str:
        """The code of a refusal, empty for anything else."""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return ""


def message(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


WHOAMI = message("tools/call", name="whoami", arguments={})


def post(
    host: str,
    *headers: str | bytes,
    target: str = "/mcp",
    body: bytes = WHOAMI,
    method: str = "POST",
    chunked: bool = False,
    hosts: Iterable[str] | None = None,
) -> bytes:
    """A whole request. `headers` are lines; `hosts` replaces the one Host line."""
    lines: list[str | bytes] = [f"{method} {target} HTTP/1.1"]
    lines += [f"Host: {one}" for one in ([host] if hosts is None else hosts)]
    lines += ["Content-Type: application/json", "Accept: application/json, text/event-stream", *headers]
    lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    head = b"\r\n".join(line if isinstance(line, bytes) else line.encode("latin-1") for line in lines)
    return head + b"\r\n\r\n" + (chunks(body) if chunked else body)


def chunks(body: bytes, *trailers: str) -> bytes:
    tail = "".join(f"{line}\r\n" for line in trailers).encode()
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, tail)


async def send(url: str, request: bytes) -> Reply:
    """The answer to `request` at `url` (`http://host:port`). Raises TimeoutError when there is none."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(request)
            return await read(reader, bodiless=request.startswith(b"HEAD "))
        finally:
            await closed(writer)


async def read(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Reply:
    """The next answer; an early end or a reset is one of status 0."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = tuple(
            (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])
        )
        length = 0 if bodiless else int(dict(pairs).get("content-length", "0"))
        return Reply(int(head[0].split()[1]), pairs, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(0, (), b"")


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
