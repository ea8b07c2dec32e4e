"""`brain simulate`: the stand-in for Cloudflare Access and its edge, alone, for tests of one's own.

Loopback only, and a command of its own: nothing of it can be switched on inside `brain serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from typing import Any

from app.cli.policy_files import Usage
from app.settings import Settings
from app.simulator import Application, Person, Running, ServiceToken, Simulator, Team, running

PEOPLE = "alice@example.com,bob@example.com,eve@contractor.example"


def register(nouns: Any) -> None:
    parser = nouns.add_parser("simulate", help="the Access simulator alone, on loopback")
    parser.add_argument("--origin", default="127.0.0.1:8085", metavar="HOST:PORT", help="the tunnel door")
    parser.add_argument("--port", type=int, default=8086, help="the edge: what would be the public address")
    parser.add_argument("--access-port", type=int, default=8087, help="the team's own address")
    parser.add_argument("--team", default="demo")
    parser.add_argument("--aud", default="", metavar="HEX", help="AUD tag (default: a new one)")
    parser.add_argument("--people", default=PEOPLE, metavar="A,B", help=f"default: {PEOPLE}")
    parser.add_argument("--json", action="store_true", help="print the addresses as JSON")
    parser.set_defaults(run=simulate)


def simulate(args: argparse.Namespace, settings: Settings) -> int:
    people = [Person(email.strip()) for email in args.people.split(",") if email.strip()]
    if not people or not all("@" in person.email for person in people):
        raise Usage("--people must be e-mail addresses, comma separated")
    team = Team(
        args.team,
        now=time.time,  # noqa: TID251 - a root
        people=people,
        service_tokens=[ServiceToken("nightly")],
        aud=args.aud,
    )
    asyncio.run(_serve(args, Simulator(team, Application(origin=args.origin))))
    return 0


async def _serve(args: argparse.Namespace, simulator: Simulator) -> None:
    try:
        async with running(simulator, edge_port=args.port, access_port=args.access_port) as run:
            print(_told(args, run), flush=True)
            await until_stopped()
    except OSError as problem:
        raise Usage(f"cannot listen: {problem.strerror}; choose --port and --access-port") from None


def _told(args: argparse.Namespace, run: Running) -> str:
    team = run.simulator.team
    settings = environment(run)
    tokens = {token.client_id: token.client_secret for token in team.service_tokens.values()}
    if args.json:
        return json.dumps(
            {"edge": run.edge_url, "access": run.access_url, "settings": settings, "service_tokens": tokens}
        )
    lines = [
        "A stand-in for Cloudflare Access and its edge. Start the Brain with:",
        "",
        *(f"    {name}={value}" for name, value in settings.items()),
        "",
        f"Then open {run.edge_url} and pick a person: {', '.join(team.people)}.",
        "A machine sends the two headers of its service token:",
        *(
            f"    CF-Access-Client-Id: {one}\n    CF-Access-Client-Secret: {two}"
            for one, two in tokens.items()
        ),
        "",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def environment(run: Running) -> dict[str, str]:
    """The settings with which a Brain trusts this simulator."""
    return {
        "CF_ACCESS_TEAM": run.simulator.team.domain.removesuffix(".cloudflareaccess.com"),
        "CF_ACCESS_AUD": run.simulator.team.aud,
        "CF_ACCESS_CERTS_URL": run.certs_url,
        "BASE_URL": run.edge_url,
        "TUNNEL_DOOR": run.simulator.application.origin,
    }


async def until_stopped() -> None:
    """Returns on SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
