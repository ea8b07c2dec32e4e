"""What other servers behind the gate cost: a call through the Brain against the same call without it.

`python -m bench.upstreams`. One client (FastMCP's), one call at a time, tools that only say what they were
told, so everything that is measured is the way there and back. Then: 500 tools of an upstream that nobody
calls, and an upstream that misbehaves, seen from a call of the Brain's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from app.simulator import Application, Simulator, Team, running
from bench.doors import HOST, Line, Series, Server, free_port, our_server, process, rounds
from bench.load import MODERN

PLAIN = Path(__file__).parents[1] / "tests" / "upstreams" / "plain.py"
RAW = PLAIN.with_name("raw.py")
ROUNDS, CALLS = 60, 5  # of each way in turns
MANY = 500
POLICY = 'version = 1\n[scopes.them]\ntools = ["*"]\n[lan]\nscopes = ["*"]\n'
MODES = ("kill", "hang", "garble", "oversize", "flood", "drip")
MANY_TOOLS = """
from fastmcp import FastMCP
mcp = FastMCP("many")
for number in range({many}):
    async def tool(text: str, times: int = 1, loud: bool = False) -> str:
        return text * times
    mcp.tool(tool, name=f"tool_{{number}}", description="Another tool that nobody calls.")
"""


@dataclass
class Way:
    """One kind: the median of a call without the Brain, through it, and through FastMCP's own proxy
    instead, in milliseconds."""

    kind: str
    direct_ms: float
    through_ms: float
    peer_ms: float | None = None

    @property
    def ratio(self) -> float:
        return self.through_ms / self.direct_ms


@dataclass
class Measured:
    ways: list[Way]
    many: tuple[Line, Line]
    misbehaving: dict[str, float]  # p99 of a call of the Brain's own, in milliseconds; "well" first


async def measure() -> Measured:
    return Measured(await ways(), await _many(), await asyncio.to_thread(misbehaving))


async def ways() -> list[Way]:
    port, brain, peer = free_port(), free_port(), free_port()
    trusted = "trust_annotations = true\n"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY)
        (folder / "upstreams.toml").write_text(
            f'version = 1\n[upstream.inp]\npython = "{PLAIN}:mcp"\n{trusted}'
            f'[upstream.std]\ncommand = ["{sys.executable}", "{PLAIN}"]\n{trusted}'
            f'[upstream.web]\nurl = "http://127.0.0.1:{port}/mcp"\n{trusted}'
        )
        environ = {"DATA_DIR": name, "MCP_PORT": str(brain), "RATE_LIMIT": "0", "LOG_LEVEL": "error"}
        quiet = {"FASTMCP_LOG_LEVEL": "ERROR", "FASTMCP_CHECK_FOR_UPDATES": "off"}
        stack.enter_context(process(["tests.upstreams.plain", "http", str(port)], quiet, {"web": port}))
        serving = {**environ, "MCP_TRANSPORT": "http"}
        stack.enter_context(process(["app.cli.main", "serve"], serving, {"lan": brain}))
        stdio = {**os.environ, **environ, "MCP_TRANSPORT": "stdio"}
        to_peer = ["bench.peer", f"http://127.0.0.1:{port}/mcp", str(peer)]
        stack.enter_context(process(to_peer, quiet, {"web": peer}))
        piped_peer = [sys.executable, "-m", "bench.peer", str(PLAIN)]
        async with (
            Client(f"http://127.0.0.1:{port}/mcp") as web,
            Client(f"http://127.0.0.1:{brain}/mcp") as through,
            Client(StdioTransport(sys.executable, [str(PLAIN)], env={**os.environ, **quiet})) as piped,
            Client(
                StdioTransport(sys.executable, ["-m", "app.cli.main", "serve"], env=stdio)
            ) as through_pipe,
            Client(f"http://127.0.0.1:{peer}/mcp") as web_peer,
            Client(StdioTransport(piped_peer[0], piped_peer[1:], env={**os.environ, **quiet})) as pipe_peer,
        ):
            for client in (through, through_pipe):
                await _all_up(client)
            return await _in_turns(
                {
                    "in process": ((web, "echo"), (through, "inp_echo")),
                    "a process (stdio)": ((piped, "echo"), (through_pipe, "std_echo"), (pipe_peer, "echo")),
                    "HTTP": ((web, "echo"), (through, "web_echo"), (web_peer, "echo")),
                }
            )


async def _in_turns(pairs: dict[str, tuple[tuple[Client[Any], str], ...]]) -> list[Way]:
    times: dict[str, list[list[float]]] = {kind: [[] for _ in ways] for kind, ways in pairs.items()}
    for number in range(ROUNDS + 1):
        for kind, ways in pairs.items():
            for (client, tool), taken in zip(ways, times[kind], strict=True):
                for _ in range(CALLS):
                    began = time.perf_counter()
                    await client.call_tool(tool, {"text": "hello"})
                    if number:  # the first round warms up
                        taken.append((time.perf_counter() - began) * 1000)
    return [Way(kind, *map(median, taken)) for kind, taken in times.items()]


async def _all_up(client: Client[Any]) -> None:
    async with asyncio.timeout(60):
        for tool in ("inp_echo", "std_echo", "web_echo"):
            up = False
            while not up:
                up = not (await client.call_tool(tool, {"text": "up?"}, raise_on_error=False)).is_error
                await asyncio.sleep(0.1)


async def _many() -> tuple[Line, Line]:
    """A call of the Brain's own with no upstream, and with one that has 500 tools."""
    team = Team("acme", now=time.time)  # noqa: TID251
    async with running(Simulator(team, Application(origin="127.0.0.1:1", host=HOST))) as access:
        return await asyncio.to_thread(many_tools, team, access.certs_url)


