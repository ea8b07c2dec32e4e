"""`brain tunnel plan | apply | drift | down`: what there is at Cloudflare for this server."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from app import settings as app_settings
from app.cli.database import clock
from app.cli.policy_files import Usage, read_named
from app.cli.tunnel_learned import tunnel_files
from app.closing import down
from app.policy.rules import Rule
from app.provision import apply as provision
from app.provision import service_tokens
from app.provision.cloudflare import TOKENS_PAGE, Cloudflare, cloudflare
from app.provision.files import TunnelFiles
from app.provision.plan import Step
from app.provision.wanted import Intent
from app.settings import Settings
from app.settings.values import Tcp, Unix
from app.tunnel.proof import NotClosed

# What the API token may do: `brain tunnel` uses all of it, and nothing else.
PERMISSIONS = (
    "Account → Cloudflare Tunnel: Edit",
    "Account → Access: Apps and Policies: Edit",
    "Account → Access: Organizations, Identity Providers, and Groups: Read",
    "Account → Access: Service Tokens: Edit",
    "Zone → Zone: Read",
    "Zone → DNS: Edit",
    "Zone → Zone WAF: Edit",
)
# RFC 1123 section 2.1, and at least two labels.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})+")
DEFAULT_DOOR = Tcp("127.0.0.1", 8085)

T = TypeVar("T")
Work = Callable[[Cloudflare, TunnelFiles], Awaitable[T]]


def register(verbs: Any) -> None:
    for name, run, text in (
        ("plan", run_plan, "what `apply` would do; changes nothing"),
        ("apply", run_apply, "make it so; goes on where an interrupted one stopped"),
        ("drift", run_drift, "what differs at Cloudflare from what should be there"),
        ("down", run_down, "take away everything that `apply` made, the name first"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--hostname", metavar="HOST", help="public name (default: the one of BASE_URL)")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run, team_comes_later=True)
        if name in ("apply", "down"):
            verb.set_defaults(on_record=f"tunnel/{name}")


def run_plan(args: argparse.Namespace, settings: Settings) -> int:
    intent = intent_of(settings, args.hostname)
    plan = at_cloudflare(settings, lambda api, files: provision.planned(api, files, intent))
    shown = json.dumps([step.shown() for step in plan.steps], indent=2)
    print(shown if args.json else plan.text().rstrip("\n"))
    for line in plan.conflicts if args.json else ():
        print(f"brain: in the way: {line}", file=sys.stderr)
    return 1 if plan.conflicts else 0


def run_apply(args: argparse.Namespace, settings: Settings) -> int:
    intent = intent_of(settings, args.hostname)
    args.who = intent.hostname
    steps: list[Step] = []
    applied = at_cloudflare(
        settings, lambda api, files: provision.apply(api, files, intent, _telling(args, steps))
    )
    state = applied.state
    if args.json:
        shown = {"hostname": state.hostname, "team": state.team, "auds": list(state.auds)}
        print(json.dumps({**shown, "steps": [step.shown() for step in steps], "notes": list(applied.notes)}))
        return 0
    auds = ",".join(state.auds)
    print(f"{state.hostname} is set up: team {state.team}, AUD tag {auds}.")
    if (settings.access_team, settings.access_aud) != (state.team, frozenset(state.auds)):
        print("`brain tunnel up` knows that. A server that is started otherwise needs it in .env:")
        print(f"CF_ACCESS_TEAM={state.team}\nCF_ACCESS_AUD={auds}")
    for note in (*applied.notes, *service_tokens.ending(applied.found, clock())):
        print(f"Note: {note}")
    return 0


def run_drift(args: argparse.Namespace, settings: Settings) -> int:
    intent = intent_of(settings, args.hostname)
    found = at_cloudflare(settings, lambda api, files: provision.drift(api, files, intent))
    if args.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print("\n".join(map(str, found)) or "Everything is as it should be.")
    return 1 if found else 0


def run_down(args: argparse.Namespace, settings: Settings) -> int:
    state = tunnel_files(settings).state()
    host = args.hostname or (state.hostname if state else "")
    args.who = host
    steps: list[Step] = []
    if host:
        telling = _telling(args, steps)
        try:
            at_cloudflare(settings, lambda api, files: down(host, api, files, telling))
        except NotClosed as problem:
            print(f"brain: {problem.public}", file=sys.stderr)
            return 1
    if args.json:
        print(json.dumps({"hostname": host, "steps": [step.shown() for step in steps]}))
    elif not host:
        print("Nothing is exposed from here. With --hostname HOST, what bears its mark is taken away.")
    else:
        print(f"{host} no longer answers, and nothing of it is left at Cloudflare.")
    return 0


def at_cloudflare(settings: Settings, work: Work[T]) -> T:
    """What `work` returns, with the API and the files of the settings. Raises AppError."""

    async def run() -> T:
        async with cloudflare(
            _token(settings), account_id=settings.cloudflare_account_id, base=settings.cloudflare_api_base
        ) as api:
            return await work(api, tunnel_files(settings))

    return asyncio.run(run())


def intent_of(settings: Settings, hostname: str | None = None) -> Intent:
    """What the settings and the policy want. Raises Usage, PolicyInvalid."""
    return Intent(
        hostname=hostname_of(settings, hostname),
        door=_service(settings.tunnel_door or DEFAULT_DOOR),
        topology="oauth" if settings.oauth_enabled else "access",
        rules=rules_of(settings),
    )


def hostname_of(settings: Settings, asked: str | None) -> str:
    """Raises Usage: nobody is asked for it."""
    said = asked or known_hostname(settings)
    if not said:
        raise Usage("Which public name shall it have? Say --hostname brain.example.com, or set BASE_URL.")
    if problem := wrong_with_hostname(said):
        raise Usage(f"--hostname {said}: {problem}")
    host, public = said.lower(), _public(settings)
    if public and host != public:
        raise Usage(f"BASE_URL says {public}, --hostname {host}: the tunnel door answers to one name only.")
    return host


def known_hostname(settings: Settings) -> str:
    """What BASE_URL says, or else what is exposed from here; empty without either."""
    kept = tunnel_files(settings).state()
    return _public(settings) or (kept.hostname if kept else "")


def wrong_with_hostname(said: str) -> str:
    """A sentence, or an empty text."""
    # Before it is made lower case: there are letters that become ASCII by that.
    return "" if _HOSTNAME.fullmatch(said) else "must be a name like brain.example.com."


def _public(settings: Settings) -> str:
    base = app_settings.base(settings)
    return (base.hostname or "") if base.scheme == "https" else ""


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """Of the policy; none where there is no policy yet. Raises PolicyInvalid."""
    return read_named(settings.policy_file).rules if settings.policy_file.exists() else ()


def _service(door: Tcp | Unix) -> str:
    """As cloudflared writes it: no path, not even `/`."""
    if isinstance(door, Unix):
        return str(door)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(door.host, door.host)  # noqa: S104 - to be reached, not bound
    return f"http://{Tcp(here, door.port)}"


def _token(settings: Settings) -> str:
    if not settings.cloudflare_api_token:
        lines = "\n".join(f"- {permission}" for permission in PERMISSIONS)
        raise Usage(
            f"CLOUDFLARE_API_TOKEN is missing. Create a token at {TOKENS_PAGE} with these permissions, and "
            f"set it in .env or the environment:\n{lines}"
        )
    return settings.cloudflare_api_token


def _telling(args: argparse.Namespace, steps: list[Step]) -> Callable[[Step], None]:
    """A line for each step as it begins; with --json they are told at the end."""

    def tell(step: Step) -> None:
        steps.append(step)
        if not args.json:
            print(f"{len(steps):>3}. {step}", flush=True)

    return tell
