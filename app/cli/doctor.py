"""`brain doctor`: checks the whole way from a client to the notes; each check with the one fix."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from app import settings as app_settings
from app.cli.database import clock
from app.cli.policy_files import Usage, not_seen, tools_known
from app.cli.tunnel_learned import learned, tunnel_files
from app.doctor import provisioning, tunnel
from app.doctor.checks import Check, as_json, examine, in_sum, in_words
from app.doctor.inside import Machine, inside, settings_invalid, socket_of
from app.doctor.outside import Outside, outside
from app.doctor.policy import rules
from app.doctor.web import from_outside, on_this_machine
from app.policy.check import Tool
from app.provision.files import StateUnusable
from app.settings import Settings, SettingsInvalid
from app.tunnel.binary import find
from app.upstreams.entries import UpstreamsInvalid

PROBLEM, USAGE = 1, 2


def register(nouns: Any) -> None:
    parser = nouns.add_parser("doctor", help="what is wrong, and the one fix for each thing")
    parser.add_argument(
        "--outside", action="store_true", help="also as from the internet, by the public name"
    )
    parser.add_argument(
        "--stream",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="with --outside: listen to an idle stream (130 is past the 120 s after which the edge cuts)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=doctor, without_settings=True)


def doctor(args: argparse.Namespace, settings: Settings) -> int:
    if args.stream and not args.outside:
        raise Usage("--stream needs --outside: it is by the public name that a stream is cut")
    env_file = Path(args.env_file or ".env")
    try:
        settings = _in_force(str(env_file))
    except SettingsInvalid as invalid:
        _finish(args, [_told(args, [], settings_invalid(invalid.problems))])
        return USAGE
    return asyncio.run(_doctor(args, settings, env_file))


def _in_force(env_file: str) -> Settings:
    """With the team and AUD tags that `brain tunnel` has from Cloudflare, where none are written here.

    Raises SettingsInvalid."""
    settings = app_settings.from_process(env_file, team_comes_later=True)
    state = None
    if not settings.access_team:
        with contextlib.suppress(StateUnusable):  # a check of its own says so
            state = tunnel_files(settings).state()
    if state is not None and state.auds:
        return learned(env_file, state)
    return app_settings.from_process(env_file)


async def _doctor(args: argparse.Namespace, settings: Settings, env_file: Path) -> int:
    found: list[Check] = []
    async with contextlib.aclosing(_checks(args, settings, env_file)) as checks:
        async for check in checks:
            found.append(_told(args, found, check))
    _finish(args, found)
    return PROBLEM if any(check.ok is False for check in found) else 0


async def nameable(settings: Settings) -> tuple[Sequence[Tool], Sequence[str]]:
    """The tools that a policy can name, and what those begin with that nobody knows yet."""
    try:
        return await tools_known(settings), not_seen(settings)
    except UpstreamsInvalid:  # a check of its own says so; until then any name may be one of theirs
        return await tools_known(None), ("",)


async def _checks(args: argparse.Namespace, settings: Settings, env_file: Path) -> AsyncGenerator[Check]:
    files = tunnel_files(settings)
    named_metrics = os.environ.get("TUNNEL_METRICS", "")
    metrics = tunnel.metrics_in(tunnel.processes(), named_metrics, files.token_file)
    search = partial(find, settings.cloudflared_bin, os.environ.get("PATH", ""), settings.data_dir)
    tools, unseen = await nameable(settings)
    async with from_outside() as web, on_this_machine() as here, on_this_machine(socket_of(settings)) as door:
        machine = Machine(
            env_file=env_file,
            now=clock,
            tools=tools,
            unseen=unseen,
            web=web,
            here=here,
            door=door,
            find=search,
            configurations=tunnel.configurations(),
            metrics=metrics,
        )
        questions = inside(settings, machine)
        if args.outside:
            named = rules(settings.policy_file)
            token, credential = provisioning.credential(files)
            look = provisioning.looks(settings, files, named)
            questions += outside(
                Outside(settings, web, here, clock, named, token, credential, look, metrics, args.stream)
            )
        async for check in examine(questions):
            yield check


def _told(args: argparse.Namespace, before: list[Check], check: Check) -> Check:
    """Each check is shown as soon as it is known: some take their time."""
    if not args.json:
        if not before or before[-1].part != check.part:
            print(f"{chr(10) if before else ''}{check.part.capitalize()}")
        print(in_words(check), flush=True)
    return check


def _finish(args: argparse.Namespace, found: list[Check]) -> None:
    if args.json:
        ok = not any(check.ok is False for check in found)
        print(json.dumps({"ok": ok, "checks": [as_json(check) for check in found]}, indent=2))
    else:
        print(f"\n{in_sum(found)}")