def many_tools(team: Team, certs_url: str) -> tuple[Line, Line]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        file = Path(name) / "many.py"
        file.write_text(MANY_TOOLS.format(many=MANY))
        toml = Path(name) / "upstreams.toml"
        toml.write_text(f'version = 1\n[upstream.many]\npython = "{file}:mcp"\ntrust_annotations = true\n')
        without = stack.enter_context(our_server(1, team, certs_url))
        with_many = stack.enter_context(our_server(1, team, certs_url, UPSTREAMS_FILE=str(toml)))
        alone, many = rounds(
            [
                Series("no upstream", without, "lan", MODERN, 1, []),
                Series(f"{MANY} tools of an upstream", with_many, "lan", MODERN, 1, []),
            ]
        )
    return alone, many


def misbehaving() -> dict[str, float]:
    """p99 of the Brain's own `echo` while an upstream is called that behaves well, and that does not."""
    team = Team("acme", now=time.time)  # noqa: TID251
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toml = folder / "upstreams.toml"
        command = json.dumps([sys.executable, "-S", str(RAW), name])
        toml.write_text(
            f"version = 1\n[upstream.up]\ncommand = {command}\ntimeout = 1\ntrust_annotations = true\n"
        )
        with our_server(1, team, "https://127.0.0.1:1/certs", UPSTREAMS_FILE=str(toml)) as server:
            series = Series("", server, "lan", MODERN, 1, [])
            taken: dict[str, list[float]] = {"well": [], **{mode: [] for mode in MODES}}
            with calling(server.ports["lan"]) as works:
                for number in range(4):
                    for mode, p99 in taken.items():
                        _until(works)
                        with _behaving(folder, mode, server):
                            result, _ = series.measure(0)
                        if number:
                            p99.append(result.p99_ms)
    return {mode: median(values) for mode, values in taken.items()}


@contextlib.contextmanager
def _behaving(folder: Path, mode: str, server: Server) -> Iterator[None]:
    (folder / "mode").write_text("" if mode in ("well", "kill") else mode)
    if mode == "kill":
        lines = [line for line in (folder / "record").read_text().splitlines() if "started" in line]
        os.kill(json.loads(lines[-1])["started"], signal.SIGKILL)
    try:
        yield
    finally:
        (folder / "mode").write_text("")


@contextlib.contextmanager
def calling(port: int) -> Iterator[Callable[[], bool]]:
    """Calls the upstream ten times a second, whatever comes of it. Yields whether the last call was good."""
    params = {
        "name": "up_echo",
        "arguments": {"text": "x"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {MODERN}\r\n"
        f"Mcp-Method: tools/call\r\nMcp-Name: up_echo\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    good, stop = threading.Event(), threading.Event()

    def call() -> None:
        while not stop.wait(0.1):
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as connection:
                    connection.sendall(head.encode() + body)
                    said = b"".join(iter(lambda: connection.recv(65536), b""))
            except OSError:
                said = b""
            (good.set if b'"isError":false' in said else good.clear)()

    threads = [threading.Thread(target=call, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield good.is_set
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _until(works: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not works():
        if time.monotonic() > deadline:
            raise RuntimeError("the upstream did not come back")
        time.sleep(0.05)


if __name__ == "__main__":
    found = asyncio.run(measure())
    for way in found.ways:
        peer = f"{way.peer_ms / way.direct_ms:.2f} x" if way.peer_ms else ""
        print(f"{way.kind:20} {way.direct_ms:6.2f} ms  {way.through_ms:6.2f} ms  {way.ratio:.2f} x  {peer}")
    for line in found.many:
        print(f"{line.name:28} {line.rps:6.0f}/s  p50 {line.p50_ms:.2f}  cpu {line.cpu_us:.0f}")
    for mode, p99 in found.misbehaving.items():
        print(f"{mode:10} p99 {p99:6.2f} ms  {p99 / found.misbehaving['well']:.2f} x")
