"""What the doors cost: requests per second, latency, CPU and memory against stock FastMCP, in one run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from app.simulator import Application, Simulator, Team, running
from bench.load import LEGACY, MODERN, Result

HOST = "brain.example.com"
ROUNDS = 5
SECONDS = 2.0
FRESH_TOKENS = 4000
POLICY = """
version = 1
[[rule]]
name = "family"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write"]
[[rule]]
name = "crowd"
domains = ["example.com"]
scopes = ["mcp:tools:write"]
"""


@dataclass
class Server:
    """A server process. `door` ports by name."""

    pid: int
    ports: dict[str, int]


@dataclass
class Line:
    """One measured series: medians over the rounds."""

    name: str
    era: str
    tools: int
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    rss_mb: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def process(words: list[str], environ: dict[str, str], ports: dict[str, int]) -> Iterator[Server]:
    """Starts `python -m …`, waits until every port answers, and ends it by its pid."""
    child = subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for port in ports.values():
            wait_for(port, child)
        yield Server(child.pid, ports)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    """Until something answers HTTP on `port`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"the server ended with {child.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), 0.2) as probe:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                if probe.recv(12):
                    return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError("the server does not answer")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def load(job: dict[str, Any]) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=True,
    )
    result = Result(**json.loads(done.stdout))
    if result.bad or not result.requests:
        raise RuntimeError(f"{result.bad} bad answers of {result.requests}: {job['era']} {job['host']}")
    return result


@dataclass
class Series:
    name: str
    server: Server
    door: str
    era: str
    tools: int
    tokens: list[list[str]]  # a list of assertions for each round; empty for none
    tool: str = "echo"
    bearer: str = ""

    def measure(self, number: int) -> tuple[Result, float]:
        job = {
            "port": self.server.ports[self.door],
            "era": self.era,
            "host": HOST if self.door == "tunnel" else f"127.0.0.1:{self.server.ports[self.door]}",
            "seconds": SECONDS,
            "tool": self.tool,
            "bearer": self.bearer,
            "assertions": self.tokens[number % len(self.tokens)] if self.tokens else [],
        }
        before = cpu_seconds(self.server.pid)
        result = load(job)
        return result, (cpu_seconds(self.server.pid) - before) / result.requests * 1e6


async def measure() -> list[Line]:
    """All series, their rounds interleaved, so that noise of the machine falls on all alike."""
    team = Team("acme", now=time.time)  # noqa: TID251
    async with running(Simulator(team, Application(origin="127.0.0.1:1", host=HOST))) as access:
        return await asyncio.to_thread(_measure, team, access.certs_url)


def _measure(team: Team, certs_url: str) -> list[Line]:
    warm = [[team.token("alice@example.com")]]
    print(f"signing {FRESH_TOKENS * ROUNDS} assertions for the cold series …", file=sys.stderr)
    fresh = [[team.token(f"p{i}@example.com", n=i) for i in range(FRESH_TOKENS)] for _ in range(ROUNDS)]
    lines: list[Line] = []
    for tools in (1, 50):
        for era in (MODERN, LEGACY):
            with contextlib.ExitStack() as stack:
                stock = stack.enter_context(stock_server(tools))
                ours = stack.enter_context(our_server(tools, team, certs_url))
                lines += rounds(
                    [
                        Series("stock FastMCP, no auth", stock, "lan", era, tools, []),
                        Series("LAN door", ours, "lan", era, tools, []),
                        Series("tunnel door, warm", ours, "tunnel", era, tools, warm),
                        Series("tunnel door, fresh assertion", ours, "tunnel", era, tools, fresh),
                    ]
                )
    return lines


def rounds(series: list[Series]) -> list[Line]:
    for one in series:
        one.measure(0)  # warm up
    taken: dict[str, list[tuple[Result, float]]] = {one.name: [] for one in series}
    for number in range(ROUNDS):
        for one in series:
            taken[one.name].append(one.measure(number))
    return [
        Line(
            one.name,
            one.era,
            one.tools,
            median(r.requests / r.seconds for r, _ in taken[one.name]),
            median(r.p50_ms for r, _ in taken[one.name]),
            median(r.p99_ms for r, _ in taken[one.name]),
            median(cpu for _, cpu in taken[one.name]),
            rss_mb(one.server.pid),
        )
        for one in series
    ]


@contextlib.contextmanager
def stock_server(tools: int) -> Iterator[Server]:
    port = free_port()
    quiet = {"FASTMCP_CHECK_FOR_UPDATES": "off"}  # it would ask the package index, and wait
    with process(["bench.servers", "stock", str(port), str(tools)], quiet, {"lan": port}) as server:
        yield server


@contextlib.contextmanager
def our_server(
    tools: int, team: Team, certs_url: str, flavour: str = "ours", **settings: str
) -> Iterator[Server]:
    lan, tunnel = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "policy.toml").write_text(POLICY)
        environ = {
            "MCP_TRANSPORT": "http",
            "MCP_PORT": str(lan),
            "TUNNEL_DOOR": f"127.0.0.1:{tunnel}",
            "BASE_URL": f"https://{HOST}",
            "CF_ACCESS_TEAM": "acme",
            "CF_ACCESS_AUD": team.aud,
            "CF_ACCESS_CERTS_URL": certs_url,
            "DATA_DIR": folder,
            "RATE_LIMIT": "0",  # the load is one person
            **settings,
        }
        words = ["bench.servers", flavour, str(lan), str(tools)]
        with process(words, environ, {"lan": lan, "tunnel": tunnel}) as server:
            yield server
