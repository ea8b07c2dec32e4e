"""`brain tunnel`: what the settings expose to the internet, and the check of a cloudflared configuration."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from app.cli import tunnel_binary, tunnel_provision, tunnel_service_tokens, tunnel_up
from app.cli.policy_files import Usage
from app.cli.tunnel_learned import learned, tunnel_files
from app.settings import Settings
from app.tunnel.config import EXAMPLE, ingress, render
from app.tunnel.exposed import exposed
from app.tunnel.finding import Finding
from app.tunnel.lint import lint

STDIN = "-"
TUNNEL_ID = "6ff42ae2-765d-4adf-8112-31c55c1551ef"


def register(nouns: Any) -> None:
    tunnel = nouns.add_parser("tunnel", help="exposure to the internet, through cloudflared")
    tunnel.set_defaults(team_comes_later=True)
    verbs = tunnel.add_subparsers(required=True, metavar="VERB")
    config = verbs.add_parser("config", help="print what cloudflared is told, or check a configuration")
    what = config.add_mutually_exclusive_group()
    what.add_argument("--check", metavar="FILE", help="check this YAML file, or JSON of the API; - for stdin")
    what.add_argument("--example", action="store_true", help="print cloudflared/config.yml instead")
    config.add_argument(
        "--door",
        default="",
        metavar="SERVICE",
        help="the tunnel door as cloudflared reaches it: http://brain:8085",
    )
    config.add_argument("--tunnel", default=TUNNEL_ID, metavar="ID", help="the tunnel's id or name")
    config.add_argument("--credentials", metavar="FILE", help="the tunnel's credentials file")
    config.add_argument(
        "--json", action="store_true", help="as JSON: the rules as the API takes them, or findings"
    )
    config.set_defaults(run=run_config)
    tunnel_binary.register(verbs)
    tunnel_provision.register(verbs)
    tunnel_service_tokens.register(verbs)
    tunnel_up.register(verbs)


def run_config(args: argparse.Namespace, settings: Settings) -> int:
    state = tunnel_files(settings).state()
    if state is not None and state.auds:
        settings = learned(args.env_file, state)
    if args.check is not None:
        return _check(args, settings)
    exposure = EXAMPLE if args.example else exposed(settings, door=args.door)
    if args.json:
        print(json.dumps({"ingress": ingress(exposure)}, indent=2))
        return 0
    credentials = args.credentials or f"/etc/cloudflared/{args.tunnel}.json"
    print(render(exposure, tunnel=args.tunnel, credentials=credentials), end="")
    return 0


def _check(args: argparse.Namespace, settings: Settings) -> int:
    exposure = exposed(settings, door=args.door)
    text = _read(args.check)
    try:
        config = yaml.safe_load(text)  # JSON is YAML
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise Usage(f"{args.check} is no YAML and no JSON: {_first_line(problem)}") from None
    remote = text.lstrip().startswith("{")
    found = lint(config, exposure, lan_port=settings.lan_door.port, remote=remote)
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        print("\n".join(_lines(found, args.check)))
    return 1 if found else 0


def _lines(found: tuple[Finding, ...], name: str) -> list[str]:
    if not found:
        return [f"{name}: nothing is wrong."]
    lines = []
    for one in found:
        lines += [f"{one.where or name}: {one.sentence} [{one.code}]", f"    {one.fix}"]
    return [*lines, f"{name}: {len(found)} problem{'s' if len(found) > 1 else ''}."]


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == STDIN else Path(name).read_text("utf-8-sig")
    except OSError as problem:
        raise Usage(f"{name} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise Usage(f"{name} cannot be read: it is not UTF-8.") from None


def _first_line(problem: Exception) -> str:
    mark = getattr(problem, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + str(getattr(problem, "problem", None) or problem).splitlines()[0]
