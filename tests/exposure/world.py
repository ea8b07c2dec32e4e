"""The stand-in Cloudflare and `brain tunnel …` as processes, and somebody who knocks all the time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.brain import COMMAND, environ, free_port

HOST = "brain.example.com"
URL = f"https://{HOST}/mcp"
OWNER = "alice@example.com"
PATIENCE = 90.0
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}

needs_cloudflared = pytest.mark.skipif(
    not os.environ.get("CLOUDFLARED_BIN"), reason="needs a real cloudflared: set CLOUDFLARED_BIN"
)


@dataclass
class World:
    """A folder with nothing in it, and the environment that makes the stand-in its internet."""

    folder: Path
    environment: dict[str, str]
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    def environ(self, **more: str) -> dict[str, str]:
        here = {
            "MCP_PORT": str(self.ports[0]),
            "TUNNEL_DOOR": f"127.0.0.1:{self.ports[1]}",
            "CLOUDFLARED_BIN": os.environ.get("CLOUDFLARED_BIN", ""),
            "HOME": str(self.folder),
        }
        return environ(**{**self.environment, **here, **more})

    async def brain(self, *words: str, **more: str) -> tuple[int, str]:
        """Exit code, and what was said on both."""
        return await self._run(*COMMAND, *words, **more)

    async def through(self, way: str, *file: str) -> dict[str, Any]:
        """What a client sees that comes in this way. Raises AssertionError if it does not come in."""
        code, said = await self._run(COMMAND[0], "-m", "tests.exposure.through", way, URL, *file)
        assert code == 0, said
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    async def thinks(self, seconds: float, note: Path, *, era: str) -> str:
        """What a person's client is answered by the slow tool; cancelled, it goes away in the middle."""
        call = json.dumps({"seconds": seconds, "note": str(note)})
        code, said = await self._run(COMMAND[0], "-m", "tests.exposure.through", "call", URL, era, call)
        assert code == 0, said
        return said.splitlines()[-1]

    async def _run(self, *words: str, **more: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=self.folder,
            env=self.environ(**more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(2 * PATIENCE):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, said.decode()

    @contextlib.asynccontextmanager
    async def another_connector(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Somebody else's cloudflared, with the token of this tunnel; connected when the block begins."""
        token = str(self.folder / "data" / "tunnel" / "token")
        words = ("tunnel", "--config", os.devnull, "--metrics", "127.0.0.1:0", "run", "--token-file", token)
        before = await self.connected()
        process = await asyncio.create_subprocess_exec(
            os.environ["CLOUDFLARED_BIN"],
            *words,
            env=self.environ(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.connected() <= before:  # noqa: ASYNC110 - it comes from another process
                    await asyncio.sleep(0.05)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def connected(self) -> int:
        """How many connections the one tunnel has."""
        async with self.at_cloudflare() as http:
            [tunnel] = (await http.get(f"{self.account}/cfd_tunnel?is_deleted=false")).json()["result"]
            found = await http.get(f"{self.account}/cfd_tunnel/{tunnel['id']}/connections")
            return len(found.json()["result"])

    @property
    def account(self) -> str:
        return f"/accounts/{self.environment['CLOUDFLARE_ACCOUNT_ID']}"

    def at_cloudflare(self) -> httpx2.AsyncClient:
        """A client of the API, with the account's own token."""
        headers = {"Authorization": f"Bearer {self.environment['CLOUDFLARE_API_TOKEN']}"}
        base = self.environment["CLOUDFLARE_API_BASE"]
        return httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False)

    def internet(self) -> httpx2.AsyncClient:
        """A client of somebody out there."""
        trust = ssl.create_default_context(cafile=self.environment["SSL_CERT_FILE"])
        return httpx2.AsyncClient(proxy=self.environment["HTTPS_PROXY"], verify=trust, trust_env=False)

    async def left_at_cloudflare(self) -> list[str]:
        """Everything that is still there, by the API itself."""
        async with self.at_cloudflare() as http:
            (zone,) = (await http.get("/zones")).json()["result"]
            places = [
                f"{self.account}/access/apps",
                f"{self.account}/access/policies",
                f"{self.account}/access/service_tokens",
                f"{self.account}/cfd_tunnel?is_deleted=false",
                f"/zones/{zone['id']}/dns_records",
            ]
            answers = [(await http.get(place)).json() for place in places]
        return [str(one.get("name")) for answer in answers for one in answer["result"]]


@dataclass
class Up:
    """A running `brain tunnel up`, and what it has said."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def said(self, words: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if words in line:
                    return
        raise AssertionError(f"ended without saying {words!r}: {self.text}")

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.lines.append((await self.process.stdout.read()).decode())
            return await self.process.wait()

    async def stop(self) -> int:
        self.process.terminate()
        return await self.ended()

    @property
    def text(self) -> str:
        return "".join(self.lines)


@contextlib.asynccontextmanager
async def world(folder: Path, *words: str) -> AsyncIterator[World]:
    """`words`: what `brain simulate --cloudflare` shall do wrong."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--env-file",
        os.devnull,
        "simulate",
        "--cloudflare",
        "--json",
        *words,
        env=environ(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        said = b""
        async with asyncio.timeout(PATIENCE):
            while not said.rstrip().endswith(b"\n}"):
                said += await process.stdout.readline()
        yield World(folder, json.loads(said)["environment"])
    finally:
        process.terminate()
        await process.stdout.read()
        await process.wait()


@contextlib.asynccontextmanager
async def up(world: World, *words: str, **more: str) -> AsyncIterator[Up]:
    """Killed at the end of the block, if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "tunnel",
        "up",
        *words,
        cwd=world.folder,
        env=world.environ(**more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Up(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdout is not None
        await process.stdout.read()
        await process.wait()


@dataclass
class Knocks:
    """What a stranger was answered. `inside`: whatever came from a tool."""

    answers: Counter[str] = field(default_factory=Counter)
    inside: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def knocking(world: World) -> AsyncIterator[Knocks]:
    """A stranger who asks a tool, over and over, from before there is anything until after it is gone."""
    knocks = Knocks()

    async def knock() -> None:
        headers = {"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2025-11-25"}
        async with world.internet() as http:
            while True:
                try:
                    answer = await http.post(URL, json=CALL, headers=headers, timeout=10)
                except httpx2.TransportError as problem:
                    knocks.answers[type(problem).__name__] += 1
                else:
                    knocks.answers[str(answer.status_code)] += 1
                    if answer.status_code < 300 or "result" in answer.text:
                        knocks.inside.append(answer.text)
                await asyncio.sleep(0.05)

    task = asyncio.create_task(knock())
    try:
        yield knocks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
