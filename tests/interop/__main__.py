"""`python -m tests.interop`: every client lives the story of a login, in one table."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.nodejs import NoNode, prepare

from . import suite
from .node_clients import HERE, inspector, mcp_remote, typescript
from .place import Place, place
from .python_clients import fastmcp_client, python_sdk
from .story import STEPS, Session, Told, live

Connect = Callable[[Place], AbstractAsyncContextManager[Session]]
FULL = ", OAUTH_CHALLENGE=full"
CANNOT_STEP_UP = {"TypeScript SDK 1", "Inspector, --server-url"}


def python_clients() -> dict[str, Connect]:
    return {"Python SDK": python_sdk, "FastMCP": fastmcp_client}


def node_clients(node: Path) -> dict[str, Connect]:
    return {
        "TypeScript SDK 2": partial(typescript, node=node, sdk="v2", mode="auto"),
        "TypeScript SDK 2, legacy": partial(typescript, node=node, sdk="v2", mode="legacy"),
        "TypeScript SDK 1": partial(typescript, node=node, sdk="v1", mode="legacy"),
        f"TypeScript SDK 1{FULL}": partial(typescript, node=node, sdk="v1", mode="legacy"),
        "mcp-remote": partial(mcp_remote, node=node),
        "Inspector": partial(inspector, node=node, listed=True),
        "Inspector, --server-url": partial(inspector, node=node, listed=False),
    }


async def story_of(client: str, connect: Connect) -> Told:
    with tempfile.TemporaryDirectory() as folder:
        full = client.endswith(FULL)
        async with place(Path(folder), OAUTH_CHALLENGE="full" if full else "minimal") as here:
            here.person.generous = full
            try:
                async with connect(here) as session:
                    return await live(here, session, can_step_up=client not in CANNOT_STEP_UP, full=full)
            except Exception as raised:
                return Told({"register": "FAILS: " + "".join(traceback.format_exception(raised))[-1500:]})


async def run(clients: dict[str, Connect]) -> dict[str, Told]:
    told = {}
    for client, connect in clients.items():
        print(f"{client} …", file=sys.stderr, flush=True)
        told[client] = await story_of(client, connect)
    return told


def main() -> int:
    """0: everything that could run went well; 1: something did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--client", help="only clients whose name has this in it")
    args = parser.parse_args()
    logging.disable(logging.ERROR)  # of refusals that the story asks for
    clients, node = python_clients(), None
    try:
        node = prepare(HERE)
        clients |= node_clients(node)
    except NoNode as why:
        print(f"Clients in Node skipped: {why}.", file=sys.stderr)
    told = asyncio.run(run({name: one for name, one in clients.items() if (args.client or "") in name}))
    console = Console(width=None if sys.stdout.isatty() else 200)
    drawn = Table("client", *STEPS)
    for client, one in told.items():
        drawn.add_row(client, *(one.steps.get(step, "–").partition(":")[0] for step in STEPS))
    console.print(drawn)
    for client, one in told.items():
        for step, said in one.steps.items():
            if not said.startswith("ok"):
                console.print(f"{client}, {step}: {said}", markup=False)
    good = all(one.good for one in told.values())
    if node is not None and not args.client:
        good &= asyncio.run(suite.run(node, console))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
