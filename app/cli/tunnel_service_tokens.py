"""`brain tunnel service-token create | rotate | list | delete`: credentials for programs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from app.cli import duration
from app.cli.database import clock
from app.cli.tunnel_provision import at_cloudflare, hostname_of, rules_of
from app.errors import AppError
from app.provision import service_tokens
from app.provision.service_tokens import Deleted, Kept, Listed
from app.settings import Settings


def register(verbs: Any) -> None:
    text = "credentials for programs that can send headers"
    parser = verbs.add_parser("service-token", help=text, description=text)
    acts = parser.add_subparsers(required=True, metavar="VERB")
    for name, run, text in (
        ("create", run_create, "a new one; its secret goes into a file, and is shown to nobody"),
        ("rotate", run_rotate, "a new secret and another year; the old secret is good for a while"),
        ("list", run_list, "those made here: client id, end, and which rules of the policy name it"),
        ("delete", run_delete, "it lets nobody in any more, and its secret is no longer kept here"),
    ):
        act = acts.add_parser(name, help=text, description=text)
        act.add_argument("--hostname", metavar="HOST", help="public name (default: the one of BASE_URL)")
        act.add_argument("--json", action="store_true", help="as JSON")
        act.set_defaults(run=run, team_comes_later=True)
        if name != "list":
            act.add_argument("who", metavar="NAME", help="what the program is called")
            act.set_defaults(on_record=f"tunnel/service-token/{name}")
        if name == "rotate":
            act.add_argument(
                "--overlap",
                default=service_tokens.OVERLAP,
                metavar="TIME",
                help="how long the old secret is still good, like 30m or 7d (default: %(default)s)",
            )


def run_create(args: argparse.Namespace, settings: Settings) -> int:
    host = hostname_of(settings, args.hostname)
    kept = at_cloudflare(
        settings, lambda api, files: service_tokens.create(api, files, args.who, hostname=host)
    )
    _say_kept(args, kept)
    if not args.json:
        print(f'Let a rule of the policy name it: service_tokens = ["{kept.client_id}"], then apply.')
    return 0


def run_rotate(args: argparse.Namespace, settings: Settings) -> int:
    host = hostname_of(settings, args.hostname)
    until = clock() + duration.seconds(args.overlap, "--overlap")
    kept = at_cloudflare(
        settings,
        lambda api, files: service_tokens.rotate(api, files, args.who, hostname=host, old_until=until),
    )
    _say_kept(args, kept)
    return 0


def _say_kept(args: argparse.Namespace, kept: Kept) -> None:
    if args.json:
        print(_json(kept))
        return
    print(f"client id  {kept.client_id}")
    print(f"secret     in {kept.file}")
    print(f"ends       {kept.expires_at}")
    if kept.old_ends:
        print(f"The secret before it is good until {kept.old_ends}.")


def run_list(args: argparse.Namespace, settings: Settings) -> int:
    host, rules = hostname_of(settings, args.hostname), rules_of(settings)
    found = at_cloudflare(
        settings, lambda api, files: service_tokens.listed(api, files, rules, hostname=host)
    )
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2, default=str))
    else:
        print("\n".join(map(_line, found)) or f"There is no service token of ours for {host}.")
    return 0


def _line(one: Listed) -> str:
    named = f"named by {', '.join(one.rules)}" if one.rules else "NAMED BY NO RULE of the policy"
    return f"{one.name}  {one.client_id}  ends {one.expires_at or 'never'}  {named}"


def run_delete(args: argparse.Namespace, settings: Settings) -> int:
    host = hostname_of(settings, args.hostname)
    deleted = at_cloudflare(
        settings, lambda api, files: service_tokens.delete(api, files, args.who, hostname=host)
    )
    if args.json:
        print(_json(deleted))
    else:
        print(_said_of(deleted))
    if warning := _still_named(deleted.client_id, settings):
        print(f"brain: {warning}", file=sys.stderr)
    return 0


def _said_of(deleted: Deleted) -> str:
    there = (
        f"{deleted.client_id} lets nobody in any more."
        if deleted.client_id
        else "There was none at Cloudflare."
    )
    return f"{there} Its secret was in {deleted.file}; that is gone." if deleted.file else there


def _still_named(client_id: str, settings: Settings) -> str:
    """What is left to do in the policy. Whatever that is like: what was deleted is deleted."""
    try:
        rules = service_tokens.naming(rules_of(settings), client_id)
    except AppError as unusable:
        return f"Whether a rule of the policy still names it cannot be seen: {unusable.public}"
    if not rules:
        return ""
    return f"{settings.policy_file} still names {client_id}: take it out of {', '.join(rules)}."


def _json(value: Kept | Deleted) -> str:
    return json.dumps(asdict(value), default=str)
