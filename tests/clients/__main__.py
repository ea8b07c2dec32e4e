"""`python -m tests.clients`: every client on every way to the server, in one table."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.nodejs import NoNode, prepare

from . import ways
from .node_clients import HERE, inspector, mcp_remote, typescript_client
from .python_clients import fastmcp_client, sdk_client
from .story import Session, only_reads, reads_and_writes
from .ways import Way

Connect = Callable[[Way], AbstractAsyncContextManager[Session]]
SECONDS = 60
NOT_MEANT = {("mcp-remote", ways.STDIO)}  # it is itself what makes stdio of HTTP
SPEAK_NEWEST = {"FastMCP", "Python SDK", "TypeScript SDK 2"}


def python_clients() -> dict[str, Connect]:
    return {
        "FastMCP": partial(fastmcp_client, mode="auto"),
        "FastMCP, legacy": partial(fastmcp_client, mode="legacy"),
        "Python SDK": partial(sdk_client, mode="auto"),
        "Python SDK, legacy": partial(sdk_client, mode="legacy"),
    }


def node_clients(node: Path) -> dict[str, Connect]:
    return {
        "TypeScript SDK 2": partial(typescript_client, node=node, sdk="v2", mode="auto"),
        "TypeScript SDK 2, legacy": partial(typescript_client, node=node, sdk="v2", mode="legacy"),
        "TypeScript SDK 1": partial(typescript_client, node=node, sdk="v1", mode="legacy"),
        "mcp-remote": partial(mcp_remote, node=node),
        "Inspector": partial(inspector, node=node),
    }


async def try_out(client: str, connect: Connect, way: Way) -> str:
    """Connects, lives the story of this way, and returns the protocol version. Raises what went wrong."""
    async with asyncio.timeout(SECONDS), connect(way) as session:
        await (reads_and_writes if way.may_write else only_reads)(session)
        expected = "2026-07-28" if client in SPEAK_NEWEST else "2025-11-25"
        # Over SSE, which only older servers have, some of the newest clients do not even ask.
        assert way.name == ways.SSE or session.protocol in ("", expected), session.protocol
        return session.protocol


@dataclass(frozen=True)
class Outcome:
    """The protocol version that was spoken, or what went wrong."""

    protocol: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return "FAILS" if self.problem else f"✓ {self.protocol}"


Outcomes = dict[tuple[str, str], Outcome]


async def run(clients: dict[str, Connect], names: list[str]) -> Outcomes:
    """By client and way."""
    outcome: Outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        async with ways.ways(Path(folder)) as found:
            for client, connect in clients.items():
                for name in names:
                    if (client, name) not in NOT_MEANT:
                        print(f"{client}, {name} …", file=sys.stderr, flush=True)
                        outcome[client, name] = await attempt(client, connect, found[name])
    return outcome


async def attempt(client: str, connect: Connect, way: Way) -> Outcome:
    try:
        return Outcome(await try_out(client, connect, way))
    except Exception as raised:
        return Outcome(problem="".join(traceback.format_exception(raised)))


def main() -> int:
    """0: everything that could run went well; 1: something did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--client", help="only clients whose name has this in it")
    parser.add_argument("--way", choices=ways.NAMES, help="only this way")
    args = parser.parse_args()
    logging.disable(logging.ERROR)  # of refusals that the story asks for
    clients = python_clients()
    try:
        clients |= node_clients(prepare(HERE))
    except NoNode as why:
        print(f"Clients in Node skipped: {why}.", file=sys.stderr)
    chosen = {name: connect for name, connect in clients.items() if (args.client or "") in name}
    names = [name for name in ways.NAMES if args.way in (None, name)]
    outcome = asyncio.run(run(chosen, names))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table(list(chosen), names, outcome))
    for (client, way), one in outcome.items():
        if one.problem:
            console.print(f"{client}, {way}:\n{one.problem}", markup=False)
    return 1 if any(one.problem for one in outcome.values()) else 0


def table(clients: list[str], names: list[str], outcome: Outcomes) -> Table:
    drawn = Table("client", *names)
    for client in clients:
        drawn.add_row(client, *(str(outcome.get((client, name), "–")) for name in names))
    return drawn


if __name__ == "__main__":
    sys.exit(main())
