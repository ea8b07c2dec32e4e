"""`brain demo`: a real `brain serve` behind a stand-in Access, and what each visitor gets.

Everything is on loopback and in a temporary folder; nothing stays behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

from app.cli.simulate import environment, port, ports_taken, until_stopped
from app.cli.visitors import Outcome, Visitor, outsiders, seed, visit
from app.errors import AppError
from app.settings import Settings
from app.settings.table import TABLE
from app.simulator import Application, Person, Running, ServiceToken, Simulator, Team, running
from app.simulator.server import address, listen

POLICY = Path(__file__).parents[2] / "deploy" / "demo" / "policy.toml"
START_SECONDS = 30
STOP_SECONDS = 12
NIGHTLY = "6e696768746c79206a6f62206f662064.access"  # named in deploy/demo/policy.toml


class CannotStart(AppError):
    code = "cannot_start"


@dataclass(frozen=True)
class Demo:
    """The running parts: the edge in front, the Brain behind."""

    edge: Running
    lan: str
    door: str
    log: Path


def register(nouns: Any) -> None:
    parser = nouns.add_parser("demo", help="three people, one Access simulator, and what each may use")
    parser.add_argument(
        "--once", action="store_true", help="end after the table; 1 if it is not as it should"
    )
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    parser.add_argument("--port", default=0, type=port, help="of the edge (default: a free one)")
    parser.set_defaults(run=demo, without_settings=True)


def demo(args: argparse.Namespace, settings: Settings) -> int:
    if not POLICY.is_file():
        raise CannotStart(f"{POLICY} is missing. Run the demo in a checkout of the project.")
    return until_stopped(_demo(args))


async def _demo(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="brain-demo-") as folder:
        async with _parts(Path(folder), args.port) as parts:
            await seed(parts.lan)
            outcomes = [await visit(visitor, parts.edge.edge_url) for visitor in visitors(parts.edge)]
            outcomes += await outsiders(parts.edge, parts.door)
            print_outcomes(outcomes, as_json=args.json)
            if not args.once:
                await _stay(parts, quiet=args.json)
    return 0 if all(outcome.expected for outcome in outcomes) else 1


def visitors(edge: Running) -> list[Visitor]:
    """Everyone whom the team knows, and whether the demo's policy lets them write."""
    team = edge.simulator.team
    people = [
        Visitor(person.email, {"Cf-Access-Token": team.token(person.email)}, writes=person.name == "Alice")
        for person in team.people.values()
    ]
    programs = [
        Visitor(
            f"{token.name} (service token)",
            {"CF-Access-Client-Id": token.client_id, "CF-Access-Client-Secret": token.client_secret},
            writes=False,
        )
        for token in team.service_tokens.values()
    ]
    return people + programs


@contextlib.asynccontextmanager
async def _parts(folder: Path, edge_port: int) -> AsyncIterator[Demo]:
    team = Team(
        "demo",
        now=time.time,  # noqa: TID251 - a root: the clock comes in here
        people=[
            Person("alice@example.com", "Alice"),
            Person("bob@example.com", "Bob"),
            Person("eve@contractor.example", "Eve"),
        ],
        service_tokens=[ServiceToken("nightly job", NIGHTLY)],
    )
    application = Application(origin="")
    async with contextlib.AsyncExitStack() as stack:
        try:
            edge = await stack.enter_async_context(running(Simulator(team, application), edge_port=edge_port))
        except OSError as problem:
            raise ports_taken(problem) from None
        door, lan_port = free_ports()  # not before the edge has its own
        application.origin = f"127.0.0.1:{door}"
        parts = Demo(edge, f"http://127.0.0.1:{lan_port}", f"http://127.0.0.1:{door}", folder / "brain.log")
        variables = {
            **environment(edge),
            "MCP_PORT": str(lan_port),
            "POLICY_FILE": str(POLICY),
            "DATA_DIR": str(folder / "data"),
        }
        await stack.enter_async_context(_brain(parts, variables))
        yield parts


def free_ports() -> tuple[int, int]:
    """Two ports that were free a moment ago; the Brain binds them itself."""
    sockets = [listen("127.0.0.1", 0) for _ in range(2)]
    first, second = (int(address(bound).rsplit(":", 1)[1]) for bound in sockets)
    for bound in sockets:
        bound.close()
    return first, second


@contextlib.asynccontextmanager
async def _brain(parts: Demo, variables: dict[str, str]) -> AsyncIterator[None]:
    """`brain serve`, ready, with none of the user's own settings."""
    ours = {variable.name for variable in TABLE}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    with parts.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app.cli.main", "--env-file", os.devnull, "serve"),
            cwd=POLICY.parents[2],
            env=inherited | variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours to pass on, in order
        )
    try:
        await _ready(process, parts)
        yield
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, parts: Demo) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(START_SECONDS * 20):
            if process.returncode is not None:
                break
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(f"{parts.lan}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise CannotStart(f"The Brain did not start:\n{parts.log.read_text(errors='replace')[-2000:]}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _stay(parts: Demo, *, quiet: bool) -> None:
    if not quiet:
        print(f"Log in as one of them:  {parts.edge.edge_url}/")
        print(f"Change the policy:      {POLICY}")
        print(f"Read the log:           {parts.log}")
        print("Ctrl-C ends the demo and removes everything it made.", flush=True)
    await asyncio.Event().wait()


def print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes], indent=2), flush=True)
        return
    table = Table(show_lines=True)
    for column in ("Who", "Rule", "Sees", "Calls create_note"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        tools = f"{len(outcome.tools)}: {', '.join(outcome.tools)}" if outcome.tools else "nothing"
        table.add_row(outcome.who, ", ".join(outcome.rules) or "none", tools, outcome.create_note)
    Console(markup=False, highlight=False).print(table)
    sys.stdout.flush()
