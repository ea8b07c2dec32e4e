"""`brain demo`: a real server behind the stand-in for Access, three people, and what each may use."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from rich.console import Console
from rich.table import Table

from app.cli.policy_files import Usage
from app.cli.simulate import PEOPLE, environment, until_stopped
from app.settings import Settings
from app.simulator import Application, Person, Running, ServiceToken, Simulator, Team, running

POLICY = Path(__file__).parent.parent.parent / "deploy" / "demo" / "policy.toml"
NIGHTLY = "00000000000000000000000000000de0.access"
NOTES = (
    ("Garden", "Tomatoes want sun. See [[Kitchen]].", ["home"]),
    ("Kitchen", "The oven is 20° too hot.", ["home"]),
    ("Trip to the coast", "Leave on Friday, tide is low at nine.", ["travel"]),
)
START_SECONDS = 30.0


@dataclass(frozen=True)
class Seen:
    """What one of them saw and what happened when they wrote a note."""

    who: str
    rule: str
    tools: str
    wrote: str


def register(nouns: Any) -> None:
    parser = nouns.add_parser("demo", help="three people, one Access simulator, and what each may use")
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.set_defaults(run=demo)


def demo(args: argparse.Namespace, settings: Settings) -> int:
    team = Team(
        "demo",
        now=time.time,  # noqa: TID251 - a root
        people=[Person(email) for email in PEOPLE.split(",")],
        service_tokens=[ServiceToken("nightly", NIGHTLY)],
    )
    asyncio.run(_show(team, once=args.once))
    return 0


async def _show(team: Team, *, once: bool) -> None:
    origin = f"127.0.0.1:{_free_port()}"
    async with running(Simulator(team, Application(origin=origin))) as run, _brain(run) as lan:
        await _write_notes(lan)
        console = Console(width=None if sys.stdout.isatty() else 110)
        console.print("The Brain runs behind a stand-in for Cloudflare Access, on loopback.\n")
        console.print(_table([await _visit(run, who) for who in (*team.people, NIGHTLY)]))
        console.print(f"\nWithout a credential: HTTP {await _nobody(run)}, nothing else.")
        console.print(f"On the LAN, no login: {lan}")
        if not once:
            console.print(f"\nOpen {run.edge_url} and pick a person. Ctrl-C ends the demo.")
            await until_stopped()


@contextlib.asynccontextmanager
async def _brain(run: Running) -> AsyncIterator[str]:
    """A real `brain serve` that trusts `run`; gives the address of its LAN door."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="brain-demo-") as folder:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_ACCESS_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.cli.main",
            "serve",
            env={
                **inherited,
                **environment(run),
                "MCP_TRANSPORT": "http",
                "MCP_HOST": "127.0.0.1",
                "MCP_PORT": str(port),
                "DATA_DIR": folder,
                "DATABASE_URL": "",
                "POLICY_FILE": str(POLICY),
                "OAUTH_ENABLED": "false",
                "LOG_LEVEL": "error",
            },
            cwd=folder,  # not where a .env of the reader's own may be
        )
        try:
            lan = f"http://127.0.0.1:{port}"
            await _ready(lan, process)
            yield f"{lan}/mcp"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _ready(lan: str, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with httpx2.AsyncClient(trust_env=False) as http:
        while time.monotonic() < deadline and process.returncode is None:
            with contextlib.suppress(httpx2.TransportError):
                if (await http.get(f"{lan}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise Usage("the Brain did not start; what it said stands above")


async def _write_notes(lan: str) -> None:
    async with Client(lan) as client:
        for title, text, tags in NOTES:
            await client.call_tool("create_note", {"title": title, "text": text, "tags": tags})


async def _visit(run: Running, who: str) -> Seen:
    team = run.simulator.team
    if "@" in who:
        headers = {"Cf-Access-Token": team.token(who)}
    else:
        secret = team.service_tokens[who].client_secret
        headers = {"CF-Access-Client-Id": who, "CF-Access-Client-Secret": secret}
    async with Client(StreamableHttpTransport(f"{run.edge_url}/mcp", headers=headers)) as client:
        tools = [tool.name for tool in await client.list_tools()]
        me = (await client.call_tool("whoami", {})).structured_content or {}
        try:
            await client.call_tool("create_note", {"title": "Hello", "text": f"from {who}"})
            wrote = "created"
        except ToolError as refused:
            wrote = str(refused)
    return Seen(who, ", ".join(me["rules"]) or "no rule", f"{len(tools)}: {', '.join(tools)}", wrote)


async def _nobody(run: Running) -> int:
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http:
        return (await http.post(f"{run.edge_url}/mcp", json={})).status_code


def _table(rows: list[Seen]) -> Table:
    table = Table("who", "rule", "sees", "create_note", show_lines=True)
    for row in rows:
        table.add_row(row.who, row.rule, row.tools, row.wrote)
    return table


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
