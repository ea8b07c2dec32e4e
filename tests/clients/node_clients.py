"""Clients that run in Node: both TypeScript SDKs, the mcp-remote shim, and the Inspector's command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .python_clients import Mode, sdk_client
from .story import Answer, Session
from .ways import SSE, STDIO, Way

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
LINE_LIMIT = 4 * 1024 * 1024


class TalkSession:
    """`talk.mjs` at the other end of a pipe."""

    protocol = ""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tools(self) -> Sequence[str]:
        return list((await self._ask({}))["tools"])

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._ask({"tool": tool, "arguments": arguments})
        return Answer(got["error"], got["text"], got["data"])

    async def _ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.line()

    async def line(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = await self._process.stdout.readline()
        if not line:
            raise AssertionError((await self._process.stderr.read()).decode()[-1500:])
        answer: Mapping[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def typescript_client(way: Way, node: Path, sdk: str, mode: Mode) -> AsyncIterator[Session]:
    """`sdk`: v1 is @modelcontextprotocol/sdk, v2 its successor @modelcontextprotocol/client."""
    wanted = {"sdk": sdk, "mode": mode, "url": way.url, "headers": dict(way.headers), "sse": way.name == SSE}
    if way.command:
        wanted |= {"command": way.command, "env": dict(way.env), "cwd": str(way.folder)}
    process = await asyncio.create_subprocess_exec(
        str(node),
        *(str(HERE / "talk.mjs"), json.dumps(wanted)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
    )
    try:
        session = TalkSession(process)
        session.protocol = (await session.line())["protocol"]
        yield session
    finally:
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Closes the standard input, which is how such a program is asked to end; what does not end is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(10):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def mcp_remote(way: Way, node: Path) -> AsyncIterator[Session]:
    """As in a desktop client's configuration: a local command that stands for the remote server."""
    headers = [part for name, value in way.headers.items() for part in ("--header", f"{name}:{value}")]
    only = "sse-only" if way.name == SSE else "http-only"
    program = str(MODULES / "mcp-remote" / "dist" / "proxy.js")
    shim = Way(
        STDIO,
        way.folder,
        command=(str(node), program, way.url, "--transport", only, "--silent", *headers),
        env={"MCP_REMOTE_CONFIG_DIR": str(way.folder / "mcp-remote")},
    )
    async with sdk_client(shim, "legacy") as session:
        yield session


class InspectorSession:
    """One run of the Inspector for each question."""

    protocol = ""

    def __init__(self, way: Way, node: Path) -> None:
        self._way, self._node = way, node

    async def tools(self) -> Sequence[str]:
        return [tool["name"] for tool in (await self._run("tools/list"))["tools"]]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        pairs = [f"{name}={as_argument(value)}" for name, value in arguments.items()]
        got = await self._run("tools/call", "--tool-name", tool, "--tool-arg", *pairs)
        if got.get("error", {}).get("code") == "tool_not_found":
            return Answer(True, got["error"]["message"], asked=False)
        text = "\n".join(block.get("text", "") for block in got["content"])
        return Answer(got.get("isError", False), text, got.get("structuredContent") or {})

    async def _run(self, method: str, *more: str) -> Mapping[str, Any]:
        way = self._way
        target = list(way.command)
        if not way.command:
            target = ["--server-url", way.url, "--transport", "sse" if way.name == SSE else "http"]
        for name, value in way.headers.items():
            target += ["--header", f"{name}: {value}"]
        for name, value in way.env.items():
            target += ["-e", f"{name}={value}"]
        program = str(MODULES / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build")
        process = await asyncio.create_subprocess_exec(
            str(self._node),
            *(f"{program}/index.js", "--cli", *target, "--method", method, *more),
            cwd=way.folder,
            env={"HOME": str(way.folder), "PATH": os.environ["PATH"]},  # it leaves files in the home folder
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        try:
            answer: Mapping[str, Any] = json.loads(said or complained)
        except ValueError:
            raise AssertionError((said + complained).decode()[-1500:]) from None
        return answer


def as_argument(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextlib.asynccontextmanager
async def inspector(way: Way, node: Path) -> AsyncIterator[Session]:
    yield InspectorSession(way, node)
