"""`brain simulate`: the stand-in Access and its edge alone, in front of a Brain started elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import signal
import time
from collections.abc import Coroutine
from typing import Any

from app.cli import simulate_cloudflare
from app.errors import AppError
from app.settings import Settings
from app.simulator import Application, Person, Running, ServiceToken, Simulator, Team, running

PEOPLE = "alice@example.com,bob@example.com,eve@contractor.example"
STOPPED = 0


class CannotSimulate(AppError):
    code = "cannot_simulate"


def register(nouns: Any) -> None:
    parser = nouns.add_parser("simulate", help="a stand-in for Cloudflare Access, on this machine alone")
    parser.add_argument(
        "--origin", default="127.0.0.1:8085", type=origin, help="tunnel door: HOST:PORT or unix:PATH"
    )
    parser.add_argument("--port", default=8086, type=port, help="the edge; 0: a free one (default: 8086)")
    parser.add_argument("--access-port", default=8087, type=port, help="the team's address (default: 8087)")
    parser.add_argument("--team", default="demo", type=team_name, help="team name (default: demo)")
    parser.add_argument("--people", default=PEOPLE, type=people, metavar="A@…,B@…", help="who may log in")
    parser.add_argument("--service-token", default="nightly", metavar="NAME", help="one for a program")
    parser.add_argument("--json", action="store_true", help="as JSON")
    simulate_cloudflare.register(parser)
    parser.set_defaults(run=simulate, without_settings=True)


def simulate(args: argparse.Namespace, settings: Settings) -> int:
    return until_stopped(simulate_cloudflare.run(args) if args.cloudflare else _simulate(args))


def until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`; Ctrl-C and SIGTERM end it in order, and that is a fine end."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await asyncio.wait([task])
        return STOPPED if task.cancelled() else task.result()

    return asyncio.run(guarded())


def ports_taken(problem: OSError) -> CannotSimulate:
    return CannotSimulate(f"A port cannot be had: {problem.strerror}. Choose --port and --access-port.")


async def _simulate(args: argparse.Namespace) -> int:
    team = Team(
        args.team,
        now=time.time,  # noqa: TID251 - a root: the clock comes in here
        people=args.people,
        service_tokens=[ServiceToken(args.service_token, stable_client_id(args.team, args.service_token))],
        aud=stable_aud(args.team),
    )
    async with contextlib.AsyncExitStack() as stack:
        simulator = Simulator(team, Application(args.origin))
        try:
            run = await stack.enter_async_context(
                running(simulator, edge_port=args.port, access_port=args.access_port)
            )
        except OSError as problem:
            raise ports_taken(problem) from None
        print(json.dumps(_facts(run), indent=2) if args.json else _sheet(run), flush=True)
        await asyncio.Event().wait()
    return STOPPED


def environment(run: Running) -> dict[str, str]:
    """What a Brain behind this simulator must be started with."""
    team, application = run.simulator.team, run.simulator.application
    return {
        "MCP_TRANSPORT": "http",
        "TUNNEL_DOOR": application.origin,
        "BASE_URL": run.edge_url,
        "CF_ACCESS_TEAM": team.domain.removesuffix(".cloudflareaccess.com"),
        "CF_ACCESS_AUD": team.aud,
        "CF_ACCESS_CERTS_URL": run.certs_url,
    }


def _facts(run: Running) -> dict[str, Any]:
    team = run.simulator.team
    return {
        "edge": run.edge_url,
        "access": run.access_url,
        "environment": environment(run),
        "people": [{"email": email, "token": team.token(email)} for email in team.people],
        "service_tokens": [
            {"name": token.name, "client_id": token.client_id, "client_secret": token.client_secret}
            for token in team.service_tokens.values()
        ],
    }


def _sheet(run: Running) -> str:
    team = run.simulator.team
    lines = ["Access simulator: for trying out, on this machine alone.", "", "Start the Brain with"]
    lines += [f"  {name}={value}" for name, value in environment(run).items()]
    lines += ["", f"Then open {run.edge_url}/ and log in as {' or '.join(team.people) or 'nobody'}."]
    for token in team.service_tokens.values():
        lines += [
            "",
            f"The program {token.name!r} sends with every request to {run.edge_url}/mcp",
            f"  CF-Access-Client-Id: {token.client_id}",
            f"  CF-Access-Client-Secret: {token.client_secret}",
        ]
    return "\n".join([*lines, "", "Ctrl-C ends it."])


def stable_aud(team: str) -> str:
    """The same AUD tag in every run, so that a Brain's settings survive a restart of the simulator."""
    return hashlib.sha256(f"simulated application of {team}".encode()).hexdigest()


def stable_client_id(team: str, name: str) -> str:
    return f"{hashlib.sha256(f'simulated token {name} of {team}'.encode()).hexdigest()[:32]}.access"


def origin(text: str) -> str:
    if re.fullmatch(r"unix:.+|(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}", text) is None:
        raise argparse.ArgumentTypeError("must be HOST:PORT or unix:PATH")
    return text


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def team_name(text: str) -> str:
    if re.fullmatch(r"[a-z0-9][a-z0-9-]*(\.fed)?", text) is None:
        raise argparse.ArgumentTypeError("must be lower-case letters, digits and hyphens")
    return text


def people(text: str) -> list[Person]:
    emails = [email.strip().lower() for email in text.split(",") if email.strip()]
    if bad := [email for email in emails if re.fullmatch(r"[^@\s]+@[^@\s]+", email) is None]:
        raise argparse.ArgumentTypeError(f"{bad[0]!r} is no e-mail address")
    return [Person(email, email.partition("@")[0].capitalize()) for email in dict.fromkeys(emails)]
