"""An MCP server made of nothing but the standard library, which misbehaves when it is told to.

`python raw.py FOLDER` speaks on standard input and output; `RawHttp` speaks HTTP in the loop of a test.
FOLDER/mode says how to behave from the next message on; FOLDER/tools.json what to list;
FOLDER/answers.json what to answer to other methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
LARGE = 24 * 1024 * 1024
TOOLS = [
    {"name": "echo", "description": "Says what it was told.", "inputSchema": {"type": "object"}},
    {"name": "seen", "description": "What it knows of us.", "inputSchema": {"type": "object"}},
    {"name": "say", "description": "Says what is in the file.", "inputSchema": {"type": "object"}},
    {"name": "refuse", "description": "Refuses with a code.", "inputSchema": {"type": "object"}},
]
GARBAGE = b'{"jsonrpc": "2.0", "id": 1, "result": {"con\x00\xff\xfe not at all\n'
NOISE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n'


class Folder:
    """What the server is told by a test, and what it tells."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return (self.path / name).read_text()
        return ""

    @property
    def mode(self) -> str:
        return self.read("mode")

    def tools(self) -> list[dict[str, Any]]:
        text = self.read("tools.json")
        return list(json.loads(text)) if text else TOOLS

    def answers(self) -> dict[str, dict[str, Any]]:
        text = self.read("answers.json")
        return dict(json.loads(text)) if text else {}

    def record(self, what: Any) -> None:
        with (self.path / "record").open("a") as out:
            out.write(json.dumps(what) + "\n")


def answer(folder: Folder, message: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON-RPC answer, or None for what needs none."""
    method, number = message.get("method"), message.get("id")
    folder.record({"message": message, **seen})
    if number is None:
        return None
    old = "legacy" in folder.mode
    answers = folder.answers()
    capabilities: dict[str, Any] = {"tools": {"listChanged": True}} | ({"resources": {}} if answers else {})
    if method in answers and "code" in answers[method]:
        return {"jsonrpc": "2.0", "id": number, "error": answers[method]}
    if method in answers:
        cached = {} if old else {"ttlMs": 0, "cacheScope": "private"}
        return _result(number, cached | answers[method], modern=not old)
    if method == "server/discover" and not old:
        return _result(number, {"supportedVersions": [MODERN], "capabilities": capabilities, "ttlMs": 0})
    if method == "initialize":
        info = {"name": "raw", "version": "1"}
        return _result(
            number,
            {"protocolVersion": LEGACY, "capabilities": capabilities, "serverInfo": info},
            modern=False,
        )
    if method == "tools/list":
        return _result(number, {"tools": folder.tools(), "ttlMs": 0, "cacheScope": "private"}, modern=not old)
    if method == "tools/call" and message["params"]["name"] == "refuse":
        error = {"message": "not on Sundays", **message["params"]["arguments"]}
        return {"jsonrpc": "2.0", "id": number, "error": error}
    if method == "tools/call":
        return _result(number, called(folder, message["params"], seen), modern=not old)
    if method == "ping":
        return _result(number, {}, modern=not old)
    return {"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": f"no {method}"}}


def called(folder: Folder, params: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    name, arguments = params["name"], params.get("arguments") or {}
    if name == "echo":
        text = str(arguments.get("text", ""))
    elif name == "seen":
        text = json.dumps({"meta": params.get("_meta"), **seen})
    elif name == "exact":
        return dict(json.loads(folder.read("exact")))
    else:
        text = folder.read("say")
    return {"content": [{"type": "text", "text": text}], "isError": bool(arguments.get("fail"))}


def _result(number: Any, result: dict[str, Any], *, modern: bool = True) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": ({"resultType": "complete"} if modern else {}) | result}


def large(number: Any) -> bytes:
    text = "x" * LARGE
    result = {"content": [{"type": "text", "text": text}], "resultType": "complete"}
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode() + b"\n"


def main(folder: Folder) -> None:
    """Standard input and output. Every message is handled in a thread, so that hanging hangs nobody else."""
    lock, out = threading.Lock(), sys.stdout.buffer
    folder.record({"started": os.getpid(), "environ": dict(os.environ), "cwd": os.getcwd()})
    print("raw server: up", folder.read("stderr"), file=sys.stderr, flush=True)

    def handle(line: bytes) -> None:
        message = json.loads(line)
        mode = folder.mode
        if "hang" in mode:
            return
        if "strict" in mode and message.get("method") == "server/discover":
            os._exit(1)
        if "die" in mode and message.get("method") == "tools/call":
            os._exit(3)
        said = answer(folder, message, {"environ": dict(os.environ)})
        if said is None or ("mute" in mode and message.get("method") == "tools/call"):
            return
        data = json.dumps(said).encode() + b"\n"
        with lock:
            if message.get("method") != "tools/call":
                pass
            elif "garble" in mode:
                data = GARBAGE
            elif "oversize" in mode:
                data = large(said["id"])
            elif "flood" in mode:
                while "flood" in folder.mode:
                    out.write(NOISE * 500)
                    out.flush()
            elif "drip" in mode:
                for one in data:
                    out.write(bytes([one]))
                    out.flush()
                    time.sleep(0.2)
                return
            out.write(data)
            out.flush()

    for line in sys.stdin.buffer:
        threading.Thread(target=handle, args=(line,), daemon=True).start()


class RawHttp:
    """The same over streamable HTTP, one JSON answer for each POST, or a stream with `stream` in the mode."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """As if its machine had been switched off, but for the port."""
        if self._server is not None:
            self._server.close()
        for writer, task in list(self._open.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                headers = [line.split(": ", 1) for line in lines[1:] if line]
                length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
                body = await reader.readexactly(length)
                await self._reply(writer, lines[0], headers, body)
        del self._open[writer]
        writer.close()

    async def _reply(
        self, writer: asyncio.StreamWriter, first: str, headers: list[list[str]], body: bytes
    ) -> None:
        mode = self.folder.mode
        if first.startswith("DELETE") and "lingers" in mode:
            await self._linger(writer)
        if not first.startswith("POST"):
            writer.write(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
            return
        message = json.loads(body)
        call = message.get("method") == "tools/call"
        if "hang" in mode:
            await asyncio.sleep(3600)
        if "status" in mode:
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            return
        said = answer(self.folder, message, {"headers": headers})
        if said is None:
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            return
        data = json.dumps(said).encode()
        if call and "garble" in mode:
            data = GARBAGE
        if call and "oversize" in mode:
            data = large(said["id"])
        if call and "flood" in mode:
            await self._flood(writer)
            return
        session = b"Mcp-Session-Id: 1\r\n" if "lingers" in mode else b""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        writer.write(head % (session, len(data)))
        if call and "drip" in mode:
            for one in data:
                writer.write(bytes([one]))
                await writer.drain()
                await asyncio.sleep(0.2)
            return
        writer.write(data)
        await writer.drain()

    async def _linger(self, writer: asyncio.StreamWriter) -> None:
        """An answer of which there is always a little more."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.2)

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        while "flood" in self.folder.mode:
            writer.write((b"event: message\r\ndata: " + NOISE.strip() + b"\r\n\r\n") * 50)
            await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_http(folder: Folder) -> AsyncIterator[RawHttp]:
    server = RawHttp(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


if __name__ == "__main__":
    main(Folder(Path(sys.argv[1])))
