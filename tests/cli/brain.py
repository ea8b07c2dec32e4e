"""`brain` as a process of its own, in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "app.cli.main")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def environ(**variables: str) -> dict[str, str]:
    """Nothing of the tests' own environment but what a process needs."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **variables}


async def brain(folder: Path, *words: str, stdin: bytes = b"", **variables: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        cwd=folder,
        env=environ(**variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@dataclass
class Serving:
    """A running `brain serve` over HTTP."""

    process: asyncio.subprocess.Process
    port: int

    async def said(self, words: str) -> str:
        """The rest of the log up to the line that has `words` in it."""
        assert self.process.stderr is not None
        lines = []
        async with asyncio.timeout(20):
            while line := (await self.process.stderr.readline()).decode():
                lines.append(line)
                if words in line:
                    return "".join(lines)
        raise AssertionError(f"ended without saying {words!r}: {''.join(lines)}")

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def serving(folder: Path, *words: str, **variables: str) -> AsyncIterator[Serving]:
    """Answers when the block begins; killed at its end, if it still runs."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "serve",
        *words,
        cwd=folder,
        env=environ(**{"MCP_TRANSPORT": "http", "MCP_PORT": str(port), **variables}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = Serving(process, port)
    try:
        await server.said("LAN door")
        # Its socket begins to listen a moment after that.
        transport = httpx2.AsyncHTTPTransport(retries=5)
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The pipe's transport is closed by what has read it to its end.
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                await pipe.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
