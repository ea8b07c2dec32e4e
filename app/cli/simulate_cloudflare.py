"""`brain simulate --cloudflare`: a whole Cloudflare on this machine, to set tunnels up and break them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import AppError

if TYPE_CHECKING:
    from app.simulator.cloudflare import Cloudflare

STOPPED = 0
HEADING = "Cloudflare simulator: API, Access and both sides of the edge, on this machine alone."


class CannotSimulateCloudflare(AppError):
    code = "cannot_simulate_cloudflare"


def register(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a whole Cloudflare instead")
    group.add_argument("--cloudflare", action="store_true", help="API, Access and an edge for cloudflared")
    group.add_argument(
        "--zone", default="example.com", metavar="DOMAIN", help="its domain (default: example.com)"
    )
    group.add_argument("--env", type=Path, metavar="FILE", help="write the variables to this file too (0600)")
    group.add_argument(
        "--challenge", action="append", default=[], metavar="AGENT", help="a bot rule for this User-Agent"
    )
    group.add_argument("--status", type=int, metavar="N", help="answer this status in the origin's place")
    group.add_argument(
        "--idle",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="silence that ends a request (default: 120)",
    )
    group.add_argument(
        "--skew", type=float, default=0.0, metavar="SECONDS", help="how far the edge's clock is ahead"
    )


async def run(args: argparse.Namespace) -> int:
    try:
        from app.simulator.cloudflare import open_cloudflare
    except ModuleNotFoundError as missing:
        raise CannotSimulateCloudflare(
            f"The stand-in edge needs {missing.name}, which only the tests bring. `make test` installs it."
        ) from None
    with tempfile.TemporaryDirectory(prefix="brain-cloudflare-") as folder:
        async with open_cloudflare(
            Path(folder),
            now=time.time,  # noqa: TID251 - a root: the clock comes in here
            team=args.team,
            zone=args.zone,
            people=args.people,
        ) as cloudflare:
            faults = cloudflare.world.edge.faults
            faults.challenged_agents = tuple(args.challenge)
            faults.status, faults.idle_seconds, faults.skew_seconds = args.status, args.idle, args.skew
            with _written(args.env, cloudflare.environment()):
                print(_facts(cloudflare) if args.json else _sheet(cloudflare, args), flush=True)
                await asyncio.Event().wait()
    return STOPPED


@contextlib.contextmanager
def _written(file: Path | None, environment: Mapping[str, str]) -> Iterator[None]:
    """The variables in a file of this user alone, as long as they are true."""
    if file is None:
        yield
        return
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(lines)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _facts(cloudflare: Cloudflare) -> str:
    world = cloudflare.world
    facts = {
        "environment": cloudflare.environment(),
        "zone": world.tenant.zone,
        "team": world.team.issuer,
        "people": list(world.team.people),
    }
    return json.dumps(facts, indent=2)


def _sheet(cloudflare: Cloudflare, args: argparse.Namespace) -> str:
    world = cloudflare.world
    exports = [f"  export {name}={shlex.quote(value)}" for name, value in cloudflare.environment().items()]
    if args.env is not None:
        exports = [f"  . {shlex.quote(str(args.env))}"]
    return "\n".join(
        [
            HEADING,
            "",
            f"The zone {world.tenant.zone} and the team {world.team.issuer} exist, nothing else yet.",
            f"Its people: {', '.join(world.team.people) or 'nobody'}.",
            "",
            "In another shell, where this is the internet and no other name resolves:",
            *exports,
            "",
            "Ctrl-C ends it.",
        ]
    )
