"""Clients that run in Node: both TypeScript SDKs, the mcp-remote shim, and the Inspector's command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastmcp.exceptions import ToolError
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.clients.node_clients import ended

from .browser import READ, Consent, remembered
from .place import Place, as_program
from .python_clients import text_of
from .story import Answer, Session

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SECONDS = 60


class TypeScript:
    """`login.mjs` at the other end of a pipe."""

    def __init__(self, place: Place, process: Process) -> None:
        self.place, self._process = place, process

    async def tools(self) -> Sequence[str]:
        return list((await self._ask({}))["tools"])

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._ask({"tool": tool, "arguments": dict(arguments)})
        return Answer(got["error"], got["text"])

    async def time_passes(self) -> None:
        """These SDKs refresh when the server says 401."""

    async def revoke(self) -> bool:
        held = await self._ask({"token": True})
        answer = await self.place.person.http.post(f"{self.place.issuer}/revoke", data=dict(held))
        assert answer.status_code == 200, answer.text
        return True

    def consents(self) -> list[Consent]:
        return self.place.person.consents

    async def _ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():
                got: Mapping[str, Any] = json.loads(line)
                if "open" in got:
                    await self.place.person.visit(got["open"])
                elif "problem" in got:
                    raise ToolError(got["problem"])
                else:
                    return got
            raise AssertionError((await self._process.stderr.read()).decode()[-1500:])


@contextlib.asynccontextmanager
async def typescript(place: Place, node: Path, sdk: str, mode: str) -> AsyncIterator[Session]:
    """`sdk`: v1 is @modelcontextprotocol/sdk, v2 its successor @modelcontextprotocol/client."""
    wanted = json.dumps({"sdk": sdk, "mode": mode, "url": place.url})
    process = await asyncio.create_subprocess_exec(
        str(node), str(HERE / "login.mjs"), wanted,
        stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=4 * 1024 * 1024,
    )  # fmt: skip
    try:
        yield TypeScript(place, process)
    finally:
        await ended(process)


class Opened:
    """A client that opens a browser by itself."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.environ = as_program(place.folder)

    async def time_passes(self) -> None:
        """These refresh when the server says 401."""

    async def revoke(self) -> bool:
        return False

    def consents(self) -> list[Consent]:
        return remembered(Path(self.environ["BROWSER_LOG"]))


class Shim(Opened):
    """A desktop client behind mcp-remote: it knows nothing of OAuth."""

    def __init__(self, place: Place, node: Path) -> None:
        super().__init__(place)
        self._node = node
        self._stack = contextlib.AsyncExitStack()
        self._client: Client | None = None

    async def tools(self) -> Sequence[str]:
        return [tool.name for tool in (await (await self.client()).list_tools()).tools]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        async with asyncio.timeout(SECONDS):
            got = await (await self.client()).call_tool(tool, dict(arguments))
        return Answer(bool(got.is_error), text_of(got.content))

    async def client(self) -> Client:
        if self._client is None:
            program = str(MODULES / "mcp-remote" / "dist" / "proxy.js")
            shim = StdioServerParameters(
                command=str(self._node),
                args=[program, self.place.url, "--transport", "http-only", "--silent"],
                env=self.environ | {"MCP_REMOTE_CONFIG_DIR": str(self.place.folder / "mcp-remote")},
                cwd=self.place.folder,
            )
            async with asyncio.timeout(SECONDS):
                self._client = await self._stack.enter_async_context(Client(shim, mode="legacy"))
        return self._client

    async def close(self) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def mcp_remote(place: Place, node: Path) -> AsyncIterator[Session]:
    shim = Shim(place, node)
    try:
        yield shim
    finally:
        await shim.close()


class Inspector(Opened):
    """One run of the Inspector for each question; it keeps its tokens in the home folder.

    `listed`: a configuration file names the server and a scope. Without a scope, or with the address on
    the command line, the Inspector refreshes on a 403 and gives up.
    """

    def __init__(self, place: Place, node: Path, *, listed: bool) -> None:
        super().__init__(place)
        self._node = node
        self._target = ["--server-url", place.url, "--transport", "http"]
        if listed:
            file = place.folder / "inspector.json"
            entry = {"type": "streamable-http", "url": place.url, "oauth": {"scopes": READ}}
            file.write_text(json.dumps({"mcpServers": {"brain": entry}}))
            self._target = ["--config", str(file), "--server", "brain"]
        self.environ |= {"MCP_AUTO_OPEN_ENABLED": "true", "MCP_INSPECTOR_SECRET_STORE": "file"}

    async def tools(self) -> Sequence[str]:
        return [tool["name"] for tool in (await self._run("tools/list"))["tools"]]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        pairs = [f"{name}={value}" for name, value in arguments.items()]
        got = await self._run("tools/call", "--tool-name", tool, "--tool-arg", *pairs)
        if "content" not in got:
            raise ToolError(json.dumps(got)[:400])
        text = "\n".join(block.get("text", "") for block in got["content"])
        return Answer(got.get("isError", False), text)

    async def _run(self, method: str, *more: str) -> Mapping[str, Any]:
        program = str(
            MODULES / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
        )
        process = await asyncio.create_subprocess_exec(
            str(self._node), program, "--cli", *self._target, "--method", method, *more,
            cwd=self.place.folder, env=self.environ, stdin=PIPE, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        async with asyncio.timeout(SECONDS):
            said, complained = await process.communicate(b"y\n")  # to "Proceed with step-up?"
        try:
            answer: Mapping[str, Any] = json.loads(said or complained)
        except ValueError:
            raise AssertionError((said + complained).decode()[-1500:]) from None
        return answer


@contextlib.asynccontextmanager
async def inspector(place: Place, node: Path, *, listed: bool) -> AsyncIterator[Session]:
    yield Inspector(place, node, listed=listed)
